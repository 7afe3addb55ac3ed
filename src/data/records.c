#include "data/records.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/text.h"
#include "base/utf8.h"
#include "data/readers.h"

/* ---- Messages ------------------------------------------------------------------------------------ */

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

hb_status hb_breakage(hb_breakages *breakages, const char *path, uint64_t line, const char *reason,
                      hb_error *err)
{
    hb_error placed;
    breakages->n++;
    hb_fail(&placed, HB_ERR_FORMAT, "%s:%" PRIu64 ": %s", path, line, reason);
    if (breakages->strict) return hb_fail(err, HB_ERR_FORMAT, "%s", placed.message);
    if (breakages->on_broken) breakages->on_broken(breakages->user, placed.message);
    return HB_OK;
}

bool hb_find_malformed(hb_records *records, const char *text, size_t length, const char *what)
{
    for (size_t i = 0; i < length;) {
        int n = (unsigned char)text[i] < 0x80 ? 1 : hb_utf8_character(text + i, length - i);
        if (n < 1) {
            snprintf(records->reason, sizeof records->reason,
                     "not UTF-8: byte 0x%02X at byte %zu of the %s; if it is Latin-1, iconv -f LATIN1 "
                     "-t UTF-8 converts the file",
                     (unsigned char)text[i], i + 1, what);
            return true;
        }
        i += (size_t)n;
    }
    return false;
}

/* ---- Records ------------------------------------------------------------------------------------- */

/* JSON begins with a brace or a bracket; anything else is CSV. Leading blanks are not consumed, because
 * they may be an empty column of the header. */
static bool is_json(hb_source *source)
{
    for (size_t i = source->at; hb_source_fill(source) && i < source->end; i++) {
        char c = source->block[i];
        if (c != ' ' && c != '\t' && c != '\r' && c != '\n') return c == '{' || c == '[';
    }
    int first = hb_source_skip_blanks(source);
    return first < 0 || first == '{' || first == '[';
}

hb_status hb_records_open(const hb_input *input, const hb_records_options *options, hb_records **out,
                          hb_error *err)
{
    static const hb_records_options none = {0};
    if (!options) options = &none;
    hb_records *records = calloc(1, sizeof *records);
    if (!records) return hb_fail_memory(err);
    hb_status status = hb_source_open(input, options->hash, &records->source, err);
    if (status == HB_OK && !is_json(records->source)) status = hb_csv_open(records, options, err);
    if (status == HB_OK) *out = records;
    else hb_records_close(records);
    return status;
}

void hb_records_close(hb_records *records)
{
    if (!records) return;
    json_decref(records->object);
    hb_buffer_free(&records->text);
    hb_csv_close(records->csv);
    hb_source_close(records->source);
    free(records);
}

hb_status hb_records_next(hb_records *records, hb_record *record, bool *found, hb_error *err)
{
    json_decref(records->object);
    records->object = NULL;
    *record = (hb_record){0};
    *found = false;
    return records->csv ? hb_csv_next(records, record, found, err)
                        : hb_json_next(records, record, found, err);
}

hb_source *hb_records_source(hb_records *records)
{
    return records->source;
}

char hb_records_separator(const hb_records *records)
{
    return records->csv ? hb_csv_separator(records->csv) : '\0';
}

const char *const *hb_records_columns(const hb_records *records, size_t *n)
{
    *n = 0;
    return records->csv ? hb_csv_columns(records->csv, n) : NULL;
}
