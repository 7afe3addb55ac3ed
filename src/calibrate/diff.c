/* Compares two runs: settings, and the AUROC of each score with a paired test. */
#include "calibrate/diff.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/texts.h"
#include "calibrate/metrics.h"
#include "store/run.h"

/* ---- The result ---------------------------------------------------------------------------------- */

/* Copies a value; *copy is NULL for none. False when memory runs out. */
static bool copy_value(const char *value, char **copy)
{
    *copy = value && *value ? strdup(value) : NULL;
    return *copy || !value || !*value;
}

bool hb_diff_add_setting(hb_diff *d, const char *name, const char *a, const char *b)
{
    if (strcmp(a ? a : "", b ? b : "") == 0) return true;
    hb_changed_setting *list = reallocarray(d->settings, d->n_settings + 1, sizeof *list);
    if (!list) return false;
    d->settings = list;
    hb_changed_setting *s = &list[d->n_settings++];
    *s = (hb_changed_setting){.name = strdup(name)};
    return s->name && copy_value(a, &s->values[0]) && copy_value(b, &s->values[1]);
}

hb_compared_result *hb_diff_add_score(hb_diff *d, const char *name)
{
    const hb_interval unknown = {NAN, NAN};
    hb_compared_result *list = reallocarray(d->scores, d->n_scores + 1, sizeof *list);
    if (!list) return NULL;
    d->scores = list;
    hb_compared_result *s = &list[d->n_scores++];
    *s = (hb_compared_result){.name = strdup(name),
                              .auroc = {NAN, NAN},
                              .interval = {unknown, unknown},
                              .direction = {HB_DIRECTION_AUTO, HB_DIRECTION_AUTO},
                              .difference = {NAN, NAN, NAN, NAN},
                              .p_holm = NAN};
    return s->name ? s : NULL;
}

/* NaN comes last; equal scores by name. */
static int by_auroc(const void *a, const void *b)
{
    const hb_compared_result *x = a, *y = b;
    double p = isnan(x->auroc[0]) ? -1 : x->auroc[0], q = isnan(y->auroc[0]) ? -1 : y->auroc[0];
    if (p != q) return p < q ? 1 : -1;
    return strcmp(x->name, y->name);
}

void hb_diff_sort(hb_diff *d)
{
    if (d->n_scores) qsort(d->scores, d->n_scores, sizeof *d->scores, by_auroc);
}

hb_status hb_diff_leave_untested(hb_diff *d, const char *why, hb_error *err)
{
    d->untested = strdup(why);
    return d->untested ? HB_OK : hb_fail_memory(err);
}

void hb_diff_free(hb_diff *d)
{
    if (!d) return;
    for (size_t i = 0; i < d->n_settings; i++) {
        free(d->settings[i].name);
        free(d->settings[i].values[0]);
        free(d->settings[i].values[1]);
    }
    for (size_t i = 0; i < d->n_scores; i++) free(d->scores[i].name);
    free(d->settings);
    free(d->scores);
    free(d->untested);
    *d = (hb_diff){0};
}

/* ---- Settings ------------------------------------------------------------------------------------ */

static hb_status compare_settings(hb_run *const runs[2], hb_diff *d, hb_error *err)
{
    for (size_t i = 0;; i++) {
        const char *name = NULL;
        char *texts[2] = {NULL, NULL};
        hb_status status = HB_OK;
        for (int r = 0; r < 2 && !status; r++)
            status = hb_run_setting_at(hb_run_get_settings(runs[r]), i, &name, &texts[r], err);
        bool ends = !status && !name;
        if (!status && name && !hb_diff_add_setting(d, name, texts[0], texts[1]))
            status = hb_fail_memory(err);
        free(texts[0]);
        free(texts[1]);
        if (status || ends) return status;
    }
}

/* ---- Scores -------------------------------------------------------------------------------------- */

typedef struct comparing {
    hb_run *runs[2];
    hb_texts names; /* of the scores that both have */
    hb_score_table tables[2];
    size_t *places[2]; /* [n_shared], of the shared samples in each table */
    hb_diff *diff;
} comparing;

/* Lists the usual scores of signals, and scores that belong to no signal, that both runs have. */
static bool list_scores(comparing *c)
{
    const hb_signal *signal;
    const char *name;
    hb_score_id id;
    bool ok = true;
    for (size_t i = 0; ok && (signal = hb_signal_at(i)) != NULL; i++) {
        name = hb_signal_name(signal);
        if (hb_run_has_score(c->runs[0], name) && hb_run_has_score(c->runs[1], name))
            ok = hb_texts_add_once(&c->names, name);
    }
    for (size_t i = 0; ok && (name = hb_run_score_name(c->runs[0], i)) != NULL; i++)
        if (!hb_score_find(name, &id) && hb_run_has_score(c->runs[1], name))
            ok = hb_texts_add_once(&c->names, name);
    return ok;
}

static hb_status read_tables(comparing *c, const hb_grading *grading, hb_error *err)
{
    hb_status status = HB_OK;
    for (int r = 0; r < 2 && !status; r++) {
        status = hb_run_table(c->runs[r], (const char *const *)c->names.list, c->names.n, grading,
                              &c->tables[r], err);
        if (!status) c->diff->n[r] = c->tables[r].n;
    }
    return status;
}

/* Finds the AUROC of score k in one run. What allows none, such as a single class, is no error. */
static hb_status judge(const comparing *c, size_t k, int r, hb_compared_result *s, hb_error *err)
{
    const hb_score_table *t = &c->tables[r];
    const hb_sweep_options sweep = hb_sweep_defaults();
    hb_bootstrap_options none = hb_bootstrap_defaults();
    hb_sweep_result result;
    hb_uncertainty u;
    hb_error why;
    none.n_draws = 0;
    none.groups = t->groups;
    hb_status status = hb_sweep_tails(hb_table_tails(t, k), t->labels, t->n, &sweep, &result, &why);
    if (status == HB_ERR_MEMORY) return hb_fail_memory(err);
    if (status) return HB_OK;
    hb_sweep_free(&result);
    status = hb_find_uncertainty(hb_tail(hb_table_tails(t, k), result.direction), t->labels, t->n,
                                 result.direction, &none, &u, err);
    if (status) return status;
    s->auroc[r] = result.auroc;
    s->direction[r] = result.direction;
    s->interval[r] = u.auroc_delong;
    return HB_OK;
}

/* ---- Shared samples ------------------------------------------------------------------------------ */

/* What is the same in both tables for the same sample. */
typedef struct key {
    uint64_t value;
    size_t place;
} key;

static int by_value(const void *a, const void *b)
{
    const key *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* The table's samples by index or by prompt, ascending; those whose key is not unique are left out. *n
 * is their number. NULL when memory runs out. */
static key *list_keys(const hb_score_table *t, bool by_index, size_t *n)
{
    const uint64_t *values = by_index ? t->indices : t->prompts;
    key *keys = calloc(t->n + 1, sizeof *keys);
    size_t count = values ? t->n : 0, kept = 0;
    if (!keys) return NULL;
    for (size_t i = 0; i < count; i++) keys[i] = (key){values[i], i};
    if (count) qsort(keys, count, sizeof *keys, by_value);
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && keys[end].value == keys[i].value;) end++;
        if (end == i + 1) keys[kept++] = keys[i];
    }
    *n = kept;
    return keys;
}

static bool is_same_data(hb_run *const runs[2])
{
    const hb_run_settings *a = hb_run_get_settings(runs[0]), *b = hb_run_get_settings(runs[1]);
    return strcmp(a->data_sha256, b->data_sha256) == 0 && strcmp(a->data_format, b->data_format) == 0;
}

static hb_status find_shared(comparing *c, hb_error *err)
{
    const hb_score_table *t = c->tables;
    bool by_index = is_same_data(c->runs);
    size_t n[2] = {0, 0}, count = 0;
    key *keys[2] = {list_keys(&t[0], by_index, &n[0]), list_keys(&t[1], by_index, &n[1])};
    for (int r = 0; r < 2; r++) c->places[r] = calloc(t[0].n + 1, sizeof *c->places[r]);
    bool ok = keys[0] && keys[1] && c->places[0] && c->places[1];
    for (size_t i = 0, j = 0; ok && i < n[0] && j < n[1];) {
        uint64_t a = keys[0][i].value, b = keys[1][j].value;
        if (a == b) {
            c->places[0][count] = keys[0][i].place;
            c->places[1][count] = keys[1][j].place;
            c->diff->n_relabelled += t[0].labels[keys[0][i].place] != t[1].labels[keys[1][j].place];
            count++;
        }
        i += a <= b;
        j += b <= a;
    }
    c->diff->n_shared = count;
    free(keys[0]);
    free(keys[1]);
    return ok ? HB_OK : hb_fail_memory(err);
}

/* ---- Tests --------------------------------------------------------------------------------------- */

/* The shared samples' values and labels in one run, for score k. */
static void gather(const comparing *c, size_t k, int r, hb_direction direction, double *values,
                   uint8_t *labels)
{
    const hb_score_table *t = &c->tables[r];
    const double *from = hb_tail(hb_table_tails(t, k), direction);
    for (size_t i = 0; i < c->diff->n_shared; i++) {
        size_t place = c->places[r][i];
        values[i] = direction == HB_DIRECTION_LOW ? -from[place] : from[place];
        labels[i] = t->labels[place];
    }
}

/* The groups of the shared samples, as the first run has them, numbered below n_shared. NULL: all are
 * independent. */
static hb_status number_groups(const comparing *c, uint32_t **groups, hb_error *err)
{
    const hb_score_table *t = &c->tables[0];
    size_t n = c->diff->n_shared;
    uint32_t next = 0;
    *groups = NULL;
    if (!t->groups) return HB_OK;
    uint32_t *numbers = calloc(n + 1, sizeof *numbers), *of = calloc(t->n + 1, sizeof *of);
    if (!numbers || !of) {
        free(numbers);
        free(of);
        return hb_fail_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t *number = &of[t->groups[c->places[0][i]]]; /* 0: not seen yet */
        if (!*number) *number = ++next;
        numbers[i] = *number - 1;
    }
    free(of);
    *groups = numbers;
    return HB_OK;
}

/* Buffers for one test. */
typedef struct pair {
    double *values[2];
    uint8_t *labels[2];
    uint32_t *groups;
} pair;

static hb_status test_scores(comparing *c, const pair *p, double *p_values, hb_error *err)
{
    hb_diff *d = c->diff;
    hb_error why;
    for (size_t k = 0; k < d->n_scores; k++) {
        hb_compared_result *s = &d->scores[k];
        if (isnan(s->auroc[0]) || isnan(s->auroc[1])) continue;
        for (int r = 0; r < 2; r++) gather(c, k, r, s->direction[r], p->values[r], p->labels[r]);
        hb_status status =
            hb_delong_compare_labelled(p->values[0], p->labels[0], p->values[1], p->labels[1],
                                       p->groups, d->n_shared, &s->difference, &why);
        if (status == HB_ERR_MEMORY) return hb_fail_memory(err);
        if (status) return hb_diff_leave_untested(d, why.message, err);
        p_values[k] = s->difference.p;
    }
    return HB_OK;
}

/* Tests each score on the shared samples. `scores` are still in the order of the tables. */
static hb_status test(comparing *c, hb_error *err)
{
    hb_diff *d = c->diff;
    size_t n = d->n_shared + 1;
    pair p = {.groups = NULL};
    if (!d->n_shared) return hb_diff_leave_untested(d, "the runs share no labelled samples", err);
    double *p_values = calloc(2 * d->n_scores + 1, sizeof *p_values);
    for (size_t k = 0; p_values && k < d->n_scores; k++) p_values[k] = NAN;
    for (int r = 0; r < 2; r++) {
        p.values[r] = calloc(n, sizeof *p.values[r]);
        p.labels[r] = calloc(n, sizeof *p.labels[r]);
    }
    bool ok = p_values && p.values[0] && p.values[1] && p.labels[0] && p.labels[1];
    hb_status status = ok ? number_groups(c, &p.groups, err) : hb_fail_memory(err);
    if (!status) status = test_scores(c, &p, p_values, err);
    double *adjusted = ok ? p_values + d->n_scores : NULL;
    if (!status) status = hb_holm(p_values, d->n_scores, adjusted, err);
    for (size_t k = 0; k < d->n_scores && !status; k++) d->scores[k].p_holm = adjusted[k];
    free(p_values);
    for (int r = 0; r < 2; r++) {
        free(p.values[r]);
        free(p.labels[r]);
    }
    free(p.groups);
    return status;
}

static hb_status compare_scores(comparing *c, const hb_grading *grading, hb_error *err)
{
    if (!list_scores(c)) return hb_fail_memory(err);
    hb_status status = read_tables(c, grading, err);
    for (size_t k = 0; k < c->names.n && !status; k++) {
        hb_compared_result *s = hb_diff_add_score(c->diff, c->names.list[k]);
        if (!s) return hb_fail_memory(err);
        for (int r = 0; r < 2 && !status; r++) status = judge(c, k, r, s, err);
    }
    if (!status) status = find_shared(c, err);
    return status ? status : test(c, err);
}

/* Refuses two runs that both have answers to grade, and grade them by different rules. */
static hb_status check_gradings(hb_run *const runs[2], hb_error *err)
{
    char texts[2][HB_GRADING_TEXT_BYTES];
    hb_grading gradings[2];
    for (int r = 0; r < 2; r++) {
        hb_run_counts counts;
        hb_status status = hb_run_count(runs[r], &counts, err);
        if (status || !counts.graded) return status;
        gradings[r] = hb_run_grading(runs[r]);
        hb_grading_text(&gradings[r], texts[r]);
    }
    if (hb_grading_same(&gradings[0], &gradings[1])) return HB_OK;
    return hb_fail(err, HB_ERR_MISMATCH,
                   "the first run grades answers by %s, the second by %s; a comparison needs one rule",
                   texts[0], texts[1]);
}

hb_status hb_diff_runs(hb_run *a, hb_run *b, const hb_grading *grading, hb_diff *diff, hb_error *err)
{
    hb_diff d = {0};
    comparing c = {.runs = {a, b}, .diff = &d};
    hb_status status = grading ? HB_OK : check_gradings(c.runs, err);
    if (!status) status = compare_settings(c.runs, &d, err);
    if (!status) status = compare_scores(&c, grading, err);
    for (int r = 0; r < 2; r++) {
        hb_score_table_free(&c.tables[r]);
        free(c.places[r]);
    }
    hb_texts_free(&c.names);
    if (status) {
        hb_diff_free(&d);
        return status;
    }
    hb_diff_sort(&d);
    *diff = d;
    return HB_OK;
}
