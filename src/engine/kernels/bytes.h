/* Products of quantised weights with activations quantised to bytes. Weights u are 0 to 255,
 * activations q are -127 to 127; sums within a group are integers and exact. In addition to what
 * float.h needs, the including file defines:
 *
 *   vi dot4(vi sums, vb u, vb q, bool wide)
 *       adds u[4i] q[4i] + ... + u[4i+3] q[4i+3] to lane i; u is at most 127 unless `wide`
 *   SUMS_IN_PAIRS; vi pairs4(vi pairs, vb u, vb q, bool wide); vi add_pairs(vi sums, vi pairs)
 *       whether products are first added in 16 bits, two sums to a lane, and the two steps of it, of
 *       which dot4 is then made here; otherwise pairs4 is dot4
 *   WIDE_IS_SIGNED
 *       whether wide weights are bytes from -128 to 127 instead, for which 128 was subtracted from u
 *   BYTE_VECTORS, BYTE_TOKENS
 *       for panels: number of vectors of rows, and number of tokens processed together
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

#if SUMS_IN_PAIRS
static inline vi dot4(vi sums, vb w, vb q, bool wide)
{
    return add_pairs(sums, pairs4((vi){0}, w, q, wide));
}
#endif

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

#ifdef BYTE_TOKENS
#if !SUMS_IN_PAIRS
#define pairs4                    dot4
#define add_pairs(sums, sums_too) (sums_too)
#endif

/* ---- Many tokens: weights are in panels --------------------------------------------------------- */

/* The four bytes at `from` in every lane. */
static inline vb vb_four(const int8_t *from)
{
    int32_t four;
    memcpy(&four, from, sizeof four);
    return (vb)(four - (vi){0});
}

/* How many products of u with activations, u being below 2^bits, 16 bits can add up. */
INLINE int pairs_that_fit(const uint32_t bits)
{
    return bits <= 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
}

/* Sets `sum` to the products of a group of a panel's V vectors of rows with T tokens. Each sum starts
 * from the value that cancels the weights' offset. */
INLINE void panel_group(const int T, const int V, const size_t group, const uint32_t bits,
                        const uint8_t *u, const int8_t *q, const int32_t *start,
                        vi (*sum)[BYTE_VECTORS])
{
    const int quads = (int)group / 4, fit = pairs_that_fit(bits);
    const int each = !SUMS_IN_PAIRS || fit > quads ? quads : fit;
    EACH(t, T)
    EACH(v, V) sum[t][v] = start[(size_t)t * (HB_PANEL_DEPTH / group)] - (vi){0};
    for (int k = 0; k < quads; k += each) {
        vi part[BYTE_TOKENS][BYTE_VECTORS];
        EACH(t, T) EACH(v, V) part[t][v] = SUMS_IN_PAIRS ? (vi){0} : sum[t][v];
        for (int i = 0; i < each; i++, u += (size_t)V * STEP, q += 4) {
            vb uv[BYTE_VECTORS];
            EACH(v, V) uv[v] = vb_load(u + (size_t)v * STEP);
            EACH(t, T)
            {
                vb four = vb_four(q + (size_t)t * HB_PANEL_DEPTH);
                EACH(v, V) part[t][v] = pairs4(part[t][v], uv[v], four, bits == 8);
            }
        }
        EACH(t, T) EACH(v, V) sum[t][v] = SUMS_IN_PAIRS ? add_pairs(sum[t][v], part[t][v]) : part[t][v];
    }
}

/* Prefetches one row of what the next panel is filled from. The fill reads many rows at once, and few
 * bytes of each, so the processor's own prefetching comes too late for it. */
INLINE void ask_for_row(const hb_panel *p, size_t row)
{
    const char *from = (const char *)p->next + row * p->next_stride, *end = from + p->next_bytes;
    for (from -= (uintptr_t)from % 64; from < end; from += 64) __builtin_prefetch(from, 0, 2);
}

/* Prefetches the share of the rows of the next panel that belongs to part i of a product of n parts. */
INLINE void ask_for_share(const hb_panel *p, size_t rows, size_t i, size_t n)
{
    for (size_t row = i * rows / n; row < (i + 1) * rows / n; row++) ask_for_row(p, row);
}

/* Multiplies a panel's V vectors of rows by T tokens from `first` on. T, V, `group`, `bits` and
 * `minima` are constants where this is inlined. */
INLINE void panel_tile(const int T, const int V, const size_t group, const uint32_t bits,
                       const bool minima, const hb_panel *p, int first)
{
    const size_t width = (size_t)V * HB_LANES, each = HB_PANEL_DEPTH / group;
    const size_t from = (size_t)first * each;
    float *out = p->acc + (size_t)first * width;
    vf acc[BYTE_TOKENS][BYTE_VECTORS];
    EACH(t, T)
    EACH(v, V) acc[t][v] = p->add ? vf_load(out + (size_t)t * width + v * HB_LANES) : vf_all(0);
    const size_t groups = p->depth / group, before = (size_t)(first / BYTE_TOKENS) * groups;
    const size_t parts = (size_t)((p->n + BYTE_TOKENS - 1) / BYTE_TOKENS) * groups;
    for (size_t g = 0; g < groups; g++) {
        ask_for_share(p, width, before + g, parts);
        const float *d = p->d + g * width, *m = p->m + g * width;
        const float *dx = p->dx + from + g, *sums = p->scaled + from + g;
        vi sum[BYTE_TOKENS][BYTE_VECTORS];
        panel_group(T, V, group, bits, p->u + g * group * width,
                    p->q + (size_t)first * HB_PANEL_DEPTH + g * group, p->start + from + g, sum);
        EACH(v, V)
        {
            vf dv = vf_load(d + v * HB_LANES);
            EACH(t, T)
            acc[t][v] += __builtin_convertvector(sum[t][v], vf) * (dv * dx[(size_t)t * each]);
            vf mv = minima ? vf_load(m + v * HB_LANES) : vf_all(0);
            EACH(t, T) if (minima) acc[t][v] -= mv * sums[(size_t)t * each];
        }
    }
    EACH(t, T) EACH(v, V) vf_store(out + (size_t)t * width + v * HB_LANES, acc[t][v]);
}

INLINE void panel_tokens(const size_t group, const uint32_t bits, const bool minima, const hb_panel *p)
{
    int t = 0;
    for (; t + BYTE_TOKENS <= p->n; t += BYTE_TOKENS)
        panel_tile(BYTE_TOKENS, BYTE_VECTORS, group, bits, minima, p, t);
    EACH(T, BYTE_TOKENS) if (T == p->n - t) panel_tile(T, BYTE_VECTORS, group, bits, minima, p, t);
}

/* Where sums have 32 bits from the start, narrow weights need no distinction. */
static void panel_product(const hb_panel *p)
{
    const uint32_t bits = SUMS_IN_PAIRS || p->bits == 8 ? p->bits : 4;
    if (p->group == 16 && p->m) panel_tokens(16, 4, true, p);
    else if (p->group == 16 && bits <= 4) panel_tokens(16, 4, false, p);
    else if (p->group == 16) panel_tokens(16, 6, false, p);
    else if (p->m && bits <= 4) panel_tokens(32, 4, true, p);
    else if (p->m) panel_tokens(32, 5, true, p);
    else if (bits == 8) panel_tokens(32, 8, false, p);
    else if (bits > 4) panel_tokens(32, 5, false, p);
    else panel_tokens(32, 4, false, p);
}
#endif /* BYTE_TOKENS */

#endif
