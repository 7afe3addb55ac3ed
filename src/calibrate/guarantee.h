/* A threshold with a guarantee. */
#ifndef HB_CALIBRATE_GUARANTEE_H
#define HB_CALIBRATE_GUARANTEE_H

#include "calibrate/metrics.h"

hb_status hb_check_guarantee(const hb_guarantee *asked, hb_error *err);

/* The highest threshold, of the oriented score, that keeps what guarantee->kind, target and level ask,
 * on samples ranked as hb_rank does; fills in n, k and p. HB_ERR_DATA, with the reason and the number
 * of samples that would do, when these cannot support it. */
hb_status hb_find_guaranteed(const hb_scored *ranked, size_t n, hb_guarantee *guarantee, double *tau,
                             hb_error *err);

/* How many samples, none of them hallucinated, show at this level that at most `rate` are. */
size_t hb_fewest_without(double rate, double level);

#endif
