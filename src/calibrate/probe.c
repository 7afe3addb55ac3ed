/* Trains probes. Block and strength are chosen within folds.
 *
 * Each pair of folds is held out together, and each fold alone. The models without folds j and k give
 * the choice for fold k its out-of-fold log-odds of fold j; the model without fold k, with the block
 * and the strength so chosen, gives those of fold k. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/pool.h"
#include "calibrate/density.h"
#include "calibrate/folds.h"
#include "calibrate/newton.h"
#include "signals/probe.h"

static const double strengths[] = {0.01, 0.1, 1, 10, 100}; /* divided by the number of features */
#define N_STRENGTHS (sizeof strengths / sizeof *strengths)

/* A part of the samples that models are fitted to: those outside of the folds a and b. */
typedef struct part {
    uint32_t a, b; /* a <= b; the same: one fold is held out */
    hb_newton_data data;
    hb_newton *model;
} part;

typedef struct training {
    const hb_probe_samples *samples;
    size_t n_folds, n_trials;
    double tolerance;
    float *x; /* [n][d], of the block whose models are fitted; standardised over all samples */
    double *mean, *scale; /* [d], of this standardisation */
    uint32_t *fold;       /* [n] */
    part *parts;          /* [n_parts] */
    size_t n_parts;
    float *inner; /* [n_trials][n_folds][n]: of the models without fold k and the sample's own fold */
    float *outer; /* [n_trials][n]: of the models without the sample's fold */
    size_t block, strength; /* what is fitted now */
    hb_pool *pool;
} training;

/* ---- The features of a block --------------------------------------------------------------------- */

/* Standardises x over all samples. Labels play no part in it. Each model standardises its own samples
 * again; this first time keeps large means from costing the precision of floats. */
static hb_status standardise(training *t, hb_error *err)
{
    size_t n = t->samples->n, d = t->samples->d;
    memset(t->mean, 0, d * sizeof *t->mean);
    memset(t->scale, 0, d * sizeof *t->scale);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++) t->mean[j] += t->x[i * d + j];
    for (size_t j = 0; j < d; j++) {
        t->mean[j] /= (double)n;
        if (!isfinite(t->mean[j]))
            return hb_fail(err, HB_ERR_DATA, "the features are not finite numbers");
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++) {
            double off = t->x[i * d + j] - t->mean[j];
            t->scale[j] += off * off;
        }
    for (size_t j = 0; j < d; j++) t->scale[j] = t->scale[j] > 0 ? sqrt((double)n / t->scale[j]) : 1;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++) {
            float *x = &t->x[i * d + j];
            *x = (float)((*x - t->mean[j]) * t->scale[j]);
        }
    return HB_OK;
}

static hb_status load(training *t, size_t block, hb_error *err)
{
    const hb_probe_samples *s = t->samples;
    t->block = block;
    hb_status status = s->load(s->user, block, t->x, err);
    return status ? status : standardise(t, err);
}

/* ---- Fitting the parts --------------------------------------------------------------------------- */

static void fit_part(const void *context, int32_t item, int32_t thread)
{
    const training *t = context;
    part *p = &t->parts[item];
    size_t n = t->samples->n, trial = t->block * N_STRENGTHS + t->strength;
    float *inner = t->inner + trial * t->n_folds * n;
    (void)thread;
    hb_newton_fit(p->model, strengths[t->strength] / (double)t->samples->d, t->tolerance);
    if (p->a == p->b) {
        hb_newton_predict(p->model, p->a, t->outer + trial * n);
    } else {
        hb_newton_predict(p->model, p->a, inner + p->b * n);
        hb_newton_predict(p->model, p->b, inner + p->a * n);
    }
}

/* Fits all parts with one block and every strength, from the strongest regularisation on. */
static hb_status fit_block(training *t, size_t block, hb_error *err)
{
    hb_status status = load(t, block, err);
    for (size_t i = 0; i < t->n_parts && !status; i++) {
        hb_newton_close(t->parts[i].model);
        t->parts[i].model = NULL;
        status = hb_newton_open(&t->parts[i].data, &t->parts[i].model, err);
    }
    for (t->strength = 0; t->strength < N_STRENGTHS && !status; t->strength++)
        hb_pool_each(t->pool, (int32_t)t->n_parts, fit_part, t);
    return status;
}

/* ---- Choosing ------------------------------------------------------------------------------------ */

/* The mean log-loss of log-odds z [n] of the samples outside of fold k. */
static double log_loss(const training *t, const float *z, size_t k)
{
    double sum = 0, count = 0;
    for (size_t i = 0; i < t->samples->n; i++) {
        double against = t->samples->labels[i] ? -z[i] : z[i];
        if (t->fold[i] == k) continue;
        sum += against > 0 ? against + log1p(exp(-against)) : log1p(exp(against));
        count++;
    }
    return sum / count;
}

/* The trial with the lowest log-loss: for fold k within the other folds; with k = n_folds, over all. */
static size_t choose(const training *t, size_t k)
{
    size_t best = 0, n = t->samples->n;
    double lowest = INFINITY;
    for (size_t trial = 0; trial < t->n_trials; trial++) {
        const float *z =
            k < t->n_folds ? t->inner + (trial * t->n_folds + k) * n : t->outer + trial * n;
        double loss = log_loss(t, z, k);
        if (!(loss < lowest)) continue;
        lowest = loss;
        best = trial;
    }
    return best;
}

static void predict(const training *t, double *out_of_fold)
{
    size_t n = t->samples->n;
    for (size_t k = 0; k < t->n_folds; k++) {
        const float *z = t->outer + choose(t, k) * n;
        for (size_t i = 0; i < n; i++)
            if (t->fold[i] == k) out_of_fold[i] = z[i];
    }
}

static hb_status add_trials(const training *t, hb_probe *p, hb_error *err)
{
    const hb_probe_samples *s = t->samples;
    double *z = calloc(s->n, sizeof *z);
    p->trials = calloc(t->n_trials, sizeof *p->trials);
    hb_status status = z && p->trials ? HB_OK : hb_fail_memory(err);
    for (size_t k = 0; k < t->n_trials && !status; k++) {
        hb_probe_trial *trial = &p->trials[p->n_trials++];
        for (size_t i = 0; i < s->n; i++) z[i] = t->outer[k * s->n + i];
        trial->block = s->blocks[k / N_STRENGTHS];
        trial->c = strengths[k % N_STRENGTHS] / (double)s->d;
        trial->log_loss = log_loss(t, t->outer + k * s->n, t->n_folds);
        status = hb_auroc(z, s->labels, s->n, &trial->auroc, err);
    }
    free(z);
    return status;
}

/* Fits the chosen trial to all samples, and undoes the standardisation of the features. */
static hb_status fit_all(training *t, size_t best, hb_probe *p, hb_error *err)
{
    const hb_probe_samples *s = t->samples;
    const hb_newton_data data = {t->x, s->n, s->d, s->labels, t->fold, {UINT32_MAX, UINT32_MAX}};
    double *weights = calloc(s->d + 1, sizeof *weights);
    hb_newton *model = NULL;
    hb_status status = weights ? load(t, best / N_STRENGTHS, err) : hb_fail_memory(err);
    if (!status) status = hb_newton_open(&data, &model, err);
    if (!status) {
        hb_newton_fit(model, strengths[best % N_STRENGTHS] / (double)s->d, t->tolerance / 10);
        hb_newton_weights(model, weights, &p->intercept);
        for (size_t j = 0; j < s->d; j++) {
            p->weights[j] = (float)(weights[j] * t->scale[j]);
            p->intercept -= weights[j] * t->scale[j] * t->mean[j];
        }
    }
    hb_newton_close(model);
    free(weights);
    return status;
}

static hb_status finish(training *t, const hb_probe_kind *kind, const hb_joint_options *o,
                        hb_probe **probe, hb_error *err)
{
    size_t best = choose(t, t->n_folds);
    hb_probe *p;
    hb_status status =
        hb_probe_new(kind, t->samples->blocks[best / N_STRENGTHS], t->samples->d, 0, &p, err);
    if (status) return status;
    p->options = (hb_joint_options){o->n_folds, o->seed, NULL};
    p->best = best;
    status = add_trials(t, p, err);
    if (!status) status = fit_all(t, best, p, err);
    if (status) hb_probe_free(p);
    else *probe = p;
    return status;
}

/* ---- The whole ----------------------------------------------------------------------------------- */

static hb_status check_samples(const hb_probe_samples *s, const hb_joint_options *o, hb_error *err)
{
    if (o->n_folds < 3 || o->n_folds > HB_MAX_FOLDS)
        return hb_fail(err, HB_ERR_ARGUMENT, "%zu folds are not from 3 to %d", o->n_folds,
                       HB_MAX_FOLDS);
    if (s->n < o->n_folds || s->n > HB_JOINT_MAX_SAMPLES || !s->d || !s->n_blocks)
        return hb_fail(err, HB_ERR_DATA, "a probe cannot be trained on %zu samples of %zu features",
                       s->n, s->d);
    for (size_t i = 0; i < s->n; i++)
        if (s->labels[i] > 1)
            return hb_fail(err, HB_ERR_DATA, "the label of sample %zu is not 0 or 1", i);
    return hb_check_groups(o->groups, s->n, err);
}

static hb_status reserve(training *t, hb_error *err)
{
    size_t n = t->samples->n, d = t->samples->d, cells;
    bool fits = !__builtin_mul_overflow(n, d, &cells);
    t->n_trials = t->samples->n_blocks * N_STRENGTHS;
    t->n_parts = t->n_folds * (t->n_folds + 1) / 2;
    t->x = fits ? calloc(cells, sizeof *t->x) : NULL;
    t->mean = calloc(2 * d, sizeof *t->mean);
    t->scale = t->mean ? t->mean + d : NULL;
    t->fold = calloc(n, sizeof *t->fold);
    t->parts = calloc(t->n_parts, sizeof *t->parts);
    t->inner = calloc(t->n_trials * t->n_folds * n, sizeof *t->inner);
    t->outer = calloc(t->n_trials * n, sizeof *t->outer);
    if (!t->x || !t->mean || !t->fold || !t->parts || !t->inner || !t->outer)
        return hb_fail_memory(err);
    size_t at = 0;
    for (uint32_t a = 0; a < t->n_folds; a++)
        for (uint32_t b = a; b < t->n_folds; b++)
            t->parts[at++] = (part){a, b, {t->x, n, d, t->samples->labels, t->fold, {a, b}}, NULL};
    return hb_pool_open(&t->pool, hb_usable_processors(), err);
}

static void release(training *t)
{
    for (size_t i = 0; t->parts && i < t->n_parts; i++) hb_newton_close(t->parts[i].model);
    hb_pool_close(t->pool);
    free(t->parts);
    free(t->x);
    free(t->mean);
    free(t->fold);
    free(t->inner);
    free(t->outer);
}

hb_status hb_probe_fit(const char *kind, const hb_probe_samples *samples,
                       const hb_joint_options *options, hb_probe **probe, double *out_of_fold,
                       hb_error *err)
{
    const hb_joint_options defaults = hb_joint_defaults(), *o = options ? options : &defaults;
    const hb_probe_kind *k = hb_probe_kind_find(kind);
    size_t n_groups;
    if (!k) return hb_fail(err, HB_ERR_ARGUMENT, "there is no probe '%s'", kind);
    hb_status status = check_samples(samples, o, err);
    if (status) return status;
    if (k->density) return hb_density_fit(k, samples, o, probe, out_of_fold, err);
    training t = {.samples = samples, .n_folds = o->n_folds, .tolerance = 1e-3};
    status = reserve(&t, err);
    if (!status)
        status = hb_deal_folds(samples->labels, o->groups, samples->n, o->n_folds, o->seed, t.fold,
                               &n_groups, err);
    if (!status) status = hb_check_pairs(samples->labels, t.fold, samples->n, t.n_folds, err);
    for (size_t b = 0; b < samples->n_blocks && !status; b++) status = fit_block(&t, b, err);
    if (!status) status = finish(&t, k, o, probe, err);
    if (!status) predict(&t, out_of_fold);
    release(&t);
    return status;
}
