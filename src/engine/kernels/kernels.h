/* The arithmetic behind the forward pass: one table of functions for each instruction set, chosen at
 * run time. portable.c is the reference for tests of the others. */
#ifndef HB_ENGINE_KERNELS_H
#define HB_ENGINE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "engine/types.h"

/* Positions in a page of the KV cache. */
#define HB_PAGE 64

/* Rows of heads in the KV cache are padded to a multiple of this many numbers. */
#define HB_PAD 16

/* Numbers of a row that share a scale in a KV cache of bytes. */
#define HB_KV_GROUP 32

/* The number of such groups in a row of n numbers. */
static inline size_t hb_kv_groups(size_t n)
{
    return (n + HB_KV_GROUP - 1) / HB_KV_GROUP;
}

/* Turns n weights, whole blocks of one type, into floats. */
typedef void hb_to_f32(const void *blocks, float *out, size_t n);

/* Multiplies a few rows of weights, `ldw` bytes apart, by many tokens: y[t * ldy + r] = sum_i w[r][i] *
 * x[t * ldx + i], for r < rows and t < tokens. The order of each sum depends on n only, so a token's
 * result does not depend on the other tokens. */
typedef void hb_tile(const void *w, size_t ldw, int rows, const float *x, size_t ldx, int tokens,
                     size_t n, float *y, size_t ldy);

/* What is found about one query's attention, page by page, beside the attention itself. Sums are of
 * weights relative to the greatest score so far, like hb_attend.sum. */
enum { HB_MARK_SINK, HB_MARK_PREVIOUS, HB_MARK_SELF, HB_N_MARKS };
typedef struct hb_attend_tap {
    bool is_tapped;            /* false: nothing is found */
    int32_t marks[HB_N_MARKS]; /* places of positions in this page; below 0: not in this page */
    int32_t context, prompt;   /* the prompt's context is at the places context <= j < prompt; what was
                                  generated comes after it */
    float scores[HB_N_MARKS];  /* scores of the marked positions, initially -infinity */
    float in_context, in_generated; /* sums of weights, initially 0 */
    float moment;                   /* sum of weight * (score - max), initially 0 */
} hb_attend_tap;

/* The keys and values of a head in a page of the KV cache: floats (F32), halves (F16), or bytes with
 * scales (Q8_0). */
typedef struct hb_kv_head {
    void *keys;   /* [dim][HB_PAGE] */
    void *values; /* [HB_PAGE][padded] */
    /* Of bytes: of keys [hb_kv_groups(dim)][HB_PAGE], of values [HB_PAGE][hb_kv_groups(padded)]; unused
     * for other types. */
    float *key_scales, *value_scales;
} hb_kv_head;

/* Attention of the queries of one head over one page, with a softmax that runs over pages (Milakov and
 * Gimelshein, Online normalizer calculation for softmax, 2018; Dao et al., FlashAttention, 2022):
 * afterwards acc / sum is the attention over the pages seen. */
typedef struct hb_attend {
    const float *q; /* [n_queries][dim], already scaled */
    int n_queries;
    size_t dim, padded; /* length of a head; the same, rounded up to HB_PAD */
    hb_type type;       /* of keys and values */
    hb_kv_head kv;
    const int32_t *from, *to; /* [n_queries], each query sees from <= j < to of the page */
    float softcap;            /* scores become softcap * tanh(score / softcap); 0: no cap */
    float *max, *sum;         /* [n_queries], initially -infinity and 0 */
    float *acc;               /* [n_queries][padded], initially 0 */
    hb_attend_tap *taps;      /* [n_queries]; NULL: no query is tapped */
} hb_attend;

/* Activations of n tokens as bytes: x is d * q in groups of 32. Scales and sums are stored twice, for
 * groups of 16 ([0]) and of 32 ([1]), to match the groups of every type. All arrays are readable for
 * HB_BYTES_SLACK bytes beyond their end. */
typedef struct hb_bytes {
    int n;
    size_t cols;            /* a multiple of 32 */
    const int8_t *q;        /* [n][cols] */
    const float *d[2];      /* [n][cols / group] */
    const float *scaled[2]; /* [n][cols / group], d times the sum of q over the group */
} hb_bytes;
#define HB_BYTES_SLACK 2048

/* Multiplies `count` rows of quantised weights, `row_bytes` apart, by x->n <= HB_DIRECT tokens: y[t *
 * ldy + r] = the product of row r with token t. */
typedef void hb_dot(const void *rows, size_t row_bytes, int count, const hb_bytes *x, float *y,
                    size_t ldy);
#define HB_DIRECT 4

/* Maximum number of rows and of columns in a panel. */
#define HB_PANEL_ROWS  32
#define HB_PANEL_DEPTH 512

/* The number of bytes of u, and of the scales in d, of a panel of the maximum size. */
#define HB_PANEL_BYTES  (2 * HB_PANEL_ROWS * HB_PANEL_DEPTH)
#define HB_PANEL_SCALES ((HB_PANEL_DEPTH / 16 + HB_PANEL_DEPTH / 256) * HB_PANEL_ROWS)

/* Some columns of panel_rows rows of quantised weights, and the same columns of n tokens as bytes. Four
 * adjacent columns of a row lie beside each other.
 *
 * Panels for kernels with pair_starts differ. Each 32 columns are in the order of pair_columns: 0, 1,
 * 16, 17, 2, 3, 18, 19 and so on, so that a sum of pairs belongs to a group of 16. Weights of 8 bits
 * are signed numbers of 16 bits, u is [depth / 4][2][panel_rows][2], and of four columns the two even
 * ones come first. For other types with blocks of 256, d holds for each block [256 / 32][panel_rows]
 * whole scales, each as two numbers of 16 bits for the first and the last 16 columns, then [panel_rows]
 * floats, by which they are multiplied. Weights have the offset hb_panel_offset, and minima are less by
 * as much. */
typedef struct hb_panel {
    size_t depth, group;  /* columns, a multiple of 32, at most HB_PANEL_DEPTH; weights in a group */
    size_t block;         /* weights in a block of the type, which divides depth */
    uint32_t bits;        /* u is below 2^bits; if it has 8 bits, it may be signed, see hb_kernels */
    const uint8_t *u;     /* [depth / 4][panel_rows][4] */
    const float *d, *m;   /* [depth / group][panel_rows]; m: NULL for types with an offset */
    int n;                /* tokens */
    const int8_t *q;      /* [n][HB_PANEL_DEPTH] */
    const float *dx;      /* [n][HB_PANEL_DEPTH / group] */
    const float *scaled;  /* [n][HB_PANEL_DEPTH / group], as in hb_bytes */
    const int32_t *start; /* [n][HB_PANEL_DEPTH / group], what each group's sum starts from; not read
                             by kernels with pair_starts if hb_panel_offset is 0 */
    float *acc; /* [n][panel_rows]; the result is added if `add`, else it replaces the contents */
    bool add;
    /* What the next panel is filled from: next_bytes of each of panel_rows rows, next_stride apart. The
     * product prefetches it. No bytes: nothing. The address need not be valid. */
    const uint8_t *next;
    size_t next_stride, next_bytes;
} hb_panel;

/* Fills u, d and, for types without an offset, m of a panel (see hb_panel) from n columns of `count`
 * rows of quantised weights, `row_bytes` apart. Panel rows beyond `count` may hold anything. */
typedef void hb_fill(const uint8_t *rows, size_t row_bytes, int count, size_t n, uint8_t *u, float *d,
                     float *m);

typedef struct hb_kernels {
    const char *name;

    /* By hb_type; NULL for F32, whose rows are used in place. */
    hb_to_f32 *to_f32[HB_TYPE_COUNT];
    hb_dot *dot[HB_TYPE_COUNT]; /* NULL for types that are not quantised */

    /* By hb_type, for rows of floats used in place. F32 is always there; NULL where converting rows to
     * F32 first is faster. */
    hb_tile *tile[HB_TYPE_COUNT];

    /* Quantises n activations, a multiple of 32: writes q [n], d [n / 32] and the sums of q [n / 16].
     */
    void (*quantise)(const float *x, size_t n, int8_t *q, float *d, int32_t *sums);

    /* Panels are used for more than `direct` tokens or, if no weights are multiplied by bytes, more
     * than `direct_floats`. Kernels without panels have panel_rows 0, and these functions are NULL.
     * `transpose` turns panel_rows rows of n 32-bit words of any type, `stride` words apart, into
     * [n][panel_rows]. `outer` multiplies floats: c [rows][width] = c (if add) + a [rows][depth] b
     * [depth][width]. `fill` is NULL for types that are not quantised. */
    int panel_rows, direct, direct_floats;
    hb_fill *fill[HB_TYPE_COUNT];
    bool wide_is_signed; /* in panels, weights of 8 bits are u - 128 */
    void (*transpose)(const void *from, size_t stride, size_t n, void *to);
    void (*panel)(const hb_panel *panel);

    /* For kernels that add products in 16 bits first, else NULL. pair_columns puts n activations in the
     * order of panels (see hb_panel). pair_starts finds, for n activations in this order, what a
     * panel's sums start from, as two numbers of 16 bits for columns 4i and 4i + 1, and for 4i + 2 and
     * 4i + 3; one start for 32 columns or, for weights of 6 bits, for 16. */
    void (*pair_columns)(int8_t *q, size_t n);
    void (*pair_starts)(const int8_t *q, size_t n, uint32_t bits, int32_t offset, int32_t *starts);
    void (*outer)(const float *a, size_t lda, int rows, const float *b, size_t ldb, size_t depth,
                  size_t width, bool add, float *c, size_t ldc);

    void (*attend)(const hb_attend *job);

    /* Rounds n floats to halves, ties to even; infinite from 65520 on. */
    void (*to_f16)(const float *x, size_t n, uint16_t *out);

    /* gate = silu(gate) * up, each [n]; gelu_mul uses the tanh approximation of GELU (Hendrycks and
     * Gimpel, Gaussian Error Linear Units, 2016). */
    void (*silu_mul)(float *gate, const float *up, size_t n);
    void (*gelu_mul)(float *gate, const float *up, size_t n);

    /* x = cap * tanh(x / cap), for x [n]. */
    void (*softcap)(float *x, size_t n, float cap);
} hb_kernels;

/* For panels of kernels with pair_starts: weights of 5 bits with minima get this offset, so that 16
 * bits hold the sum of 16 products. */
#define HB_PANEL_CENTRE 16

/* The offset of a type's weights in panels, which hb_panel.start cancels. */
static inline int32_t hb_panel_offset(const hb_kernels *k, const hb_type_info *type)
{
    if (k->wide_is_signed && type->bits == 8) return 0;
    return k->pair_starts && type->bits == 5 && !type->offset ? HB_PANEL_CENTRE : type->offset;
}

/* The number of rows for which `tile` is fastest. */
#define HB_TILE_ROWS 4

/* Finds kernels by name: "portable", "neon", "neon_i8mm", "avx2", "avxvnni", "avx512" or "avx512vnni".
 * NULL for an unknown name and for kernels that this processor cannot run. */
const hb_kernels *hb_kernels_named(const char *name);

/* Chooses the kernels that the environment variable HBAR_KERNELS names or, if it is unset, the fastest
 * that this processor can run. HB_ERR_ARGUMENT, listing the available names, if it names others. */
hb_status hb_kernels_choose(const hb_kernels **kernels, hb_error *err);

extern const hb_kernels hb_kernels_portable;
#ifdef HB_HAVE_X86
extern const hb_kernels hb_kernels_avx2, hb_kernels_avxvnni, hb_kernels_avx512, hb_kernels_avx512vnni;
#endif
#ifdef HB_HAVE_NEON
extern const hb_kernels hb_kernels_neon, hb_kernels_neon_i8mm;
#endif

#endif
