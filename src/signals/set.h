/* What a set of signals needs from an evaluation. */
#ifndef HB_SIGNALS_SET_H
#define HB_SIGNALS_SET_H

#include "base/error.h"

typedef struct hb_needs {
    bool distribution;  /* the sums over the vocabulary */
    bool previous;      /* the last block's state at the previous step */
    bool lens;          /* the logit lens of `blocks` */
    bool attention;     /* what every head attends to */
    bool logits_before; /* the logits of the previous step */
    bool head;          /* the output head's rows and what it reads, at the previous step, too */
    int32_t *blocks; /* [n_blocks], ascending, numbered from 0: blocks whose states or lens are read */
    int32_t n_blocks;
} hb_needs;

/* NULL stands for the set of all built-in signals. */
hb_status hb_signal_set_needs(const hb_signal_set *set, int32_t n_layers, hb_needs *needs,
                              hb_error *err);
void hb_needs_free(hb_needs *needs);

/* Finds the index of a signal in a set. False if it is not there. */
bool hb_signal_set_find(const hb_signal_set *set, const hb_signal *signal, size_t *place);

#endif
