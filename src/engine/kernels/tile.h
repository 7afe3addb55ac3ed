/* The walk over a tile, for a file that has defined TILE_TOKENS and block(R, T, ...), which multiplies
 * R rows by T tokens in registers. */
#ifndef HB_ENGINE_KERNELS_TILE_H
#define HB_ENGINE_KERNELS_TILE_H

#include "engine/kernels/kernels.h"

static void tile(const float *w, size_t ldw, int rows, const float *x, size_t ldx, int tokens, size_t n,
                 float *y, size_t ldy)
{
    int t = 0;
    if (rows == HB_TILE_ROWS) {
        for (; t + TILE_TOKENS <= tokens;
             t += TILE_TOKENS, x += TILE_TOKENS * ldx, y += TILE_TOKENS * ldy)
            block(HB_TILE_ROWS, TILE_TOKENS, w, ldw, x, ldx, n, y, ldy);
        for (; t < tokens; t++, x += ldx, y += ldy) block(HB_TILE_ROWS, 1, w, ldw, x, ldx, n, y, ldy);
    }
    for (; t < tokens; t++, x += ldx, y += ldy)
        for (int r = 0; r < rows; r++) block(1, 1, w + (size_t)r * ldw, ldw, x, ldx, n, y + r, ldy);
}

#endif
