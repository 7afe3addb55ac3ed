/* Where in a row a value is: "answer.aliases", "choices[0]". A path is names, divided by points, each
 * with indices in brackets; a name that is applied to a list is applied to each of its elements.
 *
 *     questions[i]     the element of the row in hand, where a record holds several rows
 *     questions[<i]    those before it
 *     more.*           every value of an object or a list
 *     a|b              b where there is no a
 *
 * A field whose whole name is the path comes first, and letter case matters only where two fields
 * differ by nothing else.
 */
#ifndef HB_DATA_PATH_H
#define HB_DATA_PATH_H

#include <jansson.h>
#include "base/buffer.h"
#include "base/error.h"

typedef struct hb_path hb_path;

/* HB_ERR_ARGUMENT for what is no path. */
hb_status hb_path_parse(const char *text, hb_path **path, hb_error *err);
void hb_path_free(hb_path *path);
const char *hb_path_text(const hb_path *path); /* as it was parsed */

/* A row: the object it is, after those around it, and its place in the list that it is from. */
#define HB_SCOPE_LEVELS 4
typedef struct hb_scope {
    const json_t *levels[HB_SCOPE_LEVELS];
    size_t n_levels;
    size_t index;
    json_t *made; /* an array that owns lists parsed from strings */
} hb_scope;

/* Values found: borrowed from the row or scope->made. */
typedef struct hb_values {
    const json_t **list; /* [n] */
    size_t n, room;
} hb_values;
void hb_values_free(hb_values *values);

/* Appends what the path leads to, which may be an empty list; *found says whether it leads anywhere. A
 * null is nothing. False when memory runs out. */
bool hb_path_find(const hb_path *path, hb_scope *scope, hb_values *values, bool *found);

/* The list that a string spells, as JSON or as Python writes lists of strings; NULL when it is none. */
json_t *hb_spelled_list(const char *text);

/* Appends a value as text: a string as it is, 3.0 as 3, a list's elements line by line, an object as
 * JSON. False when memory runs out. */
bool hb_value_text(hb_buffer *out, const json_t *value);

#endif
