#include "report/subject.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/json_read.h"
#include "report/params.h"
#include "report/ranges.h"

/* ---- Fields -------------------------------------------------------------------------------------- */

const json_t *hb_member(const json_t *object, const char *path)
{
    char name[64];
    while (object && *path) {
        size_t n = strcspn(path, ".");
        if (n >= sizeof name) return NULL;
        memcpy(name, path, n);
        name[n] = '\0';
        object = json_object_get(object, name);
        path += n + (path[n] == '.');
    }
    return object;
}

double hb_member_number(const json_t *object, const char *path)
{
    const json_t *value = hb_member(object, path);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

const char *hb_member_text(const json_t *object, const char *path)
{
    return json_string_value(hb_member(object, path));
}

hb_interval hb_member_interval(const json_t *object, const char *path)
{
    const json_t *list = path ? hb_member(object, path) : NULL;
    return (hb_interval){hb_member_number(json_array_get(list, 0), ""),
                         hb_member_number(json_array_get(list, 1), "")};
}

double *hb_member_numbers(const json_t *list, size_t most, size_t *n)
{
    *n = json_array_size(list) < most ? json_array_size(list) : most;
    double *numbers = calloc(*n + 1, sizeof *numbers);
    for (size_t i = 0; numbers && i < *n; i++)
        numbers[i] = hb_member_number(json_array_get(list, i), "");
    return numbers;
}

/* ---- Curves -------------------------------------------------------------------------------------- */

enum { MOST_POINTS = 1000 };

static double *read_numbers(const json_t *object, const char *name, size_t *n, bool *ok)
{
    double *numbers = hb_member_numbers(json_object_get(object, name), MOST_POINTS, n);
    if (!numbers) *ok = false;
    return numbers;
}

/* Reads a curve; one whose lists have different lengths has no points. */
static void read_curve(const json_t *object, const char *x, const char *y, hb_curve *c, bool *ok)
{
    size_t n[4];
    c->x = read_numbers(object, x, &n[0], ok);
    c->y = read_numbers(object, y, &n[1], ok);
    c->lower = read_numbers(object, "lower", &n[2], ok);
    c->upper = read_numbers(object, "upper", &n[3], ok);
    bool same = n[0] == n[1] && n[0] == n[2] && n[0] == n[3];
    c->n = same && *ok ? n[0] : 0;
}

/* Reads counts; those that are negative or too large count as 0. */
static size_t *read_counts(const json_t *object, const char *name, size_t *n, bool *ok)
{
    double *numbers = read_numbers(object, name, n, ok);
    size_t *counts = numbers ? calloc(*n + 1, sizeof *counts) : NULL;
    if (!counts) *ok = false;
    for (size_t i = 0; counts && i < *n; i++)
        counts[i] = numbers[i] > 0 && numbers[i] < 1e15 ? (size_t)numbers[i] : 0;
    free(numbers);
    return counts;
}

static hb_status read_curves(hb_subject *s, hb_error *err)
{
    const json_t *curves = json_object_get(s->root, "curves");
    const json_t *bars = json_object_get(curves, "histogram");
    hb_curves *c = &s->curves;
    size_t n[3];
    bool ok = true;
    s->has_curves = json_is_object(curves);
    if (!s->has_curves) return HB_OK;
    read_curve(json_object_get(curves, "roc"), "false_positive_rate", "true_positive_rate", &c->roc,
               &ok);
    read_curve(json_object_get(curves, "precision_recall"), "recall", "precision", &c->precision_recall,
               &ok);
    read_curve(json_object_get(curves, "risk_coverage"), "coverage", "risk", &c->risk_coverage, &ok);
    read_curve(json_object_get(curves, "reliability"), "p_fail", "rate", &c->reliability, &ok);
    c->n_in_bin = read_counts(curves, "reliability_n", &n[0], &ok);
    c->bars[0] = read_counts(bars, "label_0", &n[1], &ok);
    c->bars[1] = read_counts(bars, "label_1", &n[2], &ok);
    c->lower = hb_member_number(bars, "lower");
    c->upper = hb_member_number(bars, "upper");
    c->n_bars = n[1] == n[2] && isfinite(c->lower) && c->upper > c->lower ? n[1] : 0;
    if (n[0] != c->reliability.n) c->reliability.n = 0;
    return ok ? HB_OK : hb_fail_memory(err);
}

static void free_curve(hb_curve *c)
{
    free(c->x);
    free(c->y);
    free(c->lower);
    free(c->upper);
}

/* ---- The document -------------------------------------------------------------------------------- */

/* Finds what the document is about. */
static hb_status recognise(hb_subject *s, const char *path, hb_error *err)
{
    const char *schema = hb_member_text(s->root, "schema");
    const json_t *version = json_object_get(s->root, "schema_version");
    if (schema && strcmp(schema, HB_PARAMS_SCHEMA) == 0) {
        if (json_integer_value(version) > HB_PARAMS_VERSION)
            return hb_fail(err, HB_ERR_UNSUPPORTED,
                           "%s: version %lld of parameters is newer than this hbar, which knows %d",
                           path, (long long)json_integer_value(version), HB_PARAMS_VERSION);
        s->main = s->root;
        s->score = hb_member_text(s->root, "score.name");
        s->tau = hb_member_number(s->root, "threshold.tau");
    } else if (schema && strcmp(schema, HB_VALIDATION_SCHEMA) == 0) {
        s->is_validation = true;
        s->score = hb_member_text(s->root, "score");
        s->main = s->score ? json_object_get(hb_member(s->root, "scores"), s->score) : NULL;
        s->tau = hb_member_number(s->main, "at_tau.tau");
    } else {
        return hb_fail(err, HB_ERR_FORMAT,
                       "%s: is neither a run, nor parameters of hbar calibrate, nor a validation of "
                       "hbar validate --json",
                       path);
    }
    if (s->score && json_is_object(s->main)) return HB_OK;
    return hb_fail(err, HB_ERR_FORMAT, "%s: the field 'score' is missing or damaged", path);
}

hb_status hb_subject_read(const char *name, const char *path, const char *json, size_t length,
                          hb_subject *subject, hb_error *err)
{
    hb_subject s = {.tau = NAN};
    json_error_t why;
    hb_status status = hb_json_load(json, length, JSON_REJECT_DUPLICATES, &s.root, &why, err);
    if (!status && !s.root) status = hb_fail(err, HB_ERR_FORMAT, "%s:%d: %s", path, why.line, why.text);
    if (!status) status = recognise(&s, path, err);
    if (!status) status = hb_check_ranges(path, s.root, err);
    if (!status) status = read_curves(&s, err);
    if (!status && !(s.name = strdup(name))) status = hb_fail_memory(err);
    if (status) hb_subject_free(&s);
    else *subject = s;
    return status;
}

hb_status hb_subject_read_file(const char *path, hb_subject *subject, hb_error *err)
{
    hb_buffer text = {0};
    hb_status status = hb_read_file(path, HB_PARAMS_BYTES, &text, err);
    if (!status)
        status = hb_subject_read(hb_base_name(path), path, text.data, text.length, subject, err);
    hb_buffer_free(&text);
    return status;
}

static void free_shown(hb_shown *s)
{
    free(s->id);
    free(s->prompt);
    free(s->text);
    free(s->levels);
    free(s->characters);
}

void hb_subject_free(hb_subject *s)
{
    hb_curves *c = &s->curves;
    json_decref(s->root);
    free(s->name);
    free_curve(&c->roc);
    free_curve(&c->precision_recall);
    free_curve(&c->risk_coverage);
    free_curve(&c->reliability);
    free(c->n_in_bin);
    free(c->bars[0]);
    free(c->bars[1]);
    for (size_t i = 0; i < s->n_shown; i++) free_shown(&s->shown[i]);
    free(s->shown);
    *s = (hb_subject){0};
}
