/* Trained models that halt: fitted to one half of a run's answers, so that the other half can choose
 * the threshold as if the model had always been there. */
#ifndef HB_CALIBRATE_HALT_MODEL_H
#define HB_CALIBRATE_HALT_MODEL_H

#include "base/error.h"
#include "signals/halt_model.h"

/* What to fit, and to which answers. */
typedef struct hb_halt_fit {
    const hb_score_table *table;  /* read from the run: its indices, labels and groups are used */
    const char *const *names;     /* [n_names], of a joint model's features; n_names is 0: the probe */
    const double *const *columns; /* [n_names][table->n], their values; not used for "probe" */
    size_t n_names;
    uint64_t seed; /* of the halves and the folds */
} hb_halt_fit;

/* Fits a model to half of the answers, and computes its values at the steps of the others. Groups are
 * not divided. The means and the standard deviation of a cusum come from the model's log-odds out of
 * fold in the first half. Release *model with hb_halt_model_free, *series with hb_series_free.
 * HB_ERR_ARGUMENT for a run without the values or states at each step; HB_ERR_DATA when there are too
 * few answers. */
hb_status hb_fit_halt_model(hb_run *run, const hb_halt_fit *fit, hb_halt_rule *rule,
                            hb_halt_model **model, hb_series *series, size_t *n_fitted, hb_error *err);

/* The values of a model at the steps of a table's samples. Release with hb_series_free. */
hb_status hb_halt_model_series(hb_run *run, const hb_halt_model *model, const hb_score_table *table,
                               hb_series *series, hb_error *err);

#endif
