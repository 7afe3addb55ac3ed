#include "calibrate/metrics.h"

#include <math.h>
#include <stdlib.h>

hb_status hb_check_scored(const double *scores, const uint8_t *labels, size_t n, hb_error *err)
{
    size_t ones = 0;
    if (n == 0) return hb_fail(err, HB_ERR_DATA, "there are no samples");
    for (size_t i = 0; i < n; i++) {
        if (labels[i] > 1)
            return hb_fail(err, HB_ERR_ARGUMENT, "label %u of sample %zu is not 0 or 1", labels[i], i);
        if (!isfinite(scores[i]))
            return hb_fail(err, HB_ERR_DATA, "the score of sample %zu is %g, not a finite number", i,
                           scores[i]);
        ones += labels[i];
    }
    if (ones > 0 && ones < n) return HB_OK;
    return hb_fail(
        err, HB_ERR_DATA,
        "all %zu samples have label %d; both hallucinated (1) and faithful (0) ones are needed", n,
        ones > 0);
}

static int compare_descending(const void *a, const void *b)
{
    double x = ((const hb_scored *)a)->score, y = ((const hb_scored *)b)->score;
    return (x < y) - (x > y);
}

hb_status hb_rank(const double *scores, const uint8_t *labels, size_t n, hb_scored **ranked,
                  hb_error *err)
{
    hb_status status = hb_check_scored(scores, labels, n, err);
    if (status) return status;
    hb_scored *r = calloc(n, sizeof *r);
    if (!r) return hb_fail_memory(err);
    for (size_t i = 0; i < n; i++) r[i] = (hb_scored){scores[i], labels[i]};
    qsort(r, n, sizeof *r, compare_descending);
    *ranked = r;
    return HB_OK;
}

size_t hb_ranked_tie_end(const hb_scored *ranked, size_t n, size_t at)
{
    size_t end = at + 1;
    while (end < n && ranked[end].score == ranked[at].score) end++;
    return end;
}

/* Counts pairs of a 1 and a 0: won where the 1 ranks higher, half won within a tie. Under the null
 * hypothesis the share won has the variance of Mann and Whitney's U with its correction for ties
 * (Lehmann, Nonparametrics, 1975). */
double hb_ranked_auroc(const hb_scored *ranked, size_t n, double *null_se)
{
    double ones = 0, zeros = 0, won = 0, ties = 0, total = (double)n;
    for (size_t at = 0, end; at < n; at = end) {
        end = hb_ranked_tie_end(ranked, n, at);
        double tied = (double)(end - at), tied_ones = 0;
        for (size_t i = at; i < end; i++) tied_ones += ranked[i].label;
        won += (tied - tied_ones) * (ones + tied_ones / 2);
        ones += tied_ones;
        zeros += tied - tied_ones;
        ties += tied * (tied * tied - 1);
    }
    if (null_se) *null_se = sqrt((total + 1 - ties / (total * (total - 1))) / (12 * ones * zeros));
    return won / (ones * zeros);
}

double hb_ranked_average_precision(const hb_scored *ranked, size_t n)
{
    double ones = 0, area = 0;
    for (size_t at = 0, end; at < n; at = end) {
        end = hb_ranked_tie_end(ranked, n, at);
        double tied_ones = 0;
        for (size_t i = at; i < end; i++) tied_ones += ranked[i].label;
        ones += tied_ones;
        area += tied_ones * (ones / (double)end);
    }
    return area / ones;
}

hb_status hb_auroc(const double *scores, const uint8_t *labels, size_t n, double *auroc, hb_error *err)
{
    hb_scored *ranked = NULL;
    hb_status status = hb_rank(scores, labels, n, &ranked, err);
    if (status) return status;
    *auroc = hb_ranked_auroc(ranked, n, NULL);
    free(ranked);
    return HB_OK;
}

hb_status hb_average_precision(const double *scores, const uint8_t *labels, size_t n,
                               double *average_precision, hb_error *err)
{
    hb_scored *ranked = NULL;
    hb_status status = hb_rank(scores, labels, n, &ranked, err);
    if (status) return status;
    *average_precision = hb_ranked_average_precision(ranked, n);
    free(ranked);
    return HB_OK;
}

double hb_quantile(const double *sorted, size_t n, double q)
{
    double place = q * (double)(n - 1);
    size_t below = (size_t)place;
    if (below + 1 >= n) return sorted[n - 1];
    return sorted[below] + (place - (double)below) * (sorted[below + 1] - sorted[below]);
}
