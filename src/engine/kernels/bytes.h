/* Products of quantised weights with activations quantised to bytes. Weights u are 0 to 255,
 * activations q are -127 to 127; sums within a group are integers and exact. In addition to what
 * float.h needs, the including file defines:
 *
 *   vi dot4(vi sums, vb u, vb q, bool wide)
 *       adds u[4i] q[4i] + ... + u[4i+3] q[4i+3] to lane i; u is at most 127 unless `wide`. Not for
 *       kernels with SUMS_IN_PAIRS, see pairs.h
 *   WIDE_IS_SIGNED
 *       whether wide weights are bytes from -128 to 127 instead, for which 128 was subtracted from u
 */
#ifndef HB_ENGINE_KERNELS_BYTES_H
#define HB_ENGINE_KERNELS_BYTES_H

#include "engine/kernels/dequantize.h"
#include "engine/kernels/float.h"

#define STEP ((size_t)HB_LANES * 4) /* weights in a vector */

/* Vectors that hold the scales of 256 weights, in groups of 32 and of 16. */
#define HALF  (HB_LANES > 8 ? 1 : 8 / HB_LANES)
#define WHOLE (16 / HB_LANES)

typedef int8_t lane_bytes __attribute__((vector_size(HB_LANES))); /* one for each lane of floats */

static inline vb vb_load(const void *from)
{
    vb v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE vb all(const int byte)
{
    return (int8_t)byte - (vb){0};
}

/* Wide weights u as dot4 takes them. */
INLINE vb as_wide(vb u)
{
    return WIDE_IS_SIGNED ? u ^ all(-128) : u;
}

/* Quantises groups of 32 activations: the greatest magnitude of a group becomes 127. A group that is
 * not finite gets the scale NaN, so that all products with it are NaN. Maxima of floats would lose NaN.
 */
static void quantise(const float *x, size_t n, int8_t *q, float *d, int32_t *sums)
{
    enum { EACH_HALF = 16 / HB_LANES };
    const vf round = vf_all(0x1.8p23f);
    for (size_t g = 0; g < n / 32; g++, x += 32, q += 32) {
        vi max = {0};
        EACH(i, 2 * EACH_HALF) max = vi_max(max, (vi)vf_load(x + i * HB_LANES) & INT32_MAX);
        int32_t bits = vi_greatest(max);
        float greatest;
        memcpy(&greatest, &bits, sizeof greatest);
        d[g] = greatest < INFINITY ? greatest / 127 : NAN;
        if (!(greatest < INFINITY)) {
            memset(q, 0, 32);
            sums[2 * g] = sums[2 * g + 1] = 0;
            continue;
        }
        float inverse = greatest > 1e-36f ? 127 / greatest : 0; /* else it would be infinite */
        EACH(half, 2)
        {
            vf sum = vf_all(0); /* a sum of integers, so exact */
            for (int i = half * 16; i < half * 16 + 16; i += HB_LANES) {
                vf v = (vf_load(x + i) * inverse + round) - round;
                lane_bytes bytes = __builtin_convertvector(__builtin_convertvector(v, vi), lane_bytes);
                memcpy(q + i, &bytes, sizeof bytes);
                sum += v;
            }
            sums[2 * g + (size_t)half] = (int32_t)vf_sum(sum);
        }
    }
}

#endif
