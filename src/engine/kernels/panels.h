/* Products of panels of quantised weights with many tokens. In addition to what bytes.h needs, the
 * including file defines:
 *
 *   BYTE_VECTORS, BYTE_TOKENS
 *       number of vectors of rows in a panel, and maximum number of tokens processed together
 *   TILE_BYTE_VECTORS
 *       number of vectors of rows processed together, which divides BYTE_VECTORS; may be undefined: all
 *   SUMS_IN_PAIRS
 *       whether panels and products are those of pairs.h
 *   SUMS_IN_SQUARES
 *       whether products are those of squares.h; may be undefined: no */
#ifndef HB_ENGINE_KERNELS_PANELS_H
#define HB_ENGINE_KERNELS_PANELS_H

#include "engine/kernels/bytes.h"

#ifndef TILE_BYTE_VECTORS
#define TILE_BYTE_VECTORS BYTE_VECTORS
#endif
#define PANEL_WIDTH ((size_t)BYTE_VECTORS * HB_LANES) /* rows in a panel */

/* The kind of a panel, and the row from which on it is multiplied; constants where functions are
 * inlined, except the row of kernels whose tiles have fewer rows than a panel. */
typedef struct panel_shape {
    size_t group;
    int tokens; /* that are processed together, at most BYTE_TOKENS */
    bool minima;
    size_t row;
    /* Only for pairs.h: */
    bool whole;  /* groups have whole scales, and each 256 columns have a scale in addition */
    bool wide;   /* weights have 16 bits */
    int parts;   /* 2 if 16 bits hold the sums of 16 columns, 1 if of 32 */
    bool offset; /* sums start from hb_panel.start */
} panel_shape;

/* The number of columns that share a scale, apart from whole scales, and the number of vectors of whole
 * scales for them. */
#define UNIT_OF(shape)   ((shape).whole ? (size_t)256 : (shape).group)
#define WHOLES_OF(shape) ((shape).whole ? (size_t)8 : 0)

/* The number of columns that are multiplied in one step. */
#define STEP_OF(shape) ((shape).whole ? (size_t)32 : (shape).group)

INLINE void panel_tokens(panel_shape s, const hb_panel *p);

/* The four bytes at `from` in every lane. */
static inline vb vb_four(const int8_t *from)
{
    int32_t four;
    memcpy(&four, from, sizeof four);
    return (vb)(four - (vi){0});
}

/* Prefetches one row of what the next panel is filled from. The fill reads many rows at once, and few
 * bytes of each, so the processor's own prefetching comes too late for it. */
INLINE void ask_for_row(const hb_panel *p, size_t row)
{
    const char *from = (const char *)p->next + row * p->next_stride, *end = from + p->next_bytes;
    for (from -= (uintptr_t)from % 64; from < end; from += 64) __builtin_prefetch(from, 0, 2);
}

/* Spreads the prefetches of the next panel's rows over the `steps` of a product. Each step adds the
 * number of rows to `due`; when `due` reaches `steps`, `row` is prefetched. */
typedef struct prefetching {
    size_t row, due, steps;
} prefetching;

/* Prefetches the rows that are due in one step. */
INLINE void ask_for_share(const hb_panel *p, prefetching *next)
{
    for (next->due += PANEL_WIDTH; next->due >= next->steps; next->due -= next->steps)
        ask_for_row(p, next->row++);
}

#if SUMS_IN_PAIRS
#include "engine/kernels/pairs.h"
#else
#ifdef SUMS_IN_SQUARES
#include "engine/kernels/squares.h"
#else
/* Sets `sum` to the products of a group of a panel's V vectors of rows, from column `at` on, with T
 * tokens from `first` on. Each sum starts from the value that cancels the weights' offset. */
INLINE void panel_sums(const int T, const int V, const panel_shape s, const hb_panel *p, size_t first,
                       size_t at, const float *scales, vi (*sum)[BYTE_VECTORS])
{
    const size_t each = HB_PANEL_DEPTH / s.group;
    const uint8_t *u = p->u + at * PANEL_WIDTH + s.row * 4;
    const int8_t *q = p->q + first * HB_PANEL_DEPTH + at;
    const int32_t *start = p->start + first * each + at / s.group;
    (void)scales;
    EACH(t, T) EACH(v, V) sum[t][v] = start[(size_t)t * each] - (vi){0};
    for (int i = 0; i < (int)s.group / 4; i++, u += PANEL_WIDTH * 4, q += 4) {
        vb uv[BYTE_VECTORS];
        EACH(v, V) uv[v] = vb_load(u + (size_t)v * STEP);
        EACH(t, T)
        {
            vb four = vb_four(q + (size_t)t * HB_PANEL_DEPTH);
            EACH(v, V) sum[t][v] = dot4(sum[t][v], uv[v], four, false);
        }
    }
}
#endif

static void panel_product(const hb_panel *p)
{
    if (p->group == 16 && p->m)
        panel_tokens((panel_shape){.group = 16, .tokens = BYTE_TOKENS, .minima = true}, p);
    else if (p->group == 16) panel_tokens((panel_shape){.group = 16, .tokens = BYTE_TOKENS}, p);
    else if (p->m) panel_tokens((panel_shape){.group = 32, .tokens = BYTE_TOKENS, .minima = true}, p);
    else panel_tokens((panel_shape){.group = 32, .tokens = BYTE_TOKENS}, p);
}
#endif

/* Adds the products of columns from `at` on, as many as share a scale. `d` is where their scales begin.
 * With whole scales, the last scale is still missing from `sums`. */
INLINE void panel_unit(const int T, const int V, const panel_shape s, const hb_panel *p, size_t first,
                       size_t at, const float *d, prefetching *next, vf (*sums)[BYTE_VECTORS])
{
    const size_t width = PANEL_WIDTH, each = HB_PANEL_DEPTH / s.group;
    for (size_t i = at; i < at + UNIT_OF(s); i += STEP_OF(s)) {
        const float *dx = p->dx + first * each + i / s.group;
        vi sum[BYTE_TOKENS][BYTE_VECTORS];
        if (!s.row) ask_for_share(p, next);
        panel_sums(T, V, s, p, first, i, d + (i - at) / 32 * width, sum);
        EACH(v, V)
        {
            vf dv = s.whole ? vf_all(1) : vf_load(d + v * HB_LANES);
            EACH(t, T)
            {
                vf scale = s.whole ? vf_all(dx[(size_t)t * each]) : dv * dx[(size_t)t * each];
                sums[t][v] += __builtin_convertvector(sum[t][v], vf) * scale;
            }
        }
    }
}

/* Loads a tile's sums from `out`, or sets them to 0. */
INLINE void load_tile(const int T, const int V, bool add, const float *out, vf (*acc)[BYTE_VECTORS])
{
    EACH(t, T)
    EACH(v, V) acc[t][v] = add ? vf_load(out + t * PANEL_WIDTH + v * HB_LANES) : vf_all(0);
}

INLINE void store_tile(const int T, const int V, vf (*acc)[BYTE_VECTORS], float *out)
{
    EACH(t, T) EACH(v, V) vf_store(out + t * PANEL_WIDTH + v * HB_LANES, acc[t][v]);
}

/* Multiplies a panel's V vectors of rows by T tokens from `first` on. With whole scales, the result
 * stays in memory while a block is multiplied, because there are not enough registers. */
INLINE void panel_tile(const int T, const int V, const panel_shape s, const hb_panel *p, size_t first,
                       prefetching *next)
{
#if SUMS_IN_PAIRS
    if (s.wide) {
        wide_tile(T, V, p, first, next);
        return;
    }
#endif
    const size_t width = PANEL_WIDTH, groups = UNIT_OF(s) / s.group;
    const size_t each = HB_PANEL_DEPTH / s.group;
    float *out = p->acc + first * width + s.row;
    const float *d = p->d + s.row, *m = s.minima ? p->m + s.row : NULL,
                *scaled = p->scaled + first * each;
    vf acc[BYTE_TOKENS][BYTE_VECTORS];
    if (!s.whole) load_tile(T, V, p->add, out, acc);
    for (size_t at = 0; at < p->depth; at += UNIT_OF(s), d += (WHOLES_OF(s) + 1) * width) {
        vf sums[BYTE_TOKENS][BYTE_VECTORS];
        if (s.whole) load_tile(T, V, false, NULL, sums);
        panel_unit(T, V, s, p, first, at, d, next, s.whole ? sums : acc);
        if (s.whole) load_tile(T, V, p->add || at, out, acc);
        EACH(v, V)
        {
            vf dv = s.whole ? vf_load(d + WHOLES_OF(s) * width + v * HB_LANES) : vf_all(1);
            EACH(t, T) if (s.whole) acc[t][v] += sums[t][v] * dv;
        }
        for (size_t g = 0; s.minima && g < groups; g++, m += width, scaled++) EACH(v, V)
            {
                vf mv = vf_load(m + v * HB_LANES);
                EACH(t, T) acc[t][v] -= mv * scaled[(size_t)t * each];
            }
        if (s.whole) store_tile(T, V, acc, out);
    }
    if (!s.whole) store_tile(T, V, acc, out);
}

INLINE void panel_tokens(panel_shape s, const hb_panel *p)
{
    for (s.row = 0; s.row < PANEL_WIDTH; s.row += (size_t)TILE_BYTE_VECTORS * HB_LANES) {
        size_t t = 0, n = (size_t)p->n, tokens = (size_t)s.tokens;
        prefetching next = {.steps = (n + tokens - 1) / tokens * (p->depth / STEP_OF(s))};
        for (; t + tokens <= n; t += tokens) panel_tile(s.tokens, TILE_BYTE_VECTORS, s, p, t, &next);
        EACH(T, s.tokens) if ((size_t)T == n - t) panel_tile(T, TILE_BYTE_VECTORS, s, p, t, &next);
    }
}

#endif
