#include "data/draw.h"

#include "base/rng.h"

/* The increment of SplitMix64's state. With it, value i of a stream can be computed directly. All
 * values of a stream differ, because the increment is odd and the rest of the generator is a bijection.
 */
#define STEP 0x9E3779B97F4A7C15u

static uint64_t key_of(uint64_t start, uint64_t row)
{
    hb_rng rng = {start + row * STEP};
    return hb_rng_next(&rng);
}

/* Finds the `wanted`-th smallest key, counted from 1, byte by byte. Each pass counts the next byte of
 * all keys that begin with the bytes found so far. */
static uint64_t find_limit(uint64_t start, uint64_t n, uint64_t wanted)
{
    uint64_t prefix = 0;
    for (int shift = 56; shift >= 0; shift -= 8) {
        uint64_t counts[256] = {0};
        unsigned byte = 0;
        for (uint64_t i = 0; i < n; i++) {
            uint64_t key = key_of(start, i);
            if (shift == 56 || key >> (shift + 8) == prefix) counts[key >> shift & 0xFF]++;
        }
        while (counts[byte] < wanted) wanted -= counts[byte++];
        prefix = prefix << 8 | byte;
    }
    return prefix;
}

hb_draw hb_draw_rows(uint64_t seed, uint64_t n, uint64_t wanted)
{
    /* The stream starts at the seed's first random number, so that streams of neighbouring seeds are
     * unrelated. */
    hb_rng rng = {seed};
    hb_draw draw = {.start = hb_rng_next(&rng), .limit = UINT64_MAX, .none = wanted == 0};
    if (wanted && wanted < n) draw.limit = find_limit(draw.start, n, wanted);
    return draw;
}

bool hb_draw_takes(const hb_draw *draw, uint64_t row)
{
    return !draw->none && key_of(draw->start, row) <= draw->limit;
}
