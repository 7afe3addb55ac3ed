/* AVX-512 F, BW, VL and DQ. Ends of rows are masked loads, so every length takes one path. */
#include <immintrin.h>

#define HB_LANES     16
#define TILE_ROWS    6
#define TILE_VECTORS 4

#include "engine/kernels/dequantize.h"
#include "engine/kernels/float.h"

/* The mask of the lanes that are left from i on. */
static inline __mmask16 lanes(size_t i, size_t n)
{
    return n - i >= 16 ? (__mmask16)0xFFFF : (__mmask16)((1u << (n - i)) - 1);
}

static void f16_zmm_to_f32(const void *blocks, float *out, size_t n)
{
    const uint16_t *h = blocks;
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(i, n);
        _mm512_mask_storeu_ps(out + i, m, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, h + i)));
    }
}

#define TILE_TOKENS 4

/* R rows by T tokens held in registers; R and T are constants where this is inlined. */
static inline __attribute__((always_inline)) void block(const int R, const int T, const float *w,
                                                        size_t ldw, const float *x, size_t ldx,
                                                        size_t n, float *y, size_t ldy)
{
    __m512 acc[HB_TILE_ROWS][TILE_TOKENS];
    for (int r = 0; r < R; r++)
        for (int t = 0; t < T; t++) acc[r][t] = _mm512_setzero_ps();
    for (size_t i = 0; i < n; i += 16) {
        __mmask16 m = lanes(i, n);
        __m512 xv[TILE_TOKENS];
        for (int t = 0; t < T; t++) xv[t] = _mm512_maskz_loadu_ps(m, x + (size_t)t * ldx + i);
        for (int r = 0; r < R; r++) {
            __m512 wv = _mm512_maskz_loadu_ps(m, w + (size_t)r * ldw + i);
            for (int t = 0; t < T; t++) acc[r][t] = _mm512_fmadd_ps(wv, xv[t], acc[r][t]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int t = 0; t < T; t++) y[(size_t)t * ldy + (size_t)r] = _mm512_reduce_add_ps(acc[r][t]);
}

#include "engine/kernels/tile.h"

const hb_kernels hb_kernels_avx512 = {
    .name = "avx512",
    .to_f32 = {[HB_TYPE_F16] = f16_zmm_to_f32, COMMON_TO_F32},
    .unpack = {COMMON_UNPACK},
    .tile = tile,
    .attend = attend,
    .silu_mul = silu_mul,
};
