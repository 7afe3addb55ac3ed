#include "calibrate/columns.h"

#include <stdlib.h>
#include "calibrate/metrics.h"

/* The values of all columns, [n_columns][n]. With `oriented`, values are negated where low ones are
 * risky. NULL when memory runs out. */
static double *gather(const hb_column *columns, size_t n_columns, size_t n, bool oriented)
{
    double *values = calloc(n_columns * n + 1, sizeof *values);
    for (size_t k = 0; values && k < n_columns; k++) {
        bool turned = oriented && columns[k].direction == HB_DIRECTION_LOW;
        for (size_t i = 0; i < n; i++)
            values[k * n + i] = turned ? -columns[k].values[i] : columns[k].values[i];
    }
    return values;
}

hb_status hb_test_columns(const hb_column *columns, size_t n_columns, const uint8_t *labels,
                          const uint32_t *groups, size_t n, hb_auroc_difference *differences,
                          double *p_holm, hb_error *err)
{
    double *values = gather(columns, n_columns, n, true);
    if (!values) return hb_fail_memory(err);
    hb_status status =
        hb_delong_compare_grouped(values, n_columns, labels, groups, n, differences, p_holm, err);
    free(values);
    return status;
}

hb_status hb_correlate_columns(const hb_column *columns, size_t n_columns, size_t n,
                               double **correlations, hb_error *err)
{
    double *values = gather(columns, n_columns, n, false);
    double *c = calloc(n_columns * n_columns + 1, sizeof *c);
    hb_status status = values && c ? HB_OK : hb_fail_memory(err);
    if (!status) status = hb_spearman(values, n_columns, n, c, err);
    free(values);
    if (status) free(c);
    else *correlations = c;
    return status;
}
