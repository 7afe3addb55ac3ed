/* Included by every test file: cmocka with the headers that it needs, and shared helpers. */
#ifndef HB_TESTS_CHECK_H
#define HB_TESTS_CHECK_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "hbar.h"

/* Whether ThreadSanitizer, MemorySanitizer or Valgrind runs the tests, which are slow then. */
#ifdef HB_FOR_CHECKERS
#define UNDER_SLOW_CHECKER true
#else
#define UNDER_SLOW_CHECKER false
#endif

/* Whether one of these or AddressSanitizer does. A test cannot limit its address space then, because
 * the checker needs it. */
#if defined HB_FOR_CHECKERS || defined __SANITIZE_ADDRESS__
#define UNDER_CHECKER true
#else
#define UNDER_CHECKER false
#endif

/* Fails and shows both unless a and b differ by at most `tolerance`. */
#define assert_near(a, b, tolerance)                                                                   \
    do {                                                                                               \
        double near_a = (a), near_b = (b);                                                             \
        if (!(near_a - near_b <= (tolerance) && near_b - near_a <= (tolerance)))                       \
            fail_msg("%s is %.17g, not %.17g", #a, near_a, near_b);                                    \
    } while (0)

/* Fails and shows the message unless a call with the last argument &err returns HB_OK. */
#define assert_ok(call)                                                                                \
    do {                                                                                               \
        if ((call) != HB_OK) fail_msg("%s: %s", #call, err.message);                                   \
    } while (0)

/* Fails unless the call returns this status and a message that contains `part`. */
#define assert_fails(call, expected, part)                                                             \
    do {                                                                                               \
        hb_status fails_status = (call);                                                               \
        if (fails_status != (expected))                                                                \
            fail_msg("%s gave %d, not %s", #call, (int)fails_status, #expected);                       \
        if (!strstr(err.message, part)) fail_msg("'%s' is not in: %s", part, err.message);             \
        if (err.status != fails_status) fail_msg("err.status is %d", (int)err.status);                 \
    } while (0)

/* The path of a model made by tools/make_model.py, by tensor type. */
static inline const char *tiny_model(const char *type)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/tiny-%s.gguf", HBAR_TEST_MODELS, type);
    return path;
}

/* The contents of a file that a test changes. */
typedef struct file_bytes {
    char path[160]; /* path of the changed file */
    uint8_t *data;
    size_t size;
} file_bytes;

static inline file_bytes load_file(const char *from, const char *dir, const char *name)
{
    file_bytes f;
    FILE *file = fopen(from, "rb");
    snprintf(f.path, sizeof f.path, "%s/%s", dir, name);
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    f.size = (size_t)ftell(file);
    rewind(file);
    f.data = malloc(f.size);
    assert_int_equal(fread(f.data, 1, f.size, file), f.size);
    fclose(file);
    return f;
}

static inline void save_file(const file_bytes *f, size_t size)
{
    FILE *file = fopen(f->path, "wb");
    assert_int_equal(fwrite(f->data, 1, size, file), size);
    fclose(file);
}

/* The place after the first occurrence of a text. */
static inline uint8_t *after(const file_bytes *f, const char *text)
{
    uint8_t *at = memmem(f->data, f->size, text, strlen(text));
    assert_non_null(at);
    return at + strlen(text);
}

/* Skips the test and says why; tools/skipped.py lists it. */
static inline void skip_because(const char *why)
{
    print_message("skipped: %s\n", why);
    skip();
}

/* The path of a file under ../shared (or $HBAR_SHARED). Skips the test with a message if it is missing.
 */
static inline const char *shared_file(const char *name)
{
    static char path[512];
    const char *root = getenv("HBAR_SHARED");
    snprintf(path, sizeof path, "%s/%s", root ? root : HBAR_SHARED_DEFAULT, name);
    if (access(path, R_OK) == 0) return path;
    print_message("skipped: %s is not there\n", path);
    skip();
    return path;
}

/* Create a directory for a test's files, and remove it. It is in memory if possible, because runs are
 * often synced to disk. */
static inline int make_scratch(void **state)
{
    char *dir =
        strdup(access("/dev/shm", W_OK) ? "/tmp/hbar-test-XXXXXX" : "/dev/shm/hbar-test-XXXXXX");
    *state = dir;
    return dir && mkdtemp(dir) ? 0 : -1;
}

static inline int remove_scratch(void **state)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", (char *)*state);
    int failed = system(command);
    free(*state);
    return failed;
}

#endif
