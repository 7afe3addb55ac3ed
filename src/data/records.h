/* JSON records from a file, one at a time: JSON Lines or one JSON array of objects, told apart by the
 * first character. Memory is that of one record. Also what the readers of this room share: telling of
 * broken records, and the names of fields for messages.
 */
#ifndef HB_DATA_RECORDS_H
#define HB_DATA_RECORDS_H

#include <jansson.h>
#include "data/source.h"
#include "hbar.h"

/* A record larger than this is broken; it is passed over without being kept. */
#define HB_RECORD_MAX ((size_t)16 << 20)

typedef struct hb_records hb_records;

/* A record is an object or it is broken. Both are valid until the next call. */
typedef struct hb_record {
    const json_t *object; /* NULL when broken */
    const char *reason;   /* what is wrong with it; NULL when nothing is */
    uint64_t line;        /* where it starts, from 1 */
} hb_record;

/* With `hash` every byte read also goes into a SHA-256. */
hb_status hb_records_open(const char *path, bool hash, hb_records **records, hb_error *err);
void hb_records_close(hb_records *records);

/* The next record, good or broken; *found is false at the end. HB_ERR_FORMAT, after which nothing more
 * is found, for an array in which the next record can't be told: one that is not closed, lacks a comma,
 * or is followed by other text. */
hb_status hb_records_next(hb_records *records, hb_record *record, bool *found, hb_error *err);

/* The file being read, for its stamp and its hash. */
hb_source *hb_records_source(hb_records *records);

/* What is done about broken records. */
typedef struct hb_breakages {
    const char *path;
    bool strict;
    void (*on_broken)(void *user, const char *message);
    void *user;
    uint64_t n; /* so far */
} hb_breakages;

/* Counts one and tells of it as "PATH:LINE: reason": to on_broken, or with `strict` as HB_ERR_FORMAT.
 */
hb_status hb_breakage(hb_breakages *breakages, uint64_t line, const char *reason, hb_error *err);

/* The names of an object's fields, comma-separated, as hb_printable. */
const char *hb_field_names(char *out, size_t size, const json_t *object);

#endif
