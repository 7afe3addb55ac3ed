/* The logit lens (nostalgebraist, Interpreting GPT: the Logit Lens, 2020): the logits that a block's
 * state would give if it were the last block's, for a few tokens of the vocabulary. */
#ifndef HB_ENGINE_LENS_H
#define HB_ENGINE_LENS_H

#include "engine/workspace.h"

/* Turns n products with the output head into logits. */
void hb_finish_logits(const hb_workspace *w, const hb_native_model *model, float *logits, size_t n);

/* Fills the lens, and the output head's rows, of rows [from, to) of a tap, whichever are requested. The
 * logits and states of these rows must be filled already. The rows are divided among the threads. */
void hb_lens(const hb_workspace *w, const hb_native_model *model, const hb_tap *tap, int32_t from,
             int32_t to);

#endif
