#include "calibrate/principal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/eigen.h"
#include "base/rng.h"
#include "base/wide.h"

/* Directions beside those asked for, and steps of the iteration. */
enum { BESIDE = 16, STEPS = 6, MOST = HB_PRINCIPAL_MAX + BESIDE };

/* The samples are divided into parts, one for a thread at a time. */
enum { PARTS = 8 };

typedef struct finding {
    const float *x;
    size_t n, d, k; /* samples, features, directions */
    float *q;       /* [d][k], the directions */
    float *sums;    /* [PARTS][d][k], of x_i times the coordinates of x_i; NULL: not wanted */
    double *z;      /* [n][k], the coordinates; NULL: not wanted */
} finding;

/* ---- Products ------------------------------------------------------------------------------------ */

/* The coordinates of one sample. */
HB_WIDE static void multiply(const float *x, const float *q, size_t d, size_t k, float *y)
{
    memset(y, 0, k * sizeof *y);
    for (size_t j = 0; j < d; j++) {
        const float factor = x[j], *row = q + j * k;
#pragma omp simd
        for (size_t c = 0; c < k; c++) y[c] += factor * row[c];
    }
}

HB_WIDE static void add_outer(const float *x, const float *y, size_t d, size_t k, float *sums)
{
    for (size_t j = 0; j < d; j++) {
        const float factor = x[j];
        float *row = sums + j * k;
#pragma omp simd
        for (size_t c = 0; c < k; c++) row[c] += factor * y[c];
    }
}

static void do_part(const void *context, int32_t part, int32_t thread)
{
    const finding *f = context;
    size_t first = f->n * (size_t)part / PARTS, end = f->n * (size_t)(part + 1) / PARTS;
    float y[MOST];
    (void)thread;
    for (size_t i = first; i < end; i++) {
        const float *x = f->x + i * f->d;
        multiply(x, f->q, f->d, f->k, y);
        if (f->sums) add_outer(x, y, f->d, f->k, f->sums + (size_t)part * f->d * f->k);
        for (size_t c = 0; c < f->k && f->z; c++) f->z[i * f->k + c] = y[c];
    }
}

/* ---- Directions ---------------------------------------------------------------------------------- */

/* Makes the columns of v [d][k] orthonormal, each twice to remove what rounding leaves (Gram and
 * Schmidt). A column that depends on those before becomes 0. */
static void orthonormalise(double *v, size_t d, size_t k)
{
    for (size_t c = 0; c < k; c++) {
        double before = 0, after = 0;
        for (size_t j = 0; j < d; j++) before += v[j * k + c] * v[j * k + c];
        for (int round = 0; round < 2; round++)
            for (size_t b = 0; b < c; b++) {
                double product = 0;
                for (size_t j = 0; j < d; j++) product += v[j * k + c] * v[j * k + b];
                for (size_t j = 0; j < d; j++) v[j * k + c] -= product * v[j * k + b];
            }
        for (size_t j = 0; j < d; j++) after += v[j * k + c] * v[j * k + c];
        double scale = after > 1e-20 * before ? 1 / sqrt(after) : 0;
        for (size_t j = 0; j < d; j++) v[j * k + c] *= scale;
    }
}

/* Random directions, the same on every platform. */
static void begin(double *v, size_t n)
{
    hb_rng rng = {42};
    for (size_t i = 0; i < n; i++) {
        double sum = -6; /* of twelve uniform numbers: nearly normal */
        for (int k = 0; k < 12; k++) sum += hb_rng_unit(&rng);
        v[i] = sum;
    }
}

static void to_floats(const double *v, size_t n, float *q)
{
    for (size_t i = 0; i < n; i++) q[i] = (float)v[i];
}

/* Replaces the directions by the covariance times them. */
static void step(hb_pool *pool, const finding *f, double *v)
{
    size_t size = f->d * f->k;
    to_floats(v, size, f->q);
    memset(f->sums, 0, PARTS * size * sizeof *f->sums);
    hb_pool_each(pool, PARTS, do_part, f);
    for (size_t i = 0; i < size; i++) {
        v[i] = 0;
        for (size_t p = 0; p < PARTS; p++) v[i] += (double)f->sums[p * size + i];
    }
}

/* The order of eigenvalues a[i][i], from the largest on. */
static void rank_them(const double *a, size_t k, size_t *order)
{
    for (size_t i = 0; i < k; i++) {
        size_t at = i;
        for (; at > 0 && a[i * k + i] > a[order[at - 1] * k + order[at - 1]]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

/* Turns the directions v [d][k] into components, and keeps the leading ones. `image` [d][k] is the
 * covariance times v. */
static hb_status turn(const double *v, const double *image, size_t d, size_t k, size_t rank,
                      double *basis, hb_error *err)
{
    size_t order[MOST];
    double *a = calloc(2 * k * k, sizeof *a), *vectors = a ? a + k * k : NULL;
    if (!a) return hb_fail_memory(err);
    for (size_t j = 0; j < d; j++)
        for (size_t b = 0; b < k; b++)
            for (size_t c = 0; c <= b; c++) a[b * k + c] += v[j * k + b] * image[j * k + c];
    for (size_t b = 0; b < k; b++)
        for (size_t c = 0; c < b; c++) a[c * k + b] = a[b * k + c];
    hb_eigen_symmetric(a, vectors, k);
    rank_them(a, k, order);
    for (size_t j = 0; j < d; j++)
        for (size_t r = 0; r < rank; r++) {
            double sum = 0;
            for (size_t c = 0; c < k; c++) sum += v[j * k + c] * vectors[c * k + order[r]];
            basis[j * rank + r] = sum;
        }
    free(a);
    return HB_OK;
}

hb_status hb_principal_components(hb_pool *pool, const float *x, size_t n, size_t d, size_t rank,
                                  double *basis, hb_error *err)
{
    size_t k = rank + BESIDE < d ? rank + BESIDE : d, size = d * k;
    finding f = {.x = x, .n = n, .d = d, .k = k};
    double *v = calloc(2 * size, sizeof *v);
    f.q = calloc(size, sizeof *f.q);
    f.sums = calloc(PARTS * size, sizeof *f.sums);
    hb_status status = v && f.q && f.sums ? HB_OK : hb_fail_memory(err);
    if (!status) {
        begin(v, size);
        for (int s = 0; s < (k < d ? STEPS : 1); s++) {
            orthonormalise(v, d, k);
            memcpy(v + size, v, size * sizeof *v);
            step(pool, &f, v);
        }
        status = turn(v + size, v, d, k, rank, basis, err);
    }
    free(v);
    free(f.q);
    free(f.sums);
    return status;
}

hb_status hb_principal_project(hb_pool *pool, const float *x, size_t n, size_t d, size_t rank,
                               const double *basis, double *z, hb_error *err)
{
    finding f = {.x = x, .n = n, .d = d, .k = rank, .z = z};
    f.q = calloc(d * rank, sizeof *f.q);
    if (!f.q) return hb_fail_memory(err);
    to_floats(basis, d * rank, f.q);
    hb_pool_each(pool, PARTS, do_part, &f);
    free(f.q);
    return HB_OK;
}
