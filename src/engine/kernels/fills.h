/* Fills panels: transposes packed words of as many rows as a vector has lanes and unpacks them in
 * registers, so that panels are worthwhile for few tokens already. In addition to what panels.h needs,
 * the including file defines, for HB_LANES rows, each in one lane:
 *
 *   void four_words(const uint8_t *const *row, size_t at, vi *w)
 *       the four 32-bit words that begin `at` bytes into each row; w[i] gets word i
 *   vf words_halves(vi w)
 *       the half-precision numbers in the low 16 bits as floats; the high 16 bits are 0
 *   vf two_bytes(const uint8_t *const *row, size_t at)
 *       the half-precision numbers that stand `at` bytes into each row
 *   vb repeat16(const uint8_t *from)
 *       the sixteen bytes at `from`, repeated
 *   vb chosen_by(vb values, vb index)
 *       each byte the one of 16 repeated values that `index` names */
#ifndef HB_ENGINE_KERNELS_FILLS_H
#define HB_ENGINE_KERNELS_FILLS_H

#include "engine/kernels/panels.h"

#define ROWS PANEL_WIDTH

/* (w >> right) & mask; a negative `right` shifts left. */
INLINE vi bits_of(vi w, const int right, const int32_t mask)
{
    return (right < 0 ? w << -right : w >> right) & mask;
}

/* As bits_of, with the same mask for each byte. */
INLINE vi byte_bits(vi w, const int right, const int mask)
{
    return bits_of(w, right, mask * 0x01010101);
}

/* Puts a word of each row in its place. */
INLINE void put(uint8_t *u, size_t place, vi w)
{
    memcpy(u + place * ROWS * 4, &w, sizeof w);
}

/* Puts four weights of each row: word number `quad`. Wide weights are bytes that dot4 takes as wide. */
INLINE void put_quad(uint8_t *u, size_t quad, const bool wide, vi w)
{
#if SUMS_IN_PAIRS
    if (wide) put(u, 2 * quad, (vi)EVEN_BYTES((lane_halves)w));
    if (wide) put(u, 2 * quad + 1, (vi)ODD_BYTES((lane_halves)w));
    if (wide) return;
#endif
    (void)wide;
    put(u, quad, w);
}

/* Puts of a run of 32 weights of each row those from number 4i on, and from number 16 + 4i on. */
INLINE void put_both(uint8_t *u, size_t run, int i, const bool wide, vi low, vi high)
{
#if SUMS_IN_PAIRS
    vi first = (low & 0xFFFF) | high << 16;
    vi second = bits_of(low, 16, 0xFFFF) | (high & ~0xFFFF);
    put_quad(u, 8 * run + 2 * (size_t)i, wide, first);
    put_quad(u, 8 * run + 2 * (size_t)i + 1, wide, second);
#else
    put_quad(u, 8 * run + (size_t)i, wide, low);
    put_quad(u, 8 * run + 4 + (size_t)i, wide, high);
#endif
}

/* Puts 32 weights from 16 bytes of nibbles. */
INLINE void put_nibbles(const uint8_t *const *row, size_t at, uint8_t *u, size_t run)
{
    vi w[4];
    four_words(row, at, w);
    EACH(i, 4) put_both(u, run, i, false, byte_bits(w[i], 0, 0xF), byte_bits(w[i], 4, 0xF));
}

/* The same, each nibble naming one of 16 values. */
INLINE void put_chosen(const uint8_t *const *row, size_t at, vb values, const bool wide, uint8_t *u,
                       size_t run)
{
    vi w[4];
    four_words(row, at, w);
    EACH(i, 4)
    {
        vb low = (vb)byte_bits(w[i], 0, 0xF), high = (vb)byte_bits(w[i], 4, 0xF);
        put_both(u, run, i, wide, (vi)chosen_by(values, low), (vi)chosen_by(values, high));
    }
}

/* Bits number 4i to 4i + 3, each as the fifth bit of a byte. */
INLINE vi fifths(vi w, const int i)
{
    return bits_of(w, 4 * i, 0xF) * 0x02040810 & 0x10101010;
}

/* As put_nibbles, with the fifth bits from the word at `qh`. */
INLINE void put_fives(const uint8_t *const *row, size_t qh, uint8_t *u, size_t run)
{
    vi head[4], w[4];
    four_words(row, qh, head);
    four_words(row, qh + 4, w);
    EACH(i, 4)
    put_both(u, run, i, false, byte_bits(w[i], 0, 0xF) | fifths(head[0], i),
             byte_bits(w[i], 4, 0xF) | fifths(head[0], 4 + i));
}

/* The minima of weights of 5 bits, which have the scales `d`: less by the weights' offset. */
INLINE vf centred(vf minima, vf d)
{
    return SUMS_IN_PAIRS ? minima - HB_PANEL_CENTRE * d : minima;
}

/* Each of the following fills a vector of a panel's rows from n weights of each row. */
#define FILL_PARAMETERS const uint8_t *const *row, size_t n, uint8_t *u, float *d, float *m

/* ---- Blocks of 32 -----------------------------------------------------------------------------------
 */

#define EACH_BLOCK(type, k, at)                                                                        \
    size_t k = 0, at = 0;                                                                              \
    k < n / 32;                                                                                        \
    k++, at += sizeof(block_##type)

INLINE void q4_0_some(FILL_PARAMETERS)
{
    (void)m;
    for (EACH_BLOCK(q4_0, k, at)) {
        put_nibbles(row, at + offsetof(block_q4_0, qs), u, k);
        vf_store(d + k * ROWS, two_bytes(row, at));
    }
}

INLINE void q4_1_some(FILL_PARAMETERS)
{
    for (EACH_BLOCK(q4_1, k, at)) {
        vi head[4];
        four_words(row, at, head);
        put_nibbles(row, at + offsetof(block_q4_1, qs), u, k);
        vf_store(d + k * ROWS, words_halves(head[0] & 0xFFFF));
        vf_store(m + k * ROWS, -words_halves(bits_of(head[0], 16, 0xFFFF)));
    }
}

INLINE void q5_0_some(FILL_PARAMETERS)
{
    (void)m;
    for (EACH_BLOCK(q5_0, k, at)) {
        put_fives(row, at + offsetof(block_q5_0, qh), u, k);
        vf_store(d + k * ROWS, two_bytes(row, at));
    }
}

INLINE void q5_1_some(FILL_PARAMETERS)
{
    for (EACH_BLOCK(q5_1, k, at)) {
        vi head[4];
        four_words(row, at, head);
        put_fives(row, at + offsetof(block_q5_1, qh), u, k);
        vf scale = words_halves(head[0] & 0xFFFF);
        vf_store(d + k * ROWS, scale);
        vf_store(m + k * ROWS, centred(-words_halves(bits_of(head[0], 16, 0xFFFF)), scale));
    }
}

INLINE void q8_0_some(FILL_PARAMETERS)
{
    (void)m;
    for (EACH_BLOCK(q8_0, k, at)) {
        vi w[8];
        EACH(i, 2) four_words(row, at + offsetof(block_q8_0, qs) + 16 * (size_t)i, w + 4 * i);
        EACH(i, 8) w[i] = (vi)as_wide((vb)w[i] ^ all(-128));
        EACH(i, 4) put_both(u, k, i, true, w[i], w[4 + i]);
        vf_store(d + k * ROWS, two_bytes(row, at));
    }
}

INLINE void iq4_nl_some(FILL_PARAMETERS)
{
    (void)m;
    for (EACH_BLOCK(iq4_nl, k, at)) {
        put_chosen(row, at + offsetof(block_iq4_nl, qs), as_wide(repeat16(iq4_values)), true, u, k);
        vf_store(d + k * ROWS, two_bytes(row, at));
    }
}

INLINE void mxfp4_some(FILL_PARAMETERS)
{
    (void)m;
    for (EACH_BLOCK(mxfp4, k, at)) {
        put_chosen(row, at + offsetof(block_mxfp4, qs), repeat16(mxfp4_values), false, u, k);
        EACH(i, HB_LANES) d[k * ROWS + (size_t)i] = mxfp4_scale(row[i][at]);
    }
}

/* ---- Blocks of 256 ----------------------------------------------------------------------------------
 */

/* Each block has this many groups and scales, and each weight this many bytes. */
#define EACH_LARGE(type, groups, scales, bytes, at)                                                    \
    size_t at = 0;                                                                                     \
    at < n / 256 * sizeof(block_##type);                                                               \
    at += sizeof(block_##type), u += 256 * ROWS * (bytes), d += (scales)*ROWS, m += (groups)*ROWS
#define EACH_NARROW(type, groups, at) EACH_LARGE(type, groups, SUMS_IN_PAIRS ? 9 : (groups), 1, at)

/* Puts the scales d * whole of group j. */
INLINE void put_scale(float *to, int j, vf d, vi whole)
{
    vf_store(to + (size_t)j * ROWS, d * __builtin_convertvector(whole, vf));
}

/* Puts the scales of a block of narrow weights in `groups` groups. */
INLINE void put_narrow_scales(float *to, const int groups, vf d, const vi *whole)
{
#if SUMS_IN_PAIRS
    EACH(j, 8)
    {
        vi both = (whole[j * groups / 8] & 0xFFFF) | whole[((2 * j + 1) * groups) / 16] << 16;
        memcpy(to + (size_t)j * ROWS, &both, sizeof both);
    }
    vf_store(to + 8 * ROWS, d);
#else
    EACH(j, groups) put_scale(to, j, d, whole[j]);
#endif
}

/* Puts four runs of 32 weights that share 32 bytes: run r has bits 2r of each byte, and bit r + top of
 * the bytes at `high`, if any, as its third bit. */
INLINE void put_pairs(const uint8_t *const *row, size_t at, const bool three, size_t high,
                      const int top, uint8_t *u, size_t run)
{
    vi w[8], h[8];
    EACH(i, 2) four_words(row, at + 16 * (size_t)i, w + 4 * i);
    EACH(i, 2) if (three) four_words(row, high + 16 * (size_t)i, h + 4 * i);
    EACH(r, 4)
    {
        vi code[8];
        EACH(i, 8) code[i] = byte_bits(w[i], 2 * r, 3);
        EACH(i, 8) if (three) code[i] |= byte_bits(h[i], r + top - 2, 4);
        EACH(i, 4) put_both(u, run + (size_t)r, i, false, code[i], code[4 + i]);
    }
}

INLINE void q2_k_some(FILL_PARAMETERS)
{
    for (EACH_NARROW(q2_k, 16, at)) {
        size_t qs = at + offsetof(block_q2_k, qs);
        vi scales[4], tail[4], whole[16];
        four_words(row, at, scales);
        four_words(row, at + sizeof(block_q2_k) - 16, tail); /* ends with d and dmin */
        vf scale = words_halves(tail[3] & 0xFFFF), min = words_halves(bits_of(tail[3], 16, 0xFFFF));
        put_pairs(row, qs, false, 0, 0, u, 0);
        put_pairs(row, qs + 32, false, 0, 0, u, 4);
        EACH(j, 16) whole[j] = bits_of(scales[j / 4], j % 4 * 8, 0xF);
        put_narrow_scales(d, 16, scale, whole);
        EACH(j, 16) put_scale(m, j, min, bits_of(scales[j / 4], j % 4 * 8 + 4, 0xF));
    }
}

INLINE void q3_k_some(FILL_PARAMETERS)
{
    for (EACH_NARROW(q3_k, 16, at)) {
        size_t qs = at + offsetof(block_q3_k, qs);
        vi w[4], whole[16]; /* the last three words are the scales */
        four_words(row, at + offsetof(block_q3_k, scales) - 4, w);
        vf scale = two_bytes(row, at + offsetof(block_q3_k, d));
        put_pairs(row, qs, true, at, 0, u, 0);
        put_pairs(row, qs + 32, true, at, 4, u, 4);
        EACH(j, 16)
        {
            vi low = bits_of(w[1 + j % 8 / 4], j % 4 * 8 + j / 8 * 4, 0xF);
            whole[j] = (low | bits_of(w[3], j % 4 * 8 + j / 4 * 2 - 4, 0x30)) - 32;
        }
        put_narrow_scales(d, 16, scale, whole);
    }
}

/* Puts the scales and minima of a Q4_K or Q5_K block (see q4_k_scale). */
INLINE void put_q4_k_scales(const uint8_t *const *row, size_t at, const bool five, float *d, float *m)
{
    vi head[4], whole[8]; /* d and dmin, then the three words of scales */
    four_words(row, at, head);
    vf scale = words_halves(head[0] & 0xFFFF), min = words_halves(bits_of(head[0], 16, 0xFFFF));
    EACH(j, 8)
    {
        const int word = j / 4, shift = j % 4 * 8;
        vi less = bits_of(head[2], shift, 63);
        whole[j] = bits_of(head[1], shift, 63);
        if (word) whole[j] = bits_of(head[3], shift, 0xF) | bits_of(head[1], shift + 2, 0x30);
        if (word) less = bits_of(head[3], shift + 4, 0xF) | bits_of(head[2], shift + 2, 0x30);
        vf minima = min * __builtin_convertvector(less, vf);
        if (five) minima = centred(minima, scale * __builtin_convertvector(whole[j], vf));
        vf_store(m + (size_t)j * ROWS, minima);
    }
    put_narrow_scales(d, 8, scale, whole);
}

/* Puts eight runs of 32 weights. Runs 2g and 2g + 1 are the low and the high nibbles of 32 bytes.
 * `five` tells that run r has bit r of the bytes at `qh` as its fifth bit. */
INLINE void put_runs(const uint8_t *const *row, size_t qs, const bool five, size_t qh, uint8_t *u)
{
    vi w[8], h[8];
    EACH(i, 2) if (five) four_words(row, qh + 16 * (size_t)i, h + 4 * i);
    EACH(r, 8)
    {
        vi code[8];
        EACH(i, 2) if (r % 2 == 0) four_words(row, qs + 16 * (size_t)(r + i), w + 4 * i);
        EACH(i, 8) code[i] = byte_bits(w[i], r % 2 * 4, 0xF);
        EACH(i, 8) if (five) code[i] |= byte_bits(h[i], r - 4, 0x10);
        EACH(i, 4) put_both(u, (size_t)r, i, false, code[i], code[4 + i]);
    }
}

INLINE void q4_k_some(FILL_PARAMETERS)
{
    for (EACH_NARROW(q4_k, 8, at)) {
        put_q4_k_scales(row, at, false, d, m);
        put_runs(row, at + offsetof(block_q4_k, qs), false, 0, u);
    }
}

INLINE void q5_k_some(FILL_PARAMETERS)
{
    for (EACH_NARROW(q5_k, 8, at)) {
        put_q4_k_scales(row, at, true, d, m);
        put_runs(row, at + offsetof(block_q5_k, qs), true, at + offsetof(block_q5_k, qh), u);
    }
}

/* Puts the four runs of half a block from 64 bytes of its `ql` and 32 bytes of its `qh`. */
INLINE void put_sixes(const uint8_t *const *row, size_t ql, size_t qh, uint8_t *u, size_t run)
{
    vi low[16], high[8];
    EACH(i, 4) four_words(row, ql + 16 * (size_t)i, low + 4 * i);
    EACH(i, 2) four_words(row, qh + 16 * (size_t)i, high + 4 * i);
    EACH(r, 4)
    {
        vi code[8];
        EACH(i, 8)
        code[i] = byte_bits(low[r % 2 * 8 + i], r / 2 * 4, 0xF) | byte_bits(high[i], 2 * r - 4, 0x30);
        EACH(i, 4) put_both(u, run + (size_t)r, i, false, code[i], code[4 + i]);
    }
}

INLINE void q6_k_some(FILL_PARAMETERS)
{
    for (EACH_NARROW(q6_k, 16, at)) {
        size_t ql = at + offsetof(block_q6_k, ql), qh = at + offsetof(block_q6_k, qh);
        vi scales[4], whole[16];
        vf scale = two_bytes(row, at + offsetof(block_q6_k, d));
        for (size_t h = 0; h < 2; h++) put_sixes(row, ql + 64 * h, qh + 32 * h, u, 4 * h);
        four_words(row, at + offsetof(block_q6_k, scales), scales);
        EACH(j, 16) whole[j] = bits_of(scales[j / 4] ^ (int32_t)0x80808080, j % 4 * 8, 0xFF) - 128;
        put_narrow_scales(d, 16, scale, whole);
    }
}

INLINE void iq4_xs_some(FILL_PARAMETERS)
{
    for (EACH_LARGE(iq4_xs, 8, 8, 1 + SUMS_IN_PAIRS, at)) {
        vi head[4]; /* d and the high bits of the scales, then their low bits */
        four_words(row, at, head);
        vf scale = words_halves(head[0] & 0xFFFF);
        for (size_t j = 0; j < 8; j++)
            put_chosen(row, at + offsetof(block_iq4_xs, qs) + 16 * j, as_wide(repeat16(iq4_values)),
                       true, u, j);
        EACH(j, 8)
        put_scale(d, j, scale,
                  (bits_of(head[1], 4 * j, 0xF) | bits_of(head[0], 12 + 2 * j, 0x30)) - 32);
    }
}

/* If there are fewer rows than in a panel, the last row is repeated. */
#define FILL(type, block, group, wide, offset)                                                         \
    static void type##_fill(const uint8_t *rows, size_t row_bytes, int count, size_t n, uint8_t *u,    \
                            float *d, float *m)                                                        \
    {                                                                                                  \
        const uint8_t *row[ROWS];                                                                      \
        for (int i = 0; i < (int)ROWS; i++)                                                            \
            row[i] = rows + (size_t)(i < count ? i : count - 1) * row_bytes;                           \
        for (int v = 0; v < BYTE_VECTORS * HB_LANES; v += HB_LANES)                                    \
            type##_some(row + v, n, u + 4 * v, d + v, m + v);                                          \
    }
EACH_SHAPE(FILL)

#endif
