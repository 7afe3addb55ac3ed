/* An open table, which table.c and table_labels.c share. */
#ifndef HB_DATA_TABLE_H
#define HB_DATA_TABLE_H

#include "base/texts.h"
#include "data/labels.h"
#include "data/records.h"

struct hb_table {
    hb_input input;
    hb_texts columns; /* in the file's order */
    json_t *known;    /* the same as the keys of an object, to look them up */
    bool csv;
    bool comma;                    /* numbers may have a decimal comma */
    uint64_t n_objects, n_records; /* of JSON, among the first */
    char sha256[65];
};

/* The column of that name, or the one that differs from it by letter case, if there is just one; NULL
 * for none. In a file without an object there are none to find, so the name itself is returned: each
 * record will be reported as broken. */
const char *hb_table_column(const hb_table *table, const char *name);

/* Reports that there is no column `what`, and lists those there are. */
hb_status hb_table_fail_column(const hb_table *table, const char *what, hb_error *err);

/* A value as it stands in the file, for a message; NULL, with `why`, when memory runs out. */
const char *hb_table_show(const json_t *value, char *out, size_t size, hb_error *why);

/* A row's label. Sets `why` if it is none. */
void hb_table_label(const hb_label_rule *rule, const json_t *object, const char *column, int *label,
                    hb_error *why);

/* Warns of a label column that most likely says that an answer is right. */
void hb_table_warn(const hb_table *table, const char *column,
                   void (*on_warning)(void *user, const char *message), void *user);

/* Reads the named columns [n] of all records and hashes the file. `take` gets each record, good or
 * broken. */
hb_status hb_table_each(hb_table *table, const char *const *columns, size_t n,
                        hb_status (*take)(void *user, const hb_record *record), void *user,
                        hb_error *err);

#endif
