/* Floats of 16 bits (IEEE 754 binary16), in which a run keeps features. */
#ifndef HB_BASE_HALF_H
#define HB_BASE_HALF_H

#include <stdint.h>

/* Rounds to the nearest such float, ties to even. Values beyond 65504 become +-65504, so that a finite
 * value stays finite. NaN stays NaN. */
uint16_t hb_half(float value);
float hb_half_value(uint16_t half);

#endif
