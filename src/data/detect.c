#include "data/detect.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/json_read.h"
#include "data/rows.h"

#define LIMIT 100 /* number of records that are examined */

/* ---- Opening ------------------------------------------------------------------------------------- */

#define COLUMNS_MAX 8

hb_status hb_detected_open(const hb_input *input, const hb_detected *detected, hb_sha256 *hash,
                           hb_records **records, hb_error *err)
{
    char text[128], *rest = text;
    const char *columns[COLUMNS_MAX];
    hb_records_options options = {.hash = hash};
    if (detected->columns) {
        snprintf(text, sizeof text, "%s", detected->columns);
        while (rest && options.n_columns < COLUMNS_MAX)
            columns[options.n_columns++] = strsep(&rest, ",");
        options.columns = columns;
    }
    return hb_records_open(input, &options, records, err);
}

/* ---- Looking at records -------------------------------------------------------------------------- */

/* What was found in the first records of a file. */
typedef struct looking {
    const hb_input *input;
    const hb_dataset_options *options;
    uint64_t n_objects, broken_line;
    char broken[256]; /* reason of the first broken record */
    char fields[80];  /* fields of the first object */
    json_t *first;    /* the first object */
    hb_error *err;
} looking;

static hb_status fits(const looking *l, const hb_preset *p, const json_t *record, bool *found)
{
    char missing[160];
    size_t n_missing, n_needs;
    hb_status status =
        hb_preset_fits(p, l->options, record, missing, sizeof missing, &n_missing, &n_needs, l->err);
    *found = status == HB_OK && n_missing == 0;
    return status;
}

/* Rows without labels are read only where they need none. */
static bool is_allowed(const looking *l, const hb_preset *p)
{
    return p->label_by != HB_BY_NOTHING || l->options->unlabelled;
}

/* Finds the first preset that fits the record. If options map fields, presets for the user's own rows
 * come first. */
static hb_status find_preset(const looking *l, const json_t *record, const hb_preset **preset)
{
    const hb_dataset_options *o = l->options;
    bool mapped = o->prompt || o->answers || o->label || o->response || o->prompt_template;
    hb_status status = HB_OK;
    for (size_t i = 0; i < hb_n_presets && !*preset && status == HB_OK; i++) {
        bool found;
        const hb_preset *p = &hb_presets[mapped ? (i + hb_own_presets) % hb_n_presets : i];
        status = fits(l, p, record, &found);
        if (found && is_allowed(l, p)) *preset = p;
    }
    return status;
}

/* Keeps what an error message may need. */
static hb_status note(looking *l, const hb_record *record)
{
    if (record->object && l->n_objects++ == 0) {
        hb_field_names(l->fields, sizeof l->fields, record->object);
        l->first = hb_json_copy(record->object);
        if (!l->first) return hb_fail_memory(l->err);
    }
    if (record->object || l->broken_line) return HB_OK;
    l->broken_line = record->line;
    snprintf(l->broken, sizeof l->broken, "%s", record->reason);
    return HB_OK;
}

/* Broken records are not reported here, because the whole file is read again later. */
static hb_status look(looking *l, const hb_preset **preset)
{
    hb_records *records;
    hb_record record;
    bool found = true;
    hb_status status = hb_records_open(l->input, NULL, &records, l->err);
    if (status != HB_OK) return status;
    *preset = NULL;
    while (!*preset && l->n_objects < LIMIT && status == HB_OK) {
        status = hb_records_next(records, &record, &found, l->err);
        if (status != HB_OK || !found) break;
        status = note(l, &record);
        if (status == HB_OK && record.object) status = find_preset(l, record.object, preset);
    }
    hb_records_close(records);
    return status;
}

/* ---- Rows that must be read to tell -------------------------------------------------------------- */

/* Whether the current row can be read by one mapping but not by the other. Without another one, reading
 * is enough. */
static bool tells(const hb_mapping *reads, const hb_mapping *fails, hb_row *row)
{
    hb_error why;
    return (!fails || !hb_row_read(fails, row, &why)) && hb_row_read(reads, row, &why);
}

/* Looks among the first records for a row that `reads` can read and `fails` cannot. */
static hb_status try_records(hb_records *records, const hb_mapping *reads, const hb_mapping *fails,
                             bool *found, hb_error *err)
{
    hb_record record;
    hb_row row = {0};
    bool more = true;
    hb_status status = HB_OK;
    for (int n = 0; n < LIMIT && !*found && status == HB_OK; n++) {
        status = hb_records_next(records, &record, &more, err);
        if (status != HB_OK || !more) break;
        hb_rows rows = {.mapping = reads, .record = record.object};
        while (record.object && !*found && hb_rows_next(&rows, &row.scope)) {
            *found = tells(reads, fails, &row);
            hb_row_forget(&row);
        }
    }
    hb_row_free(&row);
    return status;
}

/* Looks for evidence that the file has the preset of `as` and not the preset `other`: a row that only
 * the former can read. If `other` is NULL, a readable row is enough. */
static hb_status try_rows(const looking *l, const hb_detected *as, const hb_preset *other, bool *found)
{
    hb_mapping reads, fails = {0};
    hb_records *records;
    *found = false;
    hb_status status = hb_mapping_open(as->preset, l->options, &reads, l->err);
    if (status != HB_OK) return status;
    if (other) status = hb_mapping_open(other, l->options, &fails, l->err);
    if (status == HB_OK) status = hb_detected_open(l->input, as, NULL, &records, l->err);
    if (status == HB_OK) {
        status = try_records(records, &reads, other ? &fails : NULL, found, l->err);
        hb_records_close(records);
    }
    hb_mapping_close(&reads);
    hb_mapping_close(&fails);
    return status;
}

/* Finds out whether the file is CSV without a header and has the preset's columns. */
static hb_status lacks_header(const looking *l, const hb_preset *preset, hb_detected *detected)
{
    hb_records *records;
    size_t n, wanted = 1;
    bool found = false;
    hb_status status = hb_records_open(l->input, NULL, &records, l->err);
    if (status != HB_OK) return status;
    hb_records_columns(records, &n);
    hb_records_close(records);
    for (const char *comma = preset->columns; (comma = strchr(comma, ',')); comma++) wanted++;
    hb_detected as = {preset, preset->columns};
    if (n == wanted) status = try_rows(l, &as, NULL, &found);
    if (found) *detected = as;
    return status;
}

/* Looks for a preset whose columns fit a table without a header. */
static hb_status find_without_header(const looking *l, hb_detected *detected)
{
    hb_status status = HB_OK;
    for (size_t i = 0; i < hb_n_presets && status == HB_OK && !detected->preset; i++)
        if (hb_presets[i].columns) status = lacks_header(l, &hb_presets[i], detected);
    return status;
}

/* ---- Failing ------------------------------------------------------------------------------------- */

/* Finds the preset of whose fields the first object lacks the smallest share, at most half. Of equal
 * published ones the last, because the general ones come last. */
static hb_status find_nearest(const looking *l, const hb_preset **nearest, char *missing, size_t size)
{
    double least = 0.51;
    *nearest = NULL;
    for (size_t i = 0; i < hb_n_presets; i++) {
        char one[160];
        size_t n_missing, n_needs;
        hb_status status = hb_preset_fits(&hb_presets[i], l->options, l->first, one, sizeof one,
                                          &n_missing, &n_needs, l->err);
        if (status != HB_OK) return status;
        double part = (double)n_missing / (double)n_needs;
        if (part > least || (part == least && i >= hb_own_presets) || !is_allowed(l, &hb_presets[i]))
            continue;
        least = part;
        *nearest = &hb_presets[i];
        snprintf(missing, size, "%s", one);
    }
    return HB_OK;
}

static hb_status fail(const looking *l)
{
    const char *path = l->input->path;
    const hb_preset *nearest;
    char missing[160];
    if (!l->first && !l->broken_line) return hb_fail(l->err, HB_ERR_DATA, "%s: has no records", path);
    if (!l->first)
        return hb_fail(l->err, HB_ERR_FORMAT,
                       "%s:%" PRIu64 ": %s (no record of the file is a JSON object or a row of CSV)",
                       path, l->broken_line, l->broken);
    hb_status status = find_nearest(l, &nearest, missing, sizeof missing);
    if (status != HB_OK) return status;
    if (!nearest)
        return hb_fail(l->err, HB_ERR_FORMAT,
                       "%s: its fields (%s) fit no known format; map them: "
                       "--field prompt=QUESTION --field answers=ANSWER",
                       path, l->fields);
    return hb_fail(l->err, HB_ERR_FORMAT,
                   "%s: its fields (%s) fit no known format; the nearest is %s, which needs '%s'; map "
                   "them: --field prompt=QUESTION --field answers=ANSWER",
                   path, l->fields, nearest->name, missing);
}

static hb_status unknown(const char *name, hb_error *err)
{
    char names[480] = "";
    for (size_t i = 0; i < hb_n_presets; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", hb_presets[i].name);
    }
    return hb_fail(err, HB_ERR_ARGUMENT, "unknown data format '%.40s'; known: %s", name, names);
}

/* ---- Choosing ------------------------------------------------------------------------------------ */

/* The preset that the options determine; NULL if they do not determine one. */
static const hb_preset *decided(const hb_dataset_options *o)
{
    if (o->format) return hb_preset_find(o->format);
    hb_label_by by = o->answers ? HB_BY_GRADE : o->label ? HB_BY_WORD : HB_BY_NOTHING;
    bool whole = by != HB_BY_NOTHING || (o->unlabelled && o->response);
    if (!(o->prompt || o->prompt_template) || !whole) return NULL;
    return hb_preset_own(by, o->response, o->context);
}

static hb_status choose(looking *l, hb_detected *detected)
{
    hb_status status = HB_OK;
    bool found = false;
    detected->preset = decided(l->options);
    if (detected->preset && detected->preset->columns) {
        status = try_rows(l, detected, NULL, &found);
        return status || found ? status : lacks_header(l, detected->preset, detected);
    }
    if (detected->preset) return HB_OK;
    status = look(l, &detected->preset);
    if (status == HB_OK && !detected->preset && l->first) status = find_without_header(l, detected);
    if (status != HB_OK || !detected->preset) return status ? status : fail(l);
    if (!detected->preset->variant) return HB_OK;
    hb_detected variant = {.preset = hb_preset_find(detected->preset->variant)};
    status = try_rows(l, &variant, detected->preset, &found);
    if (found) *detected = variant;
    return status;
}

hb_status hb_detect(const hb_input *input, const hb_dataset_options *options, hb_detected *detected,
                    hb_error *err)
{
    if (options->format && !hb_preset_find(options->format)) return unknown(options->format, err);
    if (options->answers && options->label)
        return hb_fail(err, HB_ERR_ARGUMENT, "map either answers or a label, not both");
    looking l = {.input = input, .options = options, .err = err};
    *detected = (hb_detected){0};
    hb_status status = choose(&l, detected);
    json_decref(l.first);
    if (status == HB_OK && !is_allowed(&l, detected->preset))
        return hb_fail(err, HB_ERR_ARGUMENT, "%s: rows of format %s have no labels", input->path,
                       detected->preset->name);
    return status;
}
