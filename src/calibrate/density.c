/* Fits densities. The block is chosen within folds, as that of other probes: each pair of folds is held
 * out together, and each fold alone. */
#include "calibrate/density.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/eigen.h"
#include "base/pool.h"
#include "base/wide.h"
#include "calibrate/folds.h"
#include "calibrate/principal.h"

#define RANK HB_DENSITY_RANK

/* A normal distribution: its mean, and the inverse of its covariance. */
typedef struct normal {
    double mean[RANK], inverse[RANK * RANK];
} normal;

typedef struct fitting {
    const hb_probe_samples *samples;
    bool relative;
    size_t n_folds, rank;
    float *x;       /* [n][d], of the block that is fitted, less the means */
    double *means;  /* [d] */
    double *basis;  /* [d][rank], the principal components */
    double *z;      /* [n][rank], the samples' coordinates */
    double *work;   /* [2][rank][rank] */
    uint32_t *fold; /* [n] */
    double *inner;  /* [n_blocks][n_folds][n]: of the models without fold k and the sample's own fold */
    double *outer;  /* [n_blocks][n]: of the models without the sample's fold */
    double *some;   /* [n], values of some samples, and their labels */
    uint8_t *labels;   /* [n] */
    normal right, all; /* the distributions of the model that is fitted */
    hb_pool *pool;
} fitting;

/* ---- The coordinates of a block ------------------------------------------------------------------ */

/* Reads a block's features, and finds the samples' coordinates in their principal components. */
static hb_status load(fitting *f, size_t block, hb_error *err)
{
    const hb_probe_samples *s = f->samples;
    hb_status status = s->load(s->user, block, f->x, err);
    if (status) return status;
    memset(f->means, 0, s->d * sizeof *f->means);
    for (size_t i = 0; i < s->n; i++)
        for (size_t j = 0; j < s->d; j++) f->means[j] += f->x[i * s->d + j];
    for (size_t j = 0; j < s->d; j++) {
        f->means[j] /= (double)s->n;
        if (!isfinite(f->means[j]))
            return hb_fail(err, HB_ERR_DATA, "the features are not finite numbers");
    }
    for (size_t i = 0; i < s->n; i++)
        for (size_t j = 0; j < s->d; j++)
            f->x[i * s->d + j] = (float)(f->x[i * s->d + j] - f->means[j]);
    status = hb_principal_components(f->pool, f->x, s->n, s->d, f->rank, f->basis, err);
    if (!status) status = hb_principal_project(f->pool, f->x, s->n, s->d, f->rank, f->basis, f->z, err);
    return status;
}

/* ---- Fitting ------------------------------------------------------------------------------------- */

/* Whether a sample belongs to those outside of the folds a and b and, unless `any`, has label 0. */
static bool is_in(const fitting *f, size_t i, size_t a, size_t b, bool any)
{
    return f->fold[i] != a && f->fold[i] != b && (any || !f->samples->labels[i]);
}

/* sums [r][r] += scale off off'. */
HB_WIDE static void add_square(const double *off, double scale, double *sums, size_t r)
{
    for (size_t j = 0; j < r; j++) {
        const double factor = scale * off[j];
#pragma omp simd
        for (size_t k = 0; k < r; k++) sums[j * r + k] += factor * off[k];
    }
}

/* The covariance of the samples, and the sum of their distances from the mean to the fourth power. */
static double scatter(const fitting *f, size_t a, size_t b, bool any, double *mean, double *covariance,
                      double *fourths)
{
    const size_t r = f->rank;
    double count = 0;
    *fourths = 0;
    memset(mean, 0, r * sizeof *mean);
    memset(covariance, 0, r * r * sizeof *covariance);
    for (size_t i = 0; i < f->samples->n; i++) {
        if (!is_in(f, i, a, b, any)) continue;
        count++;
        for (size_t j = 0; j < r; j++) mean[j] += f->z[i * r + j];
    }
    for (size_t j = 0; j < r; j++) mean[j] /= count;
    for (size_t i = 0; i < f->samples->n; i++) {
        double off[RANK], square = 0;
        if (!is_in(f, i, a, b, any)) continue;
        for (size_t j = 0; j < r; j++) {
            off[j] = f->z[i * r + j] - mean[j];
            square += off[j] * off[j];
        }
        *fourths += square * square;
        add_square(off, 1 / count, covariance, r);
    }
    return count;
}

/* The weight of the scaled identity matrix in the shrunk covariance (Ledoit and Wolf 2004). */
static double shrinkage(const double *covariance, size_t r, double count, double fourths, double *level)
{
    double trace = 0, squares = 0, size = (double)r;
    for (size_t j = 0; j < r; j++) trace += covariance[j * r + j];
    for (size_t j = 0; j < r * r; j++) squares += covariance[j] * covariance[j];
    *level = trace / size;
    double distance = squares - trace * trace / size, error = (fourths / count - squares) / count;
    return distance > 0 ? fmin(fmax(error, 0) / distance, 1) : 1;
}

static void fit_normal(const fitting *f, size_t a, size_t b, bool any, normal *out)
{
    const size_t r = f->rank;
    double *covariance = f->work, *vectors = f->work + r * r, fourths, level;
    double count = scatter(f, a, b, any, out->mean, covariance, &fourths);
    double weight = shrinkage(covariance, r, count, fourths, &level);
    for (size_t j = 0; j < r * r; j++)
        covariance[j] = (1 - weight) * covariance[j] + (j % (r + 1) ? 0 : weight * level);
    hb_eigen_symmetric(covariance, vectors, r);
    memset(out->inverse, 0, r * r * sizeof *out->inverse);
    for (size_t e = 0; e < r; e++) {
        double value = covariance[e * r + e];
        if (!(value > 1e-10 * level)) continue; /* no sample varies in this direction */
        for (size_t j = 0; j < r; j++)
            for (size_t k = 0; k < r; k++)
                out->inverse[j * r + k] += vectors[j * r + e] * vectors[k * r + e] / value;
    }
}

/* Fits the model to the samples outside of two folds; UINT32_MAX: of all folds. */
static void fit(fitting *f, size_t a, size_t b)
{
    fit_normal(f, a, b, false, &f->right);
    if (f->relative) fit_normal(f, a, b, true, &f->all);
    else f->all = (normal){.mean = {0}};
}

static double distance(const normal *n, const double *z, size_t r)
{
    double sum = 0;
    for (size_t j = 0; j < r; j++) {
        double product = 0;
        for (size_t k = 0; k < r; k++) product += n->inverse[j * r + k] * (z[k] - n->mean[k]);
        sum += product * (z[j] - n->mean[j]);
    }
    return sum;
}

/* Writes the values of a fold's samples to their places in `out` [n]. */
static void predict(const fitting *f, size_t fold, double *out)
{
    for (size_t i = 0; i < f->samples->n; i++) {
        const double *z = f->z + i * f->rank;
        if (f->fold[i] == fold)
            out[i] = distance(&f->right, z, f->rank) - distance(&f->all, z, f->rank);
    }
}

static hb_status fit_block(fitting *f, size_t block, hb_error *err)
{
    const size_t n = f->samples->n;
    double *inner = f->inner + block * f->n_folds * n;
    hb_status status = load(f, block, err);
    for (size_t a = 0; a < f->n_folds && !status; a++)
        for (size_t b = a; b < f->n_folds; b++) {
            fit(f, a, b);
            if (a == b) {
                predict(f, a, f->outer + block * n);
            } else {
                predict(f, a, inner + b * n);
                predict(f, b, inner + a * n);
            }
        }
    return status;
}

/* ---- Choosing ------------------------------------------------------------------------------------ */

/* The AUROC of values z [n] of the samples outside of fold k. */
static hb_status rank_outside(const fitting *f, const double *z, size_t k, double *auroc, hb_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < f->samples->n; i++) {
        if (f->fold[i] == k) continue;
        f->some[n] = z[i];
        f->labels[n++] = f->samples->labels[i];
    }
    return hb_auroc(f->some, f->labels, n, auroc, err);
}

/* The block with the highest AUROC: for fold k within the other folds; with k = n_folds, over all. */
static hb_status choose(const fitting *f, size_t k, size_t *best, hb_error *err)
{
    const size_t n = f->samples->n;
    double highest = -1, auroc;
    hb_status status = HB_OK;
    for (size_t b = 0; b < f->samples->n_blocks && !status; b++) {
        const double *z = k < f->n_folds ? f->inner + (b * f->n_folds + k) * n : f->outer + b * n;
        status = rank_outside(f, z, k, &auroc, err);
        if (status || !(auroc > highest)) continue;
        highest = auroc;
        *best = b;
    }
    return status;
}

static hb_status predict_out_of_fold(const fitting *f, double *out_of_fold, hb_error *err)
{
    hb_status status = HB_OK;
    for (size_t k = 0; k < f->n_folds && !status; k++) {
        size_t best = 0;
        status = choose(f, k, &best, err);
        for (size_t i = 0; i < f->samples->n && !status; i++)
            if (f->fold[i] == k) out_of_fold[i] = f->outer[best * f->samples->n + i];
    }
    return status;
}

static hb_status add_trials(const fitting *f, hb_probe *p, hb_error *err)
{
    const hb_probe_samples *s = f->samples;
    hb_status status = HB_OK;
    p->trials = calloc(s->n_blocks, sizeof *p->trials);
    if (!p->trials) return hb_fail_memory(err);
    for (size_t b = 0; b < s->n_blocks && !status; b++) {
        p->trials[b] = (hb_probe_trial){.block = s->blocks[b], .log_loss = NAN};
        status = rank_outside(f, f->outer + b * s->n, f->n_folds, &p->trials[b].auroc, err);
        p->n_trials++;
    }
    return status;
}

/* ---- The model ----------------------------------------------------------------------------------- */

/* Adds a distance, times `sign`, to z'Bz + linear'z + constant. */
static void add_distance(const normal *n, size_t r, double sign, double *b, double *linear,
                         double *constant)
{
    for (size_t j = 0; j < r; j++)
        for (size_t k = 0; k < r; k++) {
            double element = sign * n->inverse[j * r + k];
            b[j * r + k] += element;
            linear[j] -= 2 * element * n->mean[k];
            *constant += element * n->mean[j] * n->mean[k];
        }
}

/* Writes the fitted model as a function of the features as they are. Offsets and intercept belong to
 * the rounded rows and weights, so that rounding moves no sample far. */
static void write_model(const fitting *f, hb_probe *p)
{
    const size_t r = f->rank, d = f->samples->d;
    double *b = f->work, *vectors = f->work + r * r, linear[RANK] = {0};
    memset(b, 0, r * r * sizeof *b);
    p->intercept = 0;
    add_distance(&f->right, r, 1, b, linear, &p->intercept);
    add_distance(&f->all, r, -1, b, linear, &p->intercept);
    hb_eigen_symmetric(b, vectors, r);
    for (size_t e = 0; e < r; e++) p->factors[e] = b[e * r + e];
    for (size_t j = 0; j < d; j++) {
        const double *basis = f->basis + j * r;
        double weight = 0;
        for (size_t k = 0; k < r; k++) weight += basis[k] * linear[k];
        p->weights[j] = (float)weight;
        p->intercept -= (double)p->weights[j] * f->means[j];
        for (size_t e = 0; e < r; e++) {
            double sum = 0;
            for (size_t k = 0; k < r; k++) sum += basis[k] * vectors[k * r + e];
            p->rows[e * d + j] = (float)sum;
            p->offsets[e] += (double)p->rows[e * d + j] * f->means[j];
        }
    }
}

static hb_status finish(fitting *f, const hb_probe_kind *kind, const hb_joint_options *o,
                        hb_probe **probe, hb_error *err)
{
    const hb_probe_samples *s = f->samples;
    size_t best = 0;
    hb_probe *p;
    hb_status status = choose(f, f->n_folds, &best, err);
    if (!status) status = hb_probe_new(kind, s->blocks[best], s->d, f->rank, &p, err);
    if (status) return status;
    p->options = (hb_joint_options){o->n_folds, o->seed, NULL};
    p->best = best;
    status = add_trials(f, p, err);
    if (!status) status = load(f, best, err);
    if (!status) {
        fit(f, UINT32_MAX, UINT32_MAX);
        write_model(f, p);
        *probe = p;
    } else {
        hb_probe_free(p);
    }
    return status;
}

/* ---- The whole ----------------------------------------------------------------------------------- */

static hb_status reserve(fitting *f, hb_error *err)
{
    const hb_probe_samples *s = f->samples;
    size_t n = s->n, d = s->d, cells;
    bool fits = !__builtin_mul_overflow(n, d, &cells);
    f->rank = d < RANK ? d : RANK;
    f->x = fits ? calloc(cells, sizeof *f->x) : NULL;
    f->means = calloc(d, sizeof *f->means);
    f->basis = calloc(d * f->rank, sizeof *f->basis);
    f->z = calloc(n * f->rank, sizeof *f->z);
    f->work = calloc(2 * f->rank * f->rank, sizeof *f->work);
    f->fold = calloc(n, sizeof *f->fold);
    f->inner = calloc(s->n_blocks * f->n_folds * n, sizeof *f->inner);
    f->outer = calloc(s->n_blocks * n, sizeof *f->outer);
    f->some = calloc(n, sizeof *f->some);
    f->labels = calloc(n, sizeof *f->labels);
    if (!f->x || !f->means || !f->basis || !f->z || !f->work || !f->fold || !f->inner || !f->outer ||
        !f->some || !f->labels)
        return hb_fail_memory(err);
    return hb_pool_open(&f->pool, hb_usable_processors(), err);
}

static void release(fitting *f)
{
    hb_pool_close(f->pool);
    free(f->x);
    free(f->means);
    free(f->basis);
    free(f->z);
    free(f->work);
    free(f->fold);
    free(f->inner);
    free(f->outer);
    free(f->some);
    free(f->labels);
    free(f);
}

hb_status hb_density_fit(const hb_probe_kind *kind, const hb_probe_samples *s,
                         const hb_joint_options *o, hb_probe **probe, double *out_of_fold,
                         hb_error *err)
{
    size_t n_groups;
    fitting *f = calloc(1, sizeof *f);
    if (!f) return hb_fail_memory(err);
    f->samples = s;
    f->n_folds = o->n_folds;
    f->relative = kind->relative;
    hb_status status = reserve(f, err);
    if (!status)
        status =
            hb_deal_folds(s->labels, o->groups, s->n, o->n_folds, o->seed, f->fold, &n_groups, err);
    if (!status) status = hb_check_pairs(s->labels, f->fold, s->n, f->n_folds, err);
    for (size_t b = 0; b < s->n_blocks && !status; b++) status = fit_block(f, b, err);
    if (!status) status = predict_out_of_fold(f, out_of_fold, err);
    if (!status) status = finish(f, kind, o, probe, err);
    release(f);
    return status;
}
