/* Looks for stop texts in text that comes in pieces, and holds back what may be the beginning of one.
 */
#ifndef HB_DECODE_STOPS_H
#define HB_DECODE_STOPS_H

#include "base/buffer.h"

/* Start from a zeroed struct with `texts` and `n` set; the texts are the caller's. Freed with
 * hb_buffer_free(&held). */
typedef struct hb_stops {
    const char *const *texts; /* [n], none of them empty */
    size_t n;
    hb_buffer held; /* came, and is not released */
    bool found;     /* a stop text begins at the start of what is left when *free bytes are released */
} hb_stops;

/* Takes the next bytes; the first *n_free of those held are then certain to lie before any stop text.
 * False when memory runs out. */
bool hb_stops_add(hb_stops *stops, const char *bytes, size_t length, size_t *n_free);

/* Lets the first n held bytes go. */
void hb_stops_release(hb_stops *stops, size_t n);

#endif
