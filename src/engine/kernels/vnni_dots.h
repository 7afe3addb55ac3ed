/* Products of one row with a few tokens for the most common types. Weights are unpacked in registers,
 * so that decoding one sequence is limited by memory bandwidth. For avx512.c with VNNI. */
#ifndef HB_ENGINE_KERNELS_VNNI_DOTS_H
#define HB_ENGINE_KERNELS_VNNI_DOTS_H

#include "engine/kernels/bytes.h"

static inline float sum8(__m256 v)
{
    return vf_sum((vf)_mm512_zextps256_ps512(v));
}

/* Prefetch distance in bytes. */
#define AHEAD 2048

/* Prefetches the cache lines of the block that lies AHEAD bytes further on. */
INLINE void ask_ahead(const void *block, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64) _mm_prefetch((const char *)block + AHEAD + i, _MM_HINT_T0);
}

/* Loads the 32 bytes at `from` into both halves of a register, shifts 16-bit words right by `low` bits
 * in the lower half and by `high` bits in the upper half, and masks each byte. */
INLINE __m512i fields(const uint8_t *from, const int low, const int high, const int mask)
{
    __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)from));
    const __m512i by =
        _mm512_inserti64x4(_mm512_set1_epi16((short)low), _mm256_set1_epi16((short)high), 1);
    return _mm512_and_si512(_mm512_srlv_epi16(both, by), _mm512_set1_epi8((char)mask));
}

/* acc + the sums of u * q over four bytes each, times the scale of their group. `lanes` selects each
 * lane's scale. */
INLINE __m512 add_scaled(__m512 acc, __m512i u, const int8_t *q, __m512 scale, __m512i lanes)
{
    __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), u, _mm512_loadu_si512(q));
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_permutexvar_ps(lanes, scale), acc);
}

/* The eight scales and eight minima of a Q4_K block as floats (see q4_k_scale for their layout). */
INLINE void q4_k_scales(const block_q4_k *b, __m256 *scale, __m256 *min)
{
    uint32_t s[3];
    memcpy(s, b->scales, sizeof s);
    uint64_t low = s[0] & 0x3F3F3F3F, low_min = s[1] & 0x3F3F3F3F;
    uint64_t high = (s[2] & 0x0F0F0F0F) | (s[0] >> 2 & 0x30303030);
    uint64_t high_min = (s[2] >> 4 & 0x0F0F0F0F) | (s[1] >> 2 & 0x30303030);
    __m128i scales = _mm_cvtsi64_si128((long long)(low | high << 32));
    __m128i mins = _mm_cvtsi64_si128((long long)(low_min | high_min << 32));
    *scale = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(scales)),
                           _mm256_set1_ps(_cvtsh_ss(b->d)));
    *min = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(mins)),
                         _mm256_set1_ps(_cvtsh_ss(b->dmin)));
}

INLINE void q4_k_row(const int T, const void *row, const hb_bytes *x, float *y, size_t ldy)
{
    const __m512i first = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512 acc[HB_DIRECT];
    __m256 low[HB_DIRECT];
    EACH(t, T) acc[t] = _mm512_setzero_ps();
    EACH(t, T) low[t] = _mm256_setzero_ps();
    const block_q4_k *b = row;
    for (size_t at = 0; at < x->cols; at += 256, b++) {
        __m256 scale, min;
        ask_ahead(b, sizeof *b);
        q4_k_scales(b, &scale, &min);
        __m512i u[4];
        EACH(j, 4) u[j] = fields(b->qs + 32 * j, 0, 4, 0xF);
        EACH(t, T)
        {
            size_t place = (size_t)t * x->cols + at;
            __m256 s = _mm256_mul_ps(scale, _mm256_loadu_ps(x->d[1] + place / 32));
            low[t] = _mm256_fmadd_ps(min, _mm256_loadu_ps(x->scaled[1] + place / 32), low[t]);
            EACH(j, 4)
            acc[t] = add_scaled(acc[t], u[j], x->q + place + 64 * j, _mm512_castps256_ps512(s),
                                _mm512_add_epi32(first, _mm512_set1_epi32(2 * j)));
        }
    }
    EACH(t, T) y[(size_t)t * ldy] = _mm512_reduce_add_ps(acc[t]) - sum8(low[t]);
}

INLINE void q6_k_row(const int T, const void *row, const hb_bytes *x, float *y, size_t ldy)
{
    const __m512i first = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    __m512 acc[HB_DIRECT], low[HB_DIRECT];
    EACH(t, T) acc[t] = low[t] = _mm512_setzero_ps();
    const block_q6_k *b = row;
    for (size_t at = 0; at < x->cols; at += 256, b++) {
        ask_ahead(b, sizeof *b);
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)b->scales);
        __m512 scale = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)),
                                     _mm512_set1_ps(_cvtsh_ss(b->d)));
        __m512i u[4];
        EACH(h, 2)
        {
            const __m512i nibble = _mm512_set1_epi8(0xF);
            __m512i ql = _mm512_loadu_si512(b->ql + 64 * h);
            __m512i qh = fields(b->qh + 32 * h, 0, 2, 3), qh2 = fields(b->qh + 32 * h, 4, 6, 3);
            u[2 * h] = _mm512_or_si512(_mm512_and_si512(ql, nibble), _mm512_slli_epi16(qh, 4));
            u[2 * h + 1] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(ql, 4), nibble),
                                           _mm512_slli_epi16(qh2, 4));
        }
        EACH(t, T)
        {
            size_t place = (size_t)t * x->cols + at;
            __m512 s = _mm512_mul_ps(scale, _mm512_loadu_ps(x->d[0] + place / 16));
            low[t] = _mm512_fmadd_ps(scale, _mm512_loadu_ps(x->scaled[0] + place / 16), low[t]);
            EACH(j, 4)
            acc[t] = add_scaled(acc[t], u[j], x->q + place + 64 * j, s,
                                _mm512_add_epi32(first, _mm512_set1_epi32(4 * j)));
        }
    }
    EACH(t, T) y[(size_t)t * ldy] = _mm512_reduce_add_ps(acc[t]) - 32 * _mm512_reduce_add_ps(low[t]);
}

/* acc + d times the product of 32 signed weights with 32 bytes, computed as |w| times q with the sign
 * of w. */
INLINE __m256 add_signed(__m256 acc, __m256i w, const int8_t *q, float d)
{
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)q);
    __m256i sum =
        _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_abs_epi8(w), _mm256_sign_epi8(bytes, w));
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_set1_ps(d), acc);
}

INLINE void q8_0_row(const int T, const void *row, const hb_bytes *x, float *y, size_t ldy)
{
    __m256 acc[HB_DIRECT];
    EACH(t, T) acc[t] = _mm256_setzero_ps();
    const block_q8_0 *b = row;
    for (size_t at = 0; at < x->cols; at += 32, b++) {
        ask_ahead(b, sizeof *b);
        __m256i w = _mm256_loadu_si256((const __m256i *)(const void *)b->qs);
        float d = _cvtsh_ss(b->d);
        EACH(t, T)
        {
            size_t place = (size_t)t * x->cols + at;
            acc[t] = add_signed(acc[t], w, x->q + place, d * x->d[1][place / 32]);
        }
    }
    EACH(t, T) y[(size_t)t * ldy] = sum8(acc[t]);
}

/* The nibbles of two blocks of 32, in the order of their weights. */
INLINE __m512i q4_0_pair(const block_q4_0 *b)
{
    const __m512i by = _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0, 0,
                                        0x0004000400040004, 0x0004000400040004, 0, 0);
    __m128i first = _mm_loadu_si128((const __m128i *)(const void *)b[0].qs);
    __m128i second = _mm_loadu_si128((const __m128i *)(const void *)b[1].qs);
    __m512i both = _mm512_mask_broadcast_i32x4(_mm512_broadcast_i32x4(first), 0xFF00, second);
    return _mm512_and_si512(_mm512_srlv_epi16(both, by), _mm512_set1_epi8(0xF));
}

INLINE void q4_0_row(const int T, const void *row, const hb_bytes *x, float *y, size_t ldy)
{
    const __m512i first = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512 acc[HB_DIRECT];
    __m256 low[HB_DIRECT];
    EACH(t, T) acc[t] = _mm512_setzero_ps();
    EACH(t, T) low[t] = _mm256_setzero_ps();
    const block_q4_0 *b = row;
    for (size_t at = 0; at < x->cols; at += 256, b += 8) {
        /* If the last part has fewer than 8 blocks, the missing ones are zeros. */
        block_q4_0 part[8] = {{0}};
        const block_q4_0 *eight = b;
        __mmask8 there = 0xFF;
        if (x->cols - at < 256) {
            memcpy(part, b, (x->cols - at) / 32 * sizeof *b);
            eight = part;
            there = (__mmask8)((1u << (x->cols - at) / 32) - 1);
        }
        uint16_t h[8];
        EACH(j, 8) h[j] = eight[j].d;
        ask_ahead(b, 8 * sizeof *b);
        __m256 scale = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)h));
        __m512i u[4];
        EACH(j, 4) u[j] = q4_0_pair(eight + 2 * j);
        EACH(t, T)
        {
            size_t place = (size_t)t * x->cols + at;
            __m256 dx = _mm256_maskz_loadu_ps(there, x->d[1] + place / 32);
            __m256 sums = _mm256_maskz_loadu_ps(there, x->scaled[1] + place / 32);
            __m512 s = _mm512_castps256_ps512(_mm256_mul_ps(scale, dx));
            low[t] = _mm256_fmadd_ps(scale, sums, low[t]);
            EACH(j, 4)
            acc[t] = add_scaled(acc[t], u[j], x->q + place + 64 * j, s,
                                _mm512_add_epi32(first, _mm512_set1_epi32(2 * j)));
        }
    }
    EACH(t, T) y[(size_t)t * ldy] = _mm512_reduce_add_ps(acc[t]) - 8 * sum8(low[t]);
}

#define OWN_DOT(type, block, group, wide)                                                              \
    static void type##_dot(const void *row, const hb_bytes *x, float *y, size_t ldy)                   \
    {                                                                                                  \
        if (x->n == 1) type##_row(1, row, x, y, ldy);                                                  \
        else if (x->n == 2) type##_row(2, row, x, y, ldy);                                             \
        else if (x->n == 3) type##_row(3, row, x, y, ldy);                                             \
        else type##_row(4, row, x, y, ldy);                                                            \
    }
EACH_COMMON_SHAPE(OWN_DOT)

#endif
