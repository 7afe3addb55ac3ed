/* Takes the outputs of a tap from libllama's graph while it is evaluated. */
#ifndef HB_ENGINE_LLAMA_TAP_H
#define HB_ENGINE_LLAMA_TAP_H

#include "engine_llama/library.h"

/* One evaluation's tap. Its tokens are token number `first` of a call and the n - 1 after it, and its
 * rows are rows [from, to) of the tap. libllama evaluates the last block only for these rows. */
typedef struct hb_llama_tap {
    const hb_tap *tap; /* NULL: nothing is taken */
    int32_t n_layers, n_embd;
    int32_t first, n, from, to;
    int32_t n_states, n_normed; /* tensors taken so far: of chosen blocks, and of the final norm */
    bool odd;                   /* a tensor was not of the form that every architecture should have */
} hb_llama_tap;

/* The callback of a context (ggml_backend_sched_eval_callback); `user` is an hb_llama_tap. */
bool hb_llama_on_tensor(struct ggml_tensor *tensor, bool ask, void *user);

/* Whether all that was asked for was taken. */
bool hb_llama_tap_is_whole(const hb_llama_tap *tap);

#endif
