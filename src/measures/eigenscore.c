/* EigenScore: how widely the states of samples are spread (Chen et al., INSIDE: LLMs' Internal States
 * Retain the Power of Hallucination Detection, 2024). */
#include <math.h>
#include <stdlib.h>
#include "base/eigen.h"
#include "base/error.h"

/* Added to each eigenvalue, as in the paper: equal samples have eigenvalues of 0. */
#define REGULARISER 1e-3

/* Writes the states, each less its mean over the dimensions. */
static void centre(const float *states, size_t n, size_t length, double *centred)
{
    for (size_t i = 0; i < n; i++) {
        double mean = 0;
        for (size_t k = 0; k < length; k++) mean += (double)states[i * length + k] / (double)length;
        for (size_t k = 0; k < length; k++)
            centred[i * length + k] = (double)states[i * length + k] - mean;
    }
}

static double product(const double *a, const double *b, size_t length)
{
    double sum = 0;
    for (size_t k = 0; k < length; k++) sum += a[k] * b[k];
    return sum;
}

hb_status hb_eigen_score(const float *states, size_t n, size_t length, double *score, hb_error *err)
{
    double sum = 0;
    if (n < 1 || length < 1) return hb_fail(err, HB_ERR_ARGUMENT, "EigenScore needs states");
    for (size_t i = 0; i < n * length; i++)
        if (!isfinite(states[i])) return hb_fail(err, HB_ERR_ARGUMENT, "a state is not finite");
    double *centred = calloc(n, length * sizeof *centred);
    double *covariance = calloc(n, 2 * n * sizeof *covariance);
    hb_status status = centred && covariance ? HB_OK : hb_fail_memory(err);
    if (!status) {
        centre(states, n, length, centred);
        for (size_t i = 0; i < n * n; i++)
            covariance[i] = product(centred + i / n * length, centred + i % n * length, length);
        hb_eigen_symmetric(covariance, covariance + n * n, n);
        for (size_t i = 0; i < n; i++) sum += log(fmax(covariance[i * n + i], 0) + REGULARISER);
        *score = sum / (double)n;
    }
    free(centred);
    free(covariance);
    return status;
}
