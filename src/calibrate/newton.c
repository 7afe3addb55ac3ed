#include "calibrate/newton.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/wide.h"

#define MAX_STEPS      50  /* of Newton's method; it needs about ten */
#define MAX_DIRECTIONS 200 /* of conjugate gradients in a step */
#define FLUSH          64  /* samples whose floats are summed before they are added to doubles */

struct hb_newton {
    const hb_newton_data *data;
    double c;
    /* All [d + 1], the last number being the intercept's, unless said otherwise; one block of memory.
     */
    double *w, *gradient, *step, *residual, *direction, *curved;
    double *mean, *scale;              /* [d]; scale is 1 / sd */
    double *z, *turned, *error, *bend; /* [n]: log-odds; of the step; p - label; p (1 - p) */
    float *u, *sums;                   /* [d] */
};

static bool is_in(const hb_newton_data *data, size_t i)
{
    return data->fold[i] != data->out[0] && data->fold[i] != data->out[1];
}

/* ---- Opening and closing ------------------------------------------------------------------------- */

/* Adds the sums of x, or of (x - mean)^2, over the samples to totals [d]. Returns their number. */
static double add_moments(const hb_newton *m, const double *mean, double *totals)
{
    const hb_newton_data *data = m->data;
    double count = 0;
    for (size_t i = 0; i < data->n; i++) {
        const float *x = data->x + i * data->d;
        if (!is_in(data, i)) continue;
        count++;
        for (size_t j = 0; j < data->d; j++) {
            double off = mean ? x[j] - mean[j] : 0;
            totals[j] += mean ? off * off : x[j];
        }
    }
    return count;
}

/* A constant feature gets the scale 0, so its weight stays 0. */
static void standardise(hb_newton *m)
{
    size_t d = m->data->d;
    double count = add_moments(m, NULL, m->mean);
    for (size_t j = 0; j < d; j++) m->mean[j] /= count;
    add_moments(m, m->mean, m->scale);
    for (size_t j = 0; j < d; j++) {
        double sd = sqrt(m->scale[j] / count);
        m->scale[j] = sd > 1e-12 * fabs(m->mean[j]) ? 1 / sd : 0;
    }
}

hb_status hb_newton_open(const hb_newton_data *data, hb_newton **model, hb_error *err)
{
    enum { VECTORS = 8, SAMPLES = 4 };
    size_t d = data->d + 1, n = data->n;
    hb_newton *m = calloc(1, sizeof *m);
    double *block = calloc(VECTORS * d + SAMPLES * n, sizeof *block);
    float *floats = calloc(2 * d, sizeof *floats);
    if (!m || !block || !floats) {
        free(m);
        free(block);
        free(floats);
        return hb_fail_memory(err);
    }
    *m = (hb_newton){.data = data, .w = block, .u = floats, .sums = floats + d};
    double **vectors[] = {&m->gradient, &m->step, &m->residual, &m->direction,
                          &m->curved,   &m->mean, &m->scale};
    for (size_t v = 0; v < VECTORS - 1; v++) *vectors[v] = block + (v + 1) * d;
    m->z = block + VECTORS * d;
    m->turned = m->z + n;
    m->error = m->turned + n;
    m->bend = m->error + n;
    standardise(m);
    *model = m;
    return HB_OK;
}

void hb_newton_close(hb_newton *model)
{
    if (!model) return;
    free(model->w);
    free(model->u);
    free(model);
}

/* ---- Products ------------------------------------------------------------------------------------ */

/* Prepares products of standardised samples with v: u becomes v / sd. Returns the constant part. */
static double prepare(const hb_newton *m, const double *v)
{
    size_t d = m->data->d;
    double constant = v[d];
    for (size_t j = 0; j < d; j++) {
        double u = v[j] * m->scale[j];
        m->u[j] = (float)u;
        constant -= u * m->mean[j];
    }
    return constant;
}

/* Four sums at a time, so that additions need not wait for each other. */
HB_WIDE static float product(const float *a, const float *b, size_t n)
{
    const size_t q = n / 4;
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (size_t j = 0; j < q; j++) {
        s0 += a[j] * b[j];
        s1 += a[q + j] * b[q + j];
        s2 += a[2 * q + j] * b[2 * q + j];
        s3 += a[3 * q + j] * b[3 * q + j];
    }
    for (size_t j = 4 * q; j < n; j++) s0 += a[j] * b[j];
    return s0 + s1 + s2 + s3;
}

HB_WIDE static void add_scaled(float *sums, const float *x, float s, size_t n)
{
#pragma omp simd
    for (size_t j = 0; j < n; j++) sums[j] += s * x[j];
}

/* Moves the float sums to the double ones. */
static void flush(const hb_newton *m, double *out)
{
    for (size_t j = 0; j < m->data->d; j++) {
        out[j] += m->sums[j];
        m->sums[j] = 0;
    }
}

/* out = the transposed standardised samples times s, where s is `weight` [n] or, with a prepared v, the
 * product with v times `weight`. */
static void collect(const hb_newton *m, const double *weight, bool prepared, double constant,
                    double *out)
{
    const hb_newton_data *data = m->data;
    size_t d = data->d, held = 0;
    double total = 0;
    memset(out, 0, (d + 1) * sizeof *out);
    for (size_t i = 0; i < data->n; i++) {
        const float *x = data->x + i * d;
        if (!is_in(data, i)) continue;
        double s = weight[i];
        if (prepared) s *= product(m->u, x, d) + constant;
        total += s;
        add_scaled(m->sums, x, (float)s, d);
        if (++held % FLUSH == 0) flush(m, out);
    }
    flush(m, out);
    for (size_t j = 0; j < d; j++) out[j] = (out[j] - m->mean[j] * total) * m->scale[j];
    out[d] = total;
}

/* out = the Hessian times v. */
static void curve(const hb_newton *m, const double *v, double *out)
{
    size_t d = m->data->d;
    collect(m, m->bend, true, prepare(m, v), out);
    for (size_t j = 0; j <= d; j++) out[j] = m->c * out[j] + (j < d ? v[j] : 0);
}

/* z [n] = the products of the samples with v. */
static void project(const hb_newton *m, const double *v, double *z)
{
    const hb_newton_data *data = m->data;
    double constant = prepare(m, v);
    for (size_t i = 0; i < data->n; i++)
        if (is_in(data, i)) z[i] = product(m->u, data->x + i * data->d, data->d) + constant;
}

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++) sum += a[j] * b[j];
    return sum;
}

/* ---- Newton's method ----------------------------------------------------------------------------- */

/* The objective `along` steps from the present weights. */
static double objective(const hb_newton *m, double along)
{
    const hb_newton_data *data = m->data;
    double losses = 0, squares = 0;
    for (size_t j = 0; j < data->d; j++) {
        double w = m->w[j] + along * m->step[j];
        squares += w * w;
    }
    for (size_t i = 0; i < data->n; i++) {
        if (!is_in(data, i)) continue;
        double z = m->z[i] + along * m->turned[i], against = data->labels[i] ? -z : z;
        losses += against > 0 ? against + log1p(exp(-against)) : log1p(exp(against));
    }
    return squares / 2 + m->c * losses;
}

/* Computes gradient and curvature at log-odds z, and returns the gradient's size. */
static double differentiate(hb_newton *m)
{
    const hb_newton_data *data = m->data;
    size_t d = data->d;
    for (size_t i = 0; i < data->n; i++) {
        double p = 1 / (1 + exp(-m->z[i]));
        m->error[i] = p - data->labels[i];
        m->bend[i] = p * (1 - p);
    }
    collect(m, m->error, false, 0, m->gradient);
    for (size_t j = 0; j <= d; j++) m->gradient[j] = m->c * m->gradient[j] + (j < d ? m->w[j] : 0);
    return sqrt(dot(m->gradient, m->gradient, d + 1));
}

/* Solves Hessian times step = -gradient until the residual is `enough`. */
static void find_step(hb_newton *m, double enough)
{
    size_t n = m->data->d + 1;
    memset(m->step, 0, n * sizeof *m->step);
    for (size_t j = 0; j < n; j++) m->residual[j] = m->direction[j] = -m->gradient[j];
    double size = dot(m->residual, m->residual, n);
    for (int k = 0; k < MAX_DIRECTIONS && sqrt(size) > enough; k++) {
        curve(m, m->direction, m->curved);
        double bent = dot(m->direction, m->curved, n), along = size / bent, before = size;
        if (!(bent > 0)) return;
        for (size_t j = 0; j < n; j++) {
            m->step[j] += along * m->direction[j];
            m->residual[j] -= along * m->curved[j];
        }
        size = dot(m->residual, m->residual, n);
        for (size_t j = 0; j < n; j++)
            m->direction[j] = m->residual[j] + size / before * m->direction[j];
    }
}

/* Goes along the step as far as the objective falls enough. Returns false if it does not fall. */
static bool take_step(hb_newton *m)
{
    size_t n = m->data->d + 1;
    double here = objective(m, 0), slope = dot(m->gradient, m->step, n), along = 1;
    project(m, m->step, m->turned);
    while (along > 1e-6 && !(objective(m, along) <= here + 1e-4 * along * slope)) along /= 2;
    if (!(along > 1e-6)) return false;
    for (size_t j = 0; j < n; j++) m->w[j] += along * m->step[j];
    for (size_t i = 0; i < m->data->n; i++) m->z[i] += along * m->turned[i];
    return true;
}

/* The size of the gradient at weights 0 and the intercept that fits the labels' frequency. */
static double first_size(hb_newton *m, double c)
{
    size_t d = m->data->d;
    double ones = 0, count = 0;
    for (size_t i = 0; i < m->data->n; i++)
        if (is_in(m->data, i)) count++, ones += m->data->labels[i];
    double odds = ones > 0 && ones < count ? log(ones / (count - ones)) : 0;
    for (size_t i = 0; i < m->data->n; i++) m->error[i] = ones / count - m->data->labels[i];
    collect(m, m->error, false, 0, m->gradient);
    if (dot(m->w, m->w, d + 1) == 0) m->w[d] = odds;
    return c * sqrt(dot(m->gradient, m->gradient, d));
}

void hb_newton_fit(hb_newton *m, double c, double tolerance)
{
    double enough = tolerance * first_size(m, c);
    m->c = c;
    project(m, m->w, m->z);
    for (int k = 0; k < MAX_STEPS; k++) {
        double size = differentiate(m);
        if (size <= enough) return;
        find_step(m, fmax(size / 10, enough / 2));
        if (!take_step(m)) return;
    }
}

/* ---- The model ----------------------------------------------------------------------------------- */

void hb_newton_predict(const hb_newton *m, uint32_t fold, float *z)
{
    const hb_newton_data *data = m->data;
    double constant = prepare(m, m->w);
    for (size_t i = 0; i < data->n; i++)
        if (data->fold[i] == fold)
            z[i] = (float)(product(m->u, data->x + i * data->d, data->d) + constant);
}

void hb_newton_weights(const hb_newton *m, double *weights, double *intercept)
{
    size_t d = m->data->d;
    *intercept = m->w[d];
    for (size_t j = 0; j < d; j++) {
        weights[j] = m->w[j] * m->scale[j];
        *intercept -= weights[j] * m->mean[j];
    }
}
