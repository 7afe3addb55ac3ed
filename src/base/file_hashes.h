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

#endif
