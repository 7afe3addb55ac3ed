/* Exact binomial tails. */
#ifndef HB_CALIBRATE_BINOMIAL_H
#define HB_CALIBRATE_BINOMIAL_H

#include <stddef.h>

/* P(X <= k) for X ~ Binomial(n, q) with q in (0, 1). The relative error is about 1e-9 for n up to a
 * million. */
double hb_binomial_at_most(size_t k, size_t n, double q);

/* P(X >= k) for the same X. */
double hb_binomial_at_least(size_t k, size_t n, double q);

#endif
