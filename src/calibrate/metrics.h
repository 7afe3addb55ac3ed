/* Labelled scores in the order thresholds see them: what every curve and sweep is read off. */
#ifndef HB_CALIBRATE_METRICS_H
#define HB_CALIBRATE_METRICS_H

#include "base/error.h"

typedef struct hb_scored {
    double score; /* oriented: the higher, the riskier */
    uint8_t label;
} hb_scored;

/* HB_ERR_DATA unless labels are 0 or 1, both present, and scores finite. */
hb_status hb_check_scored(const double *scores, const uint8_t *labels, size_t n, hb_error *err);

/* Checks the samples, then gives them from the highest score down. Released with free(). */
hb_status hb_rank(const double *scores, const uint8_t *labels, size_t n, hb_scored **ranked,
                  hb_error *err);

/* Turns ranked samples round, so that the lowest score is the riskiest. */
void hb_ranked_turn(hb_scored *ranked, size_t n);

/* A value and where it came from. */
typedef struct hb_place {
    double score;
    size_t index;
} hb_place;

/* Scores [n] from the lowest up, equal ones in their order, NaN last; by digits, in O(n). Released with
 * free(). */
hb_status hb_order(const double *scores, size_t n, hb_place **order, hb_error *err);

/* Scores turned so that high ones are risky. Released with free(); NULL without memory. */
double *hb_oriented(const double *scores, size_t n, hb_direction direction);

/* Curves of ranked samples; `null_se` may be NULL. */
double hb_ranked_auroc(const hb_scored *ranked, size_t n, double *null_se);
double hb_ranked_average_precision(const hb_scored *ranked, size_t n);

/* One past the last of the samples that share the score of ranked[at]. */
size_t hb_ranked_tie_end(const hb_scored *ranked, size_t n, size_t at);

#endif
