/* The native engine's model: its shape and its weights, which stay in the mapped file. */
#ifndef HB_ENGINE_MODEL_H
#define HB_ENGINE_MODEL_H

#include <stdatomic.h>
#include "base/file_hashes.h"
#include "engine/architecture.h"
#include "engine/engine.h"
#include "engine/gguf.h"
#include "engine/rope.h"
#include "engine/tokenizer.h"

/* A matrix [rows][cols] as stored; `data` is NULL if it is absent. */
typedef struct hb_matrix {
    const uint8_t *data;
    size_t row_bytes;
    int32_t rows, cols;
    hb_type type;
} hb_matrix;

/* The rows [first, first + rows) of a matrix; absent if the matrix is. */
static inline hb_matrix hb_matrix_rows(hb_matrix w, int32_t first, int32_t rows)
{
    if (w.data) w.data += (size_t)first * w.row_bytes;
    w.rows = rows;
    return w;
}

/* One transformer block. Norm weights are [n_embd] unless stated otherwise. Members that an
 * architecture does not use are NULL or 0. */
typedef struct hb_layer {
    const float *attn_norm, *ffn_norm;
    const float *attn_post_norm, *ffn_post_norm; /* for norms before adding to the residual stream */
    hb_matrix wq, wk, wv, wo;       /* attention: queries, keys, values, output projection */
    const float *bq, *bk, *bv;      /* biases of queries, keys, values */
    const float *q_norm, *k_norm;   /* [head_dim], shared by all heads, or of all heads */
    const float *bo;                /* bias of the output projection */
    const float *sinks;             /* [n_heads]: scores that take part in the softmax with no value */
    hb_matrix w_gate, w_up, w_down; /* feed-forward; in a mixture, the expert that all tokens share */

    /* A mixture of experts. The matrices of all experts, and their biases, lie one after another. */
    hb_matrix router;           /* [n_experts][n_embd] */
    const float *router_bias;   /* [n_experts] */
    const float *shared_router; /* [n_embd]; its product's sigmoid is the shared expert's share */
    hb_matrix experts_gate, experts_up, experts_down;
    const float *experts_b_gate, *experts_b_up, *experts_b_down;
    int32_t window; /* number of positions that a token sees, its own included; 0: all */
    int32_t rope;   /* 0: model->rope, 1: model->window_rope; -1: none */
} hb_layer;

#define HB_MAX_EXPERTS 1024

typedef struct hb_native_model {
    hb_model base;
    char *name, *architecture_name;
    char *warning;                       /* NULL: none */
    const hb_architecture *architecture; /* NULL when opened for the vocabulary only */
    hb_gguf *gguf;
    hb_hashing *hashing;     /* of the file; NULL: none was started */
    atomic_llong not_finite; /* what hb_native_not_finite found; 0: not asked for yet */
    hb_tokenizer *tokenizer;

    int32_t head_dim; /* of queries, keys and values */
    int32_t n_rot;    /* number of leading dimensions of a head that are rotated */
    int32_t n_ff;     /* width of the dense feed-forward; 0: none */
    int32_t n_experts, n_used,
        n_ff_expert; /* experts, those chosen for each token, their width; 0: none */
    float norm_eps;
    float embedding_scale;
    float residual_scale;           /* factor of what is added to the residual stream */
    float logit_scale;              /* factor of logits */
    float attention_scale;          /* factor of attention scores */
    float attention_cap, logit_cap; /* softcaps; 0: none */
    float temperature; /* queries at position p are multiplied by 1 + temperature * ln(1 + floor(p /
                          rope.n_original)) */
    int32_t window, full_every; /* as in hb_architecture, for this model */
    const uint8_t *has_window;  /* [n_layers], 1 for blocks with a window; NULL: full_every tells */

    hb_rope rope, window_rope;
    const float *rope_long, *rope_short; /* replace rope.factors: rope_long in contexts longer than
                                            rope.n_original, rope_short in others; NULL: none */

    hb_matrix token_embd, output;
    const float *output_norm;
    hb_layer *layers; /* [n_layers] */
} hb_native_model;

static inline const hb_native_model *hb_native(const hb_model *model)
{
    return (const hb_native_model *)(const void *)model;
}

/* Reads the model's shape from its metadata (shape.c). m->architecture is set already. */
hb_status hb_shape_read(hb_native_model *m, hb_error *err);

/* The table's operations (model.c). */
hb_status hb_native_open(const char *path, bool vocab_only, const hb_model_options *options,
                         hb_model **model, hb_error *err);
void hb_native_close(hb_model *model);
hb_status hb_native_sha256(const hb_model *model, char hex[65], hb_error *err);
hb_text hb_native_not_finite(const hb_model *model); /* finite.c */

#endif
