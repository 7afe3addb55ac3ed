/* Reads the subset of TOML 1.0 in which settings are written: tables of one level, bare keys, strings
 * of one line, decimal numbers, booleans, arrays of strings, and comments. The text is untrusted. */
#ifndef HB_BASE_TOML_H
#define HB_BASE_TOML_H

#include "base/error.h"
#include "base/texts.h"

typedef enum hb_toml_kind {
    HB_TOML_TABLE, /* the head of a table: no key and no value */
    HB_TOML_STRING,
    HB_TOML_INTEGER,
    HB_TOML_FLOAT,
    HB_TOML_BOOLEAN,
    HB_TOML_STRINGS /* an array of strings */
} hb_toml_kind;

typedef struct hb_toml_entry {
    char *table, *key; /* the table is "" before the first head */
    hb_toml_kind kind;
    hb_texts values; /* the string, the number as it is written, "true" or "false", or the strings */
    size_t line;
} hb_toml_entry;

/* Entries in the order of the text. */
typedef struct hb_toml {
    hb_toml_entry *entries; /* [n] */
    size_t n, room;
} hb_toml;

/* HB_ERR_FORMAT, with `name` and the line, for anything else, and for a table or a key of a table that
 * is given twice. Release with hb_toml_free. */
hb_status hb_toml_parse(const char *name, const char *text, size_t length, hb_toml *toml,
                        hb_error *err);
void hb_toml_free(hb_toml *toml);

#endif
