#include "base/file_hashes.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/buffer.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/thread.h"

#define MIN_BYTES ((uint64_t)16 << 20) /* smaller files are hashed in milliseconds */

/* Times of files have a resolution of up to 2 seconds. A file that changed more recently could change
 * again without another time. */
#define SETTLED_SECONDS 3

/* An entry's file has the key of its files as its name. It consists of the hash, a space, the check of
 * key and hash, and a newline. The check finds damaged and misplaced entries. */
enum { HEX = 64, ENTRY = 2 * HEX + 2 };

static bool hash_text(const char *text, char hex[65])
{
    hb_sha256 hash;
    if (!hb_sha256_init(&hash)) return false;
    hb_sha256_add(&hash, text, strlen(text));
    hb_sha256_finish(&hash, hex);
    return true;
}

/* Makes the key: a hash of what changes when the files change. False for files that are not cached. */
static bool make_key(const char *const *paths, size_t n, char key[65])
{
    hb_buffer text = {0};
    uint64_t bytes = 0;
    bool ok = n > 0;
    for (size_t i = 0; i < n && ok; i++) {
        struct stat st;
        char line[160];
        ok = stat(paths[i], &st) == 0 && S_ISREG(st.st_mode) &&
             time(NULL) - st.st_ctim.tv_sec >= SETTLED_SECONDS;
        if (!ok) break;
        snprintf(line, sizeof line, "%jx %jx %jd %jd.%09ld %jd.%09ld\n", (uintmax_t)st.st_dev,
                 (uintmax_t)st.st_ino, (intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec,
                 st.st_mtim.tv_nsec, (intmax_t)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
        ok = hb_buffer_add_text(&text, line);
        bytes += (uint64_t)st.st_size;
    }
    ok = ok && bytes >= MIN_BYTES && hash_text(text.data, key);
    hb_buffer_free(&text);
    return ok;
}

/* The cache's directory, which release with free(); NULL if there is none. As the XDG specification
 * says, relative paths are ignored. */
static char *cache_directory(void)
{
    const char *cache = secure_getenv("XDG_CACHE_HOME"), *home = secure_getenv("HOME");
    char *dir = NULL;
    int length = -1;
    if (cache && *cache == '/') length = asprintf(&dir, "%s/hbar", cache);
    else if (home && *home == '/') length = asprintf(&dir, "%s/.cache/hbar", home);
    return length < 0 ? NULL : dir;
}

static bool make_entry(const char *key, const char *hex, char entry[ENTRY + 1])
{
    char both[2 * HEX + 1], check[65];
    snprintf(both, sizeof both, "%s%s", key, hex);
    if (!hash_text(both, check)) return false;
    snprintf(entry, ENTRY + 1, "%s %s\n", hex, check);
    return true;
}

/* Whether only this user can have written the file. */
static bool is_ours(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
           !(st.st_mode & (S_IWGRP | S_IWOTH)) && st.st_size == ENTRY;
}

/* Reads a hash from the cache; false if there is no valid entry. */
static bool recall(const char *dir, const char *key, char hex[65])
{
    char *path, entry[ENTRY + 1] = "", expected[ENTRY + 1], found[65];
    if (asprintf(&path, "%s/%s", dir, key) < 0) return false;
    int fd = hb_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    free(path);
    if (fd < 0) return false;
    bool ok = is_ours(fd) && read(fd, entry, ENTRY) == ENTRY;
    close(fd);
    if (!ok || strspn(entry, "0123456789abcdef") != HEX) return false;
    snprintf(found, sizeof found, "%.64s", entry);
    if (!make_entry(key, found, expected) || memcmp(entry, expected, ENTRY) != 0) return false;
    memcpy(hex, found, sizeof found);
    return true;
}

/* Writes an entry as a new file, which then gets its name. So readers and other writers never see a
 * part of it. */
static void keep(const char *dir, const char *key, const char *hex)
{
    char *path = NULL, *draft = NULL, entry[ENTRY + 1];
    bool named = asprintf(&path, "%s/%s", dir, key) >= 0;
    if (!named) return;
    if (make_entry(key, hex, entry) && hb_make_directory(dir, NULL) == HB_OK &&
        asprintf(&draft, "%s.XXXXXX", path) >= 0) {
        int fd = hb_move_descriptor(mkostemp(draft, O_CLOEXEC));
        bool ok = fd >= 0 && write(fd, entry, ENTRY) == ENTRY;
        if (fd >= 0) ok = close(fd) == 0 && ok;
        if (!ok || rename(draft, path) != 0) unlink(draft);
        free(draft);
    }
    free(path);
}

static hb_status hash_files(const char *const *paths, size_t n, const atomic_bool *stop, char hex[65],
                            hb_error *err)
{
    hb_sha256 hash;
    hb_status status = HB_OK;
    if (!hb_sha256_init(&hash)) return hb_fail_memory(err);
    hash.stop = stop;
    for (size_t i = 0; i < n && !status; i++) status = hb_sha256_add_file(&hash, paths[i], err);
    if (status) hb_sha256_free(&hash);
    else hb_sha256_finish(&hash, hex);
    return status;
}

/* Looks in the cache for the hash of files. Sets *dir to its directory, which release with free(), and
 * `key`; or *dir to NULL if the hash cannot be kept. */
static bool recall_files(const char *const *paths, size_t n, char **dir, char key[65], char hex[65])
{
    *dir = make_key(paths, n, key) ? cache_directory() : NULL;
    return *dir && recall(*dir, key, hex);
}

/* Hashes files unless the cache has their hash. */
static hb_status find_hash(const char *const *paths, size_t n, const atomic_bool *stop, char hex[65],
                           hb_error *err)
{
    char key[65], after[65], *dir;
    bool found = recall_files(paths, n, &dir, key, hex);
    hb_status status = found ? HB_OK : hash_files(paths, n, stop, hex, err);
    /* A file that changed while it was read has another key now. */
    if (!found && !status && dir && make_key(paths, n, after) && strcmp(key, after) == 0)
        keep(dir, key, hex);
    free(dir);
    return status;
}

hb_status hb_files_sha256(const char *const *paths, size_t n, char hex[65], hb_error *err)
{
    return find_hash(paths, n, NULL, hex, err);
}

/* ---- A thread that hashes ------------------------------------------------------------------------ */

struct hb_hashing {
    pthread_t thread;
    pthread_mutex_t lock; /* for is_joined */
    bool is_joined;
    atomic_bool stop;
    hb_status status; /* the result, to be read when the thread has ended */
    hb_error err;
    char hex[65];
    size_t n;
    const char *paths[];
};

static bool is_kept(const char *const *paths, size_t n)
{
    char key[65], hex[65], *dir;
    bool found = recall_files(paths, n, &dir, key, hex);
    free(dir);
    return found;
}

static void *run_hashing(void *argument)
{
    hb_hashing *h = argument;
    h->status = find_hash(h->paths, h->n, &h->stop, h->hex, &h->err);
    return NULL;
}

hb_hashing *hb_hashing_start(const char *const *paths, size_t n)
{
    hb_hashing *h = is_kept(paths, n) ? NULL : malloc(sizeof *h + n * sizeof *paths);
    if (!h) return NULL;
    *h = (hb_hashing){.n = n};
    memcpy(h->paths, paths, n * sizeof *paths);
    pthread_mutex_init(&h->lock, NULL);
    if (hb_thread_start(&h->thread, run_hashing, h)) return h;
    pthread_mutex_destroy(&h->lock);
    free(h);
    return NULL;
}

static void join(hb_hashing *h)
{
    pthread_mutex_lock(&h->lock);
    if (!h->is_joined) pthread_join(h->thread, NULL);
    h->is_joined = true;
    pthread_mutex_unlock(&h->lock);
}

hb_status hb_hashing_wait(hb_hashing *h, char hex[65], hb_error *err)
{
    join(h);
    if (h->status) return hb_fail(err, h->status, "%s", h->err.message);
    memcpy(hex, h->hex, sizeof h->hex);
    return HB_OK;
}

void hb_hashing_end(hb_hashing *h)
{
    if (!h) return;
    h->stop = true;
    join(h);
    pthread_mutex_destroy(&h->lock);
    free(h);
}
