/* Included by each fuzz target: the input as a file, and choices taken from it.
 *
 * A target never fails because of an error that a function returns. It fails for a crash, for what a
 * sanitizer finds, and for a broken promise (require). */
#ifndef HB_FUZZ_H
#define HB_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "hbar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stops unless a promise holds. */
#define require(promise)                                                                               \
    do {                                                                                               \
        if (!(promise)) {                                                                              \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #promise);              \
            abort();                                                                                   \
        }                                                                                              \
    } while (0)

/* The path of a file in memory with these bytes, the same file in each call. */
static inline const char *file_of(const void *bytes, size_t size)
{
    static char path[64];
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    require(fd >= 0 && ftruncate(fd, 0) == 0);
    require(pwrite(fd, bytes, size, 0) == (ssize_t)size);
    return path;
}

/* Choices are taken from the beginning of the input. After its end all are 0. */
typedef struct choices {
    const uint8_t *at;
    size_t left;
} choices;

static inline uint8_t choose(choices *c)
{
    if (!c->left) return 0;
    c->left--;
    return *c->at++;
}

/* A number below n. */
static inline uint32_t choose_below(choices *c, uint32_t n)
{
    uint32_t value = choose(c);
    if (n > 256) value |= (uint32_t)choose(c) << 8;
    return value % n;
}

/* A text of at most 255 bytes with a zero byte after it. */
static inline const char *choose_text(choices *c, char text[256])
{
    size_t n = choose(c);
    if (n > c->left) n = c->left;
    memcpy(text, c->at, n);
    text[n] = '\0';
    c->at += n;
    c->left -= n;
    return text;
}

#endif
