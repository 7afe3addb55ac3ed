/* A second file with further fields for the rows of the data. Rows are matched by a field that both
 * files have. */
#ifndef HB_DATA_JOIN_H
#define HB_DATA_JOIN_H

#include <jansson.h>
#include "base/error.h"
#include "base/sha256.h"

/* The rows are kept in memory: at most so many bytes of text, where each row counts as at least
 * HB_JOIN_ROW more, which it takes however short it is. */
#define HB_JOIN_MAX ((uint64_t)512 << 20)
#define HB_JOIN_ROW 512

typedef struct hb_join {
    const char *key; /* field that both files have */
    json_t *rows;    /* rows by the text of this field */
    char sha256[65];
} hb_join;

/* Reads the whole file. */
hb_status hb_join_open(const char *path, const char *key, hb_join *join, hb_error *err);

/* Finds the row that matches a record; *row becomes NULL when there is none. False when memory runs
 * out.
 */
bool hb_join_find(const hb_join *join, const json_t *record, const json_t **row);

void hb_join_close(hb_join *join);

#endif
