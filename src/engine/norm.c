#include "engine/norm.h"

#include <math.h>

void hb_rms_norm(const float *x, const float *weight, float eps, size_t n, float *out)
{
    double squares = 0;
    for (size_t i = 0; i < n; i++) squares += (double)x[i] * x[i];
    float scale = 1.0f / sqrtf((float)(squares / (double)n) + eps);
    /* The mean of finite squares can be larger than a float. A scale of 0 would hide such values. */
    if (scale == 0) scale = (float)(1 / sqrt(squares / (double)n));
    for (size_t i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
}
