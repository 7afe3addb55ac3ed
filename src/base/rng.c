#include "base/rng.h"

uint64_t hb_rng_next(hb_rng *rng)
{
    uint64_t z = rng->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

double hb_rng_unit(hb_rng *rng)
{
    return (double)(hb_rng_next(rng) >> 11) * 0x1p-53;
}

uint64_t hb_rng_below(hb_rng *rng, uint64_t bound)
{
    /* Rejects values below 2^64 mod bound, so that `bound` divides the number of remaining values. The
     * limit is below `bound`, so only values below `bound` need the division. */
    uint64_t value = hb_rng_next(rng);
    if (value < bound)
        for (uint64_t reject = (0 - bound) % bound; value < reject;) value = hb_rng_next(rng);
    return value % bound;
}
