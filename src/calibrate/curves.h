/* What figures show of a score. */
#ifndef HB_CALIBRATE_CURVES_H
#define HB_CALIBRATE_CURVES_H

#include "calibrate/metrics.h"

/* Lists the samples of a table with the values [table->n] of a score and their P_fail. *n is 0 for a
 * table without indices. Release *judged with free(). */
hb_status hb_list_judged(const hb_score_table *table, const double *values,
                         const hb_validation_options *options, hb_judged_sample **judged, size_t *n,
                         hb_error *err);

#endif
