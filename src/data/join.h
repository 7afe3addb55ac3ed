/* A file whose rows complete those of another one, found by the value of a field that both have. */
#ifndef HB_DATA_JOIN_H
#define HB_DATA_JOIN_H

#include <jansson.h>
#include "base/error.h"
#include "base/sha256.h"

/* The rows are held in memory, so they may not have more text than this. */
#define HB_JOIN_MAX ((uint64_t)512 << 20)

typedef struct hb_join {
    const char *key; /* the field */
    json_t *rows;    /* by the key's text */
    char sha256[65];
} hb_join;

/* Reads all of a file. */
hb_status hb_join_open(const char *path, const char *key, hb_join *join, hb_error *err);

/* The row that belongs to a record; NULL when there is none, or memory runs out. */
const json_t *hb_join_find(const hb_join *join, const json_t *record);

void hb_join_close(hb_join *join);

#endif
