/* The values that reports are made of, as JSON. NULL without memory, which json_pack passes on. */
#ifndef HB_REPORT_VALUES_H
#define HB_REPORT_VALUES_H

#include <jansson.h>
#include "hbar.h"

/* A number; null for infinity and NaN, which JSON cannot say. */
json_t *hb_json_number(double value);

/* [lower, upper]. */
json_t *hb_json_interval(const hb_interval *interval);

/* A threshold and its confusion. */
json_t *hb_json_point(const hb_sweep_point *point);

/* {"n", "mean", "sd"}. */
json_t *hb_json_class(const hb_class_summary *summary);

/* {"draws", "seed", "auroc", "pr_auc", "precision", "precision_at_recall"}, the last of which is the
 * interval of the one before; null when there were no draws. */
json_t *hb_json_bootstrap(const hb_uncertainty *uncertainty);

/* {"method", "scores", "matrix"} of correlations [n][n]. */
json_t *hb_json_correlations(const char *const *names, const double *correlations, size_t n);

/* ">=" or "<=". */
const char *hb_direction_sign(hb_direction direction);

#endif
