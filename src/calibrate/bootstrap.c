/* Stratified bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993): each draw
 * resamples every class at its own size, with replacement, so the hallucination rate stays the same.
 * Samples are ranked once; a draw only changes their weights. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "calibrate/metrics.h"

/* 95 % of a normal distribution lie within this many standard deviations. */
#define NORMAL_95 1.959963984540054

typedef struct draws {
    const hb_scored *ranked;
    size_t n, n_class[2];
    size_t *members[2]; /* ranks of the samples of each class */
    uint32_t *weights;  /* [n], how often the current draw contains each sample */
    double *values[3];  /* [n_draws + 1]: AUROC, average precision, precision at recall; the last entry
                           is for the original samples */
} draws;

/* Computes all three metrics in one pass down the ranking. Equal scores are processed together. */
static void measure(const draws *d, double min_recall, size_t draw)
{
    double ones = 0, zeros = 0, won = 0, area = 0, best = 0;
    double all_ones = (double)d->n_class[1], all_zeros = (double)d->n_class[0];
    for (size_t at = 0, end; at < d->n; at = end) {
        double tied[2] = {0, 0};
        end = hb_ranked_tie_end(d->ranked, d->n, at);
        for (size_t i = at; i < end; i++) tied[d->ranked[i].label] += d->weights[i];
        won += tied[0] * (ones + tied[1] / 2);
        ones += tied[1];
        zeros += tied[0];
        if (ones + zeros == 0) continue;
        double precision = ones / (ones + zeros);
        area += tied[1] * precision;
        if (ones >= min_recall * all_ones * (1 - 1e-12) && precision > best) best = precision;
    }
    d->values[0][draw] = won / (all_ones * all_zeros);
    d->values[1][draw] = area / all_ones;
    d->values[2][draw] = best;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static hb_interval percentiles(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return (hb_interval){hb_quantile(values, n, 0.025), hb_quantile(values, n, 0.975)};
}

static void run(draws *d, const hb_bootstrap_options *o, hb_bootstrap *out)
{
    hb_rng rng = {o->seed};
    for (size_t draw = 0; draw < o->n_draws; draw++) {
        memset(d->weights, 0, d->n * sizeof *d->weights);
        for (int c = 0; c < 2; c++)
            for (size_t i = 0; i < d->n_class[c]; i++)
                d->weights[d->members[c][hb_rng_below(&rng, d->n_class[c])]]++;
        measure(d, o->min_recall, draw);
    }
    for (size_t i = 0; i < d->n; i++) d->weights[i] = 1;
    measure(d, o->min_recall, o->n_draws);
    out->precision = d->values[2][o->n_draws];
    out->auroc = percentiles(d->values[0], o->n_draws);
    out->pr_auc = percentiles(d->values[1], o->n_draws);
    out->precision_at_recall = percentiles(d->values[2], o->n_draws);
}

static hb_status prepare(draws *d, const hb_bootstrap_options *o, hb_error *err)
{
    bool ok = true;
    for (int c = 0; c < 2; c++) ok = (d->members[c] = calloc(d->n, sizeof **d->members)) && ok;
    for (int k = 0; k < 3; k++) ok = (d->values[k] = calloc(o->n_draws + 1, sizeof **d->values)) && ok;
    d->weights = calloc(d->n, sizeof *d->weights);
    if (!ok || !d->weights) return hb_fail_memory(err);
    for (size_t i = 0; i < d->n; i++) {
        int c = d->ranked[i].label;
        d->members[c][d->n_class[c]++] = i;
    }
    return HB_OK;
}

hb_bootstrap_options hb_bootstrap_defaults(void)
{
    return (hb_bootstrap_options){.n_draws = 2000, .seed = 42, .min_recall = 0.9};
}

hb_status hb_bootstrap_intervals(const double *scores, const uint8_t *labels, size_t n,
                                 const hb_bootstrap_options *options, hb_bootstrap *out, hb_error *err)
{
    const hb_bootstrap_options defaults = hb_bootstrap_defaults();
    if (!options) options = &defaults;
    if (options->n_draws < 100 || options->n_draws > 1000000)
        return hb_fail(err, HB_ERR_ARGUMENT, "%zu draws are not from 100 to 1000000", options->n_draws);
    hb_scored *ranked = NULL;
    hb_status status = hb_rank(scores, labels, n, &ranked, err);
    if (status) return status;
    draws d = {.ranked = ranked, .n = n};
    status = prepare(&d, options, err);
    if (!status) run(&d, options, out);
    for (int c = 0; c < 2; c++) free(d.members[c]);
    for (int k = 0; k < 3; k++) free(d.values[k]);
    free(d.weights);
    free(ranked);
    return status;
}

hb_status hb_find_uncertainty(const double *scores, const uint8_t *labels, size_t n,
                              hb_direction direction, const hb_bootstrap_options *options,
                              hb_uncertainty *out, hb_error *err)
{
    const hb_bootstrap_options defaults = hb_bootstrap_defaults();
    if (!options) options = &defaults;
    hb_uncertainty u = {.options = *options};
    double *oriented = hb_oriented(scores, n, direction), auroc;
    if (!oriented) return hb_fail_memory(err);
    hb_status status = hb_delong(oriented, labels, n, &auroc, &u.auroc_se, err);
    if (!status && options->n_draws)
        status = hb_bootstrap_intervals(oriented, labels, n, options, &u.bootstrap, err);
    free(oriented);
    if (status) return status;
    double reach = NORMAL_95 * u.auroc_se;
    u.auroc_delong = (hb_interval){auroc - reach, auroc + reach};
    if (u.auroc_delong.lower < 0) u.auroc_delong.lower = 0;
    if (u.auroc_delong.upper > 1) u.auroc_delong.upper = 1;
    *out = u;
    return HB_OK;
}
