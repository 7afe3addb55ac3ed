/* Trained models whose value at each step a halt can run over. They are fitted to other answers than
 * those on which the halt's threshold is chosen (calibrate/halt_model.c). */
#ifndef HB_SIGNALS_HALT_MODEL_H
#define HB_SIGNALS_HALT_MODEL_H

#include "base/error.h"

struct hb_halt_model {
    hb_probe *probe; /* NULL: none */
    hb_joint joint;  /* of values at one step; n_features is 0: the probe decides alone */
};

/* Finds what a joint model reads at a step: the signal whose mean over the steps a score is, or NULL
 * for the probe. False for a score that is neither. */
bool hb_halt_feature(const char *score, const hb_signal **signal);

/* The probe's log-odds of a block's state [n], which is rounded as a run keeps it. */
double hb_halt_probe_value(const hb_probe *probe, const float *state);

/* The model's log-odds at a step. `values` has a value for each of the joint model's features; without
 * a joint model, the probe's alone. Rounds the values to floats in place, as a run keeps them. */
double hb_halt_model_value(const hb_halt_model *model, double *values);

/* The number of these values. */
size_t hb_halt_model_count(const hb_halt_model *model);

#endif
