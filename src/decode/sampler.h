/* Choosing the next token from logits. */
#ifndef HB_DECODE_SAMPLER_H
#define HB_DECODE_SAMPLER_H

#include "base/error.h"
#include "base/rng.h"

typedef struct hb_sampler {
    hb_sampling options;
    hb_rng rng;
    int32_t n_vocab;
    void *candidates; /* [n_vocab]; NULL when greedy */
} hb_sampler;

/* HB_ERR_ARGUMENT for options out of range, HB_ERR_MEMORY. */
hb_status hb_sampler_open(hb_sampler *sampler, const hb_sampling *options, int32_t n_vocab,
                          hb_error *err);
void hb_sampler_close(hb_sampler *sampler);

/* Greedy when the temperature is 0: the greatest logit, the lowest id among equals. Otherwise draws
 * from softmax(logits / temperature) cut to top_k and then to top_p. logits [n_vocab] are finite. */
int32_t hb_sampler_choose(hb_sampler *sampler, const float *logits);

#endif
