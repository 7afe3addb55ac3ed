/* The logit lens (nostalgebraist, Interpreting GPT: the Logit Lens, 2020): what a block's state would
 * predict if it were the last one, for a few tokens of the vocabulary. */
#ifndef HB_ENGINE_LENS_H
#define HB_ENGINE_LENS_H

#include "engine/workspace.h"

/* Fills the lens of rows [from, to) of a tap, whose logits and states are there. Rows are divided among
 * the threads. */
void hb_lens(const hb_workspace *w, const hb_native_model *model, const hb_tap *tap, int32_t from,
             int32_t to);

#endif
