/* Counts the samples that halting would have stopped. */
#ifndef HB_CALIBRATE_HALTING_H
#define HB_CALIBRATE_HALTING_H

#include "hbar.h"

/* Counts the samples that halting at P_fail >= cutoff would have stopped. low [n] and high [n] are each
 * sample's lowest and highest value of the watched signal. */
hb_halting hb_count_halting(const double *low, const double *high, const uint8_t *labels, size_t n,
                            const hb_map *map, double cutoff);

#endif
