/* A model: its shape and its weights, which stay in the mapped file. */
#ifndef HB_ENGINE_MODEL_H
#define HB_ENGINE_MODEL_H

#include "engine/gguf.h"
#include "engine/tokenizer.h"

/* A matrix [rows][cols] as stored; an absent one has NULL data. */
typedef struct hb_matrix {
    const uint8_t *data;
    size_t row_bytes;
    int32_t rows, cols;
    hb_type type;
} hb_matrix;

/* One transformer block. Norm weights are [n_embd]. */
typedef struct hb_layer {
    const float *attn_norm, *ffn_norm;
    hb_matrix wq, wk, wv, wo;       /* attention: to heads, to key-value heads, twice, and back */
    hb_matrix w_gate, w_up, w_down; /* feed-forward */
} hb_layer;

struct hb_model {
    hb_model_info info;
    char *name, *architecture;
    hb_gguf *gguf;
    hb_tokenizer *tokenizer;

    int32_t head_dim; /* of queries, keys and values */
    int32_t n_rot;    /* dimensions of a head that are rotated, from the first */
    int32_t n_ff;
    float norm_eps;
    double rope_base;
    double rope_scale;         /* positions are multiplied by this */
    const float *rope_factors; /* [n_rot / 2], frequencies are divided by these; NULL: by 1 */

    hb_matrix token_embd, output;
    const float *output_norm;
    hb_layer *layers; /* [n_layers] */
};

#endif
