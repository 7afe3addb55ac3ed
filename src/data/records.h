/* Records of a data file, one at a time, as JSON objects: JSON Lines, a JSON array of objects, objects
 * one after the other or indented, an object around such an array, or rows of CSV, whose fields are
 * strings. Memory is that of one record. Also what the readers of this room share: reports of broken
 * records, and the names of fields for messages.
 */
#ifndef HB_DATA_RECORDS_H
#define HB_DATA_RECORDS_H

#include <jansson.h>
#include "data/source.h"
#include "hbar.h"

/* A record larger than this is broken; it is passed over without being kept. */
#define HB_RECORD_MAX ((size_t)16 << 20)

typedef struct hb_records hb_records;

/* A record is an object or it is broken. Both are valid until the next call, which may change the
 * object: who keeps it longer copies it. */
typedef struct hb_record {
    const json_t *object; /* NULL when broken */
    const char *reason;   /* what is wrong with it; NULL when nothing is */
    uint64_t line;        /* where it starts, from 1 */
    size_t size;          /* bytes of its text */
} hb_record;

typedef struct hb_records_options {
    hb_sha256 *hash; /* gets the bytes of the file; NULL: none wanted */
    const char *const
        *columns; /* [n_columns], of CSV that has no header; NULL: the first line names them */
    size_t n_columns;
    const json_t *wanted; /* an object with a key for each column of CSV that is wanted; NULL: all */
} hb_records_options;

/* Opens an input, which must outlive the records. `options` may be NULL; what it points to is copied
 * but for the hash and `wanted`. HB_ERR_FORMAT for CSV whose header cannot be read or names a column
 * twice. */
hb_status hb_records_open(const hb_input *input, const hb_records_options *options,
                          hb_records **records, hb_error *err);
void hb_records_close(hb_records *records);

/* The next record, good or broken; *found is false at the end. HB_ERR_FORMAT, after which nothing more
 * is found, where the next record cannot be told: an array that is not closed, lacks a comma or is
 * followed by other text; a quoted field of CSV that is not closed. */
hb_status hb_records_next(hb_records *records, hb_record *record, bool *found, hb_error *err);

/* The file being read, for its stamp and its hash. */
hb_source *hb_records_source(hb_records *records);

/* The columns of CSV; NULL with *n = 0 for JSON. */
const char *const *hb_records_columns(const hb_records *records, size_t *n);

/* What stands between the fields of CSV: ',', ';' or a tab; 0 for JSON. */
char hb_records_separator(const hb_records *records);

/* What is done about broken records. */
typedef struct hb_breakages {
    bool strict;
    void (*on_broken)(void *user, const char *message);
    void *user;
    uint64_t n; /* so far */
} hb_breakages;

/* Counts one and reports it as "PATH:LINE: reason": to on_broken, or with `strict` as HB_ERR_FORMAT. */
hb_status hb_breakage(hb_breakages *breakages, const char *path, uint64_t line, const char *reason,
                      hb_error *err);

/* The names of an object's fields, comma-separated, as hb_printable. */
const char *hb_field_names(char *out, size_t size, const json_t *object);

#endif
