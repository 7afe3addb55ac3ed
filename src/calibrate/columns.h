/* Statistics that compare several scores of the same samples. */
#ifndef HB_CALIBRATE_COLUMNS_H
#define HB_CALIBRATE_COLUMNS_H

#include "base/error.h"

typedef struct hb_column {
    const double *values; /* [n] */
    hb_direction direction;
} hb_column;

/* DeLong's test of each column's AUROC, in its own direction, against the first column's, for
 * samples in groups (NULL: each for itself). `differences`
 * and `p_holm` are [n_columns], as in hb_delong_compare_all. */
hb_status hb_test_columns(const hb_column *columns, size_t n_columns, const uint8_t *labels,
                          const uint32_t *groups, size_t n, hb_auroc_difference *differences,
                          double *p_holm, hb_error *err);

/* Spearman correlations [n_columns][n_columns] of the values without orientation. Release with free().
 */
hb_status hb_correlate_columns(const hb_column *columns, size_t n_columns, size_t n,
                               double **correlations, hb_error *err);

#endif
