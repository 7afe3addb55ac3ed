/* Probes on the features of a run: a score that is trained is a column of the table like any other. */
#ifndef HB_CALIBRATE_TRAINED_H
#define HB_CALIBRATE_TRAINED_H

#include "base/error.h"

/* Trains a probe on the samples of a table that hb_run_table made, with the table's groups. `values`
 * [table->n] receives the log-odds out of fold. Errors as hb_probe_fit and hb_run_each_features. */
hb_status hb_train_probe(hb_run *run, const char *name, const hb_score_table *table, hb_probe **probe,
                         double *values, hb_error *err);

/* `values` [table->n] receives the log-odds of a trained probe. HB_ERR_MISMATCH if the run's features
 * are not those that the probe was trained on. */
hb_status hb_apply_probe(hb_run *run, const hb_probe *probe, const hb_score_table *table,
                         double *values, hb_error *err);

/* Trains a probe for halting on the means over the steps of the states that a run keeps of each step.
 * `steps` has the table's steps (hb_read_steps). `values` as above. HB_ERR_ARGUMENT if the run has no
 * such states. */
hb_status hb_train_halt_probe(hb_run *run, const hb_score_table *table, const hb_series *steps,
                              uint64_t seed, hb_probe **probe, double *values, hb_error *err);

/* Replaces the values of a series of the table's steps by the probe's log-odds at each step. */
hb_status hb_probe_steps(hb_run *run, const hb_probe *probe, const hb_score_table *table,
                         hb_series *series, hb_error *err);

#endif
