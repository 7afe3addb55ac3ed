/* The threshold sweep. Samples are ranked once by oriented score; all results come from this ranking.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include "calibrate/guarantee.h"

#define MIN_SAMPLES 10
#define MAX_RANGE   1000000

hb_sweep_options hb_sweep_defaults(void)
{
    return (hb_sweep_options){
        .grid = HB_GRID_QUANTILES, .min_recall = 0.9, .direction = HB_DIRECTION_AUTO};
}

static hb_status check_options(const hb_sweep_options *o, hb_error *err)
{
    if (!(o->min_recall > 0 && o->min_recall <= 1))
        return hb_fail(err, HB_ERR_ARGUMENT, "min-recall %g is not above 0 and at most 1",
                       o->min_recall);
    if (o->direction > HB_DIRECTION_AUTO) return hb_fail(err, HB_ERR_ARGUMENT, "unknown direction");
    if (o->grid > HB_GRID_EXACT) return hb_fail(err, HB_ERR_ARGUMENT, "unknown grid of tau");
    hb_status status = hb_check_guarantee(&o->guarantee, err);
    if (!status && o->guarantee.kind > HB_GUARANTEE_RECALL)
        return hb_fail(err, HB_ERR_ARGUMENT, "a threshold of whole answers cannot guarantee %s",
                       hb_guarantee_kind_name(o->guarantee.kind));
    if (status || o->grid != HB_GRID_RANGE) return status;
    if (!isfinite(o->start) || !isfinite(o->stop) || !(o->step > 0 && isfinite(o->step)))
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "tau-start %g, tau-stop %g and tau-step %g are not a valid range", o->start,
                       o->stop, o->step);
    if (!(o->stop >= o->start))
        return hb_fail(err, HB_ERR_ARGUMENT, "tau-stop %g is below tau-start %g", o->stop, o->start);
    if (!((o->stop - o->start) / o->step <= MAX_RANGE - 1))
        return hb_fail(err, HB_ERR_ARGUMENT, "tau-step %g gives more than %d values of tau", o->step,
                       MAX_RANGE);
    return HB_OK;
}

/* ---- Descriptions of the scores ------------------------------------------------------------------ */

static hb_class_summary summarise(const double *scores, const uint8_t *labels, size_t n, uint8_t label)
{
    hb_class_summary c = {0};
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        if (labels[i] == label) {
            sum += scores[i];
            c.n++;
        }
    c.mean = sum / (double)c.n;
    for (size_t i = 0; i < n; i++)
        if (labels[i] == label) squares += (scores[i] - c.mean) * (scores[i] - c.mean);
    c.sd = c.n > 1 ? sqrt(squares / (double)(c.n - 1)) : 0;
    return c;
}

/* Cohen's d with the pooled standard deviation (Cohen, 1988). */
static double cohens_d(const hb_class_summary c[2])
{
    double freedom = (double)(c[0].n + c[1].n - 2);
    double squares =
        (double)(c[0].n - 1) * c[0].sd * c[0].sd + (double)(c[1].n - 1) * c[1].sd * c[1].sd;
    return (c[1].mean - c[0].mean) / sqrt(squares / freedom);
}

static bool all_equal(const hb_scored *ranked, size_t n)
{
    return ranked[0].score == ranked[n - 1].score;
}

/* Chooses the direction with the higher AUROC, but not one in which all values are equal. */
static hb_direction better_direction(const hb_scored *high, const hb_scored *low, size_t n,
                                     const hb_sweep_result *r)
{
    if (all_equal(high, n) != all_equal(low, n))
        return all_equal(high, n) ? HB_DIRECTION_LOW : HB_DIRECTION_HIGH;
    return r->auroc_high >= r->auroc_low ? HB_DIRECTION_HIGH : HB_DIRECTION_LOW;
}

/* Ranks the samples by the values of the direction, with the highest value first. Fills the AUROCs and
 * the direction. */
static hb_status rank(hb_tails tails, const uint8_t *labels, size_t n, hb_direction direction,
                      hb_scored **ranked, hb_sweep_result *r, hb_error *err)
{
    hb_scored *high = NULL, *low = NULL;
    double high_se, low_se = 0;
    hb_status status = hb_rank(tails.high, labels, n, &high, err);
    if (!status && tails.low != tails.high) status = hb_rank(tails.low, labels, n, &low, err);
    if (status) {
        free(high);
        return status;
    }
    r->auroc_high = hb_ranked_auroc(high, n, &high_se);
    r->auroc_low = 1 - (low ? hb_ranked_auroc(low, n, &low_se) : r->auroc_high);
    if (direction == HB_DIRECTION_AUTO) direction = better_direction(high, low ? low : high, n, r);
    bool second = low && direction == HB_DIRECTION_LOW;
    r->direction = direction;
    r->auroc = direction == HB_DIRECTION_LOW ? r->auroc_low : r->auroc_high;
    r->auroc_null_se = second ? low_se : high_se;
    *ranked = second ? low : high;
    free(second ? high : low);
    return HB_OK;
}

/* Fills the other fields that do not depend on tau. Reverses `ranked` if the direction is low. */
static void describe(hb_scored *ranked, const double *scores, const uint8_t *labels, size_t n,
                     hb_sweep_result *r)
{
    r->n = n;
    r->score_max = ranked[0].score;
    r->score_min = ranked[n - 1].score;
    for (uint8_t label = 0; label < 2; label++)
        r->by_label[label] = summarise(scores, labels, n, label);
    r->hallucination_rate = (double)r->by_label[1].n / (double)n;
    r->cohens_d = cohens_d(r->by_label);
    if (r->direction == HB_DIRECTION_LOW) hb_ranked_turn(ranked, n);
    r->pr_auc = hb_ranked_average_precision(ranked, n);
    r->within_noise = fabs(r->auroc - 0.5) < 1.96 * r->auroc_null_se;
}

/* ---- Thresholds ---------------------------------------------------------------------------------- */

/* The confusion matrix when the first `flagged` ranked samples are flagged. */
static hb_sweep_point confusion(const hb_sweep_result *r, double oriented_tau, size_t flagged,
                                size_t tp)
{
    hb_sweep_point p = {.tau = r->direction == HB_DIRECTION_LOW ? 0 - oriented_tau : oriented_tau,
                        .tp = tp,
                        .fp = flagged - tp,
                        .fn = r->by_label[1].n - tp};
    p.tn = r->n - p.tp - p.fp - p.fn;
    if (flagged) p.precision = (double)tp / (double)flagged;
    p.recall = (double)tp / (double)r->by_label[1].n;
    if (tp) p.f1 = 2 * (double)tp / (double)(2 * tp + p.fp + p.fn);
    return p;
}

/* Computes the points of descending oriented thresholds in one pass over the ranked samples. */
static void walk(const hb_scored *ranked, hb_sweep_result *r, const double *taus)
{
    size_t flagged = 0, tp = 0;
    for (size_t k = 0; k < r->n_points; k++) {
        while (flagged < r->n && ranked[flagged].score >= taus[k]) tp += ranked[flagged++].label;
        r->points[k] = confusion(r, taus[k], flagged, tp);
    }
}

/* Quantiles (first + k) / 100 of the ranked scores, descending. */
static void quantile_taus(const hb_scored *ranked, size_t n, int first, size_t count, double *sorted,
                          double *taus)
{
    for (size_t i = 0; i < n; i++) sorted[i] = ranked[n - 1 - i].score;
    for (size_t k = 0; k < count; k++)
        taus[k] = hb_quantile(sorted, n, (double)(first + (int)(count - 1 - k)) / 100);
}

/* Fills in the thresholds and returns their number. A range is oriented like the scores. */
static size_t fill_taus(const hb_scored *ranked, const hb_sweep_options *o, hb_sweep_result *r,
                        double *sorted, double *taus)
{
    size_t count = 0;
    if (o->grid == HB_GRID_EXACT) {
        for (size_t at = 0; at < r->n; at = hb_ranked_tie_end(ranked, r->n, at))
            taus[count++] = ranked[at].score;
    } else if (o->grid == HB_GRID_RANGE) {
        size_t last = (size_t)((o->stop - o->start) / o->step * (1 + 4 * DBL_EPSILON) + 1e-9);
        bool low = r->direction == HB_DIRECTION_LOW;
        for (size_t k = 0; k <= last; k++)
            taus[count++] =
                low ? -(o->start + (double)k * o->step) : o->start + (double)(last - k) * o->step;
    } else {
        count = r->wide_grid ? 99 : 40;
        quantile_taus(ranked, r->n, r->wide_grid ? 1 : 60, count, sorted, taus);
    }
    return count;
}

static bool reaches(const hb_sweep_point *p, double min_recall)
{
    double ones = (double)(p->tp + p->fn);
    return (double)p->tp >= min_recall * ones * (1 - 1e-12);
}

/* Whether `a` is better than `b`: compares the metric to maximise, then recall. */
static bool better(const hb_sweep_point *a, const hb_sweep_point *b, hb_selection selection)
{
    double x = selection == HB_SELECT_BEST_F1 ? a->f1 : a->precision;
    double y = selection == HB_SELECT_BEST_F1 ? b->f1 : b->precision;
    return x > y || (x == y && a->recall > b->recall);
}

static void choose(hb_sweep_result *r)
{
    const hb_sweep_point *best = NULL;
    r->selection = HB_SELECT_PRECISION_AT_RECALL;
    for (size_t k = 0; k < r->n_points; k++)
        if (reaches(&r->points[k], r->min_recall) &&
            (!best || better(&r->points[k], best, r->selection)))
            best = &r->points[k];
    if (!best) {
        r->selection = HB_SELECT_BEST_F1;
        best = &r->points[0];
        for (size_t k = 1; k < r->n_points; k++)
            if (better(&r->points[k], best, r->selection)) best = &r->points[k];
    }
    r->best = *best;
}

static hb_status sweep(const hb_scored *ranked, const hb_sweep_options *o, hb_sweep_result *r,
                       hb_error *err)
{
    size_t room = o->grid == HB_GRID_RANGE ? MAX_RANGE : r->n > 99 ? r->n : 99;
    double *taus = calloc(room, sizeof *taus), *sorted = calloc(r->n, sizeof *sorted);
    hb_status status = taus && sorted ? HB_OK : hb_fail_memory(err);
    r->grid = o->grid;
    r->min_recall = o->min_recall;
    for (int attempt = 0; attempt < 2 && !status; attempt++) {
        r->wide_grid = attempt == 1;
        r->n_points = fill_taus(ranked, o, r, sorted, taus);
        free(r->points);
        r->points = calloc(r->n_points, sizeof *r->points);
        if (!r->points) status = hb_fail_memory(err);
        if (status) break;
        walk(ranked, r, taus);
        choose(r);
        if (r->selection == HB_SELECT_PRECISION_AT_RECALL || o->grid != HB_GRID_QUANTILES) break;
    }
    free(taus);
    free(sorted);
    return status;
}

/* Chooses the threshold with the guarantee, which need not be on the grid. */
static hb_status choose_guaranteed(const hb_scored *ranked, const hb_sweep_options *o,
                                   hb_sweep_result *r, hb_error *err)
{
    double tau;
    size_t flagged = 0, tp = 0;
    r->guarantee = o->guarantee;
    if (o->guarantee.kind == HB_GUARANTEE_NONE) return HB_OK;
    r->guarantee.level =
        o->direction == HB_DIRECTION_AUTO ? o->guarantee.delta / 2 : o->guarantee.delta;
    hb_status status = hb_find_guaranteed(ranked, r->n, &r->guarantee, &tau, err);
    if (status) return status;
    while (flagged < r->n && ranked[flagged].score >= tau) tp += ranked[flagged++].label;
    r->best = confusion(r, tau, flagged, tp);
    r->selection = HB_SELECT_GUARANTEE;
    return HB_OK;
}

hb_status hb_sweep(const double *scores, const uint8_t *labels, size_t n,
                   const hb_sweep_options *options, hb_sweep_result *result, hb_error *err)
{
    return hb_sweep_tails((hb_tails){scores, scores}, labels, n, options, result, err);
}

static hb_status too_few(uint64_t n, hb_error *err)
{
    return hb_fail(err, HB_ERR_DATA, "%llu scored samples; a calibration needs at least %d",
                   (unsigned long long)n, MIN_SAMPLES);
}

hb_status hb_sweep_tails(hb_tails tails, const uint8_t *labels, size_t n,
                         const hb_sweep_options *options, hb_sweep_result *result, hb_error *err)
{
    hb_sweep_options defaults = hb_sweep_defaults();
    const hb_sweep_options *o = options ? options : &defaults;
    hb_status status = check_options(o, err);
    if (status) return status;
    if (n < MIN_SAMPLES) return too_few(n, err);
    hb_scored *ranked = NULL;
    hb_sweep_result r = {0};
    status = rank(tails, labels, n, o->direction, &ranked, &r, err);
    if (status) return status;
    if (all_equal(ranked, n)) {
        status =
            hb_fail(err, HB_ERR_DATA, "all %zu scores are %.10g, so no threshold can separate them", n,
                    ranked[0].score);
    } else {
        describe(ranked, hb_tail(tails, r.direction), labels, n, &r);
        status = sweep(ranked, o, &r, err);
        if (!status) status = choose_guaranteed(ranked, o, &r, err);
    }
    free(ranked);
    if (status) hb_sweep_free(&r);
    else *result = r;
    return status;
}

void hb_sweep_free(hb_sweep_result *result)
{
    if (!result) return;
    free(result->points);
    result->points = NULL;
    result->n_points = 0;
}

hb_status hb_calibrate_check(uint64_t n, const hb_calibrate_options *options, hb_error *err)
{
    const hb_calibrate_options defaults = hb_calibrate_defaults(), *o = options ? options : &defaults;
    const hb_guarantee *g = &o->halt.guarantee;
    bool right = g->kind == HB_GUARANTEE_FALSE_HALTS;
    hb_status status = o->needs_halt ? hb_check_guarantee(g, err) : HB_OK;
    if (status) return status;
    if (n < MIN_SAMPLES) return too_few(n, err);
    if (!o->needs_halt) return HB_OK;
    size_t needed = hb_fewest_without(right ? g->target : 1 - g->target, g->delta);
    if (n > needed) return HB_OK; /* both labels are needed */
    return hb_fail(err, HB_ERR_DATA,
                   "a halt that stops at %s %g of the %s answers with delta %g needs at least %zu of "
                   "them; there are %llu samples",
                   right ? "most" : "least", g->target, right ? "right" : "hallucinated", g->delta,
                   needed, (unsigned long long)n);
}
