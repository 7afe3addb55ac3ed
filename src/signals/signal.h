/* A signal: a row of the registry, or an instance with its own parameters. */
#ifndef HB_SIGNALS_SIGNAL_H
#define HB_SIGNALS_SIGNAL_H

#include "signals/measure.h"

struct hb_signal {
    const char *name, *about, *unit;
    hb_direction risky; /* as hb_signal_risky */
    hb_aggregation usual;
    bool needs_distribution, needs_previous, needs_lens, needs_attention, needs_logits_before,
        needs_head; /* as in hb_needs */
    /* Whether the signal reads a block's state or its row of the lens. NULL: it reads no block. */
    bool (*reads_state)(const hb_signal *signal, int32_t block, int32_t n_layers);
    size_t state_bytes; /* kept for each sequence, zero at its start */
    size_t head_bytes;  /* the same, for each head of each block, after state_bytes */
    double (*measure)(const hb_signal *signal, hb_measuring *measuring, void *state);
    const void *parameters; /* parameters of the instance, for its functions */
};

/* The index of a built-in signal in the registry; SIZE_MAX for other instances. */
size_t hb_signal_rank(const hb_signal *signal);

#endif
