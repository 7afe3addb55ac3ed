/* The whole of pass 2 on a table of scores. */
#include "calibrate/calibrate.h"

#include <stdlib.h>
#include <string.h>
#include "base/texts.h"
#include "calibrate/controls.h"
#include "calibrate/curves.h"
#include "calibrate/nested.h"
#include "signals/probe.h"
#include "signals/scores.h"

hb_calibrate_options hb_calibrate_defaults(void)
{
    return (hb_calibrate_options){.sweep = hb_sweep_defaults(),
                                  .bootstrap = hb_bootstrap_defaults(),
                                  .joint_options = hb_joint_defaults(),
                                  .cutoff = hb_monitor_defaults().cutoff,
                                  .halt = hb_halt_defaults()};
}

static hb_status check_names(const char *const *names, size_t n, hb_error *err)
{
    if (n == 0) return hb_fail(err, HB_ERR_ARGUMENT, "no score is named");
    for (size_t k = 0; k < n; k++)
        if (strlen(names[k]) > HB_NAME_BYTES)
            return hb_fail(err, HB_ERR_ARGUMENT, "a score's name has more than %d bytes: %.60s...",
                           HB_NAME_BYTES, names[k]);
    return HB_OK;
}

static hb_status check_options(const hb_calibrate_options *o, size_t n_scores, hb_error *err)
{
    bool guaranteed = o->sweep.guarantee.kind != HB_GUARANTEE_NONE;
    if (o->joint && guaranteed)
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "a guarantee needs a score that was not fitted to the same samples, so a joint "
                       "model cannot have one");
    if (o->joint && o->sweep.direction == HB_DIRECTION_LOW)
        return hb_fail(err, HB_ERR_ARGUMENT, "a joint model requires that high values are risky");
    if (guaranteed && n_scores > 1)
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "a guarantee requires a single score chosen in advance, not the best of %zu",
                       n_scores);
    return HB_OK;
}

hb_status hb_add_calibrated(hb_calibration_result *r, const char *name, const hb_sweep_result *sweep,
                            hb_error *err)
{
    const hb_sweep_point *best = &sweep->best;
    hb_calibrated_score s = {.name = strdup(name),
                             .tail = hb_score_tail_name(name, sweep->direction),
                             .tau = best->tau,
                             .direction = sweep->direction,
                             .auroc = sweep->auroc,
                             .pr_auc = sweep->pr_auc,
                             .precision = best->precision,
                             .recall = best->recall,
                             .f1 = best->f1,
                             .by_label = {sweep->by_label[0], sweep->by_label[1]}};
    r->scores[r->n_scores++] = s;
    return s.name && s.tail ? HB_OK : hb_fail_memory(err);
}

/* ---- Which score -------------------------------------------------------------------------------- */

/* The score to calibrate. */
typedef struct chosen {
    const char *name;
    hb_tails values;
    double *own; /* values of a joint model, which are not in the table; NULL otherwise */
} chosen;

/* The scores of a joint model. */
typedef struct features {
    double *x; /* [names.n][n] */
    hb_texts names;
} features;

static void free_features(features *f)
{
    hb_texts_free(&f->names);
    free(f->x);
}

/* Adds one score. False when memory runs out. */
static bool add_feature(features *f, const char *name, const double *values, size_t n)
{
    memcpy(f->x + f->names.n * n, values, n * sizeof *values);
    return hb_texts_add(&f->names, name, strlen(name));
}

/* Adds one tail of a score with tail5. */
static bool add_tail(features *f, const char *name, hb_tails values, hb_direction direction, size_t n)
{
    char *tail = hb_score_tail_name(name, direction);
    bool ok = tail && add_feature(f, tail, hb_tail(values, direction), n);
    free(tail);
    return ok;
}

/* Gathers the scores for a joint model. Of a tail5 it gets both tails: the model finds their directions
 * within its folds, so no direction has to be chosen from all the labels beforehand. */
static hb_status find_features(const hb_score_table *t, const char *const *names, features *f,
                               hb_error *err)
{
    bool ok = true;
    *f = (features){.x = calloc(2 * t->n_scores * t->n + 1, sizeof *f->x)};
    if (!f->x) return hb_fail_memory(err);
    for (size_t k = 0; k < t->n_scores && ok; k++) {
        const hb_tails v = hb_table_tails(t, k);
        if (memcmp(v.high, v.low, t->n * sizeof *v.high) == 0)
            ok = add_feature(f, names[k], v.high, t->n);
        else
            ok = add_tail(f, names[k], v, HB_DIRECTION_HIGH, t->n) &&
                 add_tail(f, names[k], v, HB_DIRECTION_LOW, t->n);
    }
    return ok ? HB_OK : hb_fail_memory(err);
}

/* Fits a joint model of all scores. Its out-of-fold log-odds are then calibrated. */
static hb_status join(const hb_score_table *t, const char *const *names, hb_calibration_result *r,
                      chosen *c, hb_error *err)
{
    features f;
    c->name = "joint";
    c->own = calloc(t->n + 1, sizeof *c->own);
    c->values = (hb_tails){c->own, c->own};
    r->options.sweep.direction = HB_DIRECTION_HIGH;
    if (!c->own) return hb_fail_memory(err);
    hb_status status = find_features(t, names, &f, err);
    const char *const *of = (const char *const *)f.names.list;
    if (!status)
        status = hb_joint_fit(f.x, t->labels, t->n, f.names.n, of, &r->options.joint_options, &r->joint,
                              c->own, err);
    if (!status && r->options.bootstrap.n_draws)
        status = hb_shuffle_joint(f.x, t->labels, t->n, f.names.n, of, &r->options.joint_options,
                                  &r->nested, err);
    free_features(&f);
    return status;
}

static hb_status choose(const hb_score_table *t, const char *const *names, hb_calibration_result *r,
                        chosen *c, hb_error *err)
{
    if (r->options.joint) return join(t, names, r, c, err);
    size_t place = 0;
    if (t->n_scores > 1) {
        hb_status status =
            hb_compare_scores(t, names, &r->options.sweep, &r->options.bootstrap, &r->comparison, err);
        if (status) return status;
        place = r->comparison.scores[0].place;
    }
    c->name = names[place];
    c->values = hb_table_tails(t, place);
    return HB_OK;
}

/* ---- Its calibration ---------------------------------------------------------------------------- */

/* With several scores, the comparison has already computed the intervals of the best one. */
static hb_status find_uncertainty(const hb_score_table *t, const chosen *c, hb_calibration_result *r,
                                  hb_error *err)
{
    if (r->comparison.n) {
        r->uncertainty = r->comparison.scores[0].uncertainty;
        return HB_OK;
    }
    return hb_find_uncertainty(hb_tail(c->values, r->sweep.direction), t->labels, t->n,
                               r->sweep.direction, &r->options.bootstrap, &r->uncertainty, err);
}

static double brier(const hb_score_table *t, const double *scores, const hb_map *map)
{
    double squares = 0;
    for (size_t i = 0; i < t->n; i++) {
        double off = hb_map_p(map, scores[i]) - t->labels[i];
        squares += off * off;
    }
    return squares / (double)t->n;
}

/* Whether a score ranks the labels the other way round than its signal's definition says. Most likely
 * the labels then mean the opposite. */
static bool contradicts(const char *name, hb_direction asked, const hb_sweep_result *s)
{
    hb_score_id id;
    if (!hb_score_find(name, &id)) return false;
    hb_direction risky = hb_signal_risky(id.signal);
    if (risky == HB_DIRECTION_AUTO || (asked != HB_DIRECTION_AUTO && asked != risky)) return false;
    double auroc = risky == HB_DIRECTION_HIGH ? s->auroc_high : s->auroc_low;
    return auroc < 0.5 && !s->within_noise;
}

/* Builds the result's list of scores; the calibrated score comes first. The comparison's names then
 * point into this list, which the result owns. */
static hb_status list_scores(const chosen *c, hb_calibration_result *r, hb_error *err)
{
    r->scores = calloc(r->comparison.n + 1, sizeof *r->scores);
    if (!r->scores) return hb_fail_memory(err);
    hb_status status = hb_add_calibrated(r, c->name, &r->sweep, err);
    for (size_t k = 1; k < r->comparison.n && !status; k++)
        status =
            hb_add_calibrated(r, r->comparison.scores[k].name, &r->comparison.scores[k].sweep, err);
    for (size_t k = 0; k < r->comparison.n && !status; k++)
        r->comparison.scores[k].name = r->scores[k].name;
    return status;
}

/* Turns the winners' places in the table into places in the comparison. */
static void rank_winners(hb_calibration_result *r)
{
    for (size_t f = 0; f < r->nested.n_folds; f++) {
        size_t k = 0;
        while (k < r->comparison.n && r->comparison.scores[k].place != r->nested.winners[f]) k++;
        r->nested.winners[f] = k < r->comparison.n ? k : 0;
    }
}

/* Adds what figures show. */
static hb_status draw(const hb_score_table *t, const double *values, hb_calibration_result *r,
                      hb_error *err)
{
    const hb_validation_options o = {.tau = r->sweep.best.tau,
                                     .lambda = r->map.lambda,
                                     .direction = r->sweep.direction,
                                     .bootstrap = r->options.bootstrap,
                                     .map = &r->map};
    hb_status status = hb_find_curves(values, t->labels, t->n, &o, &r->curves, err);
    return status ? status : hb_list_judged(t, values, &o, &r->judged, &r->n_judged, err);
}

static hb_status calibrate(const hb_score_table *t, const char *const *names, hb_calibration_result *r,
                           hb_error *err)
{
    chosen c = {0};
    hb_status status = choose(t, names, r, &c, err);
    if (!status) status = hb_sweep_tails(c.values, t->labels, t->n, &r->options.sweep, &r->sweep, err);
    const double *values = hb_tail(c.values, r->sweep.direction);
    if (!status) status = find_uncertainty(t, &c, r, err);
    if (!status)
        status = hb_map_fit(values, t->labels, t->n, r->options.map, r->sweep.best.tau,
                            r->sweep.direction, &r->map, err);
    if (!status) r->brier = brier(t, values, &r->map);
    if (!status) r->contradicts_signal = contradicts(c.name, r->options.sweep.direction, &r->sweep);
    if (!status) status = list_scores(&c, r, err);
    if (!status && !r->options.joint)
        status = hb_choose_nested(t, r->options.sweep.direction, &r->nested, err);
    if (!status) rank_winners(r);
    if (!status)
        status = hb_measure_controls(t, values, r->sweep.direction, &r->nested, &r->controls,
                                     &r->n_controls, err);
    if (!status) status = draw(t, values, r, err);
    free(c.own);
    return status;
}

hb_status hb_calibrate(const hb_score_table *table, const char *const *names,
                       const hb_calibrate_options *options, hb_calibration_result *result,
                       hb_error *err)
{
    hb_calibration_result r = {.options = options ? *options : hb_calibrate_defaults()};
    r.options.bootstrap.min_recall = r.options.sweep.min_recall;
    r.options.bootstrap.groups = r.options.joint_options.groups = table->groups;
    hb_status status = check_names(names, table->n_scores, err);
    if (!status) status = check_options(&r.options, table->n_scores, err);
    if (!status) status = calibrate(table, names, &r, err);
    r.options.bootstrap.groups = r.options.joint_options.groups = NULL; /* they are the table's */
    if (status) hb_calibration_result_free(&r);
    else *result = r;
    return status;
}

void hb_calibration_result_free(hb_calibration_result *result)
{
    if (!result) return;
    for (size_t i = 0; i < result->n_scores; i++) {
        free(result->scores[i].name);
        free(result->scores[i].tail);
    }
    free(result->scores);
    free(result->prompts);
    hb_probes_free(result->probes, result->n_probes);
    hb_sweep_free(&result->sweep);
    hb_map_free(&result->map);
    hb_halt_model_free(result->halt_model);
    hb_joint_free(&result->joint);
    hb_comparison_free(&result->comparison);
    hb_token_report_free(&result->tokens);
    hb_nested_free(&result->nested);
    free(result->controls);
    free(result->better.name);
    free(result->no_halt);
    hb_curves_free(result->curves);
    free(result->judged);
    *result = (hb_calibration_result){0};
}
