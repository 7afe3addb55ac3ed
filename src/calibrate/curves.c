/* Curves for figures: where hb_validate gives one number, these give the points behind it. Each curve
 * has a fixed grid, so a draw of the bootstrap gives a value at each of its points, and their quantiles
 * are the band around the curve. */
#include "calibrate/curves.h"

#include <math.h>
#include <stdlib.h>
#include "calibrate/folds.h"

enum { N_ROC = 51, N_RECALLS = 50, N_POINTS = N_ROC + N_RECALLS + HB_RISK_POINTS, N_BARS = 40 };
enum { MOST_DRAWS = 1000 };

/* The curves with what their pointers point to. */
typedef struct stored {
    hb_curves curves; /* the first member, so that freeing the curves frees all */
    double x[N_POINTS + HB_P_BINS], y[N_POINTS + HB_P_BINS];
    double lower[N_POINTS + HB_P_BINS], upper[N_POINTS + HB_P_BINS];
    size_t bars[2][N_BARS], n_in_bin[HB_P_BINS];
} stored;

/* ---- The draws ----------------------------------------------------------------------------------- */

/* The values at all points of all draws: those of the ROC curve, then of precision at recall, then of
 * risk at coverage. */
typedef struct collected {
    double *values[N_POINTS]; /* [n_draws + 1]; the last is of the samples themselves */
} collected;

/* Where a walk down the ranking stands: before and after samples of equal score. */
typedef struct block {
    double ones[2], zeros[2];
} block;

/* The points that the walk has not reached yet. */
typedef struct pointers {
    int roc, recall;
    int coverage; /* from the whole coverage down */
    double all_ones, all_zeros;
} pointers;

static double between(double from, double to, double share)
{
    return from + (to - from) * share;
}

static void fill_roc(const block *b, pointers *p, double *values)
{
    for (; p->roc < N_ROC; p->roc++) {
        double zeros = p->all_zeros * p->roc / (N_ROC - 1);
        if (zeros >= b->zeros[1] && b->zeros[1] < p->all_zeros) return;
        double step = b->zeros[1] - b->zeros[0];
        double share = step > 0 ? (zeros - b->zeros[0]) / step : 1;
        values[p->roc] = between(b->ones[0], b->ones[1], fmin(share, 1)) / p->all_ones;
    }
}

static void fill_recalls(const block *b, pointers *p, double *values)
{
    for (; p->recall < N_RECALLS; p->recall++) {
        double ones = p->all_ones * (p->recall + 1) / N_RECALLS;
        if (ones > b->ones[1] * (1 + 1e-12)) return;
        values[N_ROC + p->recall] = b->ones[1] / (b->ones[1] + b->zeros[1]);
    }
}

/* Of n samples, those that are rejected at a coverage are the first of the walk. */
static void fill_risks(const block *b, pointers *p, double *values)
{
    double all = p->all_ones + p->all_zeros;
    double before = b->ones[0] + b->zeros[0], after = b->ones[1] + b->zeros[1];
    for (; p->coverage > 0; p->coverage--) {
        double accepted = ceil(all * p->coverage / HB_RISK_POINTS - 1e-9), rejected = all - accepted;
        if (rejected >= after) return;
        double ones = between(b->ones[0], b->ones[1], (rejected - before) / (after - before));
        values[N_ROC + N_RECALLS + p->coverage - 1] = (p->all_ones - ones) / accepted;
    }
}

/* Finds the curves' values in a draw. */
static void collect(void *user, const hb_draw *d)
{
    collected *c = user;
    double values[N_POINTS] = {0};
    pointers p = {.coverage = HB_RISK_POINTS};
    block b = {0};
    for (size_t i = 0; i < d->n; i++)
        *(d->ranked[i].label ? &p.all_ones : &p.all_zeros) += d->weights[i];
    for (size_t at = 0, end; at < d->n; at = end) {
        end = hb_ranked_tie_end(d->ranked, d->n, at);
        for (size_t i = at; i < end; i++)
            *(d->ranked[i].label ? &b.ones[1] : &b.zeros[1]) += d->weights[i];
        if (b.ones[1] + b.zeros[1] == b.ones[0] + b.zeros[0]) continue;
        fill_roc(&b, &p, values);
        fill_recalls(&b, &p, values);
        fill_risks(&b, &p, values);
        b.ones[0] = b.ones[1];
        b.zeros[0] = b.zeros[1];
    }
    for (int k = 0; k < N_POINTS; k++) c->values[k][d->k] = values[k];
}

static void place_points(stored *s)
{
    for (int k = 0; k < N_ROC; k++) s->x[k] = (double)k / (N_ROC - 1);
    for (int k = 0; k < N_RECALLS; k++) s->x[N_ROC + k] = (k + 1.0) / N_RECALLS;
    for (int k = 0; k < HB_RISK_POINTS; k++) s->x[N_ROC + N_RECALLS + k] = (k + 1.0) / HB_RISK_POINTS;
}

/* Fills the three curves whose bands come from draws. */
static hb_status draw_curves(const double *oriented, const uint8_t *labels, size_t n,
                             const hb_bootstrap_options *options, stored *s, hb_error *err)
{
    hb_bootstrap_options o = *options;
    if (o.n_draws > MOST_DRAWS) o.n_draws = MOST_DRAWS;
    double *values = calloc(N_POINTS * (o.n_draws + 1), sizeof *values);
    if (!values) return hb_fail_memory(err);
    collected c;
    for (int k = 0; k < N_POINTS; k++) c.values[k] = values + (size_t)k * (o.n_draws + 1);
    hb_status status = hb_bootstrap_each(oriented, labels, n, &o, collect, &c, err);
    place_points(s);
    for (int k = 0; k < N_POINTS && !status; k++) {
        hb_interval band = {NAN, NAN};
        s->y[k] = c.values[k][o.n_draws];
        if (o.n_draws) band = hb_percentiles(c.values[k], o.n_draws);
        s->lower[k] = band.lower;
        s->upper[k] = band.upper;
    }
    free(values);
    return status;
}

/* ---- The rest ------------------------------------------------------------------------------------ */

static hb_status draw_histogram(const double *scores, const uint8_t *labels, size_t n, stored *s,
                                hb_error *err)
{
    hb_curves *c = &s->curves;
    hb_place *order;
    hb_status status = hb_order(scores, n, &order, err);
    if (status) return status;
    double *sorted = calloc(n, sizeof *sorted);
    for (size_t i = 0; sorted && i < n; i++) sorted[i] = order[i].score;
    free(order);
    if (!sorted) return hb_fail_memory(err);
    c->lower = hb_quantile(sorted, n, 0.005);
    c->upper = hb_quantile(sorted, n, 0.995);
    if (!(c->upper > c->lower)) {
        c->lower = sorted[0];
        c->upper = sorted[n - 1];
    }
    free(sorted);
    double width = c->upper - c->lower;
    for (size_t i = 0; i < n; i++) {
        double place = width > 0 ? (scores[i] - c->lower) / width * N_BARS : 0;
        s->bars[labels[i]][(int)fmin(fmax(place, 0), N_BARS - 1)]++;
    }
    return HB_OK;
}

static hb_status draw_reliability(const double *scores, const uint8_t *labels, size_t n,
                                  const hb_validation_options *o, stored *s, hb_error *err)
{
    hb_p_bin bins[HB_P_BINS];
    double *p = calloc(n, sizeof *p);
    size_t count = 0;
    if (!p) return hb_fail_memory(err);
    for (size_t i = 0; i < n; i++)
        p[i] = hb_p_fail_by(o->map, scores[i], o->tau, o->lambda, o->direction);
    hb_bin_probabilities(p, labels, n, bins);
    free(p);
    s->curves.ece = hb_calibration_error(bins, n);
    for (int b = 0; b < HB_P_BINS; b++) {
        if (!bins[b].n) continue;
        size_t k = N_POINTS + count;
        hb_interval interval = hb_interval_of_share(bins[b].ones, bins[b].n);
        s->x[k] = bins[b].sum / (double)bins[b].n;
        s->y[k] = (double)bins[b].ones / (double)bins[b].n;
        s->lower[k] = interval.lower;
        s->upper[k] = interval.upper;
        s->n_in_bin[count++] = bins[b].n;
    }
    s->curves.reliability.n = count;
    return HB_OK;
}

static hb_curve curve_at(stored *s, size_t begin, size_t n)
{
    return (hb_curve){n, s->x + begin, s->y + begin, s->lower + begin, s->upper + begin};
}

static void set_pointers(stored *s)
{
    hb_curves *c = &s->curves;
    c->n_bars = N_BARS;
    c->bars[0] = s->bars[0];
    c->bars[1] = s->bars[1];
    c->n_in_bin = s->n_in_bin;
    c->roc = curve_at(s, 0, N_ROC);
    c->precision_recall = curve_at(s, N_ROC, N_RECALLS);
    c->risk_coverage = curve_at(s, N_ROC + N_RECALLS, HB_RISK_POINTS);
    c->reliability = curve_at(s, N_POINTS, c->reliability.n);
}

static hb_status find_aurc(const double *oriented, const uint8_t *labels, size_t n, double *aurc,
                           hb_error *err)
{
    double risks[HB_RISK_POINTS];
    hb_scored *ranked = NULL;
    hb_status status = hb_rank(oriented, labels, n, &ranked, err);
    if (status) return status;
    *aurc = hb_area_under_risk(ranked, n, risks);
    free(ranked);
    return HB_OK;
}

hb_status hb_find_curves(const double *scores, const uint8_t *labels, size_t n,
                         const hb_validation_options *options, hb_curves **curves, hb_error *err)
{
    const hb_validation_options defaults = hb_validation_defaults();
    if (!options) options = &defaults;
    hb_status status = hb_check_scored(scores, labels, n, err);
    if (status) return status;
    stored *s = calloc(1, sizeof *s);
    double *oriented = hb_oriented(scores, n, options->direction);
    status = s && oriented ? HB_OK : hb_fail_memory(err);
    if (!status) status = draw_curves(oriented, labels, n, &options->bootstrap, s, err);
    if (!status) status = draw_histogram(scores, labels, n, s, err);
    if (!status) status = draw_reliability(scores, labels, n, options, s, err);
    if (!status) status = find_aurc(oriented, labels, n, &s->curves.aurc, err);
    free(oriented);
    if (status) {
        free(s);
        return status;
    }
    set_pointers(s);
    *curves = &s->curves;
    return HB_OK;
}

void hb_curves_free(hb_curves *curves)
{
    free(curves);
}

hb_status hb_list_judged(const hb_score_table *t, const double *values, const hb_validation_options *o,
                         hb_judged_sample **judged, size_t *n, hb_error *err)
{
    if (!t->indices) {
        *n = 0;
        return HB_OK;
    }
    hb_judged_sample *list = calloc(t->n + 1, sizeof *list);
    if (!list) return hb_fail_memory(err);
    for (size_t i = 0; i < t->n; i++)
        list[i] = (hb_judged_sample){t->indices[i], values[i],
                                     hb_p_fail_by(o->map, values[i], o->tau, o->lambda, o->direction),
                                     t->labels[i]};
    *judged = list;
    *n = t->n;
    return HB_OK;
}
