/* Reads the records of a data file one at a time, as JSON objects. The file may be JSON Lines, a JSON
 * array of objects, a sequence of objects, an object that contains such an array, or CSV, whose fields
 * become strings. Only one record is in memory. This header also has what all readers share: reports of
 * broken records, and the names of fields for messages. */
#ifndef HB_DATA_RECORDS_H
#define HB_DATA_RECORDS_H

#include <jansson.h>
#include "data/source.h"
#include "hbar.h"

/* A record larger than this is broken. It is skipped without being kept in memory. */
#define HB_RECORD_MAX ((size_t)16 << 20)

typedef struct hb_records hb_records;

/* A record is an object, or it is broken. It is valid until the next call. Copy the object to keep it
 * longer, because the next call may change it. */
typedef struct hb_record {
    const json_t *object; /* NULL when broken */
    const char *reason;   /* why it is broken; NULL when it is not */
    uint64_t line;        /* line on which it starts, from 1 */
    size_t size;          /* bytes of its text */
} hb_record;

typedef struct hb_records_options {
    hb_sha256 *hash; /* hashes the file's bytes; NULL: no hash */
    const char *const *
        columns; /* [n_columns], the columns of CSV without a header; NULL: the first line names them */
    size_t n_columns;
    const json_t *wanted; /* an object with a key for each wanted column of CSV; NULL: all columns */
} hb_records_options;

/* Opens an input, which must outlive the records. `options` may be NULL; hash and `wanted` must outlive
 * the records, everything else is copied. HB_ERR_FORMAT for CSV whose header cannot be read or names a
 * column twice. */
hb_status hb_records_open(const hb_input *input, const hb_records_options *options,
                          hb_records **records, hb_error *err);
void hb_records_close(hb_records *records);

/* Reads the next record, good or broken. *found is false at the end. Returns HB_ERR_FORMAT when the
 * start of the next record cannot be found: the array is not closed, lacks a comma or is followed by
 * other text, or a quoted field of CSV is not closed. After an error no more records are found. */
hb_status hb_records_next(hb_records *records, hb_record *record, bool *found, hb_error *err);

/* The open file, which gives the stamp and finishes the hash. */
hb_source *hb_records_source(hb_records *records);

/* The columns of CSV. For JSON, NULL and *n = 0. */
const char *const *hb_records_columns(const hb_records *records, size_t *n);

/* The separator of CSV: ',', ';' or a tab. 0 for JSON. */
char hb_records_separator(const hb_records *records);

/* How broken records are reported. */
typedef struct hb_breakages {
    bool strict;
    void (*on_broken)(void *user, const char *message);
    void *user;
    uint64_t n; /* number of broken records so far */
} hb_breakages;

/* Counts a broken record and reports it as "PATH:LINE: reason": with `strict` as HB_ERR_FORMAT,
 * otherwise by on_broken. */
hb_status hb_breakage(hb_breakages *breakages, const char *path, uint64_t line, const char *reason,
                      hb_error *err);

/* Writes the names of an object's fields, separated by commas, to `out` like hb_printable. */
const char *hb_field_names(char *out, size_t size, const json_t *object);

#endif
