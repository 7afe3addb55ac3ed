/* Biases and penalties, which change the logits that a token is chosen from. Signals are measured on
 * the model's own logits. */
#ifndef HB_DECODE_ADJUST_H
#define HB_DECODE_ADJUST_H

#include "base/error.h"

/* A number that is added to the logit of a token. */
typedef struct hb_bias {
    int32_t token;
    float bias;
} hb_bias;

/* What a request adds to logits. */
typedef struct hb_adjustment {
    const hb_bias *biases; /* [n_biases] */
    size_t n_biases;
    /* Subtracted from the logit of each token that the sample has generated: once for each time, and
     * once for all times. From -2 to 2. */
    double frequency_penalty, presence_penalty;
} hb_adjustment;

/* The adjusted logits of one sample. */
typedef struct hb_adjuster {
    const hb_adjustment *adjustment;
    size_t n_vocab;
    float *logits;     /* [n_vocab]; NULL: nothing changes */
    int32_t *counts;   /* [n_vocab], how often each token was generated; NULL without penalties */
    int32_t *distinct; /* [n_distinct], the tokens that were generated */
    size_t n_distinct, room;
} hb_adjuster;

/* HB_ERR_ARGUMENT, naming the option, for a penalty, bias or token that is out of range. */
hb_status hb_adjustment_check(const hb_adjustment *adjustment, int32_t n_vocab, hb_error *err);

/* Sets up an adjuster; `adjustment` must outlive it. Call hb_adjuster_close also after a failure. */
hb_status hb_adjuster_open(hb_adjuster *adjuster, const hb_adjustment *adjustment, int32_t n_vocab,
                           hb_error *err);
void hb_adjuster_close(hb_adjuster *adjuster);

/* The logits to choose from: `logits` [n_vocab] themselves if nothing changes them. Valid until the
 * next call. */
const float *hb_adjuster_apply(hb_adjuster *adjuster, const float *logits);

/* Counts a generated token. */
hb_status hb_adjuster_count(hb_adjuster *adjuster, int32_t token, hb_error *err);

#endif
