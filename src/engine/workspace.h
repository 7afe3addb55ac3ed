/* What evaluating needs beside the model and the cache: kernels, threads, and room for the activations
 * of a batch. Nothing in it outlives a batch. */
#ifndef HB_ENGINE_WORKSPACE_H
#define HB_ENGINE_WORKSPACE_H

#include "engine/batch.h"
#include "engine/kernels/kernels.h"
#include "engine/model.h"

/* Matrices multiplied by the same activations in one call of hb_matmul. */
#define HB_PRODUCTS 3

/* Activations as bytes, as hb_bytes and hb_panel take them; [0] for groups of 16, [1] of 32. */
typedef struct hb_byte_space {
    int8_t *q;
    float *d[2], *scaled[2];
    int32_t *sums[2];
    int32_t *start[HB_PRODUCTS];
} hb_byte_space;

/* What a thread makes panels in. Rows and panel hold floats or bytes, and are turned by words. */
#define HB_PANEL_GROUPS (HB_PANEL_DEPTH / 16)
typedef struct hb_panel_space {
    float rows[HB_PANEL_ROWS * HB_PANEL_DEPTH];
    float panel[HB_PANEL_ROWS * HB_PANEL_DEPTH];
    float d[HB_PANEL_ROWS][HB_PANEL_GROUPS], m[HB_PANEL_ROWS][HB_PANEL_GROUPS];
    float turned_d[HB_PANEL_GROUPS * HB_PANEL_ROWS], turned_m[HB_PANEL_GROUPS * HB_PANEL_ROWS];
    float acc[HB_BATCH * HB_PANEL_ROWS];
} hb_panel_space;

typedef struct hb_workspace {
    const hb_kernels *kernels;
    int32_t n_threads;
    bool exact;   /* quantised weights meet activations as they are, not rounded to bytes */
    void *memory; /* all the arrays below */

    float *x, *normed;    /* [HB_BATCH][n_embd]: the residual stream; it or a part of it, normed */
    float *q, *attention; /* [HB_BATCH][n_heads * head_dim] */
    float *k, *v;         /* [HB_BATCH][n_kv_heads * head_dim], on their way to the cache */
    float *gate, *up;     /* [HB_BATCH][n_ff] */
    float *angles[2];     /* [HB_BATCH][n_rot / 2][2], cosine and sine, of the model's two ropes; the
                             second is NULL where the model has one */
    float *thread_rows;   /* [n_threads][HB_TILE_ROWS][row_length], weights as floats */
    float *laid_out;      /* [HB_BATCH][row_length], activations on their way to panels */
    hb_byte_space bytes;
    hb_panel_space *panel_space; /* [n_threads] */
    float *thread_heads; /* [n_threads][2 * HB_QUERY_ROWS][padded head], queries and their results */
    float *thread_lens;  /* [n_threads][lens_length], rows of the head and normed states */
    size_t row_length;   /* the longest row, padded */
    size_t lens_length;
} hb_workspace;

/* Bytes that a workspace for this model and so many threads takes. */
uint64_t hb_workspace_bytes(const hb_native_model *model, int32_t n_threads);

/* Reserves the arrays, or with `claim` takes their memory at once. `kernels`, `n_threads` and `exact`
 * are the caller's to set, before. */
hb_status hb_workspace_open(hb_workspace *w, const hb_native_model *model, bool claim, hb_error *err);
void hb_workspace_close(hb_workspace *w);

/* The number of chosen block b of a tap that the engine was given. */
static inline int32_t hb_tapped_block(const hb_tap *tap, int32_t b)
{
    return tap->blocks ? tap->blocks[b] : b;
}

#endif
