/* Aggregation of a signal's values over a sample's steps, in constant space. */
#ifndef HB_SIGNALS_AGGREGATE_H
#define HB_SIGNALS_AGGREGATE_H

#include "hbar.h"

/* The state from which every aggregation is computed. Start from a zeroed struct. */
typedef struct hb_aggregate {
    hb_top5 top, bottom; /* `bottom` is of the negated values */
    double first, last, sum;
    size_t n;
} hb_aggregate;

void hb_aggregate_add(hb_aggregate *aggregate, double value);

/* NaN if no value was added, or for an aggregation that is not measured. */
double hb_aggregate_value(const hb_aggregate *aggregate, hb_aggregation aggregation);

#endif
