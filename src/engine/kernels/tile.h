/* Products of rows of floats with tokens. In addition to what float.h needs, the including file defines
 * TILE_TOKENS and vf weights(type, row, i), which loads weights of a float type from index i on; or it
 * defines OWN_BLOCK and the function block(). */
#ifndef HB_ENGINE_KERNELS_TILE_H
#define HB_ENGINE_KERNELS_TILE_H

#include "engine/kernels/dequantize.h"
#include "engine/kernels/vector.h"

#ifndef OWN_BLOCK
INLINE float weight(const hb_type type, const uint8_t *row, size_t i)
{
    float wide;
    uint16_t half;
    memcpy(&half, row + 2 * i, sizeof half);
    if (type == HB_TYPE_F16) return f16_f32(half);
    if (type == HB_TYPE_BF16) return bits_f32((uint32_t)half << 16);
    memcpy(&wide, row + 4 * i, sizeof wide);
    return wide;
}

/* Multiplies R rows by T tokens, with sums held in registers, and prefetches the next R rows if `ask`.
 * R, T, `ask` and the type are constants where this is inlined. */
INLINE void block(const hb_type type, const int R, const int T, const bool ask, const uint8_t *w,
                  size_t ldw, const float *x, size_t ldx, size_t n, float *y, size_t ldy)
{
    vf acc[HB_TILE_ROWS][TILE_TOKENS];
    EACH(r, R) EACH(t, T) acc[r][t] = vf_all(0);
    size_t i = 0;
    for (; i + HB_LANES <= n; i += HB_LANES) {
        vf xv[TILE_TOKENS];
        EACH(t, T) xv[t] = vf_load(x + (size_t)t * ldx + i);
        EACH(r, R)
        {
            if (ask) ask_for(w + (size_t)(r + R) * ldw, i * (type == HB_TYPE_F32 ? 4 : 2));
            vf wv = weights(type, w + (size_t)r * ldw, i);
            EACH(t, T) acc[r][t] += wv * xv[t];
        }
    }
    EACH(r, R) EACH(t, T)
    {
        float sum = vf_sum(acc[r][t]);
        for (size_t k = i; k < n; k++)
            sum += weight(type, w + (size_t)r * ldw, k) * x[(size_t)t * ldx + k];
        y[(size_t)t * ldy + (size_t)r] = sum;
    }
}
#endif

/* Multiplies HB_TILE_ROWS rows by groups of T tokens, from token t on. Returns the first token that is
 * in no group. The first group prefetches the next rows, so that memory works while the others
 * multiply. */
INLINE int groups(const hb_type type, const int T, int t, int tokens, const uint8_t *w, size_t ldw,
                  const float *x, size_t ldx, size_t n, float *y, size_t ldy)
{
    for (; t + T <= tokens; t += T) {
        const float *from = x + (size_t)t * ldx;
        float *to = y + (size_t)t * ldy;
        if (t) block(type, HB_TILE_ROWS, T, false, w, ldw, from, ldx, n, to, ldy);
        else block(type, HB_TILE_ROWS, T, true, w, ldw, from, ldx, n, to, ldy);
    }
    return t;
}

/* An hb_tile function for weights of a type. */
INLINE void tile(const hb_type type, const uint8_t *w, size_t ldw, int rows, const float *x, size_t ldx,
                 int tokens, size_t n, float *y, size_t ldy)
{
    int t = 0;
    if (rows == HB_TILE_ROWS) {
        t = groups(type, TILE_TOKENS, t, tokens, w, ldw, x, ldx, n, y, ldy);
        if (TILE_TOKENS > 4) t = groups(type, 4, t, tokens, w, ldw, x, ldx, n, y, ldy);
        if (TILE_TOKENS > 2) t = groups(type, 2, t, tokens, w, ldw, x, ldx, n, y, ldy);
        t = groups(type, 1, t, tokens, w, ldw, x, ldx, n, y, ldy);
    }
    for (; t < tokens; t++)
        for (int r = 0; r < rows; r++)
            block(type, 1, 1, false, w + (size_t)r * ldw, ldw, x + (size_t)t * ldx, ldx, n,
                  y + (size_t)t * ldy + r, ldy);
}

#define TILE(name, type)                                                                               \
    static void name##_tile(const void *w, size_t ldw, int rows, const float *x, size_t ldx,           \
                            int tokens, size_t n, float *y, size_t ldy)                                \
    {                                                                                                  \
        tile(type, w, ldw, rows, x, ldx, tokens, n, y, ldy);                                           \
    }
TILE(f32, HB_TYPE_F32)
TILE(f16, HB_TYPE_F16)
TILE(bf16, HB_TYPE_BF16)
#define EACH_TILE [HB_TYPE_F32] = f32_tile, [HB_TYPE_F16] = f16_tile, [HB_TYPE_BF16] = bf16_tile

#endif
