/* Labelled samples ranked by score, the input of all curves and sweeps. */
#ifndef HB_CALIBRATE_METRICS_H
#define HB_CALIBRATE_METRICS_H

#include "base/error.h"

typedef struct hb_scored {
    double score; /* oriented: higher is riskier */
    uint8_t label;
} hb_scored;

/* The values of a score [n]: those that count where high ones are risky, and those that count where low
 * ones are. They are the same unless the score is a tail5. */
typedef struct hb_tails {
    const double *high, *low;
} hb_tails;

/* The values of score k of a table. */
hb_tails hb_table_tails(const hb_score_table *table, size_t k);
/* Those that count in a direction, HIGH or LOW. */
const double *hb_tail(hb_tails tails, hb_direction direction);

/* hb_sweep of a score with two tails. With HB_DIRECTION_AUTO each direction is judged by its own values
 * (sweep.c). */
hb_status hb_sweep_tails(hb_tails tails, const uint8_t *labels, size_t n,
                         const hb_sweep_options *options, hb_sweep_result *result, hb_error *err);

/* HB_ERR_DATA unless all labels are 0 or 1, both labels occur, and all scores are finite. */
hb_status hb_check_scored(const double *scores, const uint8_t *labels, size_t n, hb_error *err);

/* Checks the samples and sorts them by descending oriented score. Release with free(). */
hb_status hb_rank(const double *scores, const uint8_t *labels, size_t n, hb_scored **ranked,
                  hb_error *err);

/* Reverses ranked samples, so that the lowest score becomes the riskiest. */
void hb_ranked_turn(hb_scored *ranked, size_t n);

/* A value and its original index. */
typedef struct hb_place {
    double score;
    size_t index;
} hb_place;

/* Stable radix sort of scores [n], ascending, NaN last, in O(n). Release with free(). */
hb_status hb_order(const double *scores, size_t n, hb_place **order, hb_error *err);

/* The scores, negated if low scores are risky. Release with free(). NULL when memory runs out. */
double *hb_oriented(const double *scores, size_t n, hb_direction direction);

/* hb_delong and hb_delong_compare_all for samples in groups; NULL: each for itself (delong.c). */
hb_status hb_delong_grouped(const double *scores, const uint8_t *labels, const uint32_t *groups,
                            size_t n, double *auroc, double *se, hb_error *err);
hb_status hb_delong_compare_grouped(const double *scores, size_t n_scores, const uint8_t *labels,
                                    const uint32_t *groups, size_t n, hb_auroc_difference *out,
                                    double *p_holm, hb_error *err);

/* The 95 % interval of an AUROC with this standard error, within [0, 1] (delong.c). */
hb_interval hb_auroc_interval(double auroc, double se);

/* The 2.5 and 97.5 % quantiles of values [n], n >= 1, which it sorts (bootstrap.c). */
hb_interval hb_percentiles(double *values, size_t n);

/* Metrics of ranked samples. `null_se` may be NULL. */
double hb_ranked_auroc(const hb_scored *ranked, size_t n, double *null_se);
double hb_ranked_average_precision(const hb_scored *ranked, size_t n);

/* The end (exclusive) of the samples with the same score as ranked[at]. */
size_t hb_ranked_tie_end(const hb_scored *ranked, size_t n, size_t at);

#endif
