/* What distinguishes the architectures that the one forward pass (forward.c) evaluates. */
#ifndef HB_ENGINE_ARCHITECTURE_H
#define HB_ENGINE_ARCHITECTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hb_architecture {
    const char *name; /* general.architecture, and what keys of its metadata begin with */

    /* Tensors. */
    bool fused;      /* queries, keys and values are one matrix, and so are gate and up */
    bool qkv_bias;   /* queries, keys and values must have biases; others may */
    bool qk_norm;    /* heads of queries and keys are normed before they are rotated */
    bool post_norms; /* what attention and feed-forward give is normed before it is added */

    /* Arithmetic. */
    bool gelu;             /* GeGLU, not SwiGLU */
    bool scaled_embedding; /* by sqrt(n_embd) */
    bool rotates_halves;   /* dimension i is rotated with i + n_rot / 2, not with its neighbour */
    float attention_cap, logit_cap; /* softcaps where the file tells none; 0: none, and of scores
                                       never one */
    int32_t wide_layers; /* a model of so many blocks divides scores by sqrt(n_embd / n_heads), others
                            by sqrt(head_dim) */

    /* Sliding windows. */
    bool windows;       /* attention.sliding_window counts */
    int32_t window;     /* positions, where the file tells none; 0: no window */
    int32_t full_every; /* the last of so many blocks has no window; 0: all have one */
    double window_base; /* of the rotation, unscaled, in blocks with a window; 0: as in others */
} hb_architecture;

/* NULL when there is none of that name. */
const hb_architecture *hb_architecture_find(const char *name);

/* The names of all, "llama, qwen2, ...". */
void hb_architecture_names(char *names, size_t size);

#endif
