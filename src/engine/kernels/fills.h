/* Fills panels of the most common types: transposes packed words of sixteen rows and unpacks them in
 * registers, so that panels are worthwhile for few tokens already. For avx512.c. */
#ifndef HB_ENGINE_KERNELS_FILLS_H
#define HB_ENGINE_KERNELS_FILLS_H

#include "engine/kernels/dequantize.h"
#include "engine/kernels/vector.h"

INLINE __m128i quarter(const void *from)
{
    return _mm_loadu_si128((const __m128i *)from);
}

/* Loads and transposes four words of sixteen rows, `at` bytes into each row: w[i] gets word i of every
 * row. */
INLINE void four_words(const uint8_t *const *row, size_t at, __m512i *w)
{
    __m512i z[4];
    EACH(i, 4)
    {
        z[i] = _mm512_castsi128_si512(quarter(row[i] + at));
        z[i] = _mm512_inserti32x4(z[i], quarter(row[4 + i] + at), 1);
        z[i] = _mm512_inserti32x4(z[i], quarter(row[8 + i] + at), 2);
        z[i] = _mm512_inserti32x4(z[i], quarter(row[12 + i] + at), 3);
    }
    __m512i low01 = _mm512_unpacklo_epi32(z[0], z[1]), high01 = _mm512_unpackhi_epi32(z[0], z[1]);
    __m512i low23 = _mm512_unpacklo_epi32(z[2], z[3]), high23 = _mm512_unpackhi_epi32(z[2], z[3]);
    w[0] = _mm512_unpacklo_epi64(low01, low23);
    w[1] = _mm512_unpackhi_epi64(low01, low23);
    w[2] = _mm512_unpacklo_epi64(high01, high23);
    w[3] = _mm512_unpackhi_epi64(high01, high23);
}

/* The F16 values that lie `at` bytes into each of sixteen rows, as floats. */
INLINE __m512 sixteen_halves(const uint8_t *const *row, size_t at)
{
    uint16_t h[16];
    EACH(i, 16) memcpy(&h[i], row[i] + at, sizeof *h);
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)h));
}

/* (w >> right) & mask; a negative `right` shifts left. */
INLINE __m512i bits_of(__m512i w, const int right, __m512i mask)
{
    w = right < 0 ? _mm512_slli_epi32(w, (unsigned)-right) : _mm512_srli_epi32(w, (unsigned)right);
    return _mm512_and_si512(w, mask);
}

INLINE void put(uint8_t *u, size_t quad, __m512i w)
{
    _mm512_storeu_si512(u + quad * HB_PANEL_ROWS * 4, w);
}

/* Each of the following fills half a panel from sixteen rows of n weights. */

INLINE void q4_0_half(const uint8_t *const *row, size_t n, uint8_t *u, float *d, float *m)
{
    const __m512i nibble = _mm512_set1_epi8(0xF);
    (void)m;
    for (size_t k = 0; k < n / 32; k++, d += HB_PANEL_ROWS) {
        size_t at = k * sizeof(block_q4_0);
        __m512i w[4];
        four_words(row, at + offsetof(block_q4_0, qs), w);
        EACH(i, 4) put(u, 8 * k + (size_t)i, bits_of(w[i], 0, nibble));
        EACH(i, 4) put(u, 8 * k + 4 + (size_t)i, bits_of(w[i], 4, nibble));
        _mm512_storeu_ps(d, sixteen_halves(row, at + offsetof(block_q4_0, d)));
    }
}

INLINE void q8_0_half(const uint8_t *const *row, size_t n, uint8_t *u, float *d, float *m)
{
    (void)m;
    for (size_t k = 0; k < n / 32; k++, d += HB_PANEL_ROWS) {
        size_t at = k * sizeof(block_q8_0);
        __m512i w[8];
        EACH(i, 2) four_words(row, at + offsetof(block_q8_0, qs) + 16 * (size_t)i, w + 4 * i);
        EACH(i, 8) put(u, 8 * k + (size_t)i, _mm512_xor_si512(w[i], _mm512_set1_epi8(-128)));
        _mm512_storeu_ps(d, sixteen_halves(row, at + offsetof(block_q8_0, d)));
    }
}

/* Stores the scales or minima of the eight groups. Groups 0 to 3 come from `low`; groups 4 to 7 come
 * from the nibbles of `high` that begin at bit `nibble` and from the top bits of `low` (see
 * q4_k_scale). */
INLINE void q4_k_sixteen(__m512i low, __m512i high, const int nibble, __m512 times, float *out)
{
    EACH(j, 8)
    {
        const int bit = j % 4 * 8;
        __m512i top = bits_of(low, bit + 2, _mm512_set1_epi32(0x30));
        __m512i whole = j < 4
                            ? bits_of(low, bit, _mm512_set1_epi32(63))
                            : _mm512_or_si512(bits_of(high, bit + nibble, _mm512_set1_epi32(0xF)), top);
        _mm512_storeu_ps(out + j * HB_PANEL_ROWS, _mm512_mul_ps(times, _mm512_cvtepi32_ps(whole)));
    }
}

INLINE void q4_k_half(const uint8_t *const *row, size_t n, uint8_t *u, float *d, float *m)
{
    const __m512i nibble = _mm512_set1_epi8(0xF);
    for (size_t k = 0; k < n / 256; k++, d += 8 * HB_PANEL_ROWS, m += 8 * HB_PANEL_ROWS) {
        size_t at = k * sizeof(block_q4_k);
        __m512i head[4], w[4]; /* head: d and dmin, then the three words of scales */
        four_words(row, at, head);
        __m512 scale = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(head[0]));
        __m512 min = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(head[0], 16)));
        q4_k_sixteen(head[1], head[3], 0, scale, d);
        q4_k_sixteen(head[2], head[3], 4, min, m);
        for (size_t j = 0; j < 8; j++) { /* 16 bytes hold 16 weights of a group and 16 of the next */
            size_t quad = 64 * k + j / 2 * 16 + j % 2 * 4;
            four_words(row, at + offsetof(block_q4_k, qs) + 16 * j, w);
            EACH(i, 4) put(u, quad + (size_t)i, bits_of(w[i], 0, nibble));
            EACH(i, 4) put(u, quad + 8 + (size_t)i, bits_of(w[i], 4, nibble));
        }
    }
}

/* Unpacks sixteen weights of each of the four runs of half a block, from 16 bytes of its `qh` and two
 * times 16 bytes of its `ql`. */
INLINE void q6_k_runs(const uint8_t *const *row, size_t ql, size_t qh, uint8_t *u)
{
    const __m512i nibble = _mm512_set1_epi8(0xF), two = _mm512_set1_epi8(0x30);
    __m512i low[2][4], high[4];
    EACH(i, 2) four_words(row, ql + 32 * (size_t)i, low[i]);
    four_words(row, qh, high);
    EACH(r, 4) EACH(i, 4)
    {
        __m512i four = bits_of(low[r % 2][i], r / 2 * 4, nibble);
        put(u, 8 * (size_t)r + (size_t)i, _mm512_or_si512(four, bits_of(high[i], 2 * r - 4, two)));
    }
}

INLINE void q6_k_half(const uint8_t *const *row, size_t n, uint8_t *u, float *d, float *m)
{
    (void)m;
    for (size_t k = 0; k < n / 256; k++, d += 16 * HB_PANEL_ROWS) {
        size_t at = k * sizeof(block_q6_k), ql = at + offsetof(block_q6_k, ql);
        size_t qh = at + offsetof(block_q6_k, qh);
        for (size_t h = 0; h < 2; h++)
            for (size_t part = 0; part < 32; part += 16)
                q6_k_runs(row, ql + 64 * h + part, qh + 32 * h + part,
                          u + (64 * k + 32 * h + part / 4) * HB_PANEL_ROWS * 4);
        __m512i scales[4];
        four_words(row, at + offsetof(block_q6_k, scales), scales);
        __m512 times = sixteen_halves(row, at + offsetof(block_q6_k, d));
        EACH(j, 16)
        {
            __m512i top = _mm512_slli_epi32(scales[j / 4], (unsigned)(24 - j % 4 * 8));
            __m512 scale = _mm512_cvtepi32_ps(_mm512_srai_epi32(top, 24));
            _mm512_storeu_ps(d + j * HB_PANEL_ROWS, _mm512_mul_ps(times, scale));
        }
    }
}

/* If there are fewer than 32 rows, the last row is repeated. */
#define FILL(type, block, group, wide)                                                                 \
    static void type##_fill(const uint8_t *rows, size_t row_bytes, int count, size_t n, uint8_t *u,    \
                            float *d, float *m)                                                        \
    {                                                                                                  \
        const uint8_t *row[HB_PANEL_ROWS];                                                             \
        for (int i = 0; i < HB_PANEL_ROWS; i++)                                                        \
            row[i] = rows + (size_t)(i < count ? i : count - 1) * row_bytes;                           \
        type##_half(row, n, u, d, m);                                                                  \
        type##_half(row + 16, n, u + 64, d + 16, m + 16);                                              \
    }
EACH_COMMON_SHAPE(FILL)

#endif
