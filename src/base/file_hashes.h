/* SHA-256 of large files, kept in a cache so that each file is read once. */
#ifndef HB_BASE_FILE_HASHES_H
#define HB_BASE_FILE_HASHES_H

#include <stddef.h>
#include "base/error.h"

/* Sets `hex` to the SHA-256 of the concatenated bytes of n regular files.
 *
 * If the files have 16 MiB or more together, the hash is kept in the directory `hbar` in
 * $XDG_CACHE_HOME, or in $HOME/.cache. It is used again only while each file has the same device,
 * inode, size, and times of the last change of contents and of status. A program can set the first of
 * these times back, but not the second. An entry that is damaged, or that another user could have
 * written, is ignored. If the cache cannot be read or written, the files are hashed each time; that is
 * no error. */
hb_status hb_files_sha256(const char *const *paths, size_t n, char hex[65], hb_error *err);

/* The same hash, computed by a thread of its own. */
typedef struct hb_hashing hb_hashing;

/* Starts the thread. The texts of `paths` must live as long as the hashing. NULL when there is nothing
 * to gain, because the cache has the hash, or when memory or a thread is missing; then hb_files_sha256
 * is to be called. */
hb_hashing *hb_hashing_start(const char *const *paths, size_t n);

/* Waits for the result of hb_files_sha256. Threads may share a hashing. */
hb_status hb_hashing_wait(hb_hashing *hashing, char hex[65], hb_error *err);

/* Stops the thread, if it still works, and releases the hashing, which may be NULL. */
void hb_hashing_end(hb_hashing *hashing);

#endif
