/* An open table. table.c and table_labels.c share this struct. */
#ifndef HB_DATA_TABLE_H
#define HB_DATA_TABLE_H

#include "base/texts.h"
#include "data/labels.h"
#include "data/records.h"

struct hb_table {
    hb_input input;
    hb_texts columns; /* in the order of the file */
    json_t *known;    /* the same as keys of an object, for look-ups */
    bool csv;
    bool comma;                    /* numbers may have a decimal comma */
    uint64_t n_objects, n_records; /* numbers of JSON objects and records among the first */
    char sha256[65];
};

/* The column with this name. If there is none, the column whose name differs only in letter case, if
 * there is exactly one; otherwise NULL. In a file without objects, returns the name itself, because
 * every record will be reported as broken later. */
const char *hb_table_column(const hb_table *table, const char *name);

/* Fails because there is no column `what`. The message lists the columns. */
hb_status hb_table_fail_column(const hb_table *table, const char *what, hb_error *err);

/* Writes a value for a message. NULL, with `why`, when memory runs out. */
const char *hb_table_show(const json_t *value, char *out, size_t size, hb_error *why);

/* Reads a row's label. Sets `why` if it is not a label. */
void hb_table_label(const hb_label_rule *rule, const json_t *object, const char *column, int *label,
                    hb_error *why);

/* Reads the named columns [n] of all records and hashes the file. Calls `take` for each record, good or
 * broken. */
hb_status hb_table_each(hb_table *table, const char *const *columns, size_t n,
                        hb_status (*take)(void *user, const hb_record *record), void *user,
                        hb_error *err);

#endif
