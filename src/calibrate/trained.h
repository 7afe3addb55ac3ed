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

#endif
