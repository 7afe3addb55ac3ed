#ifndef HB_SIGNALS_DISTRIBUTION_H
#define HB_SIGNALS_DISTRIBUTION_H

#include "base/pool.h"

/* As hb_distribution_gather, with the threads of a pool; NULL: without. The sums do not depend on the
 * number of threads. *shift becomes the Fisher length of the change from the logits `before`, as
 * hb_fisher_shift; without them (NULL) 0. `kept` [n] receives the logits; NULL: nothing does. It may be
 * `before`. */
bool hb_distribution_gather_shared(hb_pool *pool, const float *logits, const float *before, float *kept,
                                   size_t n, hb_distribution *d, double *shift);

/* As hb_boosted_probability. If the n greatest logits [n], in descending order, are given and suffice,
 * it does not search the others. n is at most HB_LENS_TOKENS. */
double hb_boosted_probability_from(const hb_distribution *d, const float *logits, int32_t token,
                                   const float *greatest, size_t n);

/* The sum of e^((logit - best) * scale) over n logits, of which `best` is the greatest, with a relative
 * error below HB_SUM_ERROR. Powers below e^-80 count as e^-80. Not finite if a logit is NaN. */
double hb_distribution_sum(const float *logits, size_t n, float best, double scale);
#define HB_SUM_ERROR 1e-5

#endif
