/* AVX2, FMA and F16C. */
#include <immintrin.h>

#define HB_LANES     8
#define TILE_ROWS    6
#define TILE_VECTORS 2

#include "engine/kernels/dequantize.h"
#include "engine/kernels/float.h"

static void f16c_to_f32(const void *blocks, float *out, size_t n)
{
    const uint16_t *h = blocks;
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(h + i))));
    for (; i < n; i++) out[i] = f16_f32(h[i]);
}

static inline float sum8(__m256 v)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

#define TILE_TOKENS 2

/* R rows by T tokens held in registers; R and T are constants where this is inlined. */
static inline __attribute__((always_inline)) void block(const int R, const int T, const float *w,
                                                        size_t ldw, const float *x, size_t ldx,
                                                        size_t n, float *y, size_t ldy)
{
    __m256 acc[HB_TILE_ROWS][TILE_TOKENS];
    for (int r = 0; r < R; r++)
        for (int t = 0; t < T; t++) acc[r][t] = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 xv[TILE_TOKENS];
        for (int t = 0; t < T; t++) xv[t] = _mm256_loadu_ps(x + (size_t)t * ldx + i);
        for (int r = 0; r < R; r++) {
            __m256 wv = _mm256_loadu_ps(w + (size_t)r * ldw + i);
            for (int t = 0; t < T; t++) acc[r][t] = _mm256_fmadd_ps(wv, xv[t], acc[r][t]);
        }
    }
    for (int r = 0; r < R; r++) {
        for (int t = 0; t < T; t++) {
            float sum = sum8(acc[r][t]);
            for (size_t k = i; k < n; k++) sum += w[(size_t)r * ldw + k] * x[(size_t)t * ldx + k];
            y[(size_t)t * ldy + (size_t)r] = sum;
        }
    }
}

#include "engine/kernels/tile.h"

const hb_kernels hb_kernels_avx2 = {
    .name = "avx2",
    .to_f32 = {[HB_TYPE_F16] = f16c_to_f32, COMMON_TO_F32},
    .unpack = {COMMON_UNPACK},
    .tile = tile,
    .attend = attend,
    .silu_mul = silu_mul,
};
