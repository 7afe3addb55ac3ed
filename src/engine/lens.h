/* The logit lens: what a block's state would predict if it were the last (nostalgebraist, Interpreting
 * GPT: the Logit Lens, 2020), for a few tokens of the vocabulary. */
#ifndef HB_ENGINE_LENS_H
#define HB_ENGINE_LENS_H

#include "engine/kernels/kernels.h"
#include "engine/model.h"

/* The ids of the k greatest of n logits, from the greatest on, the lower id first among equals; k <= n.
 * Logits are finite. */
void hb_greatest(const float *logits, int32_t n, int32_t *ids, int32_t k);

/* Floats of scratch that hb_lens_logits needs for as many states and tokens. */
size_t hb_lens_scratch(const hb_model *model, int32_t n_states, int32_t n_tokens);

/* out [n_states][n_tokens]: the output head applied to blocks' states [n_states][n_embd], for `tokens`
 * alone, whose rows of the head are unpacked once for all states. */
void hb_lens_logits(const hb_kernels *kernels, const hb_model *model, const float *states,
                    int32_t n_states, const int32_t *tokens, int32_t n_tokens, float *scratch,
                    float *out);

#endif
