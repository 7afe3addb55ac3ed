/* Reads the text of a data file in blocks. Unpacks gzip, converts UTF-16, and removes the byte order
 * mark. Counts lines and, on request, hashes the file's bytes. A stamp shows whether the file changed
 * since an earlier read. */
#ifndef HB_DATA_SOURCE_H
#define HB_DATA_SOURCE_H

#include "base/file.h"
#include "base/sha256.h"
#include "data/input.h"
#include "hbar.h"

#define HB_SOURCE_BLOCK 65536

typedef struct hb_unpacker hb_unpacker;

typedef struct hb_source {
    const char *path; /* path of the input */
    int fd;
    off_t offset;       /* offset of the next byte to read */
    hb_error failure;   /* the first failed read; its status is HB_OK when none failed */
    hb_sha256 *hash;    /* the caller's; hashes the bytes as they are read; may be NULL */
    hb_stamp stamp;     /* taken when the file was opened */
    uint64_t line;      /* line of block[at], from 1 */
    hb_unpacker *zip;   /* NULL: the file is not packed */
    bool wide, big;     /* whether it is UTF-16, and whether big-endian */
    uint16_t surrogate; /* high surrogate at the end of the last block; 0: none */
    size_t at, end;     /* block[at .. end) is not taken yet */
    char block[HB_SOURCE_BLOCK];
} hb_source;

/* Opens an input, which must outlive the source. `hash` hashes every byte that is read; it may be NULL.
 * HB_ERR_IO names the file. HB_ERR_UNSUPPORTED names the kind of a file that is not text. */
hb_status hb_source_open(const hb_input *input, hb_sha256 *hash, hb_source **source, hb_error *err);
void hb_source_close(hb_source *source);

/* Reads a block if the last one is used up, so that at < end. False at the end of the file and after an
 * error. */
bool hb_source_fill(hb_source *source);

/* Moves past n bytes, n <= end - at. */
void hb_source_take(hb_source *source, size_t n);

/* Moves past spaces, tabs and line ends. Returns the byte after them without taking it, or -1 at the
 * end. */
int hb_source_skip_blanks(hb_source *source);

/* Returns the failed read as an error. */
hb_status hb_source_failed(const hb_source *source, hb_error *err);

/* Whether the open file is not the file of `stamp`, or was written to since. */
bool hb_source_changed(const hb_source *source, const hb_stamp *stamp);

/* Reads the rest of the file to complete its hash. */
hb_status hb_source_finish(hb_source *source, hb_error *err);

#endif
