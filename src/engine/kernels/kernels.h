/* The arithmetic behind the forward pass: one table of functions for each instruction set, chosen at
 * run time. portable.c is the reference the others are tested against. */
#ifndef HB_ENGINE_KERNELS_H
#define HB_ENGINE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/error.h"
#include "engine/types.h"

/* Positions in a page of the KV cache. */
#define HB_PAGE 64

/* Rows of heads in the KV cache are padded to a multiple of this many floats. */
#define HB_PAD 16

/* Turns n weights, whole blocks of one type, into floats. */
typedef void hb_to_f32(const void *blocks, float *out, size_t n);

/* Unpacks n weights, whole blocks of one quantised type, into affine groups of the type's group size:
 * weight i is d[g] * u[i] - m[g], where g = i / group. */
typedef void hb_unpack(const void *blocks, size_t n, uint8_t *u, float *d, float *m);

/* Multiplies a few rows of weights, `ldw` bytes apart, by many tokens: y[t * ldy + r] = sum_i w[r][i] *
 * x[t * ldx + i], for r < rows and t < tokens. Each sum is accumulated in an order that depends on n
 * alone, so a token's result is the same in any company. */
typedef void hb_tile(const void *w, size_t ldw, int rows, const float *x, size_t ldx, int tokens,
                     size_t n, float *y, size_t ldy);

/* Queries of one head against one page, in a softmax that runs over pages (Milakov and Gimelshein,
 * Online normalizer calculation for softmax, 2018; Dao et al., FlashAttention, 2022): afterwards
 * acc / sum is the attention over the pages seen. */
typedef struct hb_attend {
    const float *q; /* [n_queries][dim], already scaled */
    int n_queries;
    size_t dim, padded;       /* of a head; and rounded up to HB_PAD */
    const float *keys;        /* [dim][HB_PAGE] */
    const float *values;      /* [HB_PAGE][padded] */
    const int32_t *from, *to; /* [n_queries], each query sees from <= j < to of the page */
    float softcap;            /* scores become softcap * tanh(score / softcap); 0: as they are */
    float *max, *sum;         /* [n_queries], from -infinity and 0 */
    float *acc;               /* [n_queries][padded], from 0 */
} hb_attend;

/* Activations of n tokens as bytes: x is d * q in groups of 32. Scales and sums are there twice, for
 * groups of 16 ([0]) and of 32 ([1]), so that they match the groups of any type. All arrays are
 * readable for HB_BYTES_SLACK bytes beyond their end. */
typedef struct hb_bytes {
    int n;
    size_t cols;            /* a multiple of 32 */
    const int8_t *q;        /* [n][cols] */
    const float *d[2];      /* [n][cols / group] */
    const float *scaled[2]; /* [n][cols / group], d times the sum of q over the group */
} hb_bytes;
#define HB_BYTES_SLACK 2048

/* y[t * ldy] = the product of one row of quantised weights with token t, for all x->n <= HB_DIRECT of
 * them. */
typedef void hb_dot(const void *row, const hb_bytes *x, float *y, size_t ldy);
#define HB_DIRECT 4

/* The most rows in a panel, and the most columns. */
#define HB_PANEL_ROWS  32
#define HB_PANEL_DEPTH 512

/* A part of the columns of panel_rows rows of quantised weights, four columns of one row beside each
 * other, against bytes of the same columns of n tokens. */
typedef struct hb_panel {
    size_t depth, group;  /* columns, a multiple of 32, at most HB_PANEL_DEPTH; weights in a group */
    bool wide;            /* whether u goes beyond 127 */
    const uint8_t *u;     /* [depth / 4][panel_rows][4] */
    const float *d, *m;   /* [depth / group][panel_rows]; m is NULL where `start` does its work */
    int n;                /* tokens */
    const int8_t *q;      /* [n][HB_PANEL_DEPTH] */
    const float *dx;      /* [n][HB_PANEL_DEPTH / group] */
    const float *scaled;  /* [n][HB_PANEL_DEPTH / group], as in hb_bytes */
    const int32_t *start; /* [n][HB_PANEL_DEPTH / group], what each group's sum starts from */
    float *acc;           /* [n][panel_rows], replaced, or added to if `add` */
    bool add;
} hb_panel;

/* Makes the weights of a panel from n columns of `count` rows of quantised weights, `row_bytes` apart:
 * u, d and, for types without an offset, m, as in hb_panel. Rows beyond `count` may hold anything. */
typedef void hb_fill(const uint8_t *rows, size_t row_bytes, int count, size_t n, uint8_t *u, float *d,
                     float *m);

typedef struct hb_kernels {
    const char *name;

    /* By hb_type; NULL for F32, whose rows are used where they lie. */
    hb_to_f32 *to_f32[HB_TYPE_COUNT];
    hb_unpack *unpack[HB_TYPE_COUNT]; /* NULL for types that are not quantised */
    hb_dot *dot[HB_TYPE_COUNT];       /* likewise */

    /* By hb_type, for rows of floats as they lie: F32 always; NULL where rows are best made F32 before.
     */
    hb_tile *tile[HB_TYPE_COUNT];

    /* Bytes for n activations, a multiple of 32: q [n], d [n / 32], and sums of q [n / 16]. */
    void (*quantise)(const float *x, size_t n, int8_t *q, float *d, int32_t *sums);

    /* Panels are used for calls with more than `direct` tokens, or, when no weights meet bytes, more
     * than `direct_floats`. Where there are none, panel_rows is 0 and the functions are NULL.
     * `transpose` turns panel_rows rows of n 32-bit words of any type, `stride` words apart, into
     * [n][panel_rows]. `outer` multiplies floats: c [rows][width] = c (if add) + a [rows][depth] b
     * [depth][width]. `fill` is NULL for types that are unpacked by rows and then transposed. */
    int panel_rows, direct, direct_floats;
    hb_fill *fill[HB_TYPE_COUNT];
    void (*transpose)(const void *from, size_t stride, size_t n, void *to);
    void (*panel)(const hb_panel *panel);
    void (*outer)(const float *a, size_t lda, int rows, const float *b, size_t ldb, size_t depth,
                  size_t width, bool add, float *c, size_t ldc);

    void (*attend)(const hb_attend *job);

    /* gate = silu(gate) * up, each [n]; gelu by its approximation through tanh (Hendrycks and Gimpel,
     * Gaussian Error Linear Units, 2016). */
    void (*silu_mul)(float *gate, const float *up, size_t n);
    void (*gelu_mul)(float *gate, const float *up, size_t n);

    /* x = cap * tanh(x / cap), for x [n]. */
    void (*softcap)(float *x, size_t n, float cap);
} hb_kernels;

/* The number of rows that `tile` is fastest with. */
#define HB_TILE_ROWS 4

/* "portable", "neon", "avx2", "avxvnni", "avx512", "avx512vnni"; NULL for an unknown name, and for one
 * that this processor lacks. */
const hb_kernels *hb_kernels_named(const char *name);

/* The best this processor has, or those that the environment variable HBAR_KERNELS names.
 * HB_ERR_ARGUMENT, with the names there are, when it names none that this processor has. */
hb_status hb_kernels_choose(const hb_kernels **kernels, hb_error *err);

extern const hb_kernels hb_kernels_portable;
#ifdef HB_HAVE_X86
extern const hb_kernels hb_kernels_avx2, hb_kernels_avxvnni, hb_kernels_avx512, hb_kernels_avx512vnni;
#endif
#ifdef HB_HAVE_NEON
extern const hb_kernels hb_kernels_neon;
#endif

#endif
