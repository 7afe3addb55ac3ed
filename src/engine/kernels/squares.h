/* Products of bytes for instruction sets that multiply 2 rows of 8 bytes by 2 others: a vector of sums
 * belongs to 2 rows of weights and 2 tokens. In addition to what panels.h needs, the including file,
 * whose HB_LANES is 4, defines:
 *
 *   vi add_squares(vi sums, vb u, vb q)
 *       adds the products of half i of u with half j of q, both signed, to lane 2i + j */
#ifndef HB_ENGINE_KERNELS_SQUARES_H
#define HB_ENGINE_KERNELS_SQUARES_H

#include "engine/kernels/bytes.h"

/* Sets `sum` to the products of a group of a panel's V vectors of rows, from column `at` on, with T
 * tokens from `first` on. Each sum starts from the value that cancels the weights' offset. The last of
 * an odd number of tokens is its own partner. */
INLINE void panel_sums(const int T, const int V, const panel_shape s, const hb_panel *p, size_t first,
                       size_t at, const float *scales, vi (*sum)[BYTE_VECTORS])
{
    const size_t each = HB_PANEL_DEPTH / s.group;
    const uint8_t *u = p->u + at * PANEL_WIDTH + s.row * 4;
    const int8_t *q = p->q + first * HB_PANEL_DEPTH + at;
    const int32_t *start = p->start + first * each + at / s.group;
    vi square[BYTE_TOKENS / 2 + 1][BYTE_VECTORS][2];
    (void)scales;
    for (int t = 0; t < T; t += 2) {
        const int32_t *a = start + (size_t)t * each, *b = t + 1 < T ? a + each : a;
        EACH(v, V) square[t / 2][v][0] = square[t / 2][v][1] = (vi){*a, *b, *a, *b};
    }
    for (int i = 0; i < (int)s.group; i += 16, u += PANEL_WIDTH * 16, q += 16) {
        /* The first and the last two rows of each vector. */
        vi low[BYTE_VECTORS][2], high[BYTE_VECTORS][2];
        EACH(v, V) EACH(half, 2)
        {
            const uint8_t *quads = u + (size_t)half * PANEL_WIDTH * 8 + (size_t)v * STEP;
            vi a = (vi)vb_load(quads), b = (vi)vb_load(quads + PANEL_WIDTH * 4);
            low[v][half] = __builtin_shufflevector(a, b, 0, 4, 1, 5);
            high[v][half] = __builtin_shufflevector(a, b, 2, 6, 3, 7);
        }
        EACH(k, (T + 1) / 2)
        {
            const int8_t *from = q + (size_t)k * 2 * HB_PANEL_DEPTH;
            vi a = (vi)vb_load(from), b = (vi)vb_load(from + (2 * k + 1 < T ? HB_PANEL_DEPTH : 0));
            const vi two[2] = {__builtin_shufflevector(a, b, 0, 1, 4, 5),
                               __builtin_shufflevector(a, b, 2, 3, 6, 7)};
            EACH(half, 2) EACH(v, V)
            {
                square[k][v][0] = add_squares(square[k][v][0], (vb)low[v][half], (vb)two[half]);
                square[k][v][1] = add_squares(square[k][v][1], (vb)high[v][half], (vb)two[half]);
            }
        }
    }
    EACH(t, T) EACH(v, V)
    {
        vi a = square[t / 2][v][0], b = square[t / 2][v][1];
        sum[t][v] = t % 2 ? __builtin_shufflevector(a, b, 1, 3, 5, 7)
                          : __builtin_shufflevector(a, b, 0, 2, 4, 6);
    }
}

#endif
