/* Exact binomial tails. */
#ifndef HB_CALIBRATE_BINOMIAL_H
#define HB_CALIBRATE_BINOMIAL_H

#include <stddef.h>

/* P(X <= k) of X ~ Binomial(n, q), q in (0, 1), to about 1e-9 of itself for n up to a million. */
double hb_binomial_at_most(size_t k, size_t n, double q);

/* P(X >= k). */
double hb_binomial_at_least(size_t k, size_t n, double q);

#endif
