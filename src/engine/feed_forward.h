/* The gated feed-forward part of a block (Shazeer, GLU Variants Improve Transformer, 2020), dense or as
 * a mixture of experts (Shazeer et al., Outrageously Large Neural Networks, 2017). */
#ifndef HB_ENGINE_FEED_FORWARD_H
#define HB_ENGINE_FEED_FORWARD_H

#include "engine/workspace.h"

/* Evaluates the block's dense part for x [n][n_embd] up to its projection: writes
 * activation(gate) * up to w->gate [n][n_ff]. In a block with experts this part is the expert that all
 * tokens share. */
void hb_feed_forward(const hb_workspace *w, const hb_native_model *model, const hb_layer *layer,
                     const float *x, int32_t n);

/* Chooses experts for each row of x [n][n_embd], evaluates them, and adds their weighted outputs to the
 * residual stream w->x. Rows that chose the same expert are evaluated together. */
void hb_experts(const hb_workspace *w, const hb_native_model *model, const hb_layer *layer,
                const float *x, int32_t n);

#endif
