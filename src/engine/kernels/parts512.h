/* Weights and scales of every quantised type, unpacked in AVX-512 registers (see rows.h). For avx512.c,
 * which defines what scales.h needs. */
#ifndef HB_ENGINE_KERNELS_PARTS512_H
#define HB_ENGINE_KERNELS_PARTS512_H

#include "engine/kernels/bytes.h"
#include "engine/kernels/scales.h"

INLINE __m128i bytes16(const void *from)
{
    return _mm_loadu_si128((const __m128i *)from);
}

INLINE __m512i words32(const void *from)
{
    __asm__("" : "+r"(from)); /* keeps Clang from taking apart other loads of the same bytes */
    return _mm512_loadu_si512(from);
}

/* ---- Weights: K-quants --------------------------------------------------------------------------- */

/* Two runs of 32 weights: the 32 bytes at `from`, shifted right by `low` bits for the first run and by
 * `high` for the second. Bits move between bytes, so the caller masks them. */
INLINE __m512i runs(const uint8_t *from, const int low, const int high)
{
    __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)from));
    const __m512i by = _mm512_inserti64x4(_mm512_set1_epi32(low & 31), _mm256_set1_epi32(high & 31), 1);
    return _mm512_rorv_epi32(both, by);
}

/* a | (b & mask) */
INLINE __m512i with(__m512i a, __m512i b, const int mask)
{
    return _mm512_ternarylogic_epi32(a, b, (__m512i)all(mask), 0xF8);
}

INLINE __m512i masked(__m512i a, const int mask)
{
    return _mm512_and_si512(a, (__m512i)all(mask));
}

INLINE vb q2_k_part(const void *block, const int j)
{
    const block_q2_k *b = block;
    return (vb)masked(runs(b->qs + j / 2 * 32, j % 2 * 4, j % 2 * 4 + 2), 3);
}

INLINE vb q3_k_part(const void *block, const int j)
{
    const block_q3_k *b = block;
    __m512i low = masked(runs(b->qs + j / 2 * 32, j % 2 * 4, j % 2 * 4 + 2), 3);
    return (vb)with(low, runs(b->hmask, 2 * j - 2, 2 * j - 1), 4);
}

INLINE vb q4_k_part(const void *block, const int j)
{
    const block_q4_k *b = block;
    return (vb)masked(runs(b->qs + 32 * j, 0, 4), 0xF);
}

INLINE vb q5_k_part(const void *block, const int j)
{
    const block_q5_k *b = block;
    return (vb)with(masked(runs(b->qs + 32 * j, 0, 4), 0xF), runs(b->qh, 2 * j - 4, 2 * j - 3), 0x10);
}

INLINE vb q6_k_part(const void *block, const int j)
{
    const block_q6_k *b = block;
    __m512i ql = words32(b->ql + j / 2 * 64);
    if (j % 2) ql = _mm512_srli_epi16(ql, 4);
    return (vb)with(masked(ql, 0xF), runs(b->qh + j / 2 * 32, j % 2 * 4 - 4, j % 2 * 4 - 2), 0x30);
}

/* ---- Weights: blocks of 32 ------------------------------------------------------------------------
 */

/* Sixteen bytes of each of two blocks as the nibbles of 64 weights. */
INLINE __m512i nibbles64(const uint8_t *first, const uint8_t *second)
{
    const __m512i by = _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0, 0,
                                        0x0004000400040004, 0x0004000400040004, 0, 0);
    __m512i both = _mm512_broadcast_i32x4(bytes16(first));
    both = _mm512_mask_broadcast_i32x4(both, 0xFF00, bytes16(second));
    return masked(_mm512_srlv_epi16(both, by), 0xF);
}

/* Adds the fifth bits of the weights of two blocks. */
INLINE __m512i fifth_bits64(__m512i u, const uint8_t *first, const uint8_t *second)
{
    __mmask64 set = _cvtu64_mask64(word32(first) | (uint64_t)word32(second) << 32);
    return _mm512_mask_add_epi8(u, set, u, (__m512i)all(0x10));
}

INLINE vb q4_0_part(const void *block, int j)
{
    const block_q4_0 *b = (const block_q4_0 *)block + 2 * j;
    return (vb)nibbles64(b[0].qs, b[1].qs);
}

INLINE vb q4_1_part(const void *block, int j)
{
    const block_q4_1 *b = (const block_q4_1 *)block + 2 * j;
    return (vb)nibbles64(b[0].qs, b[1].qs);
}

INLINE vb q5_0_part(const void *block, int j)
{
    const block_q5_0 *b = (const block_q5_0 *)block + 2 * j;
    return (vb)fifth_bits64(nibbles64(b[0].qs, b[1].qs), b[0].qh, b[1].qh);
}

INLINE vb q5_1_part(const void *block, int j)
{
    const block_q5_1 *b = (const block_q5_1 *)block + 2 * j;
    return (vb)fifth_bits64(nibbles64(b[0].qs, b[1].qs), b[0].qh, b[1].qh);
}

INLINE vb q8_0_part(const void *block, int j)
{
    const block_q8_0 *b = (const block_q8_0 *)block + 2 * j;
    __m512i first = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)b[0].qs));
    __m256i second = _mm256_loadu_si256((const __m256i *)(const void *)b[1].qs);
    return as_wide((vb)_mm512_inserti64x4(first, second, 1) ^ all(-128));
}

INLINE vb iq4_nl_part(const void *block, int j)
{
    return chosen_by(as_wide(repeat16(iq4_values)), q4_0_part(block, j));
}

INLINE vb iq4_xs_part(const void *block, const int j)
{
    const block_iq4_xs *b = block;
    return chosen_by(as_wide(repeat16(iq4_values)), (vb)nibbles64(b->qs + 32 * j, b->qs + 32 * j + 16));
}

INLINE vb mxfp4_part(const void *block, int j)
{
    const block_mxfp4 *b = (const block_mxfp4 *)block + 2 * j;
    return chosen_by(repeat16(mxfp4_values), (vb)nibbles64(b[0].qs, b[1].qs));
}

/* ---- Scales of blocks of 32 -----------------------------------------------------------------------
 */

/* Sixteen halves as floats. */
INLINE __m512 floats16(__m512i words)
{
    return _mm512_cvtph_ps(_mm512_castsi512_si256(words));
}

/* Vectors of sixteen indices of words: `a` to `d` and `e` to `h` for the lanes of eight scales, then
 * each plus `next` for eight more. */
#define WORDS_AT(next, a, b, c, d, e, f, g, h)                                                         \
    _mm512_castsi256_si512(_mm256_set_epi16(h + next, g + next, f + next, e + next, d + next,          \
                                            c + next, b + next, a + next, h, g, f, e, d, c, b, a))

/* The scales of eight blocks stand in the words 0, 9 ... 63. */
INLINE void q4_0_scales(const void *block, vf *d, vf *m)
{
    const uint8_t *b = block;
    (void)m;
    *d = (vf)floats16(_mm512_permutex2var_epi16(words32(b), WORDS_AT(0, 0, 9, 18, 27, 36, 45, 54, 63),
                                                words32(b + 64)));
}

/* The scales stand in the words 0, 10 ... 70, the minima behind them; the second load begins with word
 * 40. */
INLINE void q4_1_scales(const void *block, vf *d, vf *m)
{
    const uint8_t *b = block;
    __m512 both = floats16(_mm512_permutex2var_epi16(
        words32(b), WORDS_AT(1, 0, 10, 20, 30, 32, 42, 52, 62), words32(b + 80)));
    *d = (vf)both;
    *m = -(vf)_mm512_shuffle_f32x4(both, both, 0xEE);
}

/* The scales stand in the words 0, 11 ... 77; the loads begin with words 0, 33 and 56. */
INLINE void q5_0_scales(const void *block, vf *d, vf *m)
{
    const uint8_t *b = block;
    (void)m;
    __m512i six = _mm512_permutex2var_epi16(words32(b), WORDS_AT(0, 0, 11, 22, 32, 43, 54, 0, 0),
                                            words32(b + 66));
    *d = (vf)floats16(_mm512_mask_permutexvar_epi16(six, 0xC0, WORDS_AT(0, 0, 0, 0, 0, 0, 0, 10, 21),
                                                    words32(b + 112)));
}

/* The scales stand in the words 0, 12 ... 84, the minima behind them. */
INLINE void q5_1_scales(const void *block, vf *d, vf *m)
{
    const uint8_t *b = block;
    __m512i six = _mm512_permutex2var_epi16(words32(b), WORDS_AT(1, 0, 12, 24, 36, 48, 60, 0, 0),
                                            words32(b + 64));
    __m512 both = floats16(_mm512_mask_permutexvar_epi16(
        six, 0xC0C0, WORDS_AT(1, 0, 0, 0, 0, 0, 0, 8, 20), words32(b + 128)));
    *d = (vf)both;
    *m = -(vf)_mm512_shuffle_f32x4(both, both, 0xEE);
}

/* The scales stand in the words 0, 17 ... 119; the loads begin with words 0, 34, 68 and 102. */
INLINE void q8_0_scales(const void *block, vf *d, vf *m)
{
    const uint8_t *b = block;
    (void)m;
    __m512i low =
        _mm512_permutex2var_epi16(words32(b), WORDS_AT(0, 0, 17, 32, 49, 0, 0, 0, 0), words32(b + 68));
    __m512i high = _mm512_permutex2var_epi16(words32(b + 136), WORDS_AT(0, 0, 0, 0, 0, 0, 17, 32, 49),
                                             words32(b + 204));
    *d = (vf)floats16(_mm512_mask_mov_epi16(low, 0xF0, high));
}

INLINE void iq4_nl_scales(const void *block, vf *d, vf *m)
{
    q4_0_scales(block, d, m);
}

#endif
