/* Draws rows without replacement; all sets of the same size are equally likely. Whether a row is drawn
 * does not depend on the rows before it. A larger draw with the same seed contains the smaller one. */
#ifndef HB_DATA_DRAW_H
#define HB_DATA_DRAW_H

#include <stdbool.h>
#include <stdint.h>

typedef struct hb_draw {
    uint64_t start; /* start of the stream of random keys; each row has a key */
    uint64_t limit; /* rows with keys up to this limit are drawn */
    bool none;
} hb_draw;

/* Draws the `wanted` <= n rows of 0 ... n-1 with the smallest keys. Takes O(n) time and no memory. */
hb_draw hb_draw_rows(uint64_t seed, uint64_t n, uint64_t wanted);

bool hb_draw_takes(const hb_draw *draw, uint64_t row);

#endif
