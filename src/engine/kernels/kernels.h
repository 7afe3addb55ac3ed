/* The arithmetic behind the forward pass: one table of functions for each instruction set, chosen at
 * run time. portable.c is the reference the others are tested against. */
#ifndef HB_ENGINE_KERNELS_H
#define HB_ENGINE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
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

typedef struct hb_kernels {
    const char *name;

    /* By hb_type; NULL for F32, whose rows are used where they lie. */
    hb_to_f32 *to_f32[HB_TYPE_COUNT];

    /* By hb_type; NULL for types that are not quantised. */
    hb_unpack *unpack[HB_TYPE_COUNT];

    /* y[t * ldy + r] = sum_i w[r * ldw + i] * x[t * ldx + i], for r < rows and t < tokens: a few weight
     * rows against many tokens. Each sum is accumulated in an order that depends on n alone, so a
     * token's result is the same in any company. */
    void (*tile)(const float *w, size_t ldw, int rows, const float *x, size_t ldx, int tokens, size_t n,
                 float *y, size_t ldy);

    void (*attend)(const hb_attend *job);

    /* gate = silu(gate) * up, each [n]. */
    void (*silu_mul)(float *gate, const float *up, size_t n);
} hb_kernels;

/* The rows of weights `tile` is best given at a time. */
#define HB_TILE_ROWS 4

/* "portable", "avx2", "avx512"; NULL when unknown or when this processor lacks it. */
const hb_kernels *hb_kernels_named(const char *name);

/* The best this processor has, or the one the environment variable HBAR_KERNELS names. */
const hb_kernels *hb_kernels_best(void);

extern const hb_kernels hb_kernels_portable;
#ifdef HB_HAVE_X86
extern const hb_kernels hb_kernels_avx2, hb_kernels_avx512;
#endif

#endif
