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

/* The difference AUROC(a) - AUROC(b) of two scores of the same samples [n], which may have other labels
 * for b than for a. With equal labels, it is hb_delong_compare for samples in groups (delong.c). */
hb_status hb_delong_compare_labelled(const double *a, const uint8_t *labels_a, const double *b,
                                     const uint8_t *labels_b, const uint32_t *groups, size_t n,
                                     hb_auroc_difference *out, hb_error *err);

/* The 95 % interval of an AUROC with this standard error, within [0, 1] (delong.c). */
hb_interval hb_auroc_interval(double auroc, double se);

/* The 2.5 and 97.5 % quantiles of values [n], n >= 1, which it sorts (bootstrap.c). */
hb_interval hb_percentiles(double *values, size_t n);

/* A draw of the bootstrap. */
typedef struct hb_draw {
    const hb_scored *ranked; /* [n], the samples */
    const uint32_t *weights; /* [n], how often the draw contains each */
    size_t n, k;             /* the draw's number k, from 0 */
} hb_draw;

/* Calls `visit` for each draw of hb_bootstrap_intervals, and then, with k = n_draws, for the samples
 * themselves. n_draws may be 0. Errors as hb_bootstrap_intervals (bootstrap.c). */
hb_status hb_bootstrap_each(const double *scores, const uint8_t *labels, size_t n,
                            const hb_bootstrap_options *options,
                            void (*visit)(void *user, const hb_draw *draw), void *user, hb_error *err);

/* The mean hallucination rate among accepted samples over all coverages 1/n ... 1, and the rate at each
 * coverage i / HB_RISK_POINTS (validate.c). */
double hb_area_under_risk(const hb_scored *ranked, size_t n, double risks[HB_RISK_POINTS]);

/* The samples whose P_fail lies in one of ten equal bins (validate.c). */
#define HB_P_BINS 10
typedef struct hb_p_bin {
    size_t n, ones;
    double sum; /* of P_fail */
} hb_p_bin;
void hb_bin_probabilities(const double *p, const uint8_t *labels, size_t n, hb_p_bin bins[HB_P_BINS]);
double hb_calibration_error(const hb_p_bin bins[HB_P_BINS], size_t n);

/* The 95 % interval of a share k / n (Clopper and Pearson, 1934; halts.c). */
hb_interval hb_interval_of_share(size_t k, size_t n);

/* Metrics of ranked samples. `null_se` may be NULL. */
double hb_ranked_auroc(const hb_scored *ranked, size_t n, double *null_se);
double hb_ranked_average_precision(const hb_scored *ranked, size_t n);

/* The end (exclusive) of the samples with the same score as ranked[at]. */
size_t hb_ranked_tie_end(const hb_scored *ranked, size_t n, size_t at);

#endif
