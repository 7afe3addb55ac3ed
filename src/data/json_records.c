/* Reads records of JSON: JSON Lines, an array, or a sequence of objects. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/error.h"
#include "base/json_read.h"
#include "base/text.h"
#include "data/readers.h"

/* Finds the end of an element. Counts only the kind of bracket that opened the element. So a missing
 * bracket of the other kind inside it does not swallow the elements after it. */
typedef struct scanner {
    char open, close; /* 0 for a number or word, which ends at the next delimiter */
    size_t depth;
    bool in_string, escaped;
} scanner;

/* Stops reading with an error at the current line. */
static hb_status stop(hb_records *records, const char *reason, hb_error *err)
{
    hb_source *source = records->source;
    records->place = HB_JSON_END;
    if (source->failure.status) return hb_source_failed(source, err);
    return hb_fail(err, HB_ERR_FORMAT, "%s:%" PRIu64 ": %s", source->path, source->line, reason);
}

/* ---- Elements ------------------------------------------------------------------------------------ */

static scanner scanner_for(char first)
{
    if (first == '{') return (scanner){.open = '{', .close = '}'};
    if (first == '[') return (scanner){.open = '[', .close = ']'};
    return (scanner){0};
}

/* The number of bytes that belong to the element. *ended becomes true when its end is among them. */
static size_t scan_element(scanner *s, const char *bytes, size_t n, bool *ended)
{
    for (size_t i = 0; i < n; i++) {
        char c = bytes[i];
        if (s->in_string) {
            if (s->escaped) s->escaped = false;
            else if (c == '\\') s->escaped = true;
            else if (c == '"') s->in_string = false;
        } else if (c == '"') {
            s->in_string = true;
        } else if (s->open) {
            if (c == s->open) s->depth++;
            if (c != s->close || --s->depth > 0) continue;
            *ended = true;
            return i + 1;
        } else if (strchr(",] \t\r\n", c) && c) {
            *ended = true;
            return i;
        }
    }
    return n;
}

static size_t scan_line(const char *bytes, size_t n, bool *ended)
{
    const char *newline = memchr(bytes, '\n', n);
    *ended = newline != NULL;
    return newline ? (size_t)(newline - bytes) : n;
}

static size_t skip_blanks(const char *bytes, size_t n, size_t i)
{
    while (i < n && bytes[i] && strchr(" \t\r\n", bytes[i])) i++;
    return i;
}

/* The offset after the JSON value at i; n if the value does not end within the bytes. */
static size_t skip_value(const char *bytes, size_t n, size_t i)
{
    scanner s = scanner_for(i < n ? bytes[i] : '\0');
    bool ended = false;
    if (i < n && bytes[i] == '"') {
        for (i++; i < n && bytes[i] != '"'; i++) i += bytes[i] == '\\';
        return i < n ? i + 1 : n;
    }
    if (!s.open) {
        while (i < n && bytes[i] && !strchr(",}", bytes[i])) i++;
        return i;
    }
    size_t length = scan_element(&s, bytes + i, n - i, &ended);
    return ended ? i + length : n;
}

/* ---- Text to objects ----------------------------------------------------------------------------- */

/* The length of the number or word at the beginning of the text. */
static size_t word_length(const char *text, size_t n)
{
    size_t i = 0;
    while (i < n && text[i] && !strchr(" \t\r\n,:[]{}\"", text[i])) i++;
    return i;
}

static bool is_word(const char *text, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(text, word, length) == 0;
}

/* Whether the text is a whole number that may exceed 64 bits. */
static bool is_huge_number(const char *text, size_t length)
{
    size_t digits = 0;
    if (length && *text == '-') digits++;
    size_t sign = digits;
    while (digits < length && text[digits] >= '0' && text[digits] <= '9') digits++;
    return digits == length && length - sign > 18;
}

static bool add_quoted(hb_buffer *out, const char *text, size_t length)
{
    return hb_buffer_add_text(out, "\"") && hb_buffer_add(out, text, length) &&
           hb_buffer_add_text(out, "\"");
}

/* Rewrites output of Python's json module that is not JSON: NaN as null, infinities and huge whole
 * numbers as strings. *changed becomes whether there was any. False when memory runs out. */
static bool rewrite(hb_buffer *out, const char *text, size_t n, bool *changed)
{
    bool ok = true;
    *changed = false;
    for (size_t i = 0; i < n && ok;) {
        size_t length = word_length(text + i, n - i);
        const char *word = text + i;
        if (is_word(word, length, "NaN")) {
            ok = hb_buffer_add_text(out, "null");
            *changed = true;
        } else if (is_word(word, length, "Infinity") || is_word(word, length, "-Infinity") ||
                   is_huge_number(word, length)) {
            ok = add_quoted(out, word, length);
            *changed = true;
        } else if (length) {
            ok = hb_buffer_add(out, word, length);
        } else {
            length = *word == '"' ? skip_value(text, n, i) - i : 1;
            ok = hb_buffer_add(out, word, length);
        }
        i += length;
    }
    return ok;
}

static hb_status load(const char *text, size_t n, json_t **value, json_error_t *why, hb_error *err)
{
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
    hb_buffer rewritten = {0};
    bool changed;
    hb_status status = hb_json_load(text, n, flags, value, why, err);
    if (status || *value) return status;
    if (!rewrite(&rewritten, text, n, &changed)) status = hb_fail_memory(err);
    else if (changed) status = hb_json_load(rewritten.data, rewritten.length, flags, value, why, err);
    hb_buffer_free(&rewritten);
    return status;
}

/* The length of Jansson's message. It ends before advice that only a program can follow. */
static size_t message_length(const char *message)
{
    const char *advice = strstr(message, " without JSON_ALLOW_NUL");
    return advice ? (size_t)(advice - message) : strlen(message);
}

/* Parses the text that was read. Sets the record's object or its reason. */
static hb_status parse(hb_records *records, hb_record *record, hb_error *err)
{
    json_error_t at;
    const hb_buffer *text = &records->text;
    record->size = text->length;
    if (records->too_large) {
        record->reason = "the record is larger than 16 MiB";
        return HB_OK;
    }
    hb_status status = load(text->data, text->length, &records->object, &at, err);
    if (status) return status;
    if (!records->object) {
        record->reason = records->reason;
        if (!hb_find_malformed(records, text->data, text->length, "record"))
            hb_printable(records->reason, sizeof records->reason, at.text, message_length(at.text));
    } else if (!json_is_object(records->object)) {
        record->reason = "the record is not an object";
    } else {
        record->object = records->object;
    }
    return HB_OK;
}

/* ---- How the file is written --------------------------------------------------------------------- */

/* Whether the bytes, which begin with a brace, are an object whose field "data" is an array of records.
 * SQuAD, CoQA and TriviaQA are published like this. *length becomes the number of bytes up to the
 * array's bracket, including it. An object that other text follows is an ordinary record. */
static bool is_wrapped(const char *bytes, size_t n, size_t *length)
{
    scanner whole = scanner_for('{');
    bool ended = false;
    size_t all = scan_element(&whole, bytes, n, &ended);
    if (ended && skip_blanks(bytes, n, all) < n) return false;
    for (size_t i = 1;; i++) {
        size_t key = skip_blanks(bytes, n, i), end = skip_value(bytes, n, key);
        if (end >= n || bytes[key] != '"') return false;
        bool is_data = end - key == 6 && strncasecmp(bytes + key, "\"data\"", 6) == 0;
        i = skip_blanks(bytes, n, end);
        if (i >= n || bytes[i] != ':') return false;
        size_t value = skip_blanks(bytes, n, i + 1);
        size_t first = skip_blanks(bytes, n, value + 1);
        *length = value + 1;
        if (is_data && first < n && bytes[value] == '[' && bytes[first] == '{') return true;
        i = skip_blanks(bytes, n, skip_value(bytes, n, value));
        if (i >= n || bytes[i] != ',') return false;
    }
}

/* Whether the first line has only an opening brace. */
static bool is_lone_brace(const char *bytes, size_t n)
{
    bool ended = false;
    size_t end = scan_line(bytes, n, &ended);
    return ended && skip_blanks(bytes, end, 1) >= end;
}

/* The layout of a file that begins with an object. It is JSON Lines unless the first object spans
 * several lines or another object follows it on its line. */
static hb_status layout_of(const char *bytes, size_t n, hb_json_place *layout, hb_error *err)
{
    scanner s = scanner_for('{');
    json_error_t why;
    json_t *object = NULL;
    bool ended = false, newline = false;
    size_t length = scan_element(&s, bytes, n, &ended);
    hb_status status = ended ? load(bytes, length, &object, &why, err) : HB_OK;
    if (!object) {
        *layout = is_lone_brace(bytes, n) ? HB_JSON_OBJECTS : HB_JSON_LINES;
        return status;
    }
    json_decref(object);
    scan_line(bytes, length, &newline);
    size_t next = skip_blanks(bytes, n, length);
    bool beside = next < n && bytes[next] == '{' && !memchr(bytes + length, '\n', next - length);
    *layout = newline || beside ? HB_JSON_OBJECTS : HB_JSON_LINES;
    return HB_OK;
}

/* Detects the layout of the file and moves past its opening bracket. */
static hb_status begin(hb_records *records, int first, hb_error *err)
{
    hb_source *source = records->source;
    const char *bytes = source->block + source->at;
    size_t n = source->end - source->at, length = 1;
    records->place = HB_JSON_LINES;
    if (first == '{') records->wrapped = is_wrapped(bytes, n, &length);
    if (first == '[' || records->wrapped) {
        hb_source_take(source, length);
        records->place = HB_JSON_OPEN;
    } else if (first == '{') {
        return layout_of(bytes, n, &records->place, err);
    }
    return HB_OK;
}

/* ---- Records ------------------------------------------------------------------------------------- */

/* Reads the end of the array and of the object around it. Nothing may follow. */
static hb_status end_array(hb_records *records, hb_error *err)
{
    hb_source *source = records->source;
    scanner s = {.open = '{', .close = '}', .depth = 1};
    bool ended = !records->wrapped;
    hb_source_take(source, 1);
    while (!ended && hb_source_fill(source))
        hb_source_take(source,
                       scan_element(&s, source->block + source->at, source->end - source->at, &ended));
    if (!ended) return stop(records, "the object around the array is not closed", err);
    if (hb_source_skip_blanks(source) >= 0) return stop(records, "text after the array's end", err);
    records->place = HB_JSON_END;
    return source->failure.status ? stop(records, "", err) : HB_OK;
}

/* Moves to the next record of an array. *missing becomes true if a comma has no record after it. */
static hb_status find_element(hb_records *records, int c, bool *found, bool *missing, hb_error *err)
{
    hb_source *source = records->source;
    if (records->place == HB_JSON_AFTER_RECORD && c == ',') {
        hb_source_take(source, 1);
        records->place = HB_JSON_AFTER_COMMA;
        c = hb_source_skip_blanks(source);
    } else if (records->place == HB_JSON_AFTER_RECORD && c >= 0 && c != ']') {
        return stop(records, "expected ',' or ']' after a record of the array", err);
    }
    if (c < 0) return stop(records, "the array is not closed: the file is truncated", err);
    *missing = c == ',' || (c == ']' && records->place == HB_JSON_AFTER_COMMA);
    *found = c != ']' || *missing;
    return *found ? HB_OK : end_array(records, err);
}

/* Moves to the next record. */
static hb_status find_record(hb_records *records, bool *found, bool *missing, hb_error *err)
{
    hb_source *source = records->source;
    int c = hb_source_skip_blanks(source);
    if (records->place == HB_JSON_START) {
        hb_status status = begin(records, c, err);
        if (status) return status;
        c = hb_source_skip_blanks(source);
    }
    while (records->place == HB_JSON_OBJECTS && c == ',') {
        hb_source_take(source, 1);
        c = hb_source_skip_blanks(source);
    }
    if (source->failure.status) return stop(records, "", err);
    *found = c >= 0;
    if (records->place == HB_JSON_LINES || records->place == HB_JSON_OBJECTS) return HB_OK;
    return find_element(records, c, found, missing, err);
}

/* Keeps n more bytes of the record unless it is too large. */
static bool keep(hb_records *records, const char *bytes, size_t n)
{
    if (n > HB_RECORD_MAX - records->text.length) {
        records->too_large = true;
        hb_buffer_free(&records->text);
    }
    return records->too_large || hb_buffer_add(&records->text, bytes, n);
}

static size_t without_blanks(const char *text, size_t length)
{
    while (length && text[length - 1] && strchr(" \t\r", text[length - 1])) length--;
    return length;
}

/* Removes trailing blanks and a trailing comma from an object on a line. */
static void trim_line(hb_buffer *text)
{
    size_t length = text->length = without_blanks(text->data, text->length);
    if (length < 2 || text->data[0] != '{' || text->data[length - 1] != ',') return;
    length = without_blanks(text->data, length - 1);
    if (text->data[length - 1] == '}') text->length = length;
}

/* Reads the record that starts at the current byte. A record that is too large is read but not kept. */
static hb_status read_text(hb_records *records, hb_error *err)
{
    hb_source *source = records->source;
    uint64_t line = source->line;
    scanner element = scanner_for(source->block[source->at]);
    bool objects = records->place == HB_JSON_OBJECTS, ended = false;
    bool lines = records->place == HB_JSON_LINES || (objects && element.open != '{');
    hb_buffer_clear(&records->text);
    records->too_large = false;
    while (!ended && hb_source_fill(source)) {
        const char *bytes = source->block + source->at;
        size_t n = source->end - source->at;
        n = lines ? scan_line(bytes, n, &ended) : scan_element(&element, bytes, n, &ended);
        if (!keep(records, bytes, n)) return hb_fail_memory(err);
        hb_source_take(source, n);
    }
    if (source->failure.status) return stop(records, "", err);
    if (lines && !records->too_large) trim_line(&records->text);
    if (ended || lines || objects) return HB_OK;
    records->place = HB_JSON_END;
    return hb_fail(err, HB_ERR_FORMAT,
                   "%s:%" PRIu64 ": the file ends inside the record that starts here", source->path,
                   line);
}

hb_status hb_json_next(hb_records *records, hb_record *record, bool *found, hb_error *err)
{
    if (records->place == HB_JSON_END) return HB_OK;
    bool more = false, missing = false;
    hb_status status = find_record(records, &more, &missing, err);
    if (status != HB_OK) return status;
    if (!more) {
        records->place = HB_JSON_END;
        return HB_OK;
    }
    record->line = records->source->line;
    if (missing) {
        record->reason = "a comma without a record";
    } else {
        status = read_text(records, err);
        if (status == HB_OK) status = parse(records, record, err);
        if (status != HB_OK) return status;
    }
    if (records->place != HB_JSON_LINES && records->place != HB_JSON_OBJECTS)
        records->place = HB_JSON_AFTER_RECORD;
    *found = true;
    return HB_OK;
}
