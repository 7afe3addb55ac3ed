/* Products of rows of quantised weights, read in place, with a few tokens. Weights are unpacked in
 * registers, so decoding one sequence is limited by memory bandwidth. In addition to what bytes.h
 * needs, the including file defines for each quantised type:
 *
 *   vb TYPE_part(const void *b, int j)
 *       the weights from number j * STEP on of the 256 that begin with block b, as dot4 takes them
 *   void TYPE_scales(const void *b, vf *d, vf *m)
 *       scales of their groups in order and, for types with minima, the minima; HALF vectors for
 *       groups of 32, WHOLE vectors for groups of 16
 *
 * Both may read 8 blocks of 32 weights from b on. */
#ifndef HB_ENGINE_KERNELS_ROWS_H
#define HB_ENGINE_KERNELS_ROWS_H

#include "engine/kernels/bytes.h"

#define UNIT 256 /* weights that share a step */

/* Sums of one token run in two registers, because one would wait for itself. */
#define CHAINS 2

/* Prefetch distance in bytes. */
#define AHEAD 2048

/* Prefetches the cache lines of the blocks that lie AHEAD bytes further on. */
INLINE void ask_ahead(const void *blocks, size_t bytes)
{
    EACH(i, (int)(bytes + 63) / 64) __builtin_prefetch((const char *)blocks + AHEAD + 64 * i);
}

/* Makes the compiler store the scales. */
INLINE void keep_in_memory(float (*s)[16])
{
    __asm__ volatile("" : : "r"(s) : "memory");
}

/* v in its first n lanes, else 0. */
INLINE vf first_lanes(vf v, int n)
{
    vi place;
    for (int i = 0; i < HB_LANES; i++) place[i] = i;
    return vf_select(place < n, v, vf_all(0));
}

/* How a type's rows are multiplied; constants where functions are inlined. A weight is scale * (u -
 * offset), or scale * u - minimum if `offset` is MINIMA, or scale * u if it is NOTHING. */
#define MINIMA  0
#define NOTHING (-1)
#define ROW_PARAMETERS                                                                                 \
    vb (*part)(const void *, int), void (*scales)(const void *, vf *, vf *), const size_t block,       \
        const size_t block_bytes, const size_t group, const bool wide, const int32_t offset
#define ROW_ARGUMENTS part, scales, block, block_bytes, group, wide, offset

/* Adds the products of `n` of the 256 weights from block b on, which stand in column `at` of the row.
 * acc gets weights times activations, low what is subtracted. */
INLINE void add_unit(ROW_PARAMETERS, const int T, const void *b, const hb_bytes *x, size_t at, int n,
                     vf (*acc)[CHAINS], vf *low)
{
    const int vectors = group == 32 ? HALF : WHOLE, kind = group / 32;
    vf d[WHOLE], m[WHOLE];
    float s[HB_DIRECT][16];
    (void)block, (void)block_bytes;
    scales(b, d, m);
    EACH(v, vectors) EACH(t, T)
    {
        size_t place = ((size_t)t * x->cols + at) / group + (size_t)v * HB_LANES;
        vf scale = d[v] * load_groups(x->d[kind] + place, group);
        vf less = (offset == MINIMA ? m[v] : d[v]) * load_groups(x->scaled[kind] + place, group);
        if (n < UNIT) scale = first_lanes(scale, n / (int)group - v * HB_LANES);
        if (n < UNIT) less = first_lanes(less, n / (int)group - v * HB_LANES);
        if (offset != NOTHING) low[t] += less;
        vf_store(s[t] + v * HB_LANES, scale);
    }
    if (HB_LANES < 16) keep_in_memory(s); /* lanes are loaded, which is faster than moving them */
    EACH(j, UNIT / (int)STEP) if (j * (int)STEP < n)
    {
        vb u = part(b, j);
        EACH(t, T)
        {
            const int8_t *q = x->q + (size_t)t * x->cols + at + (size_t)j * STEP;
            vi sum = dot4((vi){0}, u, vb_load(q), wide);
            acc[t][j % CHAINS] += __builtin_convertvector(sum, vf) * spread(s[t], j, group);
        }
    }
}

/* Multiplies one row by T tokens. Bytes beyond the row may be read, but only before `end`. */
INLINE void dot_row(ROW_PARAMETERS, const int T, const uint8_t *row, const uint8_t *end,
                    const hb_bytes *x, float *y, size_t ldy)
{
    vf acc[HB_DIRECT][CHAINS], low[HB_DIRECT];
    size_t whole = x->cols / UNIT * UNIT, rest = x->cols - whole;
    EACH(t, T) acc[t][0] = acc[t][1] = low[t] = vf_all(0);
    for (size_t at = 0; at < whole; at += UNIT, row += UNIT / block * block_bytes) {
        ask_ahead(row, UNIT / block * block_bytes);
        add_unit(ROW_ARGUMENTS, T, row, x, at, UNIT, acc, low);
    }
    if (block < UNIT && rest) {
        uint8_t copy[UNIT / block * block_bytes];
        if ((size_t)(end - row) < sizeof copy) {
            memset(copy, 0, sizeof copy);
            row = memcpy(copy, row, rest / block * block_bytes);
        }
        add_unit(ROW_ARGUMENTS, T, row, x, whole, (int)rest, acc, low);
    }
    EACH(t, T)
    {
        vf sum = acc[t][0] + acc[t][1];
        if (offset == MINIMA) sum -= low[t];
        else if (offset != NOTHING) sum -= (float)offset * low[t];
        y[(size_t)t * ldy] = vf_sum(sum);
    }
}

INLINE void dot_rows(ROW_PARAMETERS, const int T, const uint8_t *rows, size_t row_bytes, int count,
                     const hb_bytes *x, float *y, size_t ldy)
{
    const uint8_t *end = rows + (size_t)(count - 1) * row_bytes + x->cols / block * block_bytes;
    for (int r = 0; r < count; r++, rows += row_bytes)
        dot_row(ROW_ARGUMENTS, T, rows, end, x, y + r, ldy);
}

INLINE void dot_tokens(ROW_PARAMETERS, const void *rows, size_t row_bytes, int count, const hb_bytes *x,
                       float *y, size_t ldy)
{
    if (x->n == 1) dot_rows(ROW_ARGUMENTS, 1, rows, row_bytes, count, x, y, ldy);
    else if (x->n == 2) dot_rows(ROW_ARGUMENTS, 2, rows, row_bytes, count, x, y, ldy);
    else if (x->n == 3) dot_rows(ROW_ARGUMENTS, 3, rows, row_bytes, count, x, y, ldy);
    else dot_rows(ROW_ARGUMENTS, 4, rows, row_bytes, count, x, y, ldy);
}

#define DOT(type, block, group, wide, offset)                                                          \
    static void type##_dot(const void *rows, size_t row_bytes, int count, const hb_bytes *x, float *y, \
                           size_t ldy)                                                                 \
    {                                                                                                  \
        dot_tokens(type##_part, type##_scales, block, sizeof(block_##type), group, wide,               \
                   WIDE_IS_SIGNED &&wide ? NOTHING : offset, rows, row_bytes, count, x, y, ldy);       \
    }
EACH_SHAPE(DOT)

#endif
