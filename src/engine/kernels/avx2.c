/* AVX2, FMA and F16C; compiled a second time with HB_VNNI for processors that also have AVX-VNNI. */
#include <immintrin.h>

#define HB_LANES     8
#define TILE_ROWS    6
#define TILE_VECTORS 2
#define BYTE_VECTORS 2

#include "engine/kernels/vector.h"

static inline vf vf_halves(const uint16_t *from)
{
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)from));
}

static inline vf vf_bytes(const int8_t *from)
{
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)from);
    return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

#include "engine/kernels/float.h"

#ifdef HB_VNNI
#define BYTE_TOKENS    4
#define WIDE_IS_SIGNED 0
#define SUMS_IN_PAIRS  0

static inline vi dot4(vi sums, vb u, vb q, bool wide)
{
    (void)wide;
    return (vi)_mm256_dpbusd_avx_epi32((__m256i)sums, (__m256i)u, (__m256i)q);
}
#else
#define BYTE_TOKENS     6
#define WIDE_IS_SIGNED  1
#define SUMS_IN_PAIRS   1
#define ONE_PART_TOKENS 3
#define TWO_PART_TOKENS 3
#define WIDE_TOKENS     6

static inline vi add_products(vi pairs, vb u, vb q)
{
    pairs = (vi)_mm256_add_epi16((__m256i)pairs, _mm256_maddubs_epi16((__m256i)u, (__m256i)q));
    __asm__("" : "+v"(pairs)); /* in another order, the compiler would need more registers */
    return pairs;
}

static inline vi add_pairs(vi sums, vi a, vi b)
{
    sums += (vi)_mm256_madd_epi16((__m256i)a, (__m256i)b);
    __asm__("" : "+v"(sums));
    return sums;
}

static inline vb magnitudes(vb w)
{
    return (vb)_mm256_abs_epi8((__m256i)w);
}

static inline vb with_signs(vb q, vb w)
{
    return (vb)_mm256_sign_epi8((__m256i)q, (__m256i)w);
}
#endif

#include "engine/kernels/panels.h"

static inline vf load_groups(const float *from, size_t group)
{
    (void)group; /* a vector is not longer than 8 groups */
    return vf_load(from);
}

static inline vf spread(const float *values, int j, size_t group)
{
    if (group == 32) return vf_all(values[j]);
    double both; /* two groups of 16 */
    memcpy(&both, values + 2 * j, sizeof both);
    return (vf)_mm256_permutevar_ps(_mm256_castpd_ps(_mm256_set1_pd(both)),
                                    _mm256_set_epi32(1, 1, 1, 1, 0, 0, 0, 0));
}

static inline vb block_nibbles(const uint8_t *from, int within)
{
    (void)within; /* all of them */
    __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)from));
    __m256i both = _mm256_srlv_epi64(twice, _mm256_set_epi64x(4, 4, 0, 0));
    return (vb)_mm256_and_si256(both, _mm256_set1_epi8(0xF));
}

static inline vb repeat16(const uint8_t *from)
{
    return (vb)_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)from));
}

static inline vb chosen_by(vb values, vb index)
{
    return (vb)_mm256_shuffle_epi8((__m256i)values, (__m256i)index);
}

static inline vb repeat4(const uint8_t *from, int within)
{
    int32_t four;
    (void)within;
    memcpy(&four, from, sizeof four);
    const __m256i eight =
        _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
    return (vb)_mm256_shuffle_epi8(_mm256_set1_epi32(four), eight);
}

static inline float half_float(uint16_t half)
{
    return _cvtsh_ss(half);
}

static inline void times_bytes(float d, const uint64_t *bytes, int n, int zero, vf *out)
{
    for (int i = 0; i < n; i++) {
        __m256i whole = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)bytes[i]));
        whole = _mm256_sub_epi32(whole, _mm256_set1_epi32(zero));
        out[i] = (vf)_mm256_mul_ps(_mm256_cvtepi32_ps(whole), _mm256_set1_ps(d));
    }
}

static inline void eight_halves(const void *from, size_t stride, vf *out)
{
    uint16_t h[8];
    EACH(i, 8) memcpy(&h[i], (const uint8_t *)from + (size_t)i * stride, sizeof *h);
    __m128i eight = _mm_set_epi16((short)h[7], (short)h[6], (short)h[5], (short)h[4], (short)h[3],
                                  (short)h[2], (short)h[1], (short)h[0]);
    *out = (vf)_mm256_cvtph_ps(eight);
}

INLINE void four_words(const uint8_t *const *row, size_t at, vi *w)
{
    __m256i z[4];
    EACH(i, 4)
    {
        __m128i low = _mm_loadu_si128((const __m128i *)(const void *)(row[i] + at));
        __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(row[4 + i] + at));
        z[i] = _mm256_set_m128i(high, low);
    }
    __m256i low01 = _mm256_unpacklo_epi32(z[0], z[1]), high01 = _mm256_unpackhi_epi32(z[0], z[1]);
    __m256i low23 = _mm256_unpacklo_epi32(z[2], z[3]), high23 = _mm256_unpackhi_epi32(z[2], z[3]);
    w[0] = (vi)_mm256_unpacklo_epi64(low01, low23);
    w[1] = (vi)_mm256_unpackhi_epi64(low01, low23);
    w[2] = (vi)_mm256_unpacklo_epi64(high01, high23);
    w[3] = (vi)_mm256_unpackhi_epi64(high01, high23);
}

INLINE vf words_halves(vi w)
{
    __m128i low = _mm256_castsi256_si128((__m256i)w), high = _mm256_extracti128_si256((__m256i)w, 1);
    return (vf)_mm256_cvtph_ps(_mm_packus_epi32(low, high));
}

INLINE vf two_bytes(const uint8_t *const *row, size_t at)
{
    uint16_t h[8];
    EACH(i, 8) memcpy(&h[i], row[i] + at, sizeof *h);
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)h));
}

#include "engine/kernels/fills.h"
#include "engine/kernels/parts.h"
#include "engine/kernels/rows.h"

/* Transposes eight rows of eight words. */
static void turn8(const uint8_t *from, size_t stride, uint8_t *to)
{
    __m256i a[8], b[8];
    for (size_t i = 0; i < 8; i++)
        a[i] = _mm256_loadu_si256((const __m256i *)(const void *)(from + i * stride * WORD));
    for (int i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        a[i] = _mm256_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm256_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm256_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm256_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    for (size_t i = 0; i < 4; i++) {
        _mm256_storeu_si256((__m256i *)(void *)(to + i * ROWS * WORD),
                            _mm256_permute2x128_si256(a[i], a[i + 4], 0x20));
        _mm256_storeu_si256((__m256i *)(void *)(to + (i + 4) * ROWS * WORD),
                            _mm256_permute2x128_si256(a[i], a[i + 4], 0x31));
    }
}

static void transpose(const void *from, size_t stride, size_t n, void *to)
{
    const uint8_t *words = from;
    uint8_t *turned = to;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t r = 0; r < ROWS; r += 8)
            turn8(words + (r * stride + i) * WORD, stride, turned + (i * ROWS + r) * WORD);
    for (; i < n; i++)
        for (size_t r = 0; r < ROWS; r++)
            memcpy(turned + (i * ROWS + r) * WORD, words + (r * stride + i) * WORD, WORD);
}

static void f16c_to_f32(const void *blocks, float *out, size_t n)
{
    const uint16_t *h = blocks;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(h + i))));
    for (; i < n; i++) out[i] = f16_f32(h[i]);
}

static void f32_to_f16(const float *x, size_t n, uint16_t *out)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(out + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++) out[i] = _cvtss_sh(x[i], _MM_FROUND_TO_NEAREST_INT);
}

#define TILE_TOKENS 2

/* Loads eight weights of a float type, from index i on. */
INLINE vf weights(const hb_type type, const uint8_t *row, size_t i)
{
    if (type == HB_TYPE_F32) return vf_load((const float *)(const void *)row + i);
    __m128i halves = _mm_loadu_si128((const __m128i *)(const void *)(row + 2 * i));
    if (type == HB_TYPE_F16) return (vf)_mm256_cvtph_ps(halves);
    return (vf)_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16);
}

#include "engine/kernels/tile.h"

#ifdef HB_VNNI
const hb_kernels hb_kernels_avxvnni = {
    .name = "avxvnni",
#else
const hb_kernels hb_kernels_avx2 = {
    .name = "avx2",
#endif
    .to_f32 = {[HB_TYPE_F16] = f16c_to_f32, COMMON_TO_F32},
    .dot = {EACH_QUANTISED(_dot)},
    .tile = {EACH_TILE},
    .quantise = quantise,
    .panel_rows = ROWS,
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
