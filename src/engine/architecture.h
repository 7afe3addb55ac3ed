/* How the architectures differ. One forward pass (forward.c) evaluates them all. */
#ifndef HB_ENGINE_ARCHITECTURE_H
#define HB_ENGINE_ARCHITECTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hb_architecture {
    const char *name; /* general.architecture, and the first part of its metadata keys */

    /* Tensors. */
    bool fused;      /* queries, keys and values are one matrix, and gate and up another */
    bool qkv_bias;   /* queries, keys and values must have biases; others may */
    bool qk_norm;    /* norms the heads of queries and keys before rotating them */
    bool post_norms; /* norms what attention and feed-forward add to the residual stream */

    /* Arithmetic. */
    bool gelu;             /* GeGLU, not SwiGLU */
    bool scaled_embedding; /* by sqrt(n_embd) */
    bool rotates_halves;   /* dimension i is rotated with i + n_rot / 2, not with its neighbour */
    float attention_cap, logit_cap; /* softcaps where the file gives none; 0: none, and the file's cap
                                       of scores does not count */
    int32_t wide_layers; /* a model with this number of blocks divides scores by sqrt(n_embd / n_heads);
                            all others divide by sqrt(head_dim) */

    /* Sliding windows. */
    bool windows;       /* attention.sliding_window counts */
    int32_t window;     /* positions, where the file gives none; 0: no window */
    int32_t full_every; /* of each so many blocks the last has no window; 0: all have one */
    double window_base; /* of the rotation, unscaled, where there is a window; 0: as without one */
} hb_architecture;

/* NULL for an unknown name. */
const hb_architecture *hb_architecture_find(const char *name);

/* All names, as "llama, qwen2, ...". */
void hb_architecture_names(char *names, size_t size);

#endif
