/* A threshold with a guarantee. */
#ifndef HB_CALIBRATE_GUARANTEE_H
#define HB_CALIBRATE_GUARANTEE_H

#include "calibrate/metrics.h"

hb_status hb_check_guarantee(const hb_guarantee *asked, hb_error *err);

/* Finds the highest threshold on the oriented score that satisfies the guarantee's kind, target and
 * level. The samples must be ranked by hb_rank. Fills in n, k and p. HB_ERR_DATA when the samples
 * cannot support the guarantee; the message gives the reason and how many samples would suffice. */
hb_status hb_find_guaranteed(const hb_scored *ranked, size_t n, hb_guarantee *guarantee, double *tau,
                             hb_error *err);

/* The smallest number of samples without any hallucination that proves, at this level, a hallucination
 * rate of at most `rate`. */
size_t hb_fewest_without(double rate, double level);

/* The largest number of failures among n samples that still proves, at this level, a rate of at most
 * `rate`. The caller must know that zero failures prove it. */
size_t hb_most_failures(size_t n, double rate, double level);

#endif
