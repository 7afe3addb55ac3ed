/* Plain C for any processor. Sums run in eight lanes, which compilers can keep in vector registers and
 * which lose less precision than one long sum. */
#define HB_LANES     4
#define TILE_ROWS    4
#define TILE_VECTORS 2

#include "base/half.h"
#include "engine/kernels/dequantize.h"
#include "engine/kernels/vector.h"

static inline vf vf_halves(const uint16_t *from)
{
    return (vf){f16_f32(from[0]), f16_f32(from[1]), f16_f32(from[2]), f16_f32(from[3])};
}

static inline vf vf_bytes(const int8_t *from)
{
    return (vf){from[0], from[1], from[2], from[3]};
}

#include "engine/kernels/float.h"

#define WIDE_IS_SIGNED 0

static inline vi dot4(vi sums, vb u, vb q, bool wide)
{
    (void)wide;
    for (int i = 0; i < HB_LANES; i++)
        for (int k = 4 * i; k < 4 * i + 4; k++) sums[i] += (uint8_t)u[k] * q[k];
    return sums;
}

#include "engine/kernels/bytes.h"

/* ---- Products of bytes: rows are unpacked, some weights at a time ------------------------------- */

#define CHUNK ((size_t)512) /* weights unpacked at a time */

/* Unpacked groups of weights. */
typedef struct row_chunk {
    _Alignas(64) uint8_t u[CHUNK];
    float d[CHUNK / 16], m[CHUNK / 16];
} row_chunk;

/* Fills `scale` with the scales of weights times the scales of activations, for the n groups of a
 * chunk; groups missing from the last chunk get 0. Adds minima times sums of activations to *low. */
INLINE void scale_groups(const row_chunk *c, size_t n, size_t full, const float *dx, const float *sums,
                         float *scale, vf *low)
{
    if (n == full) {
        for (size_t g = 0; g < full; g += HB_LANES) {
            vf_store(scale + g, vf_load(c->d + g) * vf_load(dx + g));
            *low += vf_load(c->m + g) * vf_load(sums + g);
        }
        return;
    }
    for (size_t g = 0; g < full; g++) scale[g] = g < n ? c->d[g] * dx[g] : 0;
    for (size_t g = 0; g < n; g++) (*low)[g % HB_LANES] += c->m[g] * sums[g];
}

/* Multiplies one row of weights, in blocks of `block`, by T tokens. All arguments except pointers are
 * constants where this is inlined. */
INLINE void dot_row(unpacker *unpack, const size_t block, const size_t block_bytes, const size_t group,
                    const bool wide, const int T, const uint8_t *row, const hb_bytes *x, float *y,
                    size_t ldy)
{
    row_chunk c;
    float scale[CHUNK / 16];
    vf acc[HB_DIRECT], low[HB_DIRECT];
    EACH(t, T) acc[t] = low[t] = vf_all(0);
    memset(c.u, 0, sizeof c.u);
    for (size_t at = 0; at < x->cols; at += CHUNK) {
        size_t n = x->cols - at < CHUNK ? x->cols - at : CHUNK;
        unpack(row + at / block * block_bytes, n, c.u, c.d, c.m);
        EACH(t, T)
        {
            size_t place = (size_t)t * x->cols + at;
            scale_groups(&c, n / group, CHUNK / group, x->d[group / 32] + place / group,
                         x->scaled[group / 32] + place / group, scale, &low[t]);
            for (size_t i = 0; i < CHUNK; i += STEP) {
                vi sum = dot4((vi){0}, vb_load(c.u + i), vb_load(x->q + place + i), wide);
                acc[t] += __builtin_convertvector(sum, vf) * scale[i / group];
            }
        }
    }
    EACH(t, T) y[(size_t)t * ldy] = vf_sum(acc[t]) - vf_sum(low[t]);
}

INLINE void dot_tokens(unpacker *unpack, const size_t block, const size_t block_bytes,
                       const size_t group, const bool wide, const uint8_t *row, const hb_bytes *x,
                       float *y, size_t ldy)
{
    if (x->n == 1) dot_row(unpack, block, block_bytes, group, wide, 1, row, x, y, ldy);
    else if (x->n == 2) dot_row(unpack, block, block_bytes, group, wide, 2, row, x, y, ldy);
    else if (x->n == 3) dot_row(unpack, block, block_bytes, group, wide, 3, row, x, y, ldy);
    else dot_row(unpack, block, block_bytes, group, wide, 4, row, x, y, ldy);
}

#define DOT(type, block, group, wide, offset)                                                          \
    static void type##_dot(const void *rows, size_t row_bytes, int count, const hb_bytes *x, float *y, \
                           size_t ldy)                                                                 \
    {                                                                                                  \
        for (int r = 0; r < count; r++)                                                                \
            dot_tokens(type##_unpack, block, sizeof(block_##type), group, wide,                        \
                       (const uint8_t *)rows + (size_t)r * row_bytes, x, y + r, ldy);                  \
    }
EACH_SHAPE(DOT)

/* ---- Products of floats ------------------------------------------------------------------------- */

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

static void f32_to_f16(const float *x, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = fabsf(x[i]) < 65520 || isnan(x[i]) ? hb_half(x[i]) : signbit(x[i]) ? 0xFC00 : 0x7C00;
}

const hb_kernels hb_kernels_portable = {
    .name = "portable",
    .to_f32 = {[HB_TYPE_F16] = f16_to_f32, COMMON_TO_F32},
    .dot = {EACH_QUANTISED(_dot)},
    .tile = {[HB_TYPE_F32] = tile},
    .quantise = quantise,
    .attend = attend,
    .to_f16 = f32_to_f16,
    .silu_mul = silu_mul,
    .gelu_mul = gelu_mul,
    .softcap = softcap,
};
