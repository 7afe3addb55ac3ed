#include "hbar.h"

#include <csv.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/buffer.h"
#include "base/error.h"
#include "data/records.h"

#define DETECTION_LIMIT 100 /* JSON records looked at to tell the columns */

/* A table being read. */
typedef struct reading {
    const hb_table_options *options;
    const char *path, *score_name, *label_name;
    hb_breakages breakages;
    hb_score_table table;
    size_t capacity;
    locale_t c_locale; /* so that 0.5 is a half whatever the program's locale */
    hb_error *err;
} reading;

/* ---- Values ------------------------------------------------------------------------------------ */

/* A decimal number and nothing else: hexadecimal, "inf" and "nan" are not. Blanks around it are
 * allowed. */
static bool number_of(const reading *reading, const char *text, double *number)
{
    char *end;
    text += strspn(text, " \t");
    size_t length = strspn(text, "+-.0123456789eE");
    if (length == 0 || text[length + strspn(text + length, " \t")]) return false;
    *number = strtod_l(text, &end, reading->c_locale);
    return end == text + length && isfinite(*number);
}

/* Whether `text` is `word` but for letter case and blanks around it. */
static bool is_word(const reading *reading, const char *text, const char *word)
{
    size_t length = strlen(word);
    text += strspn(text, " \t");
    return strncasecmp_l(text, word, length, reading->c_locale) == 0 &&
           !text[length + strspn(text + length, " \t")];
}

/* A label of 0 or 1, or -1. */
static int label_of(const reading *reading, const char *text)
{
    double number;
    if (number_of(reading, text, &number)) return number == 0 ? 0 : number == 1 ? 1 : -1;
    if (is_word(reading, text, "true") || is_word(reading, text, "yes")) return 1;
    if (is_word(reading, text, "false") || is_word(reading, text, "no")) return 0;
    return -1;
}

/* ---- Rows -------------------------------------------------------------------------------------- */

static bool grow(reading *reading)
{
    hb_score_table *table = &reading->table;
    if (table->n < reading->capacity) return true;
    if (reading->capacity > SIZE_MAX / sizeof(double) / 2) return false;
    size_t capacity = reading->capacity ? reading->capacity * 2 : 256;
    double *scores = realloc(table->scores, capacity * sizeof *scores);
    if (!scores) return false;
    table->scores = scores;
    uint8_t *labels = realloc(table->labels, capacity);
    if (!labels) return false;
    table->labels = labels;
    reading->capacity = capacity;
    return true;
}

/* Adds a row given as two texts, or tells why not. NULL stands for a field that is not there. */
static hb_status add_row(reading *reading, uint64_t line, const char *score_text,
                         const char *label_text)
{
    hb_error why;
    char shown[64];
    double score = 0;
    int label = label_text ? label_of(reading, label_text) : -1;
    bool good = false;
    if (!score_text || !label_text)
        hb_fail(&why, HB_ERR_FORMAT, "field '%s' is missing",
                score_text ? reading->label_name : reading->score_name);
    else if (!score_text[strspn(score_text, " \t")])
        hb_fail(&why, HB_ERR_FORMAT, "score is empty: the sample was not scored");
    else if (!number_of(reading, score_text, &score))
        hb_fail(&why, HB_ERR_FORMAT, "score '%s' is not a finite number",
                hb_printable(shown, sizeof shown, score_text, strlen(score_text)));
    else if (label < 0)
        hb_fail(&why, HB_ERR_FORMAT, "label '%s' is neither 0 nor 1",
                hb_printable(shown, sizeof shown, label_text, strlen(label_text)));
    else good = true;
    if (!good) return hb_breakage(&reading->breakages, line, why.message, reading->err);
    if (!grow(reading)) return hb_fail_memory(reading->err);
    reading->table.scores[reading->table.n] = score;
    reading->table.labels[reading->table.n++] = (uint8_t)label;
    return HB_OK;
}

static hb_status fail_column(reading *reading, const char *name, const char *columns)
{
    if (name)
        return hb_fail(reading->err, HB_ERR_FORMAT, "%s: no column '%s'; there are: %s", reading->path,
                       name, columns);
    return hb_fail(reading->err, HB_ERR_FORMAT, "%s: no column 'score' or 'hbar_s'; there are: %s",
                   reading->path, columns);
}

/* ---- JSON -------------------------------------------------------------------------------------- */

/* Looks at the first records for the two columns. A record without a score does not settle the matter:
 * a sample may have been left unscored. */
static hb_status find_json_columns(reading *reading)
{
    hb_records *records;
    hb_record record;
    char columns[200] = "";
    bool found = true, has_label = false, has_score = false;
    hb_status status = hb_records_open(reading->path, false, &records, reading->err);
    if (status != HB_OK) return status;
    for (int n = 0; n < DETECTION_LIMIT && !(has_label && has_score);) {
        status = hb_records_next(records, &record, &found, reading->err);
        if (status != HB_OK || !found) break;
        if (!record.object) continue;
        if (n++ == 0) hb_field_names(columns, sizeof columns, record.object);
        has_label = has_label || json_object_get(record.object, reading->label_name);
        if (!reading->score_name && json_object_get(record.object, "score"))
            reading->score_name = "score";
        if (!reading->score_name && json_object_get(record.object, "hbar_s"))
            reading->score_name = "hbar_s";
        has_score =
            has_score || (reading->score_name && json_object_get(record.object, reading->score_name));
    }
    hb_records_close(records);
    if (status != HB_OK) return status;
    if (!columns[0]) {
        reading->score_name = reading->score_name ? reading->score_name : "score";
        return HB_OK; /* nothing to judge by: the records will be told of one by one */
    }
    if (!has_score) return fail_column(reading, reading->score_name, columns);
    return has_label ? HB_OK : fail_column(reading, reading->label_name, columns);
}

/* A field as text for add_row; *made is to be freed. A value of another kind is shown as JSON, which no
 * score or label reads as. */
static const char *text_of(const json_t *value, char **made)
{
    *made = NULL;
    if (json_is_null(value)) return "";
    if (json_is_string(value)) return json_string_value(value);
    *made = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    return *made;
}

static hb_status add_object(reading *reading, const hb_record *record)
{
    const json_t *score = json_object_get(record->object, reading->score_name);
    const json_t *label = json_object_get(record->object, reading->label_name);
    char *made_score, *made_label;
    const char *score_text = text_of(score, &made_score), *label_text = text_of(label, &made_label);
    hb_status status;
    if ((score && !score_text) || (label && !label_text)) status = hb_fail_memory(reading->err);
    else status = add_row(reading, record->line, score_text, label_text);
    free(made_score);
    free(made_label);
    return status;
}

static hb_status read_json(reading *reading)
{
    hb_records *records;
    hb_record record;
    bool found = true;
    hb_status status = find_json_columns(reading);
    if (status == HB_OK) status = hb_records_open(reading->path, false, &records, reading->err);
    if (status != HB_OK) return status;
    while (status == HB_OK && found) {
        status = hb_records_next(records, &record, &found, reading->err);
        if (status != HB_OK || !found) break;
        if (record.object) status = add_object(reading, &record);
        else status = hb_breakage(&reading->breakages, record.line, record.reason, reading->err);
    }
    hb_records_close(records);
    return status;
}

/* ---- CSV --------------------------------------------------------------------------------------- */

/* libcsv hands out fields and row ends through callbacks; this is what they share. */
typedef struct csv_reading {
    reading *reading;
    hb_source *source;
    struct csv_parser parser;
    hb_status status; /* of the callbacks */
    bool has_header, at_row_start, skipping;
    uint64_t row_line;    /* where the row starts */
    size_t n_fields;      /* of the row so far */
    size_t n_columns;     /* of the header */
    hb_buffer columns;    /* the header's names, comma-separated */
    size_t score_column;  /* SIZE_MAX until found */
    size_t hbar_s_column; /* what stands in for a score column when none was named */
    size_t label_column;
    hb_buffer score_text, label_text; /* of the row */
} csv_reading;

/* Notes where a wanted column stands; a second one of the same name makes the table ambiguous. */
static void match_column(csv_reading *csv, const char *wanted, const char *name, size_t *column)
{
    if (strcmp(name, wanted) != 0 || csv->status != HB_OK) return;
    if (*column != SIZE_MAX)
        csv->status =
            hb_fail(csv->reading->err, HB_ERR_FORMAT, "%s:%" PRIu64 ": column '%s' appears twice",
                    csv->reading->path, csv->row_line, wanted);
    *column = csv->n_fields;
}

static void on_column(csv_reading *csv, const char *text, size_t length)
{
    const reading *reading = csv->reading;
    size_t start = csv->columns.length + (csv->n_fields ? 2 : 0);
    if ((csv->n_fields && !hb_buffer_add_text(&csv->columns, ", ")) ||
        !hb_buffer_add(&csv->columns, text, length)) {
        csv->status = hb_fail_memory(reading->err);
        return;
    }
    const char *name = csv->columns.data + start;
    match_column(csv, reading->score_name ? reading->score_name : "score", name, &csv->score_column);
    if (!reading->score_name) match_column(csv, "hbar_s", name, &csv->hbar_s_column);
    match_column(csv, reading->label_name, name, &csv->label_column);
}

static void on_field(void *text, size_t length, void *user)
{
    csv_reading *csv = user;
    if (csv->status != HB_OK) return;
    bool ok = true;
    if (!csv->has_header) {
        on_column(csv, text, length);
    } else {
        /* A zero byte would hide what follows it. */
        for (char *zero; (zero = memchr(text, '\0', length));) *zero = '?';
        if (csv->n_fields == csv->score_column) ok = hb_buffer_add(&csv->score_text, text, length);
        if (csv->n_fields == csv->label_column)
            ok = hb_buffer_add(&csv->label_text, text, length) && ok;
    }
    if (!ok) csv->status = hb_fail_memory(csv->reading->err);
    csv->n_fields++;
}

/* The header line is whole: settles which columns are read. */
static hb_status end_header(csv_reading *csv)
{
    reading *reading = csv->reading;
    char shown[200];
    hb_printable(shown, sizeof shown, csv->columns.data, csv->columns.length);
    if (!reading->score_name && csv->score_column == SIZE_MAX) csv->score_column = csv->hbar_s_column;
    if (csv->score_column == SIZE_MAX) return fail_column(reading, reading->score_name, shown);
    if (csv->label_column == SIZE_MAX) return fail_column(reading, reading->label_name, shown);
    csv->n_columns = csv->n_fields;
    csv->has_header = true;
    return HB_OK;
}

static void on_row_end(int terminator, void *user)
{
    csv_reading *csv = user;
    hb_error why;
    (void)terminator;
    csv->at_row_start = true;
    if (csv->status != HB_OK || !csv->n_fields) return; /* a blank line has no fields */
    if (!csv->has_header) {
        csv->status = end_header(csv);
    } else if (csv->n_fields != csv->n_columns) {
        hb_fail(&why, HB_ERR_FORMAT, "the row has %zu fields and the header %zu", csv->n_fields,
                csv->n_columns);
        csv->status =
            hb_breakage(&csv->reading->breakages, csv->row_line, why.message, csv->reading->err);
    } else {
        csv->status = add_row(csv->reading, csv->row_line, csv->score_text.data, csv->label_text.data);
    }
    csv->n_fields = 0;
    hb_buffer_clear(&csv->score_text);
    hb_buffer_clear(&csv->label_text);
}

/* A quote where none may be: the row is broken, and reading goes on with the next line. */
static void on_bad_quote(csv_reading *csv)
{
    reading *reading = csv->reading;
    if (csv->has_header)
        csv->status =
            hb_breakage(&reading->breakages, csv->row_line, "a quote is out of place", reading->err);
    else
        csv->status = hb_fail(reading->err, HB_ERR_FORMAT, "%s:%" PRIu64 ": a quote is out of place",
                              reading->path, csv->row_line);
    csv_fini(&csv->parser, NULL, NULL, NULL);
    csv->n_fields = 0;
    hb_buffer_clear(&csv->score_text);
    hb_buffer_clear(&csv->label_text);
    csv->skipping = true;
}

/* Parses a piece of one line; with `ends` the line's end is in it. Lines are handed over one by one so
 * that it is known on which one a row starts. */
static void parse_piece(csv_reading *csv, const char *bytes, size_t n, bool ends)
{
    if (csv->at_row_start) csv->row_line = csv->source->line;
    csv->at_row_start = false;
    if (!csv->skipping && csv_parse(&csv->parser, bytes, n, on_field, on_row_end, csv) != n) {
        if (csv_error(&csv->parser) != CSV_EPARSE) csv->status = hb_fail_memory(csv->reading->err);
        else if (csv->status == HB_OK) on_bad_quote(csv);
    }
    if (csv->skipping && ends) {
        csv->skipping = false;
        csv->at_row_start = true;
    }
    if (csv->status == HB_OK && csv_get_buffer_size(&csv->parser) > HB_RECORD_MAX)
        csv->status = hb_fail(csv->reading->err, HB_ERR_FORMAT,
                              "%s:%" PRIu64 ": a field is larger than 16 MiB: is a quote not closed?",
                              csv->reading->path, csv->row_line);
}

static hb_status read_rows(csv_reading *csv)
{
    hb_source *source = csv->source;
    reading *reading = csv->reading;
    while (csv->status == HB_OK && hb_source_fill(source)) {
        const char *bytes = source->block + source->at;
        size_t n = source->end - source->at;
        const char *newline = memchr(bytes, '\n', n);
        if (newline) n = (size_t)(newline - bytes) + 1;
        parse_piece(csv, bytes, n, newline != NULL);
        hb_source_take(source, n);
    }
    if (csv->status != HB_OK) return csv->status;
    if (source->error) return hb_source_failed(source, reading->err);
    if (csv_fini(&csv->parser, on_field, on_row_end, csv) != 0)
        return hb_fail(reading->err, HB_ERR_FORMAT, "%s:%" PRIu64 ": a quoted field is not closed",
                       reading->path, csv->row_line);
    if (csv->status == HB_OK && !csv->has_header)
        return hb_fail(reading->err, HB_ERR_FORMAT, "%s: is empty: a header line is needed",
                       reading->path);
    return csv->status;
}

/* RFC 4180, with blank lines, and blanks around fields that are not quoted, allowed. */
static hb_status read_csv(reading *reading)
{
    csv_reading csv = {.reading = reading,
                       .at_row_start = true,
                       .score_column = SIZE_MAX,
                       .hbar_s_column = SIZE_MAX,
                       .label_column = SIZE_MAX};
    if (csv_init(&csv.parser, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL) != 0)
        return hb_fail_memory(reading->err);
    csv_set_blk_size(&csv.parser, 4096);
    hb_status status = hb_source_open(reading->path, false, &csv.source, reading->err);
    if (status == HB_OK) status = read_rows(&csv);
    hb_source_close(csv.source);
    csv_free(&csv.parser);
    hb_buffer_free(&csv.columns);
    hb_buffer_free(&csv.score_text);
    hb_buffer_free(&csv.label_text);
    return status;
}

/* ---- Both -------------------------------------------------------------------------------------- */

/* JSON starts with a brace or a bracket, anything else is CSV. */
static hb_status read_either(reading *reading)
{
    hb_source *source;
    hb_status status = hb_source_open(reading->path, false, &source, reading->err);
    if (status != HB_OK) return status;
    int first = hb_source_skip_blanks(source);
    hb_source_close(source);
    return first == '{' || first == '[' ? read_json(reading) : read_csv(reading);
}

hb_status hb_table_read(const char *path, const hb_table_options *options, hb_score_table *table,
                        hb_error *err)
{
    hb_table_options none = {0};
    if (!options) options = &none;
    reading reading = {.path = path,
                       .score_name = options->score_column,
                       .label_name = options->label_column ? options->label_column : "label",
                       .breakages = {path, options->strict, options->on_broken, options->user, 0},
                       .err = err};
    reading.c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!reading.c_locale) return hb_fail_memory(err);
    hb_status status = read_either(&reading);
    freelocale(reading.c_locale);
    reading.table.n_broken = (size_t)reading.breakages.n;
    if (status == HB_OK) *table = reading.table;
    else hb_score_table_free(&reading.table);
    return status;
}

void hb_score_table_free(hb_score_table *table)
{
    if (!table) return;
    free(table->scores);
    free(table->labels);
    *table = (hb_score_table){0};
}
