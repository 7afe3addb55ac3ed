#include "hbar.h"

#include <csv.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/buffer.h"
#include "base/error.h"
#include "base/text.h"
#include "data/records.h"

#define DETECTION_LIMIT 100 /* JSON records looked at to tell the columns */

/* A table being read. */
typedef struct reading {
    const hb_table_options *options;
    const char *path, *label_name;
    bool columns_only; /* nothing but the columns' names is wanted */
    char **columns;    /* [n_columns], the table's */
    size_t n_columns, columns_room;
    json_t *known;                  /* the columns' names as the keys of an object, to look them up */
    const char *const *score_names; /* [n_scores] */
    size_t n_scores;
    const char *default_name; /* the one name where none was given; NULL until it is found */
    hb_breakages breakages;
    hb_score_table table; /* its scores are [n][n_scores] until all are read */
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
    if (reading->capacity > SIZE_MAX / sizeof(double) / 2 / reading->n_scores) return false;
    size_t capacity = reading->capacity ? reading->capacity * 2 : 256;
    double *scores = realloc(table->scores, capacity * reading->n_scores * sizeof *scores);
    if (!scores) return false;
    table->scores = scores;
    uint8_t *labels = realloc(table->labels, capacity);
    if (!labels) return false;
    table->labels = labels;
    reading->capacity = capacity;
    return true;
}

/* One score of a row, or why it is none. NULL stands for a field that is not there. */
static hb_status read_score(const reading *reading, size_t k, const char *text, double *score,
                            hb_error *why)
{
    const char *name = reading->score_names[k];
    char shown[64];
    if (!text) return hb_fail(why, HB_ERR_FORMAT, "field '%s' is missing", name);
    if (!text[strspn(text, " \t")])
        return hb_fail(why, HB_ERR_FORMAT, "%s is empty: the sample was not scored", name);
    if (number_of(reading, text, score)) return HB_OK;
    return hb_fail(why, HB_ERR_FORMAT, "%s '%s' is not a finite number", name,
                   hb_printable(shown, sizeof shown, text, strlen(text)));
}

/* Adds a row given as texts [n_scores] and its label's, or tells why not. */
static hb_status add_row(reading *reading, uint64_t line, const char *const *score_texts,
                         const char *label_text)
{
    hb_error why = {HB_OK, ""};
    char shown[64];
    hb_score_table *table = &reading->table;
    int label = label_text ? label_of(reading, label_text) : -1;
    if (!grow(reading)) return hb_fail_memory(reading->err);
    double *scores = table->scores + table->n * reading->n_scores;
    if (!label_text) hb_fail(&why, HB_ERR_FORMAT, "field '%s' is missing", reading->label_name);
    for (size_t k = 0; k < reading->n_scores && !why.status; k++)
        read_score(reading, k, score_texts[k], &scores[k], &why);
    if (!why.status && label < 0)
        hb_fail(&why, HB_ERR_FORMAT, "label '%s' is neither 0 nor 1",
                hb_printable(shown, sizeof shown, label_text, strlen(label_text)));
    if (why.status) return hb_breakage(&reading->breakages, line, why.message, reading->err);
    table->labels[table->n++] = (uint8_t)label;
    return HB_OK;
}

/* Turns rows of scores into one score after another. */
static hb_status turn(reading *reading)
{
    hb_score_table *table = &reading->table;
    size_t n = table->n, n_scores = table->n_scores = reading->n_scores;
    if (n_scores == 1) return HB_OK;
    double *turned = calloc(n * n_scores + 1, sizeof *turned);
    if (!turned) return hb_fail_memory(reading->err);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n_scores; k++) turned[k * n + i] = table->scores[i * n_scores + k];
    free(table->scores);
    table->scores = turned;
    return HB_OK;
}

/* ---- Columns ------------------------------------------------------------------------------------- */

static bool has_column(const reading *reading, const char *name)
{
    return json_object_get(reading->known, name) != NULL;
}

static bool add_name(reading *reading, const char *name)
{
    if (reading->n_columns == reading->columns_room) {
        size_t room = reading->columns_room ? reading->columns_room * 2 : 16;
        char **names = realloc(reading->columns, room * sizeof *names);
        if (!names) return false;
        reading->columns = names;
        reading->columns_room = room;
    }
    if (!(reading->columns[reading->n_columns] = strdup(name))) return false;
    reading->n_columns++;
    return json_object_set_new_nocheck(reading->known, name, json_true()) == 0;
}

static hb_status fail_column(const reading *reading, const char *what)
{
    hb_buffer list = {0};
    char shown[200];
    bool ok = hb_buffer_add_text(&list, "");
    for (size_t i = 0; i < reading->n_columns && ok; i++)
        ok = (i == 0 || hb_buffer_add_text(&list, ", ")) &&
             hb_buffer_add_text(&list, reading->columns[i]);
    hb_status status =
        ok ? hb_fail(reading->err, HB_ERR_FORMAT, "%s: no column %s; there are: %s", reading->path,
                     what,
                     reading->n_columns ? hb_printable(shown, sizeof shown, list.data, list.length)
                                        : "none")
           : hb_fail_memory(reading->err);
    hb_buffer_free(&list);
    return status;
}

/* Settles which columns are read, once the table's are known. */
static hb_status settle_columns(reading *reading)
{
    char what[100];
    if (!reading->n_scores) {
        reading->default_name = has_column(reading, "score") ? "score" : "hbar_s";
        reading->score_names = &reading->default_name;
        reading->n_scores = 1;
        if (!has_column(reading, reading->default_name))
            return fail_column(reading, "'score' or 'hbar_s'");
    }
    for (size_t k = 0; k <= reading->n_scores; k++) {
        const char *name = k < reading->n_scores ? reading->score_names[k] : reading->label_name;
        snprintf(what, sizeof what, "'%s'", name);
        if (!has_column(reading, name)) return fail_column(reading, what);
    }
    return HB_OK;
}

/* ---- JSON -------------------------------------------------------------------------------------- */

/* Gathers the columns of the first records that have any: a sample that was not scored may lack a
 * score, and may be an empty object. *n_objects is how many objects were read. */
static hb_status find_json_columns(reading *reading, uint64_t *n_objects)
{
    hb_records *records;
    hb_record record;
    const char *name;
    json_t *value;
    bool found = true, ok = true;
    hb_status status = hb_records_open(reading->path, false, &records, reading->err);
    if (status != HB_OK) return status;
    for (int n = 0; n < DETECTION_LIMIT && ok;) {
        status = hb_records_next(records, &record, &found, reading->err);
        if (status != HB_OK || !found) break;
        if (!record.object) continue;
        ++*n_objects;
        n += json_object_size(record.object) > 0;
        json_object_foreach((json_t *)record.object, name, value) if (ok && !has_column(reading, name))
            ok = add_name(reading, name);
    }
    hb_records_close(records);
    return ok ? status : hb_fail_memory(reading->err);
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
    size_t n = reading->n_scores;
    char **made = calloc(n + 1, sizeof *made);
    const char **texts = calloc(n + 1, sizeof *texts);
    bool ok = made && texts;
    for (size_t k = 0; k <= n && ok; k++) {
        const char *name = k < n ? reading->score_names[k] : reading->label_name;
        const json_t *value = json_object_get(record->object, name);
        texts[k] = text_of(value, &made[k]);
        ok = !value || texts[k];
    }
    hb_status status =
        ok ? add_row(reading, record->line, texts, texts[n]) : hb_fail_memory(reading->err);
    for (size_t k = 0; k <= n && made; k++) free(made[k]);
    free(made);
    free(texts);
    return status;
}

static hb_status read_json(reading *reading)
{
    hb_records *records;
    hb_record record;
    bool found = true;
    uint64_t n_objects = 0;
    hb_status status = find_json_columns(reading, &n_objects);
    if (status != HB_OK || reading->columns_only) return status;
    /* Without an object there are no columns to check: each record will be reported as broken. */
    if (n_objects) status = settle_columns(reading);
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
    uint64_t row_line;  /* where the row starts */
    size_t n_fields;    /* of the row so far */
    size_t *places;     /* [n_scores + 1], the columns of the scores and of the label */
    hb_buffer *texts;   /* [n_scores + 1], of the row */
    const char **shown; /* [n_scores + 1], the same as add_row wants it */
} csv_reading;

/* Finds where a column stands; a second one of the same name makes the table ambiguous. */
static hb_status find_place(const csv_reading *csv, const char *name, size_t *place)
{
    const reading *reading = csv->reading;
    size_t n = 0;
    for (size_t i = 0; i < reading->n_columns; i++)
        if (strcmp(reading->columns[i], name) == 0 && n++ == 0) *place = i;
    if (n < 2) return HB_OK;
    return hb_fail(reading->err, HB_ERR_FORMAT, "%s:%" PRIu64 ": column '%s' appears twice",
                   reading->path, csv->row_line, name);
}

/* Whether nothing after the header is wanted. What libcsv was given with it may hold rows, when a lone
 * CR ends them. */
static bool header_is_all(const csv_reading *csv)
{
    return csv->has_header && csv->reading->columns_only;
}

static void on_field(void *text, size_t length, void *user)
{
    csv_reading *csv = user;
    reading *reading = csv->reading;
    if (csv->status != HB_OK || header_is_all(csv)) return;
    bool ok = true;
    if (!csv->has_header) {
        hb_buffer name = {0};
        ok = hb_buffer_add(&name, text, length) && add_name(reading, name.data);
        hb_buffer_free(&name);
    } else {
        /* A zero byte would hide what follows it. */
        for (char *zero; (zero = memchr(text, '\0', length));) *zero = '?';
        for (size_t k = 0; k <= reading->n_scores && ok; k++)
            if (csv->n_fields == csv->places[k]) ok = hb_buffer_add(&csv->texts[k], text, length);
    }
    if (!ok) csv->status = hb_fail_memory(reading->err);
    csv->n_fields++;
}

/* The header line is whole. */
static hb_status end_header(csv_reading *csv)
{
    reading *reading = csv->reading;
    csv->has_header = true;
    if (reading->columns_only) return HB_OK;
    hb_status status = settle_columns(reading);
    if (status != HB_OK) return status;
    size_t n = reading->n_scores;
    csv->places = calloc(n + 1, sizeof *csv->places);
    csv->texts = calloc(n + 1, sizeof *csv->texts);
    csv->shown = calloc(n + 1, sizeof *csv->shown);
    if (!csv->places || !csv->texts || !csv->shown) return hb_fail_memory(reading->err);
    for (size_t k = 0; k <= n && status == HB_OK; k++)
        status =
            find_place(csv, k < n ? reading->score_names[k] : reading->label_name, &csv->places[k]);
    return status;
}

static hb_status end_row(csv_reading *csv)
{
    reading *reading = csv->reading;
    size_t n = reading->n_scores;
    for (size_t k = 0; k <= n; k++) csv->shown[k] = csv->texts[k].data;
    return add_row(reading, csv->row_line, csv->shown, csv->shown[n]);
}

static void forget_row(csv_reading *csv)
{
    csv->n_fields = 0;
    for (size_t k = 0; csv->texts && k <= csv->reading->n_scores; k++) hb_buffer_clear(&csv->texts[k]);
}

static void on_row_end(int terminator, void *user)
{
    csv_reading *csv = user;
    hb_error why;
    (void)terminator;
    csv->at_row_start = true;
    if (csv->status != HB_OK || header_is_all(csv) || !csv->n_fields)
        return; /* a blank line has no fields */
    if (!csv->has_header) {
        csv->status = end_header(csv);
    } else if (csv->n_fields != csv->reading->n_columns) {
        hb_fail(&why, HB_ERR_FORMAT, "the row has %zu fields and the header %zu", csv->n_fields,
                csv->reading->n_columns);
        csv->status =
            hb_breakage(&csv->reading->breakages, csv->row_line, why.message, csv->reading->err);
    } else {
        csv->status = end_row(csv);
    }
    forget_row(csv);
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
    forget_row(csv);
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
    while (csv->status == HB_OK && !header_is_all(csv) && hb_source_fill(source)) {
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
    csv_reading csv = {.reading = reading, .at_row_start = true};
    if (csv_init(&csv.parser, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL) != 0)
        return hb_fail_memory(reading->err);
    csv_set_blk_size(&csv.parser, 4096);
    hb_status status = hb_source_open(reading->path, false, &csv.source, reading->err);
    if (status == HB_OK) status = read_rows(&csv);
    hb_source_close(csv.source);
    csv_free(&csv.parser);
    for (size_t k = 0; csv.texts && k <= reading->n_scores; k++) hb_buffer_free(&csv.texts[k]);
    free(csv.places);
    free(csv.texts);
    free(csv.shown);
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

hb_table_options hb_table_defaults(void)
{
    return (hb_table_options){0};
}

/* Reads what is asked for; the columns' names stay in `reading`. */
static hb_status read_file(reading *reading)
{
    reading->known = json_object();
    if (!reading->known) return hb_fail_memory(reading->err);
    hb_status status = read_either(reading);
    json_decref(reading->known);
    return status;
}

hb_status hb_table_read(const char *path, const hb_table_options *options, hb_score_table *table,
                        hb_error *err)
{
    const hb_table_options defaults = hb_table_defaults();
    if (!options) options = &defaults;
    reading reading = {.path = path,
                       .score_names = options->score_columns,
                       .n_scores = options->n_scores,
                       .label_name = options->label_column ? options->label_column : "label",
                       .breakages = {path, options->strict, options->on_broken, options->user, 0},
                       .err = err};
    reading.c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!reading.c_locale) return hb_fail_memory(err);
    hb_status status = read_file(&reading);
    if (status == HB_OK) status = turn(&reading);
    freelocale(reading.c_locale);
    reading.table.n_broken = (size_t)reading.breakages.n;
    if (status == HB_OK) *table = reading.table;
    else hb_score_table_free(&reading.table);
    hb_table_columns_free(reading.columns, reading.n_columns);
    return status;
}

hb_status hb_table_columns(const char *path, char ***names, size_t *n, hb_error *err)
{
    reading reading = {.path = path, .columns_only = true, .err = err};
    hb_status status = read_file(&reading);
    if (status != HB_OK) {
        hb_table_columns_free(reading.columns, reading.n_columns);
        return status;
    }
    *names = reading.columns;
    *n = reading.n_columns;
    return HB_OK;
}

void hb_table_columns_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++) free(names[i]);
    free(names);
}

void hb_score_table_free(hb_score_table *table)
{
    if (!table) return;
    for (size_t i = 0; table->ids && i < table->n; i++) free(table->ids[i]);
    free(table->ids);
    free(table->scores);
    free(table->labels);
    *table = (hb_score_table){0};
}
