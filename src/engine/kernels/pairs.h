/* Products of bytes for instruction sets without dot products of bytes: products are first added in 16
 * bits, two sums to a lane, as often as they fit. In addition to what panels.h needs, the including
 * file defines:
 *
 *   vi add_products(vi pairs, vb u, vb q)
 *       adds u[4i] q[4i] + u[4i+1] q[4i+1] to the low half of lane i and the other two products to its
 *       high half; u is from 0 to 255
 *   vi add_pairs(vi sums, vi a, vi b)
 *       adds the products of both halves, signed numbers of 16 bits, to each lane
 *   vb magnitudes(vb w); vb with_signs(vb q, vb w)
 *       the magnitudes of bytes, and q times the signs of w
 *   ONE_PART_TOKENS, TWO_PART_TOKENS, WIDE_TOKENS
 *       number of tokens processed together where the sums of 32 columns come in one part or in two,
 *       and for weights of 8 bits */
#ifndef HB_ENGINE_KERNELS_PAIRS_H
#define HB_ENGINE_KERNELS_PAIRS_H

#include "engine/kernels/bytes.h"

#define ONES (0x00010001 - (vi){0}) /* 1 in each half of each lane */

typedef int16_t lane_halves __attribute__((vector_size(HB_LANES * 4)));
typedef int16_t halves_of_32 __attribute__((vector_size(32)));
typedef int16_t halves_of_16 __attribute__((vector_size(16)));

/* The low and the high bytes of halves as signed numbers: the even and the odd bytes. */
#define EVEN_BYTES(halves) ((halves) << 8 >> 8)
#define ODD_BYTES(halves)  ((halves) >> 8)

/* Signed weights pass their signs to the activations. 16 bits can hold the sum of two products of 128 *
 * 127. */
static inline vi dot4(vi sums, vb w, vb q, bool wide)
{
    if (wide) q = with_signs(q, w);
    if (wide) w = magnitudes(w);
    return add_pairs(sums, add_products((vi){0}, w, q), ONES);
}

/* The number of columns whose products 16 bits can hold, added to two sums. */
INLINE size_t columns_of_part(uint32_t bits)
{
    return bits > 5 ? 16 : 32;
}

/* Puts 32 activations in the order of panels: two of the first sixteen, then two of the others. */
static void pair_columns(int8_t *q, size_t n)
{
    for (size_t i = 0; i < n; i += 32) {
        halves_of_32 twos;
        memcpy(&twos, q + i, sizeof twos);
        twos =
            __builtin_shufflevector(twos, twos, 0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
        memcpy(q + i, &twos, sizeof twos);
    }
}

/* Sums on the way may wrap around: with the offset cancelled, each sum fits in 16 bits for every type.
 */
static void pair_starts(const int8_t *q, size_t n, uint32_t bits, int32_t offset, int32_t *starts)
{
    const size_t part = columns_of_part(bits);
    for (size_t i = 0; i < n; i += part) {
        halves_of_16 sums = {0};
        for (size_t j = i; j < i + part; j += 16) {
            halves_of_16 two;
            memcpy(&two, q + j, sizeof two);
            sums += EVEN_BYTES(two) + ODD_BYTES(two);
        }
        sums += __builtin_shufflevector(sums, sums, 4, 5, 6, 7, 0, 1, 2, 3);
        sums += __builtin_shufflevector(sums, sums, 2, 3, 0, 1, 6, 7, 4, 5);
        sums *= (int16_t)-offset;
        memcpy(starts + i / part, &sums, sizeof *starts);
    }
}

/* Activations of 32 columns in 16 bits, two to a word: [t][0] has the even columns, [t][1] the odd. */
typedef int32_t wide_words[BYTE_TOKENS][2][8];

INLINE void widen(const int T, const int8_t *q, wide_words words)
{
    EACH(t, T)
    {
        halves_of_32 two;
        memcpy(&two, q + (size_t)t * HB_PANEL_DEPTH, sizeof two);
        halves_of_32 even = EVEN_BYTES(two), odd = ODD_BYTES(two);
        memcpy(words[t][0], &even, sizeof even);
        memcpy(words[t][1], &odd, sizeof odd);
    }
    /* Words are loaded, which is faster than moving them. */
    __asm__ volatile("" : : "r"(words) : "memory");
}

/* Sets `sum` to the products of 32 columns of weights of 16 bits. */
INLINE void wide_sums(const int T, const int V, const uint8_t *u, wide_words words,
                      vi (*sum)[BYTE_VECTORS])
{
    EACH(t, T) EACH(v, V) sum[t][v] = (vi){0};
    EACH(i, 16)
    {
        vi uv[BYTE_VECTORS];
        EACH(v, V) uv[v] = (vi)vb_load(u + (size_t)(i * V + v) * STEP);
        EACH(t, T)
        {
            vi both = words[t][i % 2][i / 2] - (vi){0};
            EACH(v, V) sum[t][v] = add_pairs(sum[t][v], uv[v], both);
        }
    }
}

/* As panel_tile, for weights of 16 bits. The result stays in memory, because the sums of a group need
 * the registers. The next group is widened one step early: words that were just stored load slowly. */
INLINE void wide_tile(const int T, const int V, const hb_panel *p, size_t first, prefetching *next)
{
    const size_t each = HB_PANEL_DEPTH / 32;
    const int8_t *q = p->q + first * HB_PANEL_DEPTH;
    const float *d = p->d, *dx = p->dx + first * each;
    float *out = p->acc + first * PANEL_WIDTH;
    wide_words words[2];
    if (!p->add) memset(out, 0, (size_t)T * PANEL_WIDTH * sizeof *out);
    widen(T, q, words[0]);
    for (size_t at = 0; at < p->depth; at += 32, d += PANEL_WIDTH, dx++) {
        vi sum[BYTE_TOKENS][BYTE_VECTORS];
        ask_for_share(p, next);
        if (at + 32 < p->depth) widen(T, q + at + 32, words[(at / 32 + 1) % 2]);
        wide_sums(T, V, p->u + 2 * at * PANEL_WIDTH, words[at / 32 % 2], sum);
        EACH(v, V)
        {
            vf dv = vf_load(d + v * HB_LANES);
            EACH(t, T)
            {
                float *to = out + t * PANEL_WIDTH + v * HB_LANES;
                vf scale = dv * dx[(size_t)t * each];
                vf_store(to, vf_load(to) + __builtin_convertvector(sum[t][v], vf) * scale);
            }
        }
    }
}

/* Sets `sum` to the products of 32 columns of a panel's V vectors of rows, from column `at` on, with T
 * tokens from `first` on; scales that are whole numbers are applied. */
INLINE void panel_sums(const int T, const int V, const panel_shape s, const hb_panel *p, size_t first,
                       size_t at, const float *scales, vi (*sum)[BYTE_VECTORS])
{
    const size_t width = (size_t)V * HB_LANES, each = HB_PANEL_DEPTH / s.group;
    const uint8_t *u = p->u + at * width;
    const int8_t *q = p->q + first * HB_PANEL_DEPTH + at;
    const int32_t *start = p->start + first * each + at / 32 * (size_t)s.parts;
    for (int k = 0; k < s.parts; k++) {
        const int fit = 8 / s.parts;
        vi part[BYTE_TOKENS][BYTE_VECTORS];
        EACH(t, T)
        EACH(v, V) part[t][v] = (s.offset ? start[(size_t)t * each + (size_t)k] : 0) - (vi){0};
        for (int i = 0; i < fit; i++, u += (size_t)V * STEP, q += 4) {
            vb uv[BYTE_VECTORS];
            EACH(v, V) uv[v] = vb_load(u + (size_t)v * STEP);
            EACH(t, T)
            {
                vb four = vb_four(q + (size_t)t * HB_PANEL_DEPTH);
                EACH(v, V) part[t][v] = add_products(part[t][v], uv[v], four);
            }
        }
        EACH(v, V)
        {
            vi by = s.whole ? (vi)vb_load(scales + v * HB_LANES) : ONES;
            EACH(t, T) sum[t][v] = add_pairs(k ? sum[t][v] : (vi){0}, part[t][v], by);
        }
    }
}

/* A shape's members `group`, `parts`, `minima`, `offset` and `whole`. */
#define PRODUCT(columns, n_parts, has_minima, has_offset, is_whole)                                    \
    panel_tokens((panel_shape){.group = columns,                                                       \
                               .tokens = n_parts == 2 ? TWO_PART_TOKENS : ONE_PART_TOKENS,             \
                               .minima = has_minima,                                                   \
                               .offset = has_offset,                                                   \
                               .whole = is_whole,                                                      \
                               .parts = n_parts},                                                      \
                 p)

static void panel_product(const hb_panel *p)
{
    const bool whole = p->block == 256, five = p->bits == 5;
    if (p->bits == 8) panel_tokens((panel_shape){.group = 32, .tokens = WIDE_TOKENS, .wide = true}, p);
    else if (p->group == 16 && p->m) PRODUCT(16, 1, true, false, true);
    else if (p->group == 16 && columns_of_part(p->bits) == 16) PRODUCT(16, 2, false, true, true);
    else if (p->group == 16) PRODUCT(16, 1, false, true, true);
    else if (!p->m) PRODUCT(32, 1, false, true, false);
    else if (five && whole) PRODUCT(32, 1, true, true, true);
    else if (five) PRODUCT(32, 1, true, true, false);
    else if (whole) PRODUCT(32, 1, true, false, true);
    else PRODUCT(32, 1, true, false, false);
}

#endif
