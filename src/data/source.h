/* A data file read in blocks: the bytes, the line they stand on, a hash of them all on request, and
 * a stamp that tells whether the file is still the one that was read before.
 */
#ifndef HB_DATA_SOURCE_H
#define HB_DATA_SOURCE_H

#include <sys/stat.h>
#include <time.h>
#include "base/sha256.h"
#include "hbar.h"

#define HB_SOURCE_BLOCK 65536

/* What identifies the contents of a file without reading them again. */
typedef struct hb_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
} hb_stamp;

typedef struct hb_source {
    char *path;
    int fd;
    int error; /* errno of a read that failed, else 0 */
    bool hashing;
    hb_sha256 hash;
    hb_stamp stamp; /* when it was opened */
    uint64_t line;  /* the line block[at] stands on, from 1 */
    size_t at, end; /* block[at .. end) is still to be taken */
    char block[HB_SOURCE_BLOCK];
} hb_source;

/* Opens a regular file and passes over a UTF-8 byte order mark. HB_ERR_IO names the file;
 * HB_ERR_UNSUPPORTED says what it is when it holds no text. */
hb_status hb_source_open(const char *path, bool hash, hb_source **source, hb_error *err);
void hb_source_close(hb_source *source);

/* Makes sure that at < end; false at the end of the file and on an error. */
bool hb_source_fill(hb_source *source);

/* Takes n bytes, n <= end - at. */
void hb_source_take(hb_source *source, size_t n);

/* Takes spaces, tabs and line ends; returns the byte after them, which is not taken, or -1 when there
 * is none. */
int hb_source_skip_blanks(hb_source *source);

/* HB_ERR_IO for source->error. */
hb_status hb_source_failed(const hb_source *source, hb_error *err);

/* Whether the open file is another one than `stamp` was taken of, or has been written to since. */
bool hb_source_changed(const hb_source *source, const hb_stamp *stamp);

/* The hash of the whole file, for a source opened with `hash` and read to its end. Once. */
void hb_source_finish_hash(hb_source *source, char hex[65]);

#endif
