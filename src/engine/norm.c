#include "engine/norm.h"

#include <math.h>
#include "base/wide.h"

/* The sum of squares, in this many sums side by side. Their order does not depend on the processor. */
enum { SUMS = 16 };

HB_WIDE static double sum_squares(const float *x, size_t n)
{
    double sums[SUMS] = {0}, all = 0;
    size_t i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (size_t k = 0; k < SUMS; k++) sums[k] += (double)x[i + k] * x[i + k];
    for (; i < n; i++) all += (double)x[i] * x[i];
    for (size_t k = 0; k < SUMS; k++) all += sums[k];
    return all;
}

HB_WIDE static void scale_row(const float *x, const float *weight, float scale, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
}

void hb_rms_norm(const float *x, const float *weight, float eps, size_t n, float *out)
{
    double squares = sum_squares(x, n);
    float scale = 1.0f / sqrtf((float)(squares / (double)n) + eps);
    /* The mean of finite squares can be larger than a float. A scale of 0 would hide such values. */
    if (scale == 0) scale = (float)(1 / sqrt(squares / (double)n));
    scale_row(x, weight, scale, n, out);
}
