/* The text of a data file in blocks: unpacked from gzip, converted from UTF-16, without its byte order
 * mark; the line it stands on, a hash of the file's bytes on request, and a stamp that tells whether
 * the file is still the one that was read before.
 */
#ifndef HB_DATA_SOURCE_H
#define HB_DATA_SOURCE_H

#include <sys/stat.h>
#include <time.h>
#include "base/sha256.h"
#include "data/input.h"
#include "hbar.h"

#define HB_SOURCE_BLOCK 65536

/* What identifies the contents of a file without reading them again. */
typedef struct hb_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
} hb_stamp;

typedef struct hb_unpacker hb_unpacker;

typedef struct hb_source {
    const char *path; /* the input's */
    int fd;
    off_t offset;       /* of the next byte to read */
    hb_error failure;   /* of a read; its status is HB_OK when none failed */
    hb_sha256 *hash;    /* the caller's; gets the file's bytes as they are read; may be NULL */
    hb_stamp stamp;     /* when it was opened */
    uint64_t line;      /* the line block[at] stands on, from 1 */
    hb_unpacker *zip;   /* NULL: not packed */
    bool wide, big;     /* UTF-16, and its bytes' order */
    uint16_t surrogate; /* the first half of a pair that the last block ended with; 0: none */
    size_t at, end;     /* block[at .. end) is still to be taken */
    char block[HB_SOURCE_BLOCK];
} hb_source;

/* Opens an input, which must outlive the source. `hash` gets every byte of the file that is read; NULL:
 * none wanted. HB_ERR_IO names the file; HB_ERR_UNSUPPORTED says what it is when it holds no text. */
hb_status hb_source_open(const hb_input *input, hb_sha256 *hash, hb_source **source, hb_error *err);
void hb_source_close(hb_source *source);

/* Makes sure that at < end; false at the end of the file and on an error. */
bool hb_source_fill(hb_source *source);

/* Takes n bytes, n <= end - at. */
void hb_source_take(hb_source *source, size_t n);

/* Takes spaces, tabs and line ends; returns the byte after them, which is not taken, or -1 when there
 * is none. */
int hb_source_skip_blanks(hb_source *source);

/* The failure of a read. */
hb_status hb_source_failed(const hb_source *source, hb_error *err);

/* Whether the open file is another one than `stamp` was taken of, or has been written to since. */
bool hb_source_changed(const hb_source *source, const hb_stamp *stamp);

/* Reads what is left of the file for its hash. */
hb_status hb_source_finish(hb_source *source, hb_error *err);

#endif
