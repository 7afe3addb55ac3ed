/* What evaluating one sequence needs: the KV cache and the activations of a batch of tokens. */
#ifndef HB_ENGINE_SESSION_H
#define HB_ENGINE_SESSION_H

#include "engine/kernels/kernels.h"
#include "engine/model.h"

/* Tokens evaluated together; longer prompts go in parts. */
#define HB_BATCH 128

struct hb_session {
    const hb_model *model;
    const hb_kernels *kernels;
    int32_t n_ctx, n_past, n_threads;
    void *memory; /* all the arrays below */

    float *k_cache, *v_cache; /* [n_layers][n_ctx][n_kv_heads * head_dim] */
    float *rope;              /* [n_ctx][n_rot / 2][2], cosine and sine */
    float *x, *normed;        /* [HB_BATCH][n_embd]: the residual stream; it or a part of it, normed */
    float *q, *attention;     /* [HB_BATCH][n_heads * head_dim] */
    float *gate, *up;         /* [HB_BATCH][n_ff] */
    float *thread_rows;       /* [n_threads][HB_TILE_ROWS][longest row], weights as floats */
    float *thread_scores;     /* [n_threads][n_ctx], one head's attention */
    size_t row_length;        /* the longest row, padded */
};

#endif
