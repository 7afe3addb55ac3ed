/* Random numbers, the same on every platform. */
#ifndef HB_BASE_RNG_H
#define HB_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014). Any seed
 * will do. */
typedef struct hb_rng {
    uint64_t state;
} hb_rng;

uint64_t hb_rng_next(hb_rng *rng);
double hb_rng_unit(hb_rng *rng);                    /* uniform in [0, 1), 53 bits */
uint64_t hb_rng_below(hb_rng *rng, uint64_t bound); /* uniform in [0, bound), unbiased; bound >= 1 */

/* Shuffles items [n] of `size` bytes each, at most 64 (Fisher and Yates). Inline, so that a constant
 * size costs no calls. */
static inline void hb_rng_shuffle(hb_rng *rng, void *items, size_t n, size_t size)
{
    char *list = items, other[64];
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)hb_rng_below(rng, i);
        memcpy(other, list + (i - 1) * size, size);
        memmove(list + (i - 1) * size, list + j * size, size);
        memcpy(list + j * size, other, size);
    }
}

#endif
