/* The differences between architectures. One forward pass (forward.c) evaluates all of them. */
#ifndef HB_ENGINE_ARCHITECTURE_H
#define HB_ENGINE_ARCHITECTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hb_architecture {
    const char *name; /* value of general.architecture and prefix of the architecture's metadata keys */

    /* Tensors. */
    bool fused;      /* one matrix holds queries, keys and values; another holds gate and up */
    bool qkv_bias;   /* biases of queries, keys and values are required; elsewhere they are optional */
    bool qk_norm;    /* each head of queries and keys is normed before it is rotated */
    bool post_norms; /* the outputs of attention and feed-forward are normed before they are added */

    /* Arithmetic. */
    bool gelu;                      /* GeGLU instead of SwiGLU */
    bool scaled_embedding;          /* embeddings are multiplied by sqrt(n_embd) */
    bool rotates_halves;            /* RoPE pairs dimension i with i + n_rot / 2 instead of i + 1 */
    float attention_cap, logit_cap; /* default softcaps of attention scores and logits; 0: none. If
                                       attention_cap is 0, the file's value is ignored. */
    int32_t wide_layers; /* a model with this number of blocks divides scores by sqrt(n_embd / n_heads);
                            all others divide by sqrt(head_dim) */

    /* Sliding windows. */
    bool windows;       /* the metadata key attention.sliding_window is used */
    int32_t window;     /* default window in positions; 0: none */
    int32_t full_every; /* default period: the last block of each period has no window; 0: all blocks
                           have one */
    double window_base; /* RoPE base of blocks with a window, without scaling; 0: the same RoPE as other
                           blocks */
} hb_architecture;

/* Returns NULL for an unknown name. */
const hb_architecture *hb_architecture_find(const char *name);

/* Writes all names to `names` as "llama, qwen2, ...". */
void hb_architecture_names(char *names, size_t size);

#endif
