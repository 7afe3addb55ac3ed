/* Fits maps from score to probability to labels. */
#include <math.h>
#include <stdlib.h>
#include "calibrate/metrics.h"

/* ---- A line's log-odds --------------------------------------------------------------------------- */

/* Samples and their targets. A target is the label, 0 or 1; for Platt it lies slightly inside this
 * interval. Scores are standardised, so that step sizes and gradient limits suit every unit. */
typedef struct line {
    const double *scores;
    const uint8_t *labels;
    size_t n;
    double mean, sd;
    double targets[2];
} line;

typedef struct slope {
    double a, b; /* P = 1 / (1 + exp(a x + b)) */
} slope;

/* The log-loss in the form of Lin, Lin and Weng, which never evaluates ln 0. */
static double loss(const line *l, slope s)
{
    double sum = 0;
    for (size_t i = 0; i < l->n; i++) {
        double f = s.a * (l->scores[i] - l->mean) / l->sd + s.b, t = l->targets[l->labels[i]];
        sum += f >= 0 ? t * f + log1p(exp(-f)) : (t - 1) * f + log1p(exp(f));
    }
    return sum;
}

/* Gradient and Hessian of the loss. */
typedef struct derivatives {
    double a, b, aa, ab, bb;
} derivatives;

static derivatives differentiate(const line *l, slope s)
{
    derivatives d = {0};
    for (size_t i = 0; i < l->n; i++) {
        double x = (l->scores[i] - l->mean) / l->sd, f = s.a * x + s.b;
        double p = f >= 0 ? exp(-f) / (1 + exp(-f)) : 1 / (1 + exp(f));
        double off = l->targets[l->labels[i]] - p, weight = p * (1 - p);
        d.a += off * x;
        d.b += off;
        d.aa += weight * x * x;
        d.ab += weight * x;
        d.bb += weight;
    }
    return d;
}

/* The Newton step. */
static slope newton_step(const derivatives *d, bool slope_alone)
{
    const double ridge = 1e-12;
    double determinant = (d->aa + ridge) * (d->bb + ridge) - d->ab * d->ab;
    if (slope_alone) return (slope){-d->a / (d->aa + ridge), 0};
    return (slope){-((d->bb + ridge) * d->a - d->ab * d->b) / determinant,
                   -((d->aa + ridge) * d->b - d->ab * d->a) / determinant};
}

/* Newton's method with halved steps until the loss falls enough (Lin, Lin and Weng, A Note on Platt's
 * Probabilistic Outputs for Support Vector Machines, 2007). When a step would lower the loss by less
 * than the rounding error of the sum, it is taken in full and the iteration ends. With `slope_alone`, b
 * stays unchanged. */
static slope descend(const line *l, slope s, bool slope_alone)
{
    double value = loss(l, s);
    for (int iteration = 0; iteration < 200; iteration++) {
        derivatives d = differentiate(l, s);
        slope step = newton_step(&d, slope_alone), next;
        double fall = -d.a * step.a - d.b * step.b, part = 2, lower;
        if (fall < 1e-10 * value) return (slope){s.a + step.a, s.b + step.b};
        do {
            part /= 2;
            next = (slope){s.a + part * step.a, s.b + part * step.b};
            lower = loss(l, next);
        } while (!(lower < value - 1e-4 * part * fall) && part > 1e-10);
        s = next;
        value = lower;
    }
    return s;
}

static void standardise(line *l, size_t counts[2])
{
    for (size_t i = 0; i < l->n; i++) {
        l->mean += l->scores[i] / (double)l->n;
        counts[l->labels[i]]++;
    }
    for (size_t i = 0; i < l->n; i++)
        l->sd += (l->scores[i] - l->mean) * (l->scores[i] - l->mean) / (double)l->n;
    l->sd = l->sd > 0 ? sqrt(l->sd) : 1;
}

static void fit_platt(const double *scores, const uint8_t *labels, size_t n, hb_map *map)
{
    size_t counts[2] = {0};
    line l = {.scores = scores, .labels = labels, .n = n};
    standardise(&l, counts);
    double zeros = (double)counts[0], ones = (double)counts[1];
    l.targets[0] = 1 / (zeros + 2);
    l.targets[1] = (ones + 1) / (ones + 2);
    slope s = descend(&l, (slope){0, log((zeros + 1) / (ones + 1))}, false);
    map->a = s.a / l.sd;
    map->b = s.b - s.a * l.mean / l.sd;
}

/* Fits the maximum-likelihood lambda for tau. If tau makes no error, lambda would grow without limit.
 * If the scores lie on the wrong sides of tau, lambda would not be positive. Both are errors. */
static hb_status fit_lambda(const double *scores, const uint8_t *labels, size_t n, hb_map *map,
                            hb_error *err)
{
    size_t counts[2] = {0}, wrong = 0;
    double sign = map->direction == HB_DIRECTION_LOW ? 1 : -1;
    line l = {.scores = scores, .labels = labels, .n = n, .targets = {0, 1}};
    standardise(&l, counts);
    l.mean = map->tau;
    for (size_t i = 0; i < n; i++) wrong += sign * (scores[i] - map->tau) * (labels[i] ? 1 : -1) > 0;
    if (wrong == 0)
        return hb_fail(err, HB_ERR_DATA,
                       "tau %g makes no error, so no lambda is steep enough; use platt or isotonic",
                       map->tau);
    map->lambda = sign * descend(&l, (slope){0, 0}, true).a / l.sd;
    if (map->lambda > 0) return HB_OK;
    return hb_fail(err, HB_ERR_DATA,
                   "the maximum-likelihood lambda for tau %g is %g, not above 0; use platt or isotonic",
                   map->tau, map->lambda);
}

/* ---- Isotonic ------------------------------------------------------------------------------------ */

/* Adjacent samples with the same probability. */
typedef struct block {
    double first, last; /* oriented scores */
    size_t ones, n;
} block;

/* Whether `before` has at least the probability of `after`, so that the blocks must be merged. */
static bool violates(const block *before, const block *after)
{
    return (double)before->ones * (double)after->n >= (double)after->ones * (double)before->n;
}

/* Pools adjacent violators (Ayer et al., 1955; Best and Chakravarti, 1990) of samples ranked by
 * descending oriented score. Returns the number of blocks, which are ordered by ascending score. */
static size_t pool(const hb_scored *ranked, size_t n, block *blocks)
{
    size_t count = 0;
    for (size_t end = n, at; end > 0; end = at) {
        block *b = &blocks[count++];
        *b = (block){.first = ranked[end - 1].score, .last = ranked[end - 1].score};
        for (at = end; at > 0 && ranked[at - 1].score == b->first; at--)
            b->ones += ranked[at - 1].label;
        b->n = end - at;
        for (; count > 1 && violates(&b[-1], b); count--) {
            b--;
            b->last = b[1].last;
            b->ones += b[1].ones;
            b->n += b[1].n;
        }
    }
    return count;
}

/* Places knots at both ends of each block, by ascending score. */
static void place_knots(const block *blocks, size_t count, bool low, hb_map *map)
{
    for (size_t k = 0; k < count; k++) {
        const block *b = &blocks[low ? count - 1 - k : k];
        double first = low ? 0 - b->last : b->first, last = low ? 0 - b->first : b->last;
        for (int e = 0; e < (first < last ? 2 : 1); e++) {
            map->scores[map->n_knots] = e ? last : first;
            map->p[map->n_knots++] = (double)b->ones / (double)b->n;
        }
    }
}

static hb_status fit_isotonic(const double *scores, const uint8_t *labels, size_t n, hb_map *map,
                              hb_error *err)
{
    hb_scored *ranked = NULL;
    bool low = map->direction == HB_DIRECTION_LOW;
    hb_status status = hb_rank(scores, labels, n, &ranked, err);
    if (status) return status;
    if (low) hb_ranked_turn(ranked, n);
    block *blocks = calloc(n, sizeof *blocks);
    map->scores = calloc(2 * n, sizeof *map->scores);
    map->p = calloc(2 * n, sizeof *map->p);
    if (!blocks || !map->scores || !map->p) status = hb_fail_memory(err);
    else place_knots(blocks, pool(ranked, n, blocks), low, map);
    free(blocks);
    free(ranked);
    return status;
}

/* -------------------------------------------------------------------------------------------------- */

hb_status hb_map_fit(const double *scores, const uint8_t *labels, size_t n, hb_map_kind kind,
                     double tau, hb_direction direction, hb_map *map, hb_error *err)
{
    hb_map m = {.kind = kind, .tau = tau, .lambda = HB_DEFAULT_LAMBDA, .direction = direction};
    if ((unsigned)kind > HB_MAP_ISOTONIC) return hb_fail(err, HB_ERR_ARGUMENT, "unknown kind of map");
    if (!isfinite(tau) || (unsigned)direction > HB_DIRECTION_LOW)
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "tau %g is not a number, or the direction neither high "
                       "nor low",
                       tau);
    hb_status status = hb_check_scored(scores, labels, n, err);
    if (status) return status;
    if (kind == HB_MAP_FIT_LAMBDA) status = fit_lambda(scores, labels, n, &m, err);
    if (kind == HB_MAP_PLATT) fit_platt(scores, labels, n, &m);
    if (kind == HB_MAP_ISOTONIC) status = fit_isotonic(scores, labels, n, &m, err);
    if (status) hb_map_free(&m);
    else *map = m;
    return status;
}
