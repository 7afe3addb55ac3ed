/* Products of quantised weights with activations quantised to bytes. Weights u are 0 to 255,
 * activations q are -127 to 127; sums within a group are integers and exact. In addition to what
 * float.h needs, the including file defines:
 *
 *   vi dot4(vi sums, vb u, vb q, bool wide)
 *       adds u[4i] q[4i] + ... + u[4i+3] q[4i+3] to lane i; u is at most 127 unless `wide`
 *   vf spread(const float *values, size_t group)
 *       sets each lane, which stands for 4 weights, to the value of its group
 *   BYTE_VECTORS, BYTE_TOKENS
 *       for panels: number of vectors of rows, and number of tokens processed together
 */
#ifndef HB_ENGINE_KERNELS_BYTES_H
#define HB_ENGINE_KERNELS_BYTES_H

#include "engine/kernels/dequantize.h"
#include "engine/kernels/float.h"

#define STEP ((size_t)HB_LANES * 4) /* weights in a vector */

typedef int8_t lane_bytes __attribute__((vector_size(HB_LANES))); /* one for each lane of floats */

static inline vb vb_load(const void *from)
{
    vb v;
    memcpy(&v, from, sizeof v);
    return v;
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

/* ---- A few tokens: weights are read in place --------------------------------------------------- */

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
INLINE void dot_row(hb_unpack *unpack, const size_t block, const size_t block_bytes, const size_t group,
                    const bool wide, const int T, const void *row, const hb_bytes *x, float *y,
                    size_t ldy)
{
    row_chunk c;
    float scale[CHUNK / 16];
    vf acc[HB_DIRECT], low[HB_DIRECT];
    EACH(t, T) acc[t] = low[t] = vf_all(0);
    memset(c.u, 0, sizeof c.u);
    for (size_t at = 0; at < x->cols; at += CHUNK) {
        size_t n = x->cols - at < CHUNK ? x->cols - at : CHUNK;
        unpack((const uint8_t *)row + at / block * block_bytes, n, c.u, c.d, c.m);
        EACH(t, T)
        {
            size_t place = (size_t)t * x->cols + at;
            scale_groups(&c, n / group, CHUNK / group, x->d[group / 32] + place / group,
                         x->scaled[group / 32] + place / group, scale, &low[t]);
            for (size_t i = 0; i < CHUNK; i += STEP) {
                vi sum = dot4((vi){0}, vb_load(c.u + i), vb_load(x->q + place + i), wide);
                acc[t] += __builtin_convertvector(sum, vf) * spread(scale + i / group, group);
            }
        }
    }
    EACH(t, T) y[(size_t)t * ldy] = vf_sum(acc[t]) - vf_sum(low[t]);
}

#define DOT(type, block, group, wide)                                                                  \
    static void type##_dot(const void *row, const hb_bytes *x, float *y, size_t ldy)                   \
    {                                                                                                  \
        const size_t bytes = sizeof(block_##type);                                                     \
        if (x->n == 1) dot_row(type##_unpack, block, bytes, group, wide, 1, row, x, y, ldy);           \
        else if (x->n == 2) dot_row(type##_unpack, block, bytes, group, wide, 2, row, x, y, ldy);      \
        else if (x->n == 3) dot_row(type##_unpack, block, bytes, group, wide, 3, row, x, y, ldy);      \
        else dot_row(type##_unpack, block, bytes, group, wide, 4, row, x, y, ldy);                     \
    }
EACH_OTHER_SHAPE(DOT)
#ifndef OWN_DOTS
EACH_COMMON_SHAPE(DOT)
#endif
#define COMMON_DOT EACH_QUANTISED(_dot)

#ifdef BYTE_TOKENS
/* ---- Many tokens: weights are in panels --------------------------------------------------------- */

/* The four bytes at `from` in every lane. */
static inline vb vb_four(const int8_t *from)
{
    int32_t four;
    memcpy(&four, from, sizeof four);
    return (vb)(four - (vi){0});
}

/* Multiplies a panel's V vectors of rows by T tokens from `first` on. T, V and `group` are constants
 * where this is inlined. Each group's sum starts from the value that cancels the weights' offset. */
INLINE void panel_tile(const int T, const int V, const size_t group, const bool wide, const bool minima,
                       const hb_panel *p, int first)
{
    const size_t width = (size_t)V * HB_LANES, each = HB_PANEL_DEPTH / group;
    const int8_t *q = p->q + (size_t)first * HB_PANEL_DEPTH;
    const float *dx = p->dx + (size_t)first * each, *sums = p->scaled + (size_t)first * each;
    const int32_t *start = p->start + (size_t)first * each;
    const float *d = p->d, *m = p->m;
    float *out = p->acc + (size_t)first * width;
    vf acc[BYTE_TOKENS][BYTE_VECTORS];
    EACH(t, T)
    EACH(v, V) acc[t][v] = p->add ? vf_load(out + (size_t)t * width + v * HB_LANES) : vf_all(0);
    const uint8_t *u = p->u;
    for (size_t g = p->depth / group; g > 0; g--) {
        vi sum[BYTE_TOKENS][BYTE_VECTORS];
        EACH(t, T) EACH(v, V) sum[t][v] = start[(size_t)t * each] - (vi){0};
        for (size_t k = 0; k < group; k += 4, u += 4 * width, q += 4) {
            vb uv[BYTE_VECTORS];
            EACH(v, V) uv[v] = vb_load(u + (size_t)v * STEP);
            EACH(t, T)
            {
                vb four = vb_four(q + (size_t)t * HB_PANEL_DEPTH);
                EACH(v, V) sum[t][v] = dot4(sum[t][v], uv[v], four, wide);
            }
        }
        EACH(v, V)
        {
            vf dv = vf_load(d + v * HB_LANES);
            EACH(t, T)
            acc[t][v] += __builtin_convertvector(sum[t][v], vf) * (dv * dx[(size_t)t * each]);
        }
        if (minima) {
            EACH(v, V)
            {
                vf mv = vf_load(m + v * HB_LANES);
                EACH(t, T) acc[t][v] -= mv * sums[(size_t)t * each];
            }
            m += width;
        }
        d += width;
        dx++;
        sums++;
        start++;
    }
    EACH(t, T) EACH(v, V) vf_store(out + (size_t)t * width + v * HB_LANES, acc[t][v]);
}

INLINE void panel_tokens(const size_t group, const bool wide, const bool minima, const hb_panel *p)
{
    int t = 0;
    for (; t + BYTE_TOKENS <= p->n; t += BYTE_TOKENS)
        panel_tile(BYTE_TOKENS, BYTE_VECTORS, group, wide, minima, p, t);
    for (; t + 2 <= p->n; t += 2) panel_tile(2, BYTE_VECTORS, group, wide, minima, p, t);
    for (; t < p->n; t++) panel_tile(1, BYTE_VECTORS, group, wide, minima, p, t);
}

static void panel_product(const hb_panel *p)
{
    if (p->group == 16 && p->m) panel_tokens(16, false, true, p);
    else if (p->group == 16) panel_tokens(16, false, false, p);
    else if (p->m) panel_tokens(32, false, true, p);
    else if (p->wide) panel_tokens(32, true, false, p);
    else panel_tokens(32, false, false, p);
}
#endif /* BYTE_TOKENS */

#endif
