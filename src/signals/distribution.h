#ifndef HB_SIGNALS_DISTRIBUTION_H
#define HB_SIGNALS_DISTRIBUTION_H

#include "base/pool.h"

/* As hb_distribution_gather, with the threads of a pool; NULL: without. The sums do not depend on the
 * number of threads. */
bool hb_distribution_gather_shared(hb_pool *pool, const float *logits, size_t n, hb_distribution *d);

#endif
