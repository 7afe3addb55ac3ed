/* The readers behind hb_records: one for JSON, one for CSV. */
#ifndef HB_DATA_READERS_H
#define HB_DATA_READERS_H

#include "base/buffer.h"
#include "data/records.h"

typedef struct hb_csv hb_csv;

/* The position of the JSON reader. */
typedef enum hb_json_place {
    HB_JSON_START,        /* nothing was read */
    HB_JSON_OPEN,         /* after the array's '[' */
    HB_JSON_AFTER_RECORD, /* in an array */
    HB_JSON_AFTER_COMMA,  /* in an array */
    HB_JSON_LINES,        /* between two lines of JSON Lines */
    HB_JSON_OBJECTS,      /* between two objects that are not separated by lines */
    HB_JSON_END
} hb_json_place;

struct hb_records {
    hb_source *source;
    hb_csv *csv; /* NULL: the file is JSON */
    hb_json_place place;
    bool wrapped; /* the array is a field of an object */
    bool too_large;
    hb_buffer text;
    json_t *object;
    char reason[256];
};

/* JSON (json_records.c). */
hb_status hb_json_next(hb_records *records, hb_record *record, bool *found, hb_error *err);

/* CSV (csv_records.c). */
hb_status hb_csv_open(hb_records *records, const hb_records_options *options, hb_error *err);
void hb_csv_close(hb_csv *csv);
hb_status hb_csv_next(hb_records *records, hb_record *record, bool *found, hb_error *err);
const char *const *hb_csv_columns(const hb_csv *csv, size_t *n);
char hb_csv_separator(const hb_csv *csv);

/* Returns whether a record's text has a byte that is not UTF-8. If so, writes that to records->reason.
 */
bool hb_find_malformed(hb_records *records, const char *text, size_t length, const char *what);

#endif
