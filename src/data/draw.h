/* A draw of rows without replacement, each set of a size being equally likely. A row is taken or not
 * whatever was read before it, and a larger draw with the same seed holds the smaller one.
 */
#ifndef HB_DATA_DRAW_H
#define HB_DATA_DRAW_H

#include <stdbool.h>
#include <stdint.h>

typedef struct hb_draw {
    uint64_t start; /* of the stream of random keys, one for each row */
    uint64_t limit; /* rows whose keys are not above it are taken */
    bool none;
} hb_draw;

/* Draws `wanted` <= n of rows 0 ... n-1: those with the smallest keys. O(n) in time and none in memory.
 */
hb_draw hb_draw_rows(uint64_t seed, uint64_t n, uint64_t wanted);

bool hb_draw_takes(const hb_draw *draw, uint64_t row);

#endif
