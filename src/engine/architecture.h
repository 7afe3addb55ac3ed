/* The differences between architectures. One forward pass (forward.c) evaluates all of them. */
#ifndef HB_ENGINE_ARCHITECTURE_H
#define HB_ENGINE_ARCHITECTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a block has norms: at the inputs of attention and feed-forward, at their outputs before these
 * are added to the residual stream, or both. */
typedef enum hb_norms { HB_NORMS_BEFORE, HB_NORMS_AROUND, HB_NORMS_AFTER } hb_norms;

/* Norms of queries and keys before they are rotated: none, each head by itself, or all heads of a row
 * together. */
typedef enum hb_qk_norm { HB_QK_PLAIN, HB_QK_HEADS, HB_QK_ROWS } hb_qk_norm;

/* The function of the gate: SwiGLU, GeGLU, or the limited SwiGLU of gpt-oss. */
typedef enum hb_activation { HB_SILU, HB_GELU, HB_CLAMPED_SILU } hb_activation;

/* How experts are weighted: there are none, by the softmax over all experts, or by the softmax over
 * those chosen. */
typedef enum hb_routing { HB_ROUTING_NONE, HB_ROUTING_AMONG_ALL, HB_ROUTING_AMONG_CHOSEN } hb_routing;

typedef struct hb_architecture {
    const char *name; /* value of general.architecture and prefix of the architecture's metadata keys */

    /* Tensors. */
    bool fused_qkv; /* one matrix holds queries, keys and values */
    bool fused_up;  /* one matrix holds gate and up */
    bool qkv_bias;  /* biases of queries, keys and values are required; elsewhere they are optional */
    hb_qk_norm qk_norm;
    hb_norms norms;
    const char *ffn_norm; /* name of the norm at the input of feed-forward; NULL: ffn_norm */
    bool output_bias;     /* the output projection of attention has a bias */
    bool sinks;           /* each head has a score that attends to nothing */

    /* Experts. */
    hb_routing routing;
    bool optional_experts; /* the file may have no experts */
    bool shared_expert;    /* the dense feed-forward is an expert that all tokens share */
    bool expert_biases;    /* the router and the experts have biases */

    /* Arithmetic. */
    hb_activation activation;
    bool scaled_embedding;          /* embeddings are multiplied by sqrt(n_embd) */
    bool file_scales;               /* the file has factors of embeddings, of what is added to the
                                       residual stream, and of scores, and a divisor of logits */
    bool rotates_halves;            /* RoPE pairs dimension i with i + n_rot / 2 instead of i + 1 */
    bool temperature;               /* queries grow with their position (hb_native_model.temperature) */
    int32_t plain_every;            /* the last block of each such period is not rotated; 0: none */
    float attention_cap, logit_cap; /* default softcaps of attention scores and logits; 0: none. If
                                       attention_cap is 0, the file's value is ignored. */
    int32_t wide_layers; /* a model with this number of blocks divides scores by sqrt(n_embd / n_heads);
                            all others divide by sqrt(head_dim) */

    /* Sliding windows. */
    bool windows;         /* the metadata key attention.sliding_window is used */
    int32_t window;       /* default window in positions; 0: none */
    int32_t full_every;   /* default period: the last block of each period has no window; 0: all blocks
                             have one */
    bool window_unscaled; /* blocks with a window have a RoPE of their own, without scaling */
    double window_base;   /* default base of that RoPE; 0: the base of the other blocks */
    bool plain_full;      /* in a model with windows, blocks without one are not rotated */
} hb_architecture;

/* Returns NULL for an unknown name. */
const hb_architecture *hb_architecture_find(const char *name);

/* Writes all names to `names` as "llama, qwen2, ...". */
void hb_architecture_names(char *names, size_t size);

#endif
