/* Stratified bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993): each draw
 * resamples every class at its own size, with replacement, so the hallucination rate stays the same.
 * Where samples come in groups, each draw resamples whole groups instead, because a group's samples may
 * be alike (Davison and Hinkley, 1997, 3.8). Samples are ranked once; a draw only changes their
 * weights.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "calibrate/folds.h"
#include "calibrate/metrics.h"

typedef struct draws {
    const hb_scored *ranked;
    size_t n, n_class[2];
    size_t *members[2];    /* ranks of the samples of each class */
    size_t n_groups;       /* 0: classes are drawn */
    size_t *begins;        /* [n_groups + 1], where each group begins in group_members */
    size_t *group_members; /* [n], ranks of the samples of the first group, then of the next ... */
    uint32_t *weights;     /* [n], how often the current draw contains each sample */
} draws;

/* The metrics of each draw. */
typedef struct metrics {
    double min_recall;
    double *values[3]; /* [n_draws + 1]: AUROC, average precision, precision at recall; the last entry
                          is for the original samples */
} metrics;

/* Computes all three metrics in one pass down the ranking. Equal scores are processed together. */
static void measure(void *user, const hb_draw *d)
{
    metrics *m = user;
    double ones = 0, zeros = 0, won = 0, area = 0, best = 0;
    double all_ones = 0, all_zeros = 0;
    for (size_t i = 0; i < d->n; i++) *(d->ranked[i].label ? &all_ones : &all_zeros) += d->weights[i];
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
        if (ones >= m->min_recall * all_ones * (1 - 1e-12) && precision > best) best = precision;
    }
    m->values[0][d->k] = won / (all_ones * all_zeros);
    m->values[1][d->k] = area / all_ones;
    m->values[2][d->k] = best;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

hb_interval hb_percentiles(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return (hb_interval){hb_quantile(values, n, 0.025), hb_quantile(values, n, 0.975)};
}

static void draw_classes(draws *d, hb_rng *rng)
{
    memset(d->weights, 0, d->n * sizeof *d->weights);
    for (int c = 0; c < 2; c++)
        for (size_t i = 0; i < d->n_class[c]; i++)
            d->weights[d->members[c][hb_rng_below(rng, d->n_class[c])]]++;
}

/* Draws as many groups as there are. False when the draw lacks a class. */
static bool draw_groups(draws *d, hb_rng *rng)
{
    bool has[2] = {false, false};
    memset(d->weights, 0, d->n * sizeof *d->weights);
    for (size_t k = 0; k < d->n_groups; k++) {
        size_t group = (size_t)hb_rng_below(rng, d->n_groups);
        for (size_t i = d->begins[group]; i < d->begins[group + 1]; i++) {
            size_t rank = d->group_members[i];
            d->weights[rank]++;
            has[d->ranked[rank].label] = true;
        }
    }
    return has[0] && has[1];
}

/* A draw that lacks a class is made again, a bounded number of times. */
static bool draw_once(draws *d, hb_rng *rng)
{
    enum { ATTEMPTS = 100 };
    if (d->n_groups == 0) {
        draw_classes(d, rng);
        return true;
    }
    for (int attempt = 0; attempt < ATTEMPTS; attempt++)
        if (draw_groups(d, rng)) return true;
    return false;
}

static hb_status run(draws *d, const hb_bootstrap_options *o,
                     void (*visit)(void *user, const hb_draw *draw), void *user, hb_error *err)
{
    hb_rng rng = {o->seed};
    hb_draw draw = {.ranked = d->ranked, .weights = d->weights, .n = d->n};
    for (; draw.k < o->n_draws; draw.k++) {
        if (!draw_once(d, &rng))
            return hb_fail(err, HB_ERR_DATA,
                           "cannot resample groups: one label is in too few of the %zu groups",
                           d->n_groups);
        visit(user, &draw);
    }
    for (size_t i = 0; i < d->n; i++) d->weights[i] = 1;
    visit(user, &draw);
    return HB_OK;
}

/* Lists the ranks of each group's samples. Numbers that no sample has get no place. */
static hb_status list_groups(draws *d, const uint32_t *groups, const hb_place *order, hb_error *err)
{
    size_t *count = calloc(d->n + 1, sizeof *count);
    d->begins = calloc(d->n + 1, sizeof *d->begins);
    d->group_members = calloc(d->n, sizeof *d->group_members);
    if (!count || !d->begins || !d->group_members) {
        free(count);
        return hb_fail_memory(err);
    }
    for (size_t i = 0; i < d->n; i++) count[groups[i]]++;
    for (size_t g = 0, sum = 0; g < d->n; g++) {
        size_t size = count[g];
        count[g] = sum; /* from here on: where the group's next sample goes */
        sum += size;
        if (size) d->begins[++d->n_groups] = sum;
    }
    for (size_t rank = 0; rank < d->n; rank++)
        d->group_members[count[groups[order[d->n - 1 - rank].index]]++] = rank;
    free(count);
    return HB_OK;
}

static hb_status prepare(draws *d, hb_error *err)
{
    bool ok = true;
    for (int c = 0; c < 2; c++) ok = (d->members[c] = calloc(d->n, sizeof **d->members)) && ok;
    d->weights = calloc(d->n, sizeof *d->weights);
    if (!ok || !d->weights) return hb_fail_memory(err);
    for (size_t i = 0; i < d->n; i++) {
        int c = d->ranked[i].label;
        d->members[c][d->n_class[c]++] = i;
    }
    return HB_OK;
}

static void free_draws(draws *d)
{
    for (int c = 0; c < 2; c++) free(d->members[c]);
    free(d->begins);
    free(d->group_members);
    free(d->weights);
}

hb_bootstrap_options hb_bootstrap_defaults(void)
{
    return (hb_bootstrap_options){.n_draws = 2000, .seed = 42, .min_recall = 0.9};
}

hb_status hb_bootstrap_each(const double *scores, const uint8_t *labels, size_t n,
                            const hb_bootstrap_options *options,
                            void (*visit)(void *user, const hb_draw *draw), void *user, hb_error *err)
{
    hb_scored *ranked = NULL;
    hb_status status = hb_check_groups(options->groups, n, err);
    if (!status) status = hb_rank(scores, labels, n, &ranked, err);
    if (status) return status;
    draws d = {.ranked = ranked, .n = n};
    hb_place *order = NULL;
    status = prepare(&d, err);
    if (!status && options->groups) status = hb_order(scores, n, &order, err);
    if (!status && options->groups) status = list_groups(&d, options->groups, order, err);
    if (!status) status = run(&d, options, visit, user, err);
    free_draws(&d);
    free(order);
    free(ranked);
    return status;
}

hb_status hb_bootstrap_intervals(const double *scores, const uint8_t *labels, size_t n,
                                 const hb_bootstrap_options *options, hb_bootstrap *out, hb_error *err)
{
    const hb_bootstrap_options defaults = hb_bootstrap_defaults();
    if (!options) options = &defaults;
    size_t n_draws = options->n_draws;
    if (n_draws < 100 || n_draws > 1000000)
        return hb_fail(err, HB_ERR_ARGUMENT, "%zu draws are not from 100 to 1000000", n_draws);
    double *values = calloc(3 * (n_draws + 1), sizeof *values);
    if (!values) return hb_fail_memory(err);
    metrics m = {options->min_recall, {values, values + n_draws + 1, values + 2 * (n_draws + 1)}};
    hb_status status = hb_bootstrap_each(scores, labels, n, options, measure, &m, err);
    if (!status) {
        out->precision = m.values[2][n_draws];
        out->auroc = hb_percentiles(m.values[0], n_draws);
        out->pr_auc = hb_percentiles(m.values[1], n_draws);
        out->precision_at_recall = hb_percentiles(m.values[2], n_draws);
    }
    free(values);
    return status;
}

hb_status hb_find_uncertainty(const double *scores, const uint8_t *labels, size_t n,
                              hb_direction direction, const hb_bootstrap_options *options,
                              hb_uncertainty *out, hb_error *err)
{
    const hb_bootstrap_options defaults = hb_bootstrap_defaults();
    if (!options) options = &defaults;
    hb_uncertainty u = {.options = *options};
    u.options.groups = NULL; /* they belong to the caller */
    if (direction != HB_DIRECTION_HIGH && direction != HB_DIRECTION_LOW)
        return hb_fail(err, HB_ERR_ARGUMENT, "the direction must be high or low");
    double *oriented = hb_oriented(scores, n, direction), auroc;
    if (!oriented) return hb_fail_memory(err);
    hb_status status =
        hb_delong_grouped(oriented, labels, options->groups, n, &auroc, &u.auroc_se, err);
    if (!status && options->n_draws)
        status = hb_bootstrap_intervals(oriented, labels, n, options, &u.bootstrap, err);
    free(oriented);
    if (status) return status;
    u.auroc_delong = hb_auroc_interval(auroc, u.auroc_se);
    *out = u;
    return HB_OK;
}
