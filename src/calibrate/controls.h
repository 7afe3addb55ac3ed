/* Baselines beside a ranking of scores. */
#ifndef HB_CALIBRATE_CONTROLS_H
#define HB_CALIBRATE_CONTROLS_H

#include "base/error.h"

/* Measures the controls that the table has, then the shuffled labels of `nested` (NULL: none). `values`
 * [table->n] are those of the score they are compared with, which is risky in `direction`. Release
 * *controls [*n] with free(). */
hb_status hb_measure_controls(const hb_score_table *table, const double *values, hb_direction direction,
                              const hb_nested *nested, hb_control **controls, size_t *n, hb_error *err);

#endif
