/* Halting, as it would have been. */
#ifndef HB_CALIBRATE_HALTING_H
#define HB_CALIBRATE_HALTING_H

#include "hbar.h"

/* What halting at P_fail >= cutoff would have done to samples whose lowest and highest values of the
 * signal watched are low [n] and high [n]. */
hb_halting hb_count_halting(const double *low, const double *high, const uint8_t *labels, size_t n,
                            const hb_map *map, double cutoff);

#endif
