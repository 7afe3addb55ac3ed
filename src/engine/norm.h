/* Normalisation of one row. */
#ifndef HB_ENGINE_NORM_H
#define HB_ENGINE_NORM_H

#include <stddef.h>

/* out = x / sqrt(mean x^2 + eps) * weight, all [n] (Zhang and Sennrich, Root Mean Square Layer
 * Normalization, 2019). */
void hb_rms_norm(const float *x, const float *weight, float eps, size_t n, float *out);

#endif
