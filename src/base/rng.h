/* Random numbers, the same on every platform. */
#ifndef HB_BASE_RNG_H
#define HB_BASE_RNG_H

#include <stdint.h>

/* SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). Any seed
 * will do. */
typedef struct hb_rng {
    uint64_t state;
} hb_rng;

uint64_t hb_rng_next(hb_rng *rng);
double hb_rng_unit(hb_rng *rng);                    /* uniform in [0, 1), 53 bits */
uint64_t hb_rng_below(hb_rng *rng, uint64_t bound); /* uniform in [0, bound), unbiased; bound >= 1 */

#endif
