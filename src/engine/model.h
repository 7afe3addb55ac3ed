/* The native engine's model: its shape and its weights, which stay in the mapped file. */
#ifndef HB_ENGINE_MODEL_H
#define HB_ENGINE_MODEL_H

#include "engine/architecture.h"
#include "engine/engine.h"
#include "engine/gguf.h"
#include "engine/rope.h"
#include "engine/tokenizer.h"

/* A matrix [rows][cols] as stored; an absent one has NULL data. */
typedef struct hb_matrix {
    const uint8_t *data;
    size_t row_bytes;
    int32_t rows, cols;
    hb_type type;
} hb_matrix;

/* One transformer block. Norm weights are [n_embd] unless stated otherwise. What an architecture does
 * not have is NULL or 0. */
typedef struct hb_layer {
    const float *attn_norm, *ffn_norm;
    const float *attn_post_norm, *ffn_post_norm; /* norms of what is added to the residual stream */
    hb_matrix wq, wk, wv, wo;  /* attention: queries, keys, values, and back to the residual stream */
    const float *bq, *bk, *bv; /* biases of the first three */
    const float *q_norm, *k_norm;   /* [head_dim], of each head */
    hb_matrix w_gate, w_up, w_down; /* feed-forward */
    int32_t window;                 /* positions that a token sees, its own included; 0: all */
    int32_t rope;                   /* 0: rotated by model->rope, 1: by model->window_rope */
} hb_layer;

typedef struct hb_native_model {
    hb_model base;
    char *name, *architecture_name;
    char *warning;                       /* NULL: none */
    const hb_architecture *architecture; /* NULL when opened for its vocabulary only */
    hb_gguf *gguf;
    hb_tokenizer *tokenizer;

    int32_t head_dim; /* of queries, keys and values */
    int32_t n_rot;    /* dimensions of a head that are rotated, from the first */
    int32_t n_ff;
    float norm_eps;
    float embedding_scale;
    float attention_scale;          /* of scores */
    float attention_cap, logit_cap; /* softcaps; 0: none */
    int32_t window, full_every;     /* as in hb_architecture, for this model */

    hb_rope rope, window_rope;
    const float *rope_long, *rope_short; /* replace rope.factors: in contexts longer than
                                            rope.n_original, and in others; NULL: none */

    hb_matrix token_embd, output;
    const float *output_norm;
    hb_layer *layers; /* [n_layers] */
} hb_native_model;

static inline const hb_native_model *hb_native(const hb_model *model)
{
    return (const hb_native_model *)(const void *)model;
}

/* Reads the model's shape from its metadata; the architecture is known (shape.c). */
hb_status hb_shape_read(hb_native_model *m, hb_error *err);

/* The table's operations (model.c). */
hb_status hb_native_open(const char *path, bool vocab_only, hb_model **model, hb_error *err);
void hb_native_close(hb_model *model);
hb_status hb_native_sha256(const hb_model *model, char hex[65], hb_error *err);

#endif
