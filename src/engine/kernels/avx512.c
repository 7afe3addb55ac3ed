/* AVX-512 F, BW, VL and DQ; compiled a second time with HB_VNNI for processors that also have AVX-512
 * VNNI. Masked loads handle the ends of rows, so there is one path for every length. */
#include <immintrin.h>

#define HB_LANES     16
#define TILE_ROWS    12
#define TILE_VECTORS 2
#define BYTE_VECTORS 2
#define BYTE_TOKENS  6

#include "engine/kernels/vector.h"

static inline vf vf_halves(const uint16_t *from)
{
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)from));
}

static inline vf vf_bytes(const int8_t *from)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)from);
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

#include "engine/kernels/float.h"

#ifdef HB_VNNI
#define WIDE_IS_SIGNED 0
#define SUMS_IN_PAIRS  0

static inline vi dot4(vi sums, vb u, vb q, bool wide)
{
    (void)wide;
    return (vi)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)u, (__m512i)q);
}
#else
#define WIDE_IS_SIGNED  1
#define SUMS_IN_PAIRS   1
#define ONE_PART_TOKENS 6
#define TWO_PART_TOKENS 6
#define WIDE_TOKENS     6

static inline vi add_products(vi pairs, vb u, vb q)
{
    pairs = (vi)_mm512_add_epi16((__m512i)pairs, _mm512_maddubs_epi16((__m512i)u, (__m512i)q));
    __asm__("" : "+v"(pairs)); /* in another order, the compiler would need more registers */
    return pairs;
}

static inline vi add_pairs(vi sums, vi a, vi b)
{
    sums += (vi)_mm512_madd_epi16((__m512i)a, (__m512i)b);
    __asm__("" : "+v"(sums));
    return sums;
}

static inline vb magnitudes(vb w)
{
    return (vb)_mm512_abs_epi8((__m512i)w);
}

static inline vb with_signs(vb q, vb w)
{
    __m512i x = (__m512i)q;
    return (vb)_mm512_mask_sub_epi8(x, _mm512_movepi8_mask((__m512i)w), _mm512_setzero_si512(), x);
}
#endif

static inline vf load_groups(const float *from, size_t group)
{
    return group == 16 ? vf_load(from) : (vf)_mm512_zextps256_ps512(_mm256_loadu_ps(from));
}

static inline vf spread(const float *values, int j, size_t group)
{
    const __m512i of32 = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    const __m512i of16 = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    __m512i lanes = group == 32 ? _mm512_add_epi32(of32, _mm512_set1_epi32(2 * j))
                                : _mm512_add_epi32(of16, _mm512_set1_epi32(4 * j));
    return (vf)_mm512_permutexvar_ps(lanes, (__m512)vf_load(values));
}

static inline float half_float(uint16_t half)
{
    return _cvtsh_ss(half);
}

#include "engine/kernels/panels.h"

static inline void times_bytes(float d, const uint64_t *bytes, int n, int zero, vf *out)
{
    __m128i both = _mm_set_epi64x(n > 1 ? (long long)bytes[1] : 0, (long long)bytes[0]);
    __m512i whole = _mm512_sub_epi32(_mm512_cvtepu8_epi32(both), _mm512_set1_epi32(zero));
    *out = (vf)_mm512_mul_ps(_mm512_cvtepi32_ps(whole), _mm512_set1_ps(d));
}

static inline vb repeat16(const uint8_t *from)
{
    return (vb)_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)from));
}

static inline vb chosen_by(vb values, vb index)
{
    return (vb)_mm512_shuffle_epi8((__m512i)values, (__m512i)index);
}

INLINE __m512i quarters(const uint8_t *const *row, size_t at)
{
    __m128i q[4];
    EACH(i, 4) q[i] = _mm_loadu_si128((const __m128i *)(const void *)(row[4 * i] + at));
    __m512i z = _mm512_inserti32x4(_mm512_castsi128_si512(q[0]), q[1], 1);
    return _mm512_inserti32x4(_mm512_inserti32x4(z, q[2], 2), q[3], 3);
}

INLINE void four_words(const uint8_t *const *row, size_t at, vi *w)
{
    __m512i z[4];
    EACH(i, 4) z[i] = quarters(row + i, at);
    __m512i low01 = _mm512_unpacklo_epi32(z[0], z[1]), high01 = _mm512_unpackhi_epi32(z[0], z[1]);
    __m512i low23 = _mm512_unpacklo_epi32(z[2], z[3]), high23 = _mm512_unpackhi_epi32(z[2], z[3]);
    w[0] = (vi)_mm512_unpacklo_epi64(low01, low23);
    w[1] = (vi)_mm512_unpackhi_epi64(low01, low23);
    w[2] = (vi)_mm512_unpacklo_epi64(high01, high23);
    w[3] = (vi)_mm512_unpackhi_epi64(high01, high23);
}

INLINE vf words_halves(vi w)
{
    return (vf)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)w));
}

INLINE vf two_bytes(const uint8_t *const *row, size_t at)
{
    uint16_t h[16];
    EACH(i, 16) memcpy(&h[i], row[i] + at, sizeof *h);
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)h));
}

#include "engine/kernels/fills.h"
#include "engine/kernels/parts512.h"
#include "engine/kernels/rows.h"

/* The mask of the lanes that remain from i on. */
static inline __mmask16 lanes(size_t i, size_t n)
{
    return n - i >= 16 ? (__mmask16)0xFFFF : (__mmask16)((1u << (n - i)) - 1);
}

/* Transposes sixteen rows of up to sixteen words. */
static void turn16(const uint8_t *from, size_t stride, size_t n, uint8_t *to)
{
    __m512i a[16], b[16];
    __mmask16 some = lanes(0, n);
    for (size_t i = 0; i < 16; i++) a[i] = _mm512_maskz_loadu_epi32(some, from + i * stride * WORD);
    for (int i = 0; i < 16; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    /* a[4k + j] now holds, in its four quarters, words j, j + 4, j + 8 and j + 12 of rows 4k to 4k + 3.
     */
    for (int j = 0; j < 4; j++) {
        b[j] = _mm512_shuffle_i32x4(a[j], a[4 + j], 0x88);
        b[4 + j] = _mm512_shuffle_i32x4(a[j], a[4 + j], 0xDD);
        b[8 + j] = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0x88);
        b[12 + j] = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0xDD);
    }
    for (size_t j = 0; j < 4; j++) {
        const __m512i turned[4] = {_mm512_shuffle_i32x4(b[j], b[8 + j], 0x88),
                                   _mm512_shuffle_i32x4(b[4 + j], b[12 + j], 0x88),
                                   _mm512_shuffle_i32x4(b[j], b[8 + j], 0xDD),
                                   _mm512_shuffle_i32x4(b[4 + j], b[12 + j], 0xDD)};
        for (size_t k = 0; k < 4; k++)
            if (j + 4 * k < n) _mm512_storeu_si512(to + (j + 4 * k) * HB_PANEL_ROWS * WORD, turned[k]);
    }
}

static void transpose(const void *from, size_t stride, size_t n, void *to)
{
    const uint8_t *words = from;
    uint8_t *turned = to;
    for (size_t i = 0; i < n; i += 16)
        for (size_t r = 0; r < HB_PANEL_ROWS; r += 16)
            turn16(words + (r * stride + i) * WORD, stride, n - i,
                   turned + (i * HB_PANEL_ROWS + r) * WORD);
}

static void f16_zmm_to_f32(const void *blocks, float *out, size_t n)
{
    const uint16_t *h = blocks;
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(i, n);
        _mm512_mask_storeu_ps(out + i, m, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, h + i)));
    }
}

static void f32_to_f16(const float *x, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(i, n);
        __m512 sixteen = _mm512_maskz_loadu_ps(m, x + i);
        _mm256_mask_storeu_epi16(out + i, m, _mm512_cvtps_ph(sixteen, _MM_FROUND_TO_NEAREST_INT));
    }
}

#define TILE_TOKENS 6

/* Loads up to sixteen weights of a float type, from index i on. */
INLINE __m512 weights(const hb_type type, const uint8_t *row, size_t i, __mmask16 m)
{
    if (type == HB_TYPE_F32) return _mm512_maskz_loadu_ps(m, row + 4 * i);
    __m256i halves = _mm256_maskz_loadu_epi16(m, row + 2 * i);
    if (type == HB_TYPE_F16) return _mm512_cvtph_ps(halves);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

/* Multiplies R rows by T tokens, with sums held in registers. Prefetches the next R rows if `ask` is
 * true. */
INLINE void block(const hb_type type, const int R, const int T, const bool ask, const uint8_t *w,
                  size_t ldw, const float *x, size_t ldx, size_t n, float *y, size_t ldy)
{
    __m512 acc[HB_TILE_ROWS][TILE_TOKENS];
    EACH(r, R) EACH(t, T) acc[r][t] = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(i, n);
        __m512 xv[TILE_TOKENS];
        EACH(t, T) xv[t] = _mm512_maskz_loadu_ps(m, x + (size_t)t * ldx + i);
        EACH(r, R)
        {
            if (ask) ask_for(w + (size_t)(r + R) * ldw, i * (type == HB_TYPE_F32 ? 4 : 2));
            __m512 wv = weights(type, w + (size_t)r * ldw, i, m);
            EACH(t, T) acc[r][t] = _mm512_fmadd_ps(wv, xv[t], acc[r][t]);
        }
    }
    EACH(r, R) EACH(t, T) y[(size_t)t * ldy + (size_t)r] = _mm512_reduce_add_ps(acc[r][t]);
}

#define OWN_BLOCK
#include "engine/kernels/tile.h"

#ifdef HB_VNNI
const hb_kernels hb_kernels_avx512vnni = {
    .name = "avx512vnni",
#else
const hb_kernels hb_kernels_avx512 = {
    .name = "avx512",
#endif
    .to_f32 = {[HB_TYPE_F16] = f16_zmm_to_f32, COMMON_TO_F32},
    .dot = {EACH_QUANTISED(_dot)},
    .tile = {EACH_TILE},
    .quantise = quantise,
    .panel_rows = HB_PANEL_ROWS,
    .direct = 3,
    .direct_floats = 24,
    .fill = {EACH_QUANTISED(_fill)},
    .wide_is_signed = WIDE_IS_SIGNED,
    .transpose = transpose,
    .panel = panel_product,
#if SUMS_IN_PAIRS
    .pair_columns = pair_columns,
    .pair_starts = pair_starts,
#endif
    .outer = outer,
    .attend = attend,
    .to_f16 = f32_to_f16,
    .silu_mul = silu_mul,
    .gelu_mul = gelu_mul,
    .softcap = softcap,
};
