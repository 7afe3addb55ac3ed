/* Logistic regression on many features: a Newton method whose steps come from conjugate gradients, so
 * that it needs no matrix (Lin, Weng and Keerthi, Trust Region Newton Method for Large-Scale Logistic
 * Regression, 2008; with a line search instead of the trust region). */
#ifndef HB_CALIBRATE_NEWTON_H
#define HB_CALIBRATE_NEWTON_H

#include "base/error.h"

/* Samples, of which some are held out. */
typedef struct hb_newton_data {
    const float *x; /* [n][d] */
    size_t n, d;
    const uint8_t *labels; /* [n] */
    const uint32_t *fold;  /* [n] */
    uint32_t out[2];       /* samples of these two folds are held out; the folds may be the same */
} hb_newton_data;

/* A model of standardised features: intercept weights[d], weights [d] of (x - mean) / sd. */
typedef struct hb_newton hb_newton;

/* Finds means and standard deviations of the samples that are not held out; the weights are 0. `data`
 * must outlive the model. */
hb_status hb_newton_open(const hb_newton_data *data, hb_newton **model, hb_error *err);
void hb_newton_close(hb_newton *model);

/* Minimises |weights|^2 / 2 + c (sum of the log-losses), without a penalty on the intercept. Starts
 * from the present weights, and ends when the gradient is `tolerance` times its size at weights 0. */
void hb_newton_fit(hb_newton *model, double c, double tolerance);

/* Writes the log-odds of the samples of a fold to their places in z [n]. */
void hb_newton_predict(const hb_newton *model, uint32_t fold, float *z);

/* The same model for features as they are: weights [d] and intercept. */
void hb_newton_weights(const hb_newton *model, double *weights, double *intercept);

#endif
