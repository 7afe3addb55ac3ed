/* This file writes the layout; Jansson writes the values. It prints reals without loss and independent
 * of the locale. */
#include "base/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include "base/text.h"
#include "base/utf8.h"

/* The code point of a well-formed character of `size` bytes, 2 to 3. */
static unsigned code_point(const char *character, size_t size)
{
    const unsigned char *c = (const unsigned char *)character;
    if (size == 2) return (c[0] & 0x1Fu) << 6 | (c[1] & 0x3Fu);
    return (c[0] & 0x0Fu) << 12 | (c[1] & 0x3Fu) << 6 | (c[2] & 0x3Fu);
}

void hb_write_json(hb_writer *writer, const char *text, size_t length)
{
    size_t done = 0;
    for (size_t i = 0; i < length;) {
        int n = hb_utf8_character(text + i, length - i);
        size_t size = n > 0 ? (size_t)n : 1;
        if (text[i] != '\n' && hb_is_control(text + i, size)) {
            hb_write_bytes(writer, text + done, i - done);
            hb_write(writer, "\\u%04x",
                     size == 1 ? (unsigned char)text[i] : code_point(text + i, size));
            done = i + size;
        }
        i += size;
    }
    hb_write_bytes(writer, text + done, length - done);
}

static int take(const char *text, size_t length, void *json)
{
    hb_writer *out = &((hb_json *)json)->out;
    hb_write_json(out, text, length);
    return out->failed ? -1 : 0;
}

/* Writes a value and takes the reference. NULL means that memory ran out. */
static void add_value(hb_json *j, json_t *value)
{
    size_t flags = JSON_ENCODE_ANY | (j->ascii ? JSON_ENSURE_ASCII : 0);
    if (!value || json_dump_callback(value, take, j, flags) != 0) j->out.failed = true;
    json_decref(value);
}

static bool is_plain(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\') return false;
    return true;
}

static void add_string(hb_json *j, const char *text, size_t length)
{
    hb_buffer clean = {0};
    bool ok = true;
    if (is_plain(text, length)) {
        hb_write_bytes(&j->out, "\"", 1);
        hb_write_bytes(&j->out, text, length);
        hb_write_bytes(&j->out, "\"", 1);
        return;
    }
    hb_utf8_clean(&clean, text, length, true, &ok);
    add_value(j, ok ? json_stringn(clean.data, clean.length) : NULL);
    hb_buffer_free(&clean);
}

/* ---- Layout ------------------------------------------------------------------------------------- */

static void break_line(hb_json *j)
{
    if (!j->line_depth) hb_write(&j->out, "\n%*s", 2 * j->depth, "");
}

/* Writes the text before a value: the comma after the previous value, the line break and the key. */
static void begin(hb_json *j, const char *key)
{
    if (j->has_members) hb_write(&j->out, j->line_depth ? ", " : ",");
    if (j->depth) break_line(j);
    if (key) {
        add_string(j, key, strlen(key));
        hb_write_bytes(&j->out, ": ", 2);
    }
    j->has_members = true;
}

static void open_value(hb_json *j, const char *key, const char brackets[2], bool on_one_line)
{
    begin(j, key);
    if (j->depth == HB_JSON_DEPTH) {
        j->out.failed = true;
        return;
    }
    hb_write_bytes(&j->out, brackets, 1);
    j->closers[j->depth++] = brackets[1];
    if (on_one_line && !j->line_depth) j->line_depth = j->depth;
    j->has_members = false;
}

void hb_json_object(hb_json *json, const char *key)
{
    open_value(json, key, "{}", false);
}

void hb_json_array(hb_json *json, const char *key)
{
    open_value(json, key, "[]", false);
}

void hb_json_row(hb_json *json, const char *key)
{
    open_value(json, key, "{}", true);
}

void hb_json_list(hb_json *json, const char *key)
{
    open_value(json, key, "[]", true);
}

void hb_json_end(hb_json *json)
{
    if (json->depth == 0) return;
    json->depth--;
    if (json->has_members) break_line(json);
    hb_write_bytes(&json->out, &json->closers[json->depth], 1);
    if (json->depth < json->line_depth) json->line_depth = 0;
    json->has_members = true;
}

/* ---- Values ------------------------------------------------------------------------------------- */

void hb_json_text(hb_json *json, const char *key, const char *text)
{
    if (text) hb_json_bytes(json, key, text, strlen(text));
    else hb_json_null(json, key);
}

void hb_json_bytes(hb_json *json, const char *key, const char *bytes, size_t length)
{
    begin(json, key);
    add_string(json, bytes, length);
}

void hb_json_number(hb_json *json, const char *key, double value)
{
    if (!isfinite(value)) {
        hb_json_null(json, key);
        return;
    }
    begin(json, key);
    add_value(json, json_real(value));
}

void hb_json_whole(hb_json *json, const char *key, int64_t value)
{
    begin(json, key);
    hb_write(&json->out, "%" PRId64, value);
}

void hb_json_bool(hb_json *json, const char *key, bool value)
{
    begin(json, key);
    hb_write(&json->out, value ? "true" : "false");
}

void hb_json_null(hb_json *json, const char *key)
{
    begin(json, key);
    hb_write(&json->out, "null");
}

hb_status hb_json_finish(hb_json *json, char **text, hb_error *err)
{
    hb_writer out = json->out;
    *json = (hb_json){0};
    return hb_writer_finish(&out, text, err);
}
