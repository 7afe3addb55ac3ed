/* Reads records of CSV separated by commas, semicolons or tabs (RFC 4180). Blank lines are allowed, and
 * blanks around unquoted fields. A row becomes an object of strings. */
#include <csv.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/text.h"
#include "base/texts.h"
#include "data/readers.h"

struct hb_csv {
    hb_records *records;
    struct csv_parser parser;
    char separator;
    hb_texts columns;
    void **places;        /* [columns.n], place of the column's value in `row`; NULL: not wanted */
    const json_t *wanted; /* NULL: all columns */
    bool has_header, ended;

    uint64_t line; /* line of the next byte, from 1 */
    bool after_cr; /* the last byte was a CR */

    /* The current row. */
    json_t *row;       /* an object with a key for each wanted column */
    uint64_t row_line; /* line on which it starts */
    size_t n_fields, size;
    bool at_row_start, row_ended, too_large;
    bool skipping;      /* a quote was out of place; the rest of the line is skipped */
    const char *reason; /* why the row is broken; NULL: it is not */
    hb_buffer raw;      /* its line, in a table with tabs */
    bool memory_failed; /* memory ran out in a callback of libcsv */
    hb_error *err;      /* receives a failure of the file */
    hb_status status;
};

static hb_status fail_row(hb_csv *csv, const char *reason)
{
    return csv->status = hb_fail(csv->err, HB_ERR_FORMAT, "%s:%" PRIu64 ": %s",
                                 csv->records->source->path, csv->row_line, reason);
}

/* ---- The header ---------------------------------------------------------------------------------- */

/* Creates the row's object and finds the place of each column in it. A name that occurs twice would be
 * ambiguous and is an error. Columns without a name are ignored. */
static hb_status end_header(hb_csv *csv)
{
    json_t *seen = json_object();
    csv->row = json_object();
    csv->places = calloc(csv->columns.n + 1, sizeof *csv->places);
    csv->has_header = true;
    bool ok = seen && csv->row && csv->places;
    for (size_t i = 0; i < csv->columns.n && ok && csv->status == HB_OK; i++) {
        char shown[80], reason[128];
        const char *name = csv->columns.list[i];
        if (!*name) continue;
        if (json_object_get(seen, name)) {
            snprintf(reason, sizeof reason, "column '%s' appears twice",
                     hb_printable(shown, sizeof shown, name, strlen(name)));
            fail_row(csv, reason);
        }
        ok = json_object_set_new_nocheck(seen, name, json_true()) == 0;
        if (csv->wanted && !json_object_get(csv->wanted, name)) continue;
        ok = ok && json_object_set_new_nocheck(csv->row, name, json_null()) == 0;
        csv->places[i] = json_object_iter_at(csv->row, name);
    }
    json_decref(seen);
    return ok ? csv->status : hb_fail_memory(csv->err);
}

/* ---- Fields and rows, as libcsv finds them ------------------------------------------------------- */

/* Puts a field into the row's object. A zero byte would hide the rest of the text, so it is refused, as
 * in JSON. */
static void add_field(hb_csv *csv, char *text, size_t length)
{
    hb_records *records = csv->records;
    size_t k = csv->n_fields;
    if (k >= csv->columns.n || !csv->places[k] || csv->too_large || csv->reason) return;
    csv->size += length;
    csv->too_large = csv->size > HB_RECORD_MAX;
    if (csv->too_large) return;
    if (memchr(text, '\0', length)) {
        csv->reason = "a field has a zero byte";
        return;
    }
    if (hb_find_malformed(records, text, length, "field")) {
        csv->reason = records->reason;
        return;
    }
    if (json_object_iter_set_new(csv->row, csv->places[k], json_stringn_nocheck(text, length)))
        csv->memory_failed = true;
}

static void on_field(void *text, size_t length, void *user)
{
    hb_csv *csv = user;
    if (csv->status != HB_OK || csv->memory_failed) return;
    if (csv->has_header) add_field(csv, text, length);
    else if (memchr(text, '\0', length)) fail_row(csv, "is neither text nor JSON: it has zero bytes");
    else if (hb_find_malformed(csv->records, text, length, "field"))
        fail_row(csv, csv->records->reason);
    else csv->memory_failed = !hb_texts_add(&csv->columns, text, length);
    csv->n_fields++;
}

static void on_row_end(int terminator, void *user)
{
    hb_csv *csv = user;
    (void)terminator;
    csv->at_row_start = true;
    csv->row_ended = csv->n_fields > 0; /* a blank line has no fields */
}

static void forget_row(hb_csv *csv)
{
    csv->n_fields = csv->size = 0;
    csv->row_ended = csv->too_large = false;
    csv->reason = NULL;
    hb_buffer_clear(&csv->raw);
}

/* ---- Tabs and quotes ----------------------------------------------------------------------------- */

/* Many tables with tabs do not use quotes, and a quote is an ordinary character. So a row with a
 * misplaced quote is split at its tabs. */
static void split_at_tabs(hb_csv *csv)
{
    size_t length = csv->raw.length;
    char *text = csv->raw.data, *end = text + length;
    while (end > text && (end[-1] == '\n' || end[-1] == '\r')) end--;
    csv->n_fields = csv->size = 0;
    csv->reason = NULL;
    for (char *tab; text; text = tab ? tab + 1 : NULL) {
        tab = memchr(text, '\t', (size_t)(end - text));
        add_field(csv, text, (size_t)((tab ? tab : end) - text));
        csv->n_fields++;
    }
}

/* Handles a misplaced quote. The row is broken unless its separator is a tab. Reading continues with
 * the next line. */
static void on_bad_quote(hb_csv *csv)
{
    csv_fini(&csv->parser, NULL, NULL, NULL);
    if (!csv->has_header) fail_row(csv, "a quote is out of place");
    csv->skipping = true;
}

static void end_skipped_row(hb_csv *csv)
{
    csv->skipping = false;
    csv->at_row_start = csv->row_ended = true;
    if (!csv->has_header) return; /* the file is refused */
    bool one_line = csv->line - csv->row_line <= 1;
    if (csv->separator == '\t' && one_line && csv->raw.length < HB_RECORD_MAX) split_at_tabs(csv);
    else csv->reason = "a quote is out of place";
}

/* ---- Reading ------------------------------------------------------------------------------------- */

/* The number of bytes up to the next line end, including it; n without a line end. CR and LF count as
 * two line ends. */
static size_t piece_length(const char *bytes, size_t n, bool *ends)
{
    size_t i = 0;
    while (i < n && bytes[i] != '\n' && bytes[i] != '\r') i++;
    *ends = i < n;
    return *ends ? i + 1 : n;
}

static void count_line(hb_csv *csv, char last)
{
    if (last == '\r' || (last == '\n' && !csv->after_cr)) csv->line++;
    csv->after_cr = last == '\r';
}

/* Parses a piece of a line. With `ends`, the piece ends with the line's end. */
static void parse_piece(hb_csv *csv, const char *bytes, size_t n, bool ends)
{
    if (csv->at_row_start) csv->row_line = csv->line;
    if (csv->separator == '\t' && csv->raw.length + n < HB_RECORD_MAX)
        csv->memory_failed |= !hb_buffer_add(&csv->raw, bytes, n);
    csv->at_row_start = false;
    if (!csv->skipping && csv_parse(&csv->parser, bytes, n, on_field, on_row_end, csv) != n) {
        if (csv_error(&csv->parser) != CSV_EPARSE) csv->memory_failed = true;
        else if (csv->status == HB_OK) on_bad_quote(csv);
    }
    count_line(csv, bytes[n - 1]);
    if (csv->skipping && ends) end_skipped_row(csv);
    if (csv->status == HB_OK && csv_get_buffer_size(&csv->parser) > HB_RECORD_MAX)
        fail_row(csv, "a field is larger than 16 MiB: is a quote not closed?");
}

/* Ends the last row at the end of the file. */
static void finish(hb_csv *csv)
{
    csv->ended = true;
    if (csv->skipping) end_skipped_row(csv);
    else if (csv_fini(&csv->parser, on_field, on_row_end, csv) != 0)
        fail_row(csv, "a quoted field is not closed");
}

/* Reads to the end of a row or of the file. */
static hb_status read_row(hb_csv *csv)
{
    hb_source *source = csv->records->source;
    forget_row(csv);
    while (csv->status == HB_OK && !csv->row_ended && !csv->ended && !csv->memory_failed) {
        if (!hb_source_fill(source)) {
            if (source->failure.status) return hb_source_failed(source, csv->err);
            finish(csv);
            break;
        }
        bool ends;
        const char *bytes = source->block + source->at;
        size_t n = piece_length(bytes, source->end - source->at, &ends);
        parse_piece(csv, bytes, n, ends);
        hb_source_take(source, n);
        if (!csv->n_fields && !csv->row_ended && ends && !csv->skipping) hb_buffer_clear(&csv->raw);
    }
    return csv->memory_failed ? hb_fail_memory(csv->err) : csv->status;
}

hb_status hb_csv_next(hb_records *records, hb_record *record, bool *found, hb_error *err)
{
    hb_csv *csv = records->csv;
    csv->err = err;
    if (csv->ended) return HB_OK;
    hb_status status = read_row(csv);
    if (status != HB_OK) csv->ended = true;
    if (status != HB_OK || !csv->row_ended) return status;
    *found = true;
    record->line = csv->row_line;
    record->size = csv->size;
    if (csv->reason) {
        record->reason = csv->reason;
    } else if (csv->too_large) {
        record->reason = "the record is larger than 16 MiB";
    } else if (csv->n_fields != csv->columns.n) {
        snprintf(records->reason, sizeof records->reason, "the row has %zu fields and the header %zu",
                 csv->n_fields, csv->columns.n);
        record->reason = records->reason;
    } else {
        record->object = csv->row;
    }
    return HB_OK;
}

/* ---- Opening ------------------------------------------------------------------------------------- */

/* The separator is the one that occurs most often in the first line, outside quotes. */
static char find_separator(const hb_source *source)
{
    static const char separators[] = {',', ';', '\t'};
    size_t counts[3] = {0}, best = 0;
    bool quoted = false;
    for (size_t i = source->at; i < source->end; i++) {
        char c = source->block[i];
        if (c == '"') quoted = !quoted;
        if ((c == '\n' || c == '\r') && !quoted && counts[0] + counts[1] + counts[2]) break;
        for (size_t k = 0; k < 3 && !quoted; k++) counts[k] += c == separators[k];
    }
    for (size_t k = 1; k < 3; k++)
        if (counts[k] > counts[best]) best = k;
    return separators[best];
}

/* Handles Excel's line "sep=;" before the header, which names the separator. */
static bool take_excel_line(hb_csv *csv)
{
    hb_source *source = csv->records->source;
    const char *bytes = source->block + source->at;
    if (source->end - source->at < 6 || strncasecmp(bytes, "sep=", 4) != 0) return false;
    size_t end = bytes[5] == '\r' && source->end - source->at > 6 && bytes[6] == '\n' ? 7 : 6;
    if (!strchr(",;\t", bytes[4]) || !bytes[4] || (bytes[5] != '\n' && bytes[5] != '\r')) return false;
    csv->separator = bytes[4];
    csv->line++;
    hb_source_take(source, end);
    return true;
}

static hb_status read_header(hb_csv *csv, const hb_records_options *options)
{
    for (size_t i = 0; i < options->n_columns; i++)
        if (!hb_texts_add(&csv->columns, options->columns[i], strlen(options->columns[i])))
            return hb_fail_memory(csv->err);
    if (options->columns) return end_header(csv);
    hb_status status = read_row(csv);
    if (status != HB_OK) return status;
    if (!csv->row_ended)
        return hb_fail(csv->err, HB_ERR_FORMAT, "%s: is empty; a header line is needed",
                       csv->records->source->path);
    return end_header(csv);
}

hb_status hb_csv_open(hb_records *records, const hb_records_options *options, hb_error *err)
{
    hb_csv *csv = records->csv = calloc(1, sizeof *csv);
    if (!csv) return hb_fail_memory(err);
    *csv = (hb_csv){.records = records,
                    .wanted = options->wanted,
                    .line = 1,
                    .row_line = 1,
                    .at_row_start = true,
                    .err = err};
    if (csv_init(&csv->parser, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL) != 0) {
        free(csv);
        records->csv = NULL;
        return hb_fail_memory(err);
    }
    if (!take_excel_line(csv)) csv->separator = find_separator(records->source);
    csv_set_delim(&csv->parser, (unsigned char)csv->separator);
    csv_set_blk_size(&csv->parser, 4096);
    return read_header(csv, options);
}

void hb_csv_close(hb_csv *csv)
{
    if (!csv) return;
    csv_free(&csv->parser);
    hb_texts_free(&csv->columns);
    free(csv->places);
    json_decref(csv->row);
    hb_buffer_free(&csv->raw);
    free(csv);
}

const char *const *hb_csv_columns(const hb_csv *csv, size_t *n)
{
    *n = csv->columns.n;
    return (const char *const *)csv->columns.list;
}

char hb_csv_separator(const hb_csv *csv)
{
    return csv->separator;
}
