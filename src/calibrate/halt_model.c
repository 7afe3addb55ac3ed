#include "calibrate/halt_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "calibrate/folds.h"
#include "calibrate/halts.h"
#include "calibrate/trained.h"
#include "signals/probe.h"
#include "signals/running.h"

/* ---- Halves -------------------------------------------------------------------------------------- */

/* The samples of a table in one half. */
typedef struct half {
    hb_score_table table; /* with indices, labels and groups only */
    size_t *places;       /* [table.n], in the whole table */
} half;

static void free_half(half *h)
{
    hb_score_table_free(&h->table);
    free(h->places);
}

/* Numbers the groups of a half anew, so that they are below its number of samples. */
static bool number_groups(const hb_score_table *whole, half *h)
{
    size_t *given = calloc(whole->n + 1, sizeof *given), n = 0; /* 0: not yet numbered */
    if (!given) return false;
    for (size_t i = 0; i < h->table.n; i++) {
        size_t *number = &given[whole->groups[h->places[i]]];
        if (!*number) *number = ++n;
        h->table.groups[i] = (uint32_t)(*number - 1);
    }
    free(given);
    return true;
}

/* Takes the samples with of[i] == which. */
static hb_status take_half(const hb_score_table *whole, const uint32_t *of, uint32_t which, half *h,
                           hb_error *err)
{
    hb_score_table *t = &h->table;
    *h = (half){.places = calloc(whole->n + 1, sizeof *h->places)};
    t->indices = calloc(whole->n + 1, sizeof *t->indices);
    t->labels = calloc(whole->n + 1, sizeof *t->labels);
    if (whole->groups) t->groups = calloc(whole->n + 1, sizeof *t->groups);
    if (!h->places || !t->indices || !t->labels || (whole->groups && !t->groups))
        return hb_fail_memory(err);
    for (size_t i = 0; i < whole->n; i++) {
        if (of[i] != which) continue;
        h->places[t->n] = i;
        t->indices[t->n] = whole->indices[i];
        t->labels[t->n++] = whole->labels[i];
    }
    return !whole->groups || number_groups(whole, h) ? HB_OK : hb_fail_memory(err);
}

static hb_status divide(const hb_halt_fit *fit, half halves[2], hb_error *err)
{
    const hb_score_table *t = fit->table;
    size_t dealt;
    uint32_t *of = calloc(t->n + 1, sizeof *of);
    if (!of) return hb_fail_memory(err);
    hb_status status = hb_deal_folds(t->labels, t->groups, t->n, 2, fit->seed, of, &dealt, err);
    for (uint32_t k = 0; k < 2 && !status; k++) status = take_half(t, of, k, &halves[k], err);
    free(of);
    return status;
}

/* ---- Fitting ------------------------------------------------------------------------------------- */

static bool is_probe(const char *name)
{
    const hb_signal *signal;
    return hb_halt_feature(name, &signal) && !signal;
}

static bool needs_probe(const hb_halt_fit *fit)
{
    bool needs = !fit->n_names;
    for (size_t k = 0; k < fit->n_names; k++) needs = needs || is_probe(fit->names[k]);
    return needs;
}

/* Fits the joint model. `odds` [h->table.n] has the probe's log-odds out of fold, and receives the
 * joint model's. */
static hb_status fit_joint(const hb_halt_fit *fit, const half *h, hb_joint *joint, double *odds,
                           hb_error *err)
{
    const size_t n = h->table.n;
    hb_joint_options o = hb_joint_defaults();
    double *x = calloc(n * fit->n_names + 1, sizeof *x);
    if (!x) return hb_fail_memory(err);
    o.seed = fit->seed;
    o.groups = h->table.groups;
    for (size_t k = 0; k < fit->n_names; k++)
        for (size_t i = 0; i < n; i++)
            x[k * n + i] = is_probe(fit->names[k]) ? odds[i] : fit->columns[k][h->places[i]];
    hb_status status =
        hb_joint_fit(x, h->table.labels, n, fit->n_names, fit->names, &o, joint, odds, err);
    free(x);
    return status;
}

/* Takes the means and the standard deviation of a cusum from log-odds out of fold. */
static hb_status fit_cusum(const hb_score_table *t, const double *odds, hb_halt_rule *rule,
                           hb_error *err)
{
    double n[2] = {0}, sum[2] = {0}, squares = 0;
    for (size_t i = 0; i < t->n; i++) n[t->labels[i]]++, sum[t->labels[i]] += odds[i];
    for (int label = 0; label < 2; label++) rule->mean[label] = sum[label] / n[label];
    for (size_t i = 0; i < t->n; i++) {
        double off = odds[i] - rule->mean[t->labels[i]];
        squares += off * off;
    }
    rule->sd = sqrt(squares / (double)t->n);
    if (rule->sd > 0 && rule->mean[1] > rule->mean[0]) return HB_OK;
    return hb_fail(err, HB_ERR_DATA,
                   "a cusum cannot be fitted: out of fold, the model does not tell right answers "
                   "from hallucinated ones");
}

/* Fits the model to a half. */
static hb_status fit_half(hb_run *run, const hb_halt_fit *fit, const half *h, hb_halt_rule *rule,
                          hb_halt_model *model, hb_error *err)
{
    hb_error why;
    hb_series steps = {0};
    double *odds = calloc(h->table.n + 1, sizeof *odds);
    hb_status status = odds ? HB_OK : hb_fail_memory(&why);
    if (!status && needs_probe(fit)) {
        status = hb_read_steps(run, NULL, &h->table, &steps, &why);
        if (!status)
            status = hb_train_halt_probe(run, &h->table, &steps, fit->seed, &model->probe, odds, &why);
    }
    if (!status && fit->n_names) status = fit_joint(fit, h, &model->joint, odds, &why);
    if (!status && rule->kind == HB_HALT_CUSUM) status = fit_cusum(&h->table, odds, rule, &why);
    hb_series_free(&steps);
    free(odds);
    if (status == HB_ERR_DATA)
        return hb_fail(err, status, "the halt's model, fitted to half of the answers: %s", why.message);
    return status ? hb_fail(err, status, "%s", why.message) : HB_OK;
}

hb_status hb_fit_halt_model(hb_run *run, const hb_halt_fit *fit, hb_halt_rule *rule,
                            hb_halt_model **model, hb_series *series, size_t *n_fitted, hb_error *err)
{
    half halves[2] = {0};
    hb_halt_model *m = calloc(1, sizeof *m);
    hb_status status = m ? divide(fit, halves, err) : hb_fail_memory(err);
    if (!status) status = fit_half(run, fit, &halves[0], rule, m, err);
    if (!status) status = hb_halt_model_series(run, m, &halves[1].table, series, err);
    *n_fitted = halves[0].table.n;
    for (int k = 0; k < 2; k++) free_half(&halves[k]);
    if (status) hb_halt_model_free(m);
    else *model = m;
    return status;
}

/* ---- Values at steps ----------------------------------------------------------------------------- */

/* Reads the values that the model's feature k has at each step. */
static hb_status read_feature(hb_run *run, const hb_halt_model *m, size_t k,
                              const hb_score_table *table, hb_series *series, hb_error *err)
{
    const hb_signal *signal = NULL;
    if (m->joint.n_features) hb_halt_feature(m->joint.features[k].score, &signal);
    hb_status status = hb_read_steps(run, signal, table, series, err);
    return status || signal ? status : hb_probe_steps(run, m->probe, table, series, err);
}

/* Replaces the first feature's series by the model's. */
static hb_status combine(const hb_halt_model *m, hb_series *features, hb_error *err)
{
    const size_t n = hb_halt_model_count(m), n_steps = features[0].starts[features[0].n];
    double *values = calloc(n, sizeof *values);
    if (!values) return hb_fail_memory(err);
    for (size_t t = 0; t < n_steps; t++) {
        for (size_t k = 0; k < n; k++) values[k] = (double)features[k].values[t];
        features[0].values[t] = hb_running_round(hb_halt_model_value(m, values));
    }
    free(values);
    return HB_OK;
}

hb_status hb_halt_model_series(hb_run *run, const hb_halt_model *model, const hb_score_table *table,
                               hb_series *series, hb_error *err)
{
    const size_t n = hb_halt_model_count(model);
    hb_series *features = calloc(n, sizeof *features);
    hb_status status = features ? HB_OK : hb_fail_memory(err);
    for (size_t k = 0; k < n && !status; k++)
        status = read_feature(run, model, k, table, &features[k], err);
    if (!status) status = combine(model, features, err);
    if (!status) {
        *series = features[0];
        features[0] = (hb_series){0};
    }
    for (size_t k = 0; k < n && features; k++) hb_series_free(&features[k]);
    free(features);
    return status;
}
