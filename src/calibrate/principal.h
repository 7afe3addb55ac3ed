/* The leading principal components of many features. */
#ifndef HB_CALIBRATE_PRINCIPAL_H
#define HB_CALIBRATE_PRINCIPAL_H

#include "base/error.h"
#include "base/pool.h"

/* Finds the rank leading components of samples x [n][d] whose means are 0, as columns of length 1 of
 * basis [d][rank], in descending order of their variances (randomised subspace iteration: Halko,
 * Martinsson and Tropp, Finding Structure with Randomness, 2011). With rank = d, they are exact. rank
 * is at most HB_PRINCIPAL_MAX, and at most d. The result does not depend on the number of threads. */
hb_status hb_principal_components(hb_pool *pool, const float *x, size_t n, size_t d, size_t rank,
                                  double *basis, hb_error *err);
#define HB_PRINCIPAL_MAX 128

/* The coordinates z [n][rank] of samples in a basis [d][rank]. */
hb_status hb_principal_project(hb_pool *pool, const float *x, size_t n, size_t d, size_t rank,
                               const double *basis, double *z, hb_error *err);

#endif
