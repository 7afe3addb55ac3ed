/* JSON read by Jansson, which does not report each failed allocation: it drops characters of a text,
 * calls a document malformed, or copies a part of a list. These functions notice. */
#ifndef HB_BASE_JSON_READ_H
#define HB_BASE_JSON_READ_H

#include <jansson.h>
#include "base/error.h"

/* Parses `text` with Jansson's flags. For malformed text *value is NULL and *why says the reason.
 * Release *value with json_decref(). HB_ERR_MEMORY. */
hb_status hb_json_load(const char *text, size_t length, size_t flags, json_t **value, json_error_t *why,
                       hb_error *err);

/* json_copy, complete or NULL. */
json_t *hb_json_copy(const json_t *value);

#endif
