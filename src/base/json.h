/* A JSON document written piece by piece. Nothing but the text is kept in memory, so a document of a
 * million rows costs no more than its text. Like an hb_writer it remembers whether memory ran out.
 *
 * Members and elements come in the order of the calls. In an object `key` names the member; in an array
 * and for the root it is NULL. Start from a zeroed struct. */
#ifndef HB_BASE_JSON_H
#define HB_BASE_JSON_H

#include "base/writer.h"

#define HB_JSON_DEPTH 16 /* maximum nesting depth */

typedef struct hb_json {
    hb_writer out;
    char closers[HB_JSON_DEPTH]; /* closing brackets of the open objects and arrays */
    int depth;
    int line_depth; /* depth from which everything is written on one line; 0: none */
    bool has_members;
    bool ascii; /* set it to escape everything that is not ASCII */
} hb_json;

/* Open an object or an array with one line per member. hb_json_end closes the innermost one. */
void hb_json_object(hb_json *json, const char *key);
void hb_json_array(hb_json *json, const char *key);
/* The same, with all members on one line. */
void hb_json_row(hb_json *json, const char *key);
void hb_json_list(hb_json *json, const char *key);
void hb_json_end(hb_json *json);

/* A text: each malformed byte and each zero byte becomes U+FFFD; control characters (hb_is_control) are
 * escaped. NULL is null. */
void hb_json_text(hb_json *json, const char *key, const char *text);
void hb_json_bytes(hb_json *json, const char *key, const char *bytes, size_t length);
void hb_json_number(hb_json *json, const char *key, double value); /* null for infinity and NaN */
void hb_json_whole(hb_json *json, const char *key, int64_t value);
void hb_json_bool(hb_json *json, const char *key, bool value);
void hb_json_null(hb_json *json, const char *key);

/* Writes a piece of JSON text made by Jansson, which holds whole characters. Escapes the control
 * characters (hb_is_control) that Jansson leaves in strings, but no line breaks. */
void hb_write_json(hb_writer *writer, const char *text, size_t length);

/* As hb_writer_finish. */
hb_status hb_json_finish(hb_json *json, char **text, hb_error *err);

#endif
