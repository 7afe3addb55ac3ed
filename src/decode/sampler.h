/* Choosing the next token from logits. */
#ifndef HB_DECODE_SAMPLER_H
#define HB_DECODE_SAMPLER_H

#include "base/error.h"
#include "base/rng.h"

/* The sampling options of one sample, and the state of its random numbers. */
typedef struct hb_sampler {
    hb_sampling options;
    hb_rng rng;
} hb_sampler;

/* A token that may be drawn. */
typedef struct hb_candidate {
    float logit;
    int32_t id;
    double weight; /* scratch memory of the sampler */
} hb_candidate;

/* Returns HB_ERR_ARGUMENT, naming the option, when an option is out of range. */
hb_status hb_sampling_check(const hb_sampling *options, hb_error *err);

/* Chooses a token. At temperature 0, takes the greatest logit, the lowest id among equals. Otherwise
 * draws from softmax(logits / temperature), cut to top_k and then to top_p. logits [n_vocab] must be
 * finite. `candidates` [n_vocab] is scratch memory; at temperature 0 it may be NULL. */
int32_t hb_sampler_choose(hb_sampler *sampler, const float *logits, int32_t n_vocab,
                          hb_candidate *candidates);

#endif
