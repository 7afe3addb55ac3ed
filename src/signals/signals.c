#include "hbar.h"

#include <math.h>
#include "base/wide.h"

void hb_softmax(const float *logits, size_t n, float *p)
{
    float max = logits[0];
    for (size_t i = 1; i < n; i++)
        if (logits[i] > max) max = logits[i];
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += p[i] = expf(logits[i] - max);
    for (size_t i = 0; i < n; i++) p[i] = (float)(p[i] / sum);
}

/* A value that rounding may have moved out of [low, high]. NaN stays. */
static double within(double low, double value, double high)
{
    if (value < low) return low;
    return value > high ? high : value;
}

double hb_delta_mu(double impurity)
{
    return 1 / sqrt(impurity + 0.01);
}

/* 1 / sqrt(sum h^2 + 1e-8). The sum runs in lanes, so that compilers can use vector registers. */
static double inverse_norm(const float *h, size_t n)
{
    double squares = 1e-8;
#pragma omp simd reduction(+ : squares)
    for (size_t i = 0; i < n; i++) squares += (double)h[i] * h[i];
    return 1 / sqrt(squares);
}

/* Sums squared distances from the centroid directly, some columns at a time. This needs no copy of the
 * states and, unlike 1 - |centroid|^2, stays precise when the rows are nearly equal. */
HB_WIDE static double find_delta_sigma(const float *states, size_t n_layers, size_t n_embd)
{
    enum { COLUMNS = 32 };
    double scale[HB_MAX_LAYERS], distances[COLUMNS] = {0}, total = 0;
    if (n_layers < 1 || n_layers > HB_MAX_LAYERS) return NAN;
    for (size_t l = 0; l < n_layers; l++) scale[l] = inverse_norm(states + l * n_embd, n_embd);
    for (size_t first = 0; first < n_embd; first += COLUMNS) {
        size_t count = n_embd - first < COLUMNS ? n_embd - first : COLUMNS;
        double mean[COLUMNS] = {0};
        for (size_t l = 0; l < n_layers; l++)
            for (size_t i = 0; i < count; i++) mean[i] += states[l * n_embd + first + i] * scale[l];
        for (size_t i = 0; i < count; i++) mean[i] /= (double)n_layers;
        for (size_t l = 0; l < n_layers; l++)
            for (size_t i = 0; i < count; i++) {
                double distance = states[l * n_embd + first + i] * scale[l] - mean[i];
                distances[i] += distance * distance;
            }
    }
    for (size_t i = 0; i < COLUMNS; i++) total += distances[i];
    return within(0, sqrt(total / (double)n_layers), 1);
}

double hb_delta_sigma(const float *states, size_t n_layers, size_t n_embd)
{
    return find_delta_sigma(states, n_layers, n_embd);
}

double hb_hbar_s(double delta_mu, double delta_sigma)
{
    return sqrt(delta_mu * delta_sigma);
}

double hb_p_fail(double value, double tau, double lambda, hb_direction direction)
{
    double exponent = lambda * (value - tau);
    if (direction == HB_DIRECTION_LOW) exponent = -exponent;
    if (exponent > 50) exponent = 50;
    if (exponent < -50) exponent = -50;
    return 1 / (1 + exp(-exponent));
}

double hb_surprise(double p)
{
    if (p < 1e-10) p = 1e-10;
    if (p > 1) p = 1;
    return 0 - log(p); /* 0 - x avoids a result of -0 */
}

double hb_cosine_distance(const float *a, const float *b, size_t n)
{
    double product = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        product += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    if (aa == 0 || bb == 0) return 0;
    return within(0, 1 - product / (sqrt(aa) * sqrt(bb)), 2);
}

double hb_pri(double surprise, double delta_h, double alpha)
{
    return surprise * (1 + alpha * delta_h);
}

void hb_top5_add(hb_top5 *top, double value)
{
    int at = top->n < 5 ? top->n++ : 5;
    if (at == 5 && !(value > top->largest[--at])) return;
    for (; at > 0 && value > top->largest[at - 1]; at--) top->largest[at] = top->largest[at - 1];
    top->largest[at] = value;
}

double hb_top5_mean(const hb_top5 *top)
{
    double sum = 0;
    for (int i = 0; i < top->n; i++) sum += top->largest[i];
    return sum / top->n;
}
