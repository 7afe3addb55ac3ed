#include "data/records.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "base/error.h"
#include "base/text.h"

/* Where in the file the reader stands. */
typedef enum place {
    PLACE_START,        /* nothing read */
    PLACE_OPEN,         /* after the array's '[' */
    PLACE_AFTER_RECORD, /* of an array */
    PLACE_AFTER_COMMA,  /* of an array */
    PLACE_LINES,        /* between lines of JSON Lines */
    PLACE_END
} place;

/* Finds where an array's element ends. Only the kind of bracket that opened it is counted, so that a
 * bracket of the other kind missing inside does not swallow the elements after it. */
typedef struct scanner {
    char open, close; /* 0 for a number or a word, which ends before the next delimiter */
    size_t depth;
    bool in_string, escaped;
} scanner;

struct hb_records {
    hb_source *source;
    hb_buffer text;
    json_t *object;
    place place;
    bool too_large;
    char reason[256];
};

const char *hb_field_names(char *out, size_t size, const json_t *object)
{
    char names[512] = "none";
    size_t used = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        int n = snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", key);
        if (n < 0 || (size_t)n >= sizeof names - used) break;
        used += (size_t)n;
    }
    return hb_printable(out, size, names, strlen(names));
}

hb_status hb_breakage(hb_breakages *breakages, uint64_t line, const char *reason, hb_error *err)
{
    hb_error told;
    breakages->n++;
    hb_fail(&told, HB_ERR_FORMAT, "%s:%" PRIu64 ": %s", breakages->path, line, reason);
    if (breakages->strict) return hb_fail(err, HB_ERR_FORMAT, "%s", told.message);
    if (breakages->on_broken) breakages->on_broken(breakages->user, told.message);
    return HB_OK;
}

hb_status hb_records_open(const char *path, bool hash, hb_records **out, hb_error *err)
{
    hb_records *records = calloc(1, sizeof *records);
    if (!records) return hb_fail_memory(err);
    hb_status status = hb_source_open(path, hash, &records->source, err);
    if (status != HB_OK) {
        free(records);
        return status;
    }
    *out = records;
    return HB_OK;
}

void hb_records_close(hb_records *records)
{
    if (!records) return;
    json_decref(records->object);
    hb_buffer_free(&records->text);
    hb_source_close(records->source);
    free(records);
}

hb_source *hb_records_source(hb_records *records)
{
    return records->source;
}

/* Ends the reading with an error at the current line. */
static hb_status stop(hb_records *records, const char *reason, hb_error *err)
{
    hb_source *source = records->source;
    records->place = PLACE_END;
    if (source->error) return hb_source_failed(source, err);
    return hb_fail(err, HB_ERR_FORMAT, "%s:%" PRIu64 ": %s", source->path, source->line, reason);
}

static scanner scanner_for(char first)
{
    if (first == '{') return (scanner){.open = '{', .close = '}'};
    if (first == '[') return (scanner){.open = '[', .close = ']'};
    return (scanner){0};
}

/* How many of these bytes belong to the element; *ended turns true when its end is among them. */
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

/* Reads the record that starts at the current byte. One that is too large is read and not kept. */
static hb_status read_text(hb_records *records, hb_error *err)
{
    hb_source *source = records->source;
    bool ended = false, lines = records->place == PLACE_LINES;
    uint64_t line = source->line;
    scanner element = scanner_for(source->block[source->at]);
    hb_buffer_clear(&records->text);
    records->too_large = false;
    while (!ended && hb_source_fill(source)) {
        const char *bytes = source->block + source->at;
        size_t n = source->end - source->at;
        n = lines ? scan_line(bytes, n, &ended) : scan_element(&element, bytes, n, &ended);
        if (n > HB_RECORD_MAX - records->text.length) {
            records->too_large = true;
            hb_buffer_free(&records->text);
        }
        if (!records->too_large && !hb_buffer_add(&records->text, bytes, n)) return hb_fail_memory(err);
        hb_source_take(source, n);
    }
    if (source->error) return stop(records, "", err);
    if (ended || lines) return HB_OK;
    records->place = PLACE_END;
    return hb_fail(err, HB_ERR_FORMAT,
                   "%s:%" PRIu64 ": the file ends inside the record that starts here", source->path,
                   line);
}

/* Tells JSON Lines from an array and passes over what stands between records. *missing turns true where
 * an array has a comma and no record. */
static hb_status find_record(hb_records *records, bool *found, bool *missing, hb_error *err)
{
    hb_source *source = records->source;
    int c = hb_source_skip_blanks(source);
    if (records->place == PLACE_START) {
        records->place = c == '[' ? PLACE_OPEN : PLACE_LINES;
        if (c == '[') hb_source_take(source, 1), c = hb_source_skip_blanks(source);
    }
    if (source->error) return stop(records, "", err);
    *found = c >= 0;
    if (records->place == PLACE_LINES) return HB_OK;
    if (records->place == PLACE_AFTER_RECORD && c == ',') {
        hb_source_take(source, 1);
        records->place = PLACE_AFTER_COMMA;
        c = hb_source_skip_blanks(source);
    } else if (records->place == PLACE_AFTER_RECORD && c >= 0 && c != ']') {
        return stop(records, "expected ',' or ']' after a record of the array", err);
    }
    if (c < 0) return stop(records, "the array is not closed: the file is truncated", err);
    *missing = c == ',' || (c == ']' && records->place == PLACE_AFTER_COMMA);
    if (c != ']' || *missing) return HB_OK;
    hb_source_take(source, 1);
    if (hb_source_skip_blanks(source) >= 0) return stop(records, "text after the array's end", err);
    if (source->error) return stop(records, "", err);
    *found = false;
    return HB_OK;
}

/* Finds the first byte of the text that is not UTF-8; false when there is none. */
static bool find_malformed(const hb_buffer *text, size_t *at)
{
    for (size_t i = 0; i < text->length;) {
        int n = hb_utf8_character(text->data + i, text->length - i);
        if (n < 1) {
            *at = i;
            return true;
        }
        i += (size_t)n;
    }
    return false;
}

/* Why a text is not JSON. */
static const char *reason_of(hb_records *records, const json_error_t *error)
{
    size_t at;
    if (!find_malformed(&records->text, &at))
        return hb_printable(records->reason, sizeof records->reason, error->text, strlen(error->text));
    snprintf(records->reason, sizeof records->reason,
             "not UTF-8: byte 0x%02X at byte %zu of the record; if it is Latin-1, iconv -f LATIN1 -t "
             "UTF-8 converts the file",
             (unsigned char)records->text.data[at], at + 1);
    return records->reason;
}

/* Makes an object, or a reason why not, of the text read. */
static hb_status parse(hb_records *records, hb_record *record, hb_error *err)
{
    json_error_t at;
    if (records->too_large) {
        record->reason = "the record is larger than 16 MiB";
        return HB_OK;
    }
    records->object = json_loadb(records->text.data, records->text.length,
                                 JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &at);
    if (!records->object && !at.text[0]) return hb_fail_memory(err); /* Jansson says no more of it */
    if (!records->object) {
        record->reason = reason_of(records, &at);
    } else if (!json_is_object(records->object)) {
        record->reason = "the record is not an object";
    } else {
        record->object = records->object;
    }
    return HB_OK;
}

hb_status hb_records_next(hb_records *records, hb_record *record, bool *found, hb_error *err)
{
    json_decref(records->object);
    records->object = NULL;
    *record = (hb_record){0};
    *found = false;
    if (records->place == PLACE_END) return HB_OK;

    bool more = false, missing = false;
    hb_status status = find_record(records, &more, &missing, err);
    if (status != HB_OK) return status;
    if (!more) {
        records->place = PLACE_END;
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
    if (records->place != PLACE_LINES) records->place = PLACE_AFTER_RECORD;
    *found = true;
    return HB_OK;
}
