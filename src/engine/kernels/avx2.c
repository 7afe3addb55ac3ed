/* AVX2, FMA and F16C; compiled a second time with HB_VNNI for processors that also have AVX-VNNI. */
#include <immintrin.h>

#define HB_LANES     8
#define TILE_ROWS    6
#define TILE_VECTORS 2
#define BYTE_VECTORS 2
#define BYTE_TOKENS  3

#include "engine/kernels/float.h"

#ifdef HB_VNNI
static inline vi dot4(vi sums, vb u, vb q, bool wide)
{
    (void)wide;
    return (vi)_mm256_dpbusd_avx_epi32((__m256i)sums, (__m256i)u, (__m256i)q);
}
#else
/* Pairs of products are added in 16 bits, which can hold the sum of two products of 128 * 127. */
static inline __m256i dot4_narrow(__m256i sums, __m256i u, __m256i q)
{
    __m256i pairs = _mm256_maddubs_epi16(u, q);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

static inline vi dot4(vi sums, vb u, vb q, bool wide)
{
    if (!wide) return (vi)dot4_narrow((__m256i)sums, (__m256i)u, (__m256i)q);
    const __m256i low = _mm256_set1_epi8(0x7F);
    __m256i s = dot4_narrow((__m256i)sums, _mm256_and_si256((__m256i)u, low), (__m256i)q);
    return (vi)dot4_narrow(s, _mm256_andnot_si256(low, (__m256i)u), (__m256i)q);
}
#endif

static inline vf spread(const float *values, size_t group)
{
    if (group == 32) return vf_all(values[0]);
    return (vf)_mm256_set_m128(_mm_set1_ps(values[1]), _mm_set1_ps(values[0]));
}

#include "engine/kernels/bytes.h"

#define ROWS ((size_t)BYTE_VECTORS * HB_LANES) /* in a panel */

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
    .unpack = {COMMON_UNPACK},
    .dot = {COMMON_DOT},
    .tile = {EACH_TILE},
    .quantise = quantise,
    .panel_rows = ROWS,
    .direct = 3,
    .direct_floats = 24,
    .transpose = transpose,
    .panel = panel_product,
    .outer = outer,
    .attend = attend,
    .silu_mul = silu_mul,
    .gelu_mul = gelu_mul,
    .softcap = softcap,
};
