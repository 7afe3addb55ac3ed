/* Pass 2 on runs. The list of needed scores is built first, so that the run is read only once. */
#include <stdlib.h>
#include <string.h>
#include "base/hashes.h"
#include "base/names.h"
#include "base/texts.h"
#include "calibrate/calibrate.h"
#include "calibrate/columns.h"
#include "calibrate/halt_model.h"
#include "calibrate/halting.h"
#include "calibrate/halts.h"
#include "calibrate/metrics.h"
#include "calibrate/trained.h"
#include "signals/probe.h"
#include "signals/scores.h"

/* ---- Scores' names ------------------------------------------------------------------------------ */

/* Adds a score. Where high values are risky, a run of an earlier version has the score with top5, which
 * is the same as the one with tail5. */
static bool add_score(const hb_run *run, const char *score, hb_direction direction, hb_texts *names)
{
    char *top = hb_score_tail_name(score, HB_DIRECTION_HIGH);
    bool old = direction == HB_DIRECTION_HIGH && top && !hb_run_has_score(run, score) &&
               hb_run_has_score(run, top);
    bool ok = top && hb_texts_add_once(names, old ? top : score);
    free(top);
    return ok;
}

/* Adds each signal of the run with its usual aggregation; with top5 in a run of an earlier version. */
static bool add_usual(const hb_run *run, hb_texts *names)
{
    const hb_signal_set *signals = hb_run_get_settings(run)->signals;
    const hb_signal *signal;
    bool ok = true;
    for (size_t i = 0; ok && (signal = hb_signal_set_at(signals, i)) != NULL; i++)
        ok = add_score(run, hb_signal_name(signal), HB_DIRECTION_HIGH, names);
    return ok;
}

/* Names the scores that hold the lowest and highest value of a score's signal. Release the names with
 * free(). *n is 0 for a score that has no signal. */
static bool name_extremes(const char *score, char *extremes[2], size_t *n)
{
    static const hb_aggregation aggregations[2] = {HB_AGGREGATION_MIN, HB_AGGREGATION_MAX};
    hb_score_id id;
    bool ok = true;
    *n = 0;
    if (!hb_score_find(score, &id)) return true;
    for (int i = 0; i < 2; i++) {
        extremes[i] = hb_score_name((hb_score_id){id.signal, aggregations[i]});
        ok = extremes[i] && ok;
    }
    *n = 2;
    return ok;
}

static bool add_extremes(const char *score, hb_texts *names)
{
    char *extremes[2];
    size_t n;
    bool ok = name_extremes(score, extremes, &n);
    for (size_t i = 0; i < n; i++) {
        ok = ok && hb_texts_add_once(names, extremes[i]);
        free(extremes[i]);
    }
    return ok;
}

/* ---- A run, read -------------------------------------------------------------------------------- */

typedef struct reading {
    hb_texts names; /* the table's scores: the first n_asked are evaluated, the others are extra data */
    size_t n_asked;
    hb_score_table table;
} reading;

static void free_reading(reading *r)
{
    hb_score_table_free(&r->table);
    hb_texts_free(&r->names);
}

/* Whether a name is that of a probe instead of a stored score. */
static bool is_probe(const hb_run *run, const char *name)
{
    return !hb_run_has_score(run, name) && hb_run_has_probe(run, name);
}

/* Moves the stored scores' columns to the places of their names; the probes' columns are 0. */
static hb_status spread(const hb_run *run, reading *r, hb_error *err)
{
    hb_score_table *t = &r->table;
    size_t n = t->n, n_names = r->names.n, from = 0;
    double *scores = calloc(n_names * n + 1, sizeof *scores), *low = NULL;
    if (t->low) low = calloc(n_names * n + 1, sizeof *low);
    if (!scores || (t->low && !low)) {
        free(scores);
        free(low);
        return hb_fail_memory(err);
    }
    for (size_t k = 0; k < n_names; k++) {
        if (is_probe(run, r->names.list[k])) continue;
        memcpy(scores + k * n, t->scores + from * n, n * sizeof *scores);
        if (low) memcpy(low + k * n, t->low + from * n, n * sizeof *low);
        from++;
    }
    free(t->scores);
    free(t->low);
    t->scores = scores;
    t->low = low;
    t->n_scores = n_names;
    return HB_OK;
}

/* Reads the stored scores. */
static hb_status read_run(hb_run *run, const hb_grading *grading, reading *r, hb_error *err)
{
    const char **stored = calloc(r->names.n + 1, sizeof *stored);
    size_t n = 0;
    if (!stored) return hb_fail_memory(err);
    for (size_t k = 0; k < r->names.n; k++)
        if (!is_probe(run, r->names.list[k])) stored[n++] = r->names.list[k];
    hb_status status = hb_run_table(run, stored, n, grading, &r->table, err);
    free(stored);
    return status || n == r->names.n ? status : spread(run, r, err);
}

/* Puts a probe's values into its column. */
static void set_column(const reading *r, size_t k, const double *values)
{
    const hb_score_table *t = &r->table;
    memcpy(t->scores + k * t->n, values, t->n * sizeof *values);
    if (t->low) memcpy(t->low + k * t->n, values, t->n * sizeof *values);
}

/* Trains the probes among the names. */
static hb_status train(hb_run *run, const reading *r, hb_probe ***probes, size_t *n_probes,
                       hb_error *err)
{
    double *values = calloc(r->table.n + 1, sizeof *values);
    *probes = calloc(r->names.n + 1, sizeof **probes);
    *n_probes = 0;
    hb_status status = values && *probes ? HB_OK : hb_fail_memory(err);
    for (size_t k = 0; k < r->names.n && !status; k++) {
        const char *name = r->names.list[k];
        if (!is_probe(run, name)) continue;
        status = hb_train_probe(run, name, &r->table, *probes + *n_probes, values, err);
        if (!status) ++*n_probes, set_column(r, k, values);
    }
    free(values);
    return status;
}

/* Measures the trained probes among the names. */
static hb_status apply(hb_run *run, const hb_params *p, const reading *r, hb_error *err)
{
    double *values = calloc(r->table.n + 1, sizeof *values);
    hb_status status = values ? HB_OK : hb_fail_memory(err);
    for (size_t k = 0; k < r->names.n && !status; k++) {
        const char *name = r->names.list[k];
        if (!is_probe(run, name)) continue;
        const hb_probe *probe = hb_probes_find(p->probes, p->n_probes, name);
        status = probe ? hb_apply_probe(run, probe, &r->table, values, err)
                       : hb_fail(err, HB_ERR_DATA, "the parameters have no probe '%s'", name);
        if (!status) set_column(r, k, values);
    }
    free(values);
    return status;
}

/* Adjusts options to the probes among the scores. High values of a single probe are risky, because they
 * are log-odds. A guarantee needs scores that were not fitted to the same samples. */
static hb_status respect_probes(const hb_run *run, const reading *r, hb_calibrate_options *options,
                                hb_error *err)
{
    for (size_t k = 0; k < r->n_asked; k++) {
        if (!is_probe(run, r->names.list[k])) continue;
        if (options->sweep.direction == HB_DIRECTION_LOW)
            return hb_fail(err, HB_ERR_ARGUMENT, "the probe '%s' requires that high values are risky",
                           r->names.list[k]);
        if (r->n_asked == 1) options->sweep.direction = HB_DIRECTION_HIGH;
        if (options->sweep.guarantee.kind != HB_GUARANTEE_NONE)
            return hb_fail(err, HB_ERR_ARGUMENT,
                           "a guarantee needs a score that was not fitted to the same samples, so the "
                           "probe '%s' cannot have one",
                           r->names.list[k]);
    }
    return HB_OK;
}

/* A view of the table with the evaluated scores only, which come first. */
static hb_score_table asked(const reading *r)
{
    hb_score_table t = r->table;
    t.n_scores = r->n_asked;
    return t;
}

/* The values of a score that was read. */
static hb_tails column(const reading *r, const char *name)
{
    return hb_table_tails(&r->table,
                          hb_name_place((const char *const *)r->names.list, r->names.n, name));
}

/* Counts what halting by a score's signal would have stopped. *found is false for a score that has no
 * signal. */
static hb_status count_halting(const reading *r, const char *score, const hb_map *map, double cutoff,
                               hb_halting *halting, bool *found, hb_error *err)
{
    char *extremes[2];
    size_t n;
    bool ok = name_extremes(score, extremes, &n);
    *found = ok && n == 2;
    if (*found)
        *halting = hb_count_halting(column(r, extremes[0]).low, column(r, extremes[1]).high,
                                    r->table.labels, r->table.n, map, cutoff);
    for (size_t i = 0; i < n; i++) free(extremes[i]);
    return ok ? HB_OK : hb_fail_memory(err);
}

/* The name of the score that holds the riskiest value of a score's signal. NULL when memory runs out.
 */
static char *name_riskiest(const hb_signal *signal, hb_direction direction)
{
    return hb_score_name(
        (hb_score_id){signal, direction == HB_DIRECTION_LOW ? HB_AGGREGATION_MIN : HB_AGGREGATION_MAX});
}

/* Reads the values of a signal at each step of the samples. */
static hb_status read_steps(hb_run *run, const reading *r, const hb_signal *signal,
                            hb_direction direction, hb_series *series, hb_error *err)
{
    char *name = name_riskiest(signal, direction);
    if (!name) return hb_fail_memory(err);
    hb_status status = hb_read_series(run, signal, &r->table, column(r, name).high, series, err);
    free(name);
    return status;
}

/* Evaluates the run's tokens, with alarms of the calibrated score's signal. */
static hb_status report_tokens(hb_run *run, const char *score, const hb_map *map, double cutoff,
                               const hb_calibrated_score *scores, size_t n_scores,
                               hb_token_report *report, hb_error *err)
{
    hb_score_id id;
    hb_monitor m = hb_monitor_defaults();
    m.watched = hb_score_find(score, &id) ? id.signal : NULL;
    m.map = map;
    m.tau = map->tau;
    m.direction = map->direction;
    m.cutoff = cutoff;
    return hb_run_report_tokens(run, &m, scores, n_scores, report, err);
}

/* ---- Calibrating -------------------------------------------------------------------------------- */

/* Lists the named scores, the usual score of each signal, and the extremes of every score that may be
 * chosen. */
static hb_status name_calibrated(const hb_run *run, const char *const *scores, size_t n, bool joint,
                                 hb_direction direction, reading *r, hb_error *err)
{
    bool ok = true;
    for (size_t k = 0; k < n && ok; k++) ok = add_score(run, scores[k], direction, &r->names);
    r->n_asked = r->names.n;
    if (ok) ok = add_usual(run, &r->names);
    for (size_t k = 0; k < n && ok && !joint; k++) ok = add_extremes(scores[k], &r->names);
    return ok ? HB_OK : hb_fail_memory(err);
}

/* Adds the calibration of another signal. Skips a signal that cannot be calibrated, for example because
 * all its values are equal. A range of tau has the units of the requested score, so other signals use
 * the quantile grid. The guarantee applies only to the calibrated score. */
static hb_status add_other(const reading *r, const char *name, hb_calibration_result *c, hb_error *err)
{
    hb_sweep_options o = c->options.sweep;
    hb_sweep_result sweep;
    hb_error why;
    o.direction = HB_DIRECTION_AUTO;
    o.guarantee.kind = HB_GUARANTEE_NONE;
    if (o.grid == HB_GRID_RANGE) o.grid = HB_GRID_QUANTILES;
    hb_status status = hb_sweep_tails(column(r, name), r->table.labels, r->table.n, &o, &sweep, &why);
    if (status) return status == HB_ERR_MEMORY ? hb_fail_memory(err) : HB_OK;
    status = hb_add_calibrated(c, name, &sweep, err);
    hb_sweep_free(&sweep);
    return status;
}

static bool is_listed(const hb_calibration_result *c, const char *name)
{
    for (size_t i = 0; i < c->n_scores; i++)
        if (strcmp(c->scores[i].name, name) == 0) return true;
    return false;
}

static hb_status add_others(const hb_run *run, const reading *r, hb_calibration_result *c,
                            hb_error *err)
{
    hb_texts usual = {0};
    hb_status status = add_usual(run, &usual) ? HB_OK : hb_fail_memory(err);
    hb_calibrated_score *scores =
        status ? NULL : reallocarray(c->scores, c->n_scores + usual.n, sizeof *scores);
    if (scores) c->scores = scores;
    else if (!status) status = hb_fail_memory(err);
    for (size_t i = 0; i < usual.n && !status; i++)
        if (!is_listed(c, usual.list[i])) status = add_other(r, usual.list[i], c, err);
    hb_texts_free(&usual);
    return status;
}

/* The number of scores and directions among which the calibrated ones were chosen. */
static size_t n_choices(const reading *r, const hb_calibration_result *c)
{
    return r->n_asked * (c->options.sweep.direction == HB_DIRECTION_AUTO ? 2 : 1);
}

/* Whether the halt of a score runs over a trained model, and not over a signal's values. */
static bool halts_by_model(const hb_run *run, const hb_calibration_result *c)
{
    return c->options.joint || is_probe(run, c->scores[0].name);
}

static hb_status check_halt_scores(const reading *r, const hb_calibration_result *c, hb_error *err)
{
    if (!c->options.joint && !hb_score_can_halt(c->scores[0].name, false))
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "'%s' has no value at each step; of the probes, only 'probe' has",
                       c->scores[0].name);
    for (size_t k = 0; c->options.joint && k < r->n_asked; k++)
        if (!hb_score_can_halt(r->names.list[k], true))
            return hb_fail(err, HB_ERR_ARGUMENT,
                           "a joint model halts by means over the steps, such as entropy:mean, and by "
                           "the probe; '%s' is neither",
                           r->names.list[k]);
    return HB_OK;
}

/* Fits the model that halts, and calibrates its halt on the answers that it was not fitted to. */
static hb_status calibrate_model(hb_run *run, const reading *r, hb_halt_options *o,
                                 hb_calibration_result *c, hb_error *err)
{
    hb_series series = {0};
    size_t n_fitted = 0, n_names = c->options.joint ? r->n_asked : 0;
    const double **columns = calloc(n_names + 1, sizeof *columns);
    hb_status status = columns ? check_halt_scores(r, c, err) : hb_fail_memory(err);
    for (size_t k = 0; k < n_names && columns; k++) columns[k] = column(r, r->names.list[k]).high;
    const hb_halt_fit fit = {.table = &r->table,
                             .names = (const char *const *)r->names.list,
                             .columns = columns,
                             .n_names = n_names,
                             .seed = o->seed};
    o->direction = HB_DIRECTION_HIGH;
    if (c->options.joint) o->n_choices = 1; /* no score was chosen among others */
    if (!status)
        status = hb_fit_halt_model(run, &fit, &o->rule, &c->halt_model, &series, &n_fitted, err);
    if (!status) status = hb_calibrate_halt(&series, o, &c->halt, err);
    if (!status) {
        c->halt.halt.model = c->halt_model;
        c->halt.n_fitted = n_fitted;
    }
    hb_series_free(&series);
    free(columns);
    return status;
}

/* Calibrates the halt by the calibrated score's signal. */
static hb_status calibrate_halt(hb_run *run, const reading *r, hb_calibration_result *c, hb_error *err)
{
    hb_halt_options o = c->options.halt;
    hb_score_id id;
    hb_series series;
    o.n_choices = n_choices(r, c);
    if (halts_by_model(run, c)) return calibrate_model(run, r, &o, c, err);
    if (!hb_score_find(c->scores[0].name, &id))
        return hb_fail(err, HB_ERR_ARGUMENT, "a run has no values of '%s' at each step",
                       c->scores[0].name);
    o.direction = c->sweep.direction;
    hb_status status = read_steps(run, r, id.signal, o.direction, &series, err);
    if (status) return status;
    status = hb_calibrate_halt(&series, &o, &c->halt, err);
    hb_series_free(&series);
    return status;
}

/* Adds the halt, or the reason why there is none. */
static hb_status add_halt(hb_run *run, const reading *r, hb_calibration_result *c, hb_error *err)
{
    hb_error why;
    if (c->options.halt.rule.kind == HB_HALT_NONE) return HB_OK;
    hb_status status = calibrate_halt(run, r, c, &why);
    if (!status) return HB_OK;
    hb_halt_model_free(c->halt_model);
    c->halt_model = NULL;
    if (c->options.needs_halt || (status != HB_ERR_DATA && status != HB_ERR_ARGUMENT))
        return hb_fail(err, status, "%s", why.message);
    c->no_halt = strdup(why.message);
    return c->no_halt ? HB_OK : hb_fail_memory(err);
}

/* Finds the signal that ranks best among those that rank significantly better than the calibrated
 * score: c->scores has the calibrated one first, then the others. */
static hb_status find_better(const reading *r, hb_calibration_result *c, hb_error *err)
{
    size_t n = c->n_scores, best = 0;
    hb_column *columns = calloc(n, sizeof *columns);
    hb_auroc_difference *tests = calloc(n, sizeof *tests);
    double *p_holm = calloc(n, sizeof *p_holm);
    hb_status status = columns && tests && p_holm ? HB_OK : hb_fail_memory(err);
    for (size_t k = 0; k < n && !status; k++) {
        hb_direction direction = c->scores[k].direction;
        columns[k] = (hb_column){hb_tail(column(r, c->scores[k].name), direction), direction};
    }
    if (!status)
        status = hb_test_columns(columns, n, r->table.labels, r->table.groups, r->table.n, tests,
                                 p_holm, err);
    for (size_t k = 1; k < n && !status; k++)
        if (tests[k].difference > 0 && p_holm[k] < 0.05 &&
            (!best || c->scores[k].auroc > c->scores[best].auroc))
            best = k;
    if (!status && best) {
        c->better = (hb_better_score){strdup(c->scores[best].name), c->scores[best].auroc, tests[best],
                                      p_holm[best]};
        if (!c->better.name) status = hb_fail_memory(err);
    }
    free(columns);
    free(tests);
    free(p_holm);
    return status;
}

/* Trains the probes and calibrates the requested scores. */
static hb_status calibrate_asked(hb_run *run, const reading *r, const hb_calibrate_options *options,
                                 hb_calibration_result *c, hb_error *err)
{
    hb_probe **probes = NULL;
    size_t n_probes = 0;
    const hb_score_table t = asked(r);
    hb_status status = train(run, r, &probes, &n_probes, err);
    if (!status) status = hb_calibrate(&t, (const char *const *)r->names.list, options, c, err);
    if (status) {
        hb_probes_free(probes, n_probes);
        return status;
    }
    c->probes = probes;
    c->n_probes = n_probes;
    return HB_OK;
}

hb_status hb_calibrate_run(hb_run *run, const char *const *scores, size_t n_scores,
                           const hb_grading *grading, const hb_calibrate_options *options,
                           hb_calibration_result *result, hb_error *err)
{
    reading r = {0};
    hb_calibration_result c = {0};
    hb_calibrate_options o = options ? *options : hb_calibrate_defaults();
    hb_status status = name_calibrated(run, scores, n_scores, o.joint, o.sweep.direction, &r, err);
    if (!status) status = respect_probes(run, &r, &o, err);
    if (!status) status = read_run(run, grading, &r, err);
    if (!status) status = calibrate_asked(run, &r, &o, &c, err);
    if (!status) status = add_others(run, &r, &c, err);
    if (!status && !o.joint && c.comparison.n == 0) status = find_better(&r, &c, err);
    if (!status && !o.joint)
        status = count_halting(&r, c.scores[0].name, &c.map, c.options.cutoff, &c.halting,
                               &c.has_halting, err);
    if (!status) status = add_halt(run, &r, &c, err);
    if (!status)
        status = report_tokens(run, c.scores[0].name, &c.map, c.options.cutoff, c.scores, c.n_scores,
                               &c.tokens, err);
    if (status) {
        hb_calibration_result_free(&c);
    } else {
        c.prompts = r.table.prompts;
        c.n_prompts = c.prompts ? hb_hashes_sort(c.prompts, r.table.n) : 0;
        r.table.prompts = NULL;
        *result = c;
    }
    free_reading(&r);
    return status;
}

/* ---- Validating --------------------------------------------------------------------------------- */

/* Whether the parameters have a probe of that name, and the run its features. */
static bool has_probe(const hb_params *p, const hb_run *run, const char *name)
{
    return is_probe(run, name) && hb_probes_find(p->probes, p->n_probes, name);
}

/* Lists the calibrated scores that the run has, then the extremes of the first one's signal. */
static hb_status name_judged(const hb_params *p, const hb_run *run, reading *r, hb_error *err)
{
    hb_texts available = {0};
    const char **wanted = NULL;
    size_t n = 0;
    bool ok = true;
    for (size_t i = 0; i < p->n_scores && ok; i++)
        if (hb_run_has_score(run, p->scores[i].tail) || has_probe(p, run, p->scores[i].name))
            ok = hb_texts_add_once(&available, p->scores[i].tail);
    hb_status status =
        ok ? hb_params_columns(p, (const char *const *)available.list, available.n, &wanted, &n, err)
           : hb_fail_memory(err);
    for (size_t k = 0; k < n && !status; k++)
        if (!hb_texts_add_once(&r->names, wanted[k])) status = hb_fail_memory(err);
    r->n_asked = r->names.n;
    if (!status && !p->joint.n_features && !add_extremes(p->score, &r->names))
        status = hb_fail_memory(err);
    free(wanted);
    hb_texts_free(&available);
    return status;
}

/* Validates the parameters' halt on the run's answers. */
static hb_status judge_halt(const hb_params *p, hb_run *run, const reading *r, hb_validation_result *v,
                            hb_error *err)
{
    hb_score_id id;
    hb_series series;
    hb_status status;
    if (p->halt_model) status = hb_halt_model_series(run, p->halt_model, &r->table, &series, err);
    else if (hb_score_find(p->score, &id))
        status = read_steps(run, r, id.signal, p->halt.direction, &series, err);
    else status = hb_fail(err, HB_ERR_ARGUMENT, "a run has no values of '%s' at each step", p->score);
    if (status) return status;
    status = hb_validate_halt(&series, &p->halt, hb_halt_defaults().seed, &v->halt, err);
    hb_series_free(&series);
    if (!status) v->halt_guarantee = hb_check_halt(&p->halt_guarantee, &v->halt);
    v->has_halt = !status;
    return status;
}

/* Adds the halt's validation, or the reason why there is none. */
static hb_status add_judged_halt(const hb_params *p, hb_run *run, const reading *r,
                                 hb_validation_result *v, hb_error *err)
{
    hb_error why;
    if (p->halt.rule.kind == HB_HALT_NONE) return HB_OK;
    hb_status status = judge_halt(p, run, r, v, &why);
    if (!status) return HB_OK;
    if (status != HB_ERR_DATA && status != HB_ERR_ARGUMENT)
        return hb_fail(err, status, "%s", why.message);
    v->no_halt = strdup(why.message);
    return v->no_halt ? HB_OK : hb_fail_memory(err);
}

/* Counts the samples whose prompts the calibration had. */
static size_t count_shared(const hb_params *p, const hb_score_table *t)
{
    size_t shared = 0;
    for (size_t i = 0; i < t->n && t->prompts; i++)
        shared += hb_hashes_have(p->prompts, p->n_prompts, t->prompts[i]);
    return shared;
}

hb_status hb_validate_run(const hb_params *p, hb_run *run, const hb_grading *grading,
                          const hb_bootstrap_options *bootstrap, hb_validation_result *result,
                          hb_error *err)
{
    reading r = {0};
    hb_validation_result v = {0};
    if (!grading && p->is_graded) grading = &p->grading;
    hb_status status = name_judged(p, run, &r, err);
    if (!status) status = read_run(run, grading, &r, err);
    if (!status) status = apply(run, p, &r, err);
    if (!status) {
        hb_score_table t = asked(&r);
        status = hb_validate_scores(p, &t, (const char *const *)r.names.list, bootstrap, &v, err);
    }
    if (!status && !p->joint.n_features)
        status = count_halting(&r, p->score, &p->map, hb_monitor_defaults().cutoff, &v.halting,
                               &v.has_halting, err);
    if (!status) status = add_judged_halt(p, run, &r, &v, err);
    if (!status)
        status = report_tokens(run, p->score, &p->map, hb_monitor_defaults().cutoff, p->scores,
                               p->n_scores, &v.tokens, err);
    if (status) {
        hb_validation_result_free(&v);
    } else {
        v.n_shared = count_shared(p, &r.table);
        v.knows_shared = p->n_prompts > 0 && r.table.prompts;
        *result = v;
    }
    free_reading(&r);
    return status;
}
