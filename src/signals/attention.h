/* Signals of what the heads attend to. */
#ifndef HB_SIGNALS_ATTENTION_H
#define HB_SIGNALS_ATTENTION_H

#include "signals/signal.h"

/* Means over all heads of all blocks: of the entropy, of the weight of the first position, and of the
 * logarithm of the weight of the position itself. */
double hb_measure_attention_entropy(const hb_signal *signal, hb_measuring *m, void *state);
double hb_measure_attention_sink(const hb_signal *signal, hb_measuring *m, void *state);
double hb_measure_attention_self(const hb_signal *signal, hb_measuring *m, void *state);

/* RAUQ over the tokens so far. The state has HB_RAUQ_BYTES, then HB_RAUQ_HEAD_BYTES for each head of
 * each block. */
double hb_measure_rauq(const hb_signal *signal, hb_measuring *m, void *state);
#define HB_RAUQ_BYTES      16
#define HB_RAUQ_HEAD_BYTES 24

#endif
