/* Paths to values in a row, such as "answer.aliases" or "choices[0]". A path has names separated by
 * points; each name may have indices in brackets. A name applied to a list is applied to each element.
 *
 *     questions[i]     element i, where i is the index of the current row in its record
 *     questions[<i]    the elements before it
 *     more.*           every value of an object or a list
 *     a|b              b if there is no a
 *
 * A field whose name is the whole path has priority. Letter case matters only if two fields differ by
 * nothing else.
 */
#ifndef HB_DATA_PATH_H
#define HB_DATA_PATH_H

#include <jansson.h>
#include "base/buffer.h"
#include "base/error.h"

typedef struct hb_path hb_path;

/* HB_ERR_ARGUMENT for an invalid path. */
hb_status hb_path_parse(const char *text, hb_path **path, hb_error *err);
void hb_path_free(hb_path *path);
const char *hb_path_text(const hb_path *path); /* the text that was parsed */

/* A row: its object, preceded by the objects that contain it, and its index in its list. */
#define HB_SCOPE_LEVELS 4
typedef struct hb_scope {
    const json_t *levels[HB_SCOPE_LEVELS];
    size_t n_levels;
    size_t index;
    json_t *made; /* an array that owns lists parsed from strings */
} hb_scope;

/* Values that were found. They belong to the row or to scope->made. */
typedef struct hb_values {
    const json_t **list; /* [n] */
    size_t n, room;
} hb_values;
void hb_values_free(hb_values *values);

/* Appends the values at the path. *found becomes whether the path exists; it may be an empty list. A
 * null counts as missing. False when memory runs out. */
bool hb_path_find(const hb_path *path, hb_scope *scope, hb_values *values, bool *found);

/* Parses a string that spells a list, in JSON or as Python prints a list of strings. *list becomes NULL
 * if it does not. False when memory runs out. */
bool hb_spelled_list(const char *text, json_t **list);

/* Appends a value as text: a string unchanged, 3.0 as 3, a list with one element per line, an object as
 * JSON. False when memory runs out. */
bool hb_value_text(hb_buffer *out, const json_t *value);

#endif
