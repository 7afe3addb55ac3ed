/* Plain C for any processor. Sums run in eight lanes, which compilers can keep in vector registers and
 * which lose less precision than one long sum. */
#define HB_LANES     4
#define TILE_ROWS    4
#define TILE_VECTORS 2

#include "engine/kernels/float.h"

static inline vi dot4(vi sums, vb u, vb q, bool wide)
{
    (void)wide;
    for (int i = 0; i < HB_LANES; i++)
        for (int k = 4 * i; k < 4 * i + 4; k++) sums[i] += (uint8_t)u[k] * q[k];
    return sums;
}

static inline vf spread(const float *values, size_t group)
{
    (void)group; /* a vector is not longer than a group */
    return vf_all(values[0]);
}

#include "engine/kernels/bytes.h"

#define LANES 8

static float dot(const float *a, const float *b, size_t n)
{
    float lane[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += a[i + (size_t)k] * b[i + (size_t)k];
    float sum =
        ((lane[0] + lane[4]) + (lane[1] + lane[5])) + ((lane[2] + lane[6]) + (lane[3] + lane[7]));
    for (; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void tile(const void *w, size_t ldw, int rows, const float *x, size_t ldx, int tokens, size_t n,
                 float *y, size_t ldy)
{
    for (int t = 0; t < tokens; t++)
        for (int r = 0; r < rows; r++) {
            const void *row = (const uint8_t *)w + (size_t)r * ldw;
            y[(size_t)t * ldy + (size_t)r] = dot(row, x + (size_t)t * ldx, n);
        }
}

const hb_kernels hb_kernels_portable = {
    .name = "portable",
    .to_f32 = {[HB_TYPE_F16] = f16_to_f32, COMMON_TO_F32},
    .unpack = {COMMON_UNPACK},
    .dot = {COMMON_DOT},
    .tile = {[HB_TYPE_F32] = tile},
    .quantise = quantise,
    .attend = attend,
    .silu_mul = silu_mul,
    .gelu_mul = gelu_mul,
    .softcap = softcap,
};
