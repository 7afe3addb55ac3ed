/* Reads tables of scores and labels. */
#include "data/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/buffer.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/groups.h"
#include "data/path.h"
#include "signals/scores.h"

#define DETECTION_LIMIT 100 /* JSON records that are examined to find the columns */

/* State of reading a table's scores. */
typedef struct reading {
    hb_table *table;
    const char *
        *names; /* [n_columns + 1], the file's names of the columns of the scores and of the label */
    size_t n_columns;
    const char *controls[HB_N_CONTROLS]; /* columns of the controls; NULL: none */
    double *control_values;              /* [n][HB_N_CONTROLS], NaN where a row has none */
    size_t controls_room;
    const char *group, *id; /* columns that tell which samples belong together; NULL: none */
    hb_texts keys;          /* of the samples' groups; empty without such columns */
    size_t *high,
        *low; /* [n_scores], the column of each score, where high and where low values are risky */
    size_t n_scores;
    hb_label_rule rule;
    hb_breakages breakages;
    hb_score_table scores; /* its scores are [n][n_columns] until the whole table is read */
    size_t scores_room, labels_room;
    hb_error *err;
} reading;

/* ---- Columns ------------------------------------------------------------------------------------- */

static bool add_column(hb_table *table, const char *name)
{
    if (json_object_get(table->known, name)) return true;
    return hb_texts_add(&table->columns, name, strlen(name)) &&
           json_object_set_new_nocheck(table->known, name, json_true()) == 0;
}

/* Collects the columns of the first JSON records that have any. A sample that was not scored may lack a
 * score or be an empty object. */
static hb_status find_fields(hb_table *table, hb_records *records, hb_error *err)
{
    hb_record record;
    const char *name;
    json_t *value;
    bool found = true, ok = true;
    for (int n = 0; n < DETECTION_LIMIT && ok;) {
        hb_status status = hb_records_next(records, &record, &found, err);
        if (status != HB_OK || !found) return status;
        table->n_records++;
        if (!record.object) continue;
        table->n_objects++;
        n += json_object_size(record.object) > 0;
        json_object_foreach((json_t *)record.object, name, value) ok = ok && add_column(table, name);
    }
    return ok ? HB_OK : hb_fail_memory(err);
}

static hb_status find_columns(hb_table *table, hb_error *err)
{
    hb_records *records;
    size_t n;
    bool ok = true;
    hb_status status = hb_records_open(&table->input, NULL, &records, err);
    if (status != HB_OK) return status;
    const char *const *columns = hb_records_columns(records, &n);
    table->csv = columns != NULL;
    table->comma = hb_records_separator(records) == ';';
    for (size_t i = 0; i < n && ok; i++) ok = add_column(table, columns[i]);
    status = !ok ? hb_fail_memory(err) : table->csv ? HB_OK : find_fields(table, records, err);
    hb_records_close(records);
    if (status == HB_OK && !table->csv && !table->n_records)
        return hb_fail(err, HB_ERR_FORMAT, "%s: is empty; a header line or a record is needed",
                       table->input.path);
    return status;
}

const char *hb_table_column(const hb_table *table, const char *name)
{
    const char *alike = NULL;
    size_t n_alike = 0;
    if (!table->csv && !table->n_objects) return name;
    for (size_t i = 0; i < table->columns.n; i++) {
        const char *column = table->columns.list[i];
        if (strcmp(column, name) == 0) return column;
        if (strcasecmp(column, name) != 0) continue;
        alike = column;
        n_alike++;
    }
    return n_alike == 1 ? alike : NULL;
}

hb_status hb_table_fail_column(const hb_table *table, const char *what, hb_error *err)
{
    hb_buffer list = {0};
    char shown[200];
    bool ok = hb_buffer_add_text(&list, table->columns.n ? "" : "none");
    for (size_t i = 0; i < table->columns.n && ok && list.length < sizeof shown; i++)
        ok = (i == 0 || hb_buffer_add_text(&list, ", ")) &&
             hb_buffer_add_text(&list, table->columns.list[i]);
    hb_status status =
        ok ? hb_fail(err, HB_ERR_FORMAT, "%s: no column %s; there are: %s", table->input.path, what,
                     hb_printable(shown, sizeof shown, list.data, list.length))
           : hb_fail_memory(err);
    hb_buffer_free(&list);
    return status;
}

/* The column of the measured score that a score with tail5 is in a direction. NULL if there is none. */
static const char *tail_column(const hb_table *table, const char *name, hb_direction direction)
{
    char *tail = hb_score_tail_name(name, direction);
    const char *column = tail ? hb_table_column(table, tail) : NULL;
    free(tail);
    return column;
}

/* Finds the column of score k, or the columns of its two tails. False if there are none. */
static bool choose_score(reading *r, size_t k, const char *name)
{
    const char *high = hb_table_column(r->table, name), *low = high;
    if (!high) high = tail_column(r->table, name, HB_DIRECTION_HIGH);
    if (!low) low = tail_column(r->table, name, HB_DIRECTION_LOW);
    if (!high || !low) return false;
    r->high[k] = r->low[k] = r->n_columns;
    r->names[r->n_columns++] = high;
    if (low == high) return true;
    r->low[k] = r->n_columns;
    r->names[r->n_columns++] = low;
    return true;
}

/* Finds the requested columns. */
static hb_status choose_columns(reading *r, const hb_table_options *o)
{
    const char *label = o->label_column ? o->label_column : "label";
    char what[100];
    for (size_t k = 0; k < r->n_scores; k++) {
        const char *name = o->n_scores ? o->score_columns[k] : "score";
        if (choose_score(r, k, name) || (!o->n_scores && choose_score(r, k, "hbar_s"))) continue;
        snprintf(what, sizeof what, "'%.90s'", name);
        return hb_table_fail_column(r->table, o->n_scores ? what : "'score' or 'hbar_s'", r->err);
    }
    r->names[r->n_columns] = hb_table_column(r->table, label);
    snprintf(what, sizeof what, "'%.90s'", label);
    return r->names[r->n_columns] ? HB_OK : hb_table_fail_column(r->table, what, r->err);
}

/* Finds the columns of groups, which follow the label's. *n_names becomes the number of all columns. */
static hb_status choose_groups(reading *r, const hb_table_options *o, size_t *n_names)
{
    char what[100];
    size_t n = r->n_columns + 1;
    bool none = !r->table->csv && !r->table->n_objects;
    if (o->group_column && !(r->group = hb_table_column(r->table, o->group_column))) {
        snprintf(what, sizeof what, "'%.90s'", o->group_column);
        return hb_table_fail_column(r->table, what, r->err);
    }
    if (!none) r->id = hb_table_column(r->table, "id");
    if (r->group) r->names[n++] = r->group;
    if (r->id) r->names[n++] = r->id;
    *n_names = n;
    return HB_OK;
}

/* Finds the columns of the controls, by the names that an exported run gives them. They come last. */
static void choose_controls(reading *r, size_t *n_names)
{
    static const char *const columns[HB_N_CONTROLS] = {[HB_CONTROL_ANSWER_LENGTH] = "n_tokens",
                                                       [HB_CONTROL_PROMPT_LENGTH] = "n_prompt",
                                                       [HB_CONTROL_OVERLAP] = "overlap"};
    for (size_t k = 0; k < HB_N_CONTROLS && (r->table->csv || r->table->n_objects); k++) {
        r->controls[k] = hb_table_column(r->table, columns[k]);
        if (r->controls[k]) r->names[(*n_names)++] = r->controls[k];
    }
}

static bool has_controls(const reading *r)
{
    bool has = false;
    for (size_t k = 0; k < HB_N_CONTROLS; k++) has = has || r->controls[k];
    return has;
}

/* ---- Rows ---------------------------------------------------------------------------------------- */

static bool grow(reading *r)
{
    hb_score_table *scores = &r->scores;
    double *values =
        hb_grown(scores->scores, scores->n, r->n_columns * sizeof *values, &r->scores_room);
    if (values) scores->scores = values;
    uint8_t *labels = hb_grown(scores->labels, scores->n, sizeof *labels, &r->labels_room);
    if (labels) scores->labels = labels;
    return values && labels;
}

const char *hb_table_show(const json_t *value, char *out, size_t size, hb_error *why)
{
    hb_buffer text = {0};
    char *json = json_is_array(value) ? json_dumps(value, JSON_COMPACT) : NULL;
    bool ok = hb_buffer_add_text(&text, json ? json : "") &&
              (json_is_null(value) || json || hb_value_text(&text, value));
    free(json);
    if (ok) hb_printable(out, size, text.data, text.length);
    else hb_fail_memory(why);
    hb_buffer_free(&text);
    return ok ? out : NULL;
}

/* Reads one score of a row, or sets the reason why it is not usable. */
static void read_score(const reading *r, size_t k, const json_t *object, double *score, hb_error *why)
{
    char shown[64];
    const char *name = r->names[k];
    const json_t *value = json_object_get(object, name);
    const char *text = json_string_value(value);
    if (!value) hb_fail(why, HB_ERR_FORMAT, "field '%.80s' is missing", name);
    else if (json_is_null(value) || (text && !text[strspn(text, " \t")]))
        hb_fail(why, HB_ERR_FORMAT, "%.80s is empty: the sample was not scored", name);
    else if (json_is_number(value)) *score = json_number_value(value);
    else if ((!text || !hb_number_of(&r->rule, text, r->table->comma, score)) &&
             hb_table_show(value, shown, sizeof shown, why))
        hb_fail(why, HB_ERR_FORMAT, "%.80s '%s' is not a finite number", name, shown);
}

void hb_table_label(const hb_label_rule *rule, const json_t *object, const char *column, int *label,
                    hb_error *why)
{
    char shown[64];
    const json_t *value = json_object_get(object, column);
    *label = hb_label_of_json(rule, value);
    if (!value) hb_fail(why, HB_ERR_FORMAT, "field '%.80s' is missing", column);
    else if (*label < 0 && hb_table_show(value, shown, sizeof shown, why))
        hb_fail(why, HB_ERR_FORMAT, "label '%s' is neither 0 nor 1", shown);
}

/* Adds a sample's key: its group or, without one, its row by the id. False when memory runs out. */
static bool add_key(reading *r, const json_t *object)
{
    hb_buffer text = {0};
    const char *const columns[] = {r->group, r->id};
    bool ok = hb_buffer_add_text(&text, "");
    for (int i = 0; i < 2 && ok; i++) {
        const json_t *value = columns[i] ? json_object_get(object, columns[i]) : NULL;
        if (!value || json_is_null(value)) continue;
        ok = hb_value_text(&text, value);
        if (!ok || !text.length) continue;
        ok = i == 0 ? hb_texts_add(&r->keys, text.data, text.length)
                    : hb_groups_add_id(&r->keys, text.data);
        hb_buffer_free(&text);
        return ok;
    }
    hb_buffer_free(&text);
    return ok && hb_texts_add(&r->keys, "", 0);
}

/* Adds a sample's controls. What is not a number counts as missing. False when memory runs out. */
static bool add_controls(reading *r, const json_t *object)
{
    size_t n = r->scores.n;
    double *values = hb_grown(r->control_values, n, HB_N_CONTROLS * sizeof *values, &r->controls_room);
    if (!values) return false;
    r->control_values = values;
    for (size_t k = 0; k < HB_N_CONTROLS; k++) {
        const json_t *value = r->controls[k] ? json_object_get(object, r->controls[k]) : NULL;
        const char *text = json_string_value(value);
        double *out = &values[n * HB_N_CONTROLS + k];
        *out = json_is_number(value) ? json_number_value(value) : NAN;
        if (text && !hb_number_of(&r->rule, text, r->table->comma, out)) *out = NAN;
    }
    return true;
}

static hb_status add_row(void *user, const hb_record *record)
{
    reading *r = user;
    hb_error why = {HB_OK, ""};
    hb_score_table *scores = &r->scores;
    int label = 0;
    if (!grow(r)) return hb_fail_memory(r->err);
    double *values = scores->scores + scores->n * r->n_columns;
    if (!record->object) hb_fail(&why, HB_ERR_FORMAT, "%s", record->reason);
    for (size_t k = 0; k < r->n_columns && !why.status; k++)
        read_score(r, k, record->object, &values[k], &why);
    if (!why.status) hb_table_label(&r->rule, record->object, r->names[r->n_columns], &label, &why);
    if (why.status == HB_ERR_MEMORY) return hb_fail_memory(r->err);
    if (why.status)
        return hb_breakage(&r->breakages, r->table->input.path, record->line, why.message, r->err);
    if ((r->group || r->id) && !add_key(r, record->object)) return hb_fail_memory(r->err);
    if (has_controls(r) && !add_controls(r, record->object)) return hb_fail_memory(r->err);
    scores->labels[scores->n++] = (uint8_t)label;
    return HB_OK;
}

/* The scores in these columns, one after another. NULL when memory runs out. */
static double *turned(const reading *r, const size_t *columns)
{
    size_t n = r->scores.n;
    double *scores = calloc(n * r->n_scores + 1, sizeof *scores);
    for (size_t k = 0; scores && k < r->n_scores; k++)
        for (size_t i = 0; i < n; i++)
            scores[k * n + i] = r->scores.scores[i * r->n_columns + columns[k]];
    return scores;
}

/* Transposes the controls. */
static hb_status turn_controls(reading *r)
{
    size_t n = r->scores.n;
    if (!r->control_values) return HB_OK;
    r->scores.controls = calloc(n * HB_N_CONTROLS + 1, sizeof *r->scores.controls);
    if (!r->scores.controls) return hb_fail_memory(r->err);
    for (size_t k = 0; k < HB_N_CONTROLS; k++)
        for (size_t i = 0; i < n; i++)
            r->scores.controls[k * n + i] = r->control_values[i * HB_N_CONTROLS + k];
    return HB_OK;
}

/* Transposes the scores from [n][n_columns] to [n_scores][n]. */
static hb_status turn(reading *r)
{
    hb_score_table *scores = &r->scores;
    scores->n_scores = r->n_scores;
    if (r->n_columns == 1) return HB_OK;
    bool tails = r->n_columns > r->n_scores;
    double *high = turned(r, r->high), *low = tails ? turned(r, r->low) : NULL;
    free(scores->scores);
    scores->scores = high;
    scores->low = low;
    return high && (low || !tails) ? HB_OK : hb_fail_memory(r->err);
}

static hb_status take_records(hb_records *records,
                              hb_status (*take)(void *user, const hb_record *record), void *user,
                              hb_error *err)
{
    hb_record record;
    bool found = true;
    hb_status status = HB_OK;
    while (status == HB_OK) {
        status = hb_records_next(records, &record, &found, err);
        if (status != HB_OK || !found) break;
        status = take(user, &record);
    }
    return status == HB_OK ? hb_source_finish(hb_records_source(records), err) : status;
}

hb_status hb_table_each(hb_table *table, const char *const *columns, size_t n,
                        hb_status (*take)(void *user, const hb_record *record), void *user,
                        hb_error *err)
{
    hb_records *records;
    hb_sha256 hash;
    json_t *wanted = json_object();
    bool ok = wanted != NULL;
    for (size_t k = 0; k < n && ok; k++)
        ok = json_object_set_new_nocheck(wanted, columns[k], json_true()) == 0;
    if (!ok || !hb_sha256_init(&hash)) {
        json_decref(wanted);
        return hb_fail_memory(err);
    }
    const hb_records_options options = {.hash = &hash, .wanted = wanted};
    hb_status status = hb_records_open(&table->input, &options, &records, err);
    if (status == HB_OK) {
        status = take_records(records, take, user, err);
        hb_records_close(records);
    }
    if (status == HB_OK) hb_sha256_finish(&hash, table->sha256);
    else hb_sha256_free(&hash);
    json_decref(wanted);
    return status;
}

/* ---- The table ----------------------------------------------------------------------------------- */

hb_table_options hb_table_defaults(void)
{
    return (hb_table_options){0};
}

hb_status hb_table_open(const char *path, hb_table **out, hb_error *err)
{
    hb_table *table = calloc(1, sizeof *table);
    if (!table) return hb_fail_memory(err);
    table->input.fd = -1;
    table->known = json_object();
    hb_status status = table->known ? hb_input_open(path, &table->input, err) : hb_fail_memory(err);
    if (status == HB_OK) status = find_columns(table, err);
    if (status == HB_OK) *out = table;
    else hb_table_close(table);
    return status;
}

void hb_table_close(hb_table *table)
{
    if (!table) return;
    hb_input_close(&table->input);
    hb_texts_free(&table->columns);
    json_decref(table->known);
    free(table);
}

const char *const *hb_table_columns(const hb_table *table, size_t *n)
{
    *n = table->columns.n;
    return (const char *const *)table->columns.list;
}

const char *hb_table_sha256(const hb_table *table)
{
    return table->sha256[0] ? table->sha256 : NULL;
}

static hb_status read_scores(reading *r, const hb_table_options *o)
{
    size_t n_names = 0;
    r->names = calloc(2 * r->n_scores + 3 + HB_N_CONTROLS, sizeof *r->names);
    r->high = calloc(2 * r->n_scores, sizeof *r->high);
    r->low = r->high ? r->high + r->n_scores : NULL;
    hb_status status = r->names && r->high ? choose_columns(r, o) : hb_fail_memory(r->err);
    if (status == HB_OK) status = choose_groups(r, o, &n_names);
    if (status == HB_OK) choose_controls(r, &n_names);
    if (status == HB_OK)
        status = hb_label_rule_open(o->positive, o->label_is_correct, &r->rule, r->err);
    if (status == HB_OK) status = hb_table_each(r->table, r->names, n_names, add_row, r, r->err);
    if (status == HB_OK) status = turn(r);
    if (status == HB_OK) status = turn_controls(r);
    free(r->control_values);
    if (status == HB_OK && r->keys.n) status = hb_groups_number(&r->keys, &r->scores.groups, r->err);
    hb_texts_free(&r->keys);
    hb_label_rule_close(&r->rule);
    free(r->names);
    free(r->high);
    return status;
}

hb_status hb_table_scores(hb_table *table, const hb_table_options *options, hb_score_table *scores,
                          hb_error *err)
{
    static const hb_table_options none = {0};
    const hb_table_options *o = options ? options : &none;
    reading r = {.table = table,
                 .n_scores = o->n_scores ? o->n_scores : 1,
                 .breakages = {o->strict, o->on_broken, o->user, 0},
                 .err = err};
    hb_status status = read_scores(&r, o);
    r.scores.n_broken = (size_t)r.breakages.n;
    if (status == HB_OK) {
        bool defined = o->label_is_correct || o->positive;
        if (!defined) hb_warn_of_label(table->input.path, o->label_column, o->on_warning, o->user);
        *scores = r.scores;
    } else {
        hb_score_table_free(&r.scores);
    }
    return status;
}

hb_status hb_table_read(const char *path, const hb_table_options *options, hb_score_table *scores,
                        hb_error *err)
{
    hb_table *table;
    hb_status status = hb_table_open(path, &table, err);
    if (status != HB_OK) return status;
    status = hb_table_scores(table, options, scores, err);
    hb_table_close(table);
    return status;
}

void hb_score_table_free(hb_score_table *table)
{
    if (!table) return;
    for (size_t i = 0; table->ids && i < table->n; i++) free(table->ids[i]);
    free(table->ids);
    free(table->prompts);
    free(table->indices);
    free(table->scores);
    free(table->low);
    free(table->groups);
    free(table->controls);
    free(table->labels);
    *table = (hb_score_table){0};
}
