/* Aggregation of a signal's values over a sample's steps, in constant space. */
#ifndef HB_SIGNALS_SCORES_H
#define HB_SIGNALS_SCORES_H

#include "hbar.h"

/* Start from a zeroed struct. */
typedef struct hb_aggregate {
    hb_top5 top;
    double first, last, min, sum;
    size_t n;
} hb_aggregate;

void hb_aggregate_add(hb_aggregate *aggregate, double value);

/* By every aggregation; NaN while nothing was added. */
void hb_aggregate_get(const hb_aggregate *aggregate, double out[HB_N_AGGREGATIONS]);

#endif
