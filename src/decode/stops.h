/* Finds stop texts in text that arrives in pieces, and holds back bytes that may begin a stop text. */
#ifndef HB_DECODE_STOPS_H
#define HB_DECODE_STOPS_H

#include "base/buffer.h"

/* Start from a zeroed struct with `texts` and `n` set. The caller owns the texts. Release with
 * hb_buffer_free(&held). */
typedef struct hb_stops {
    const char *const *texts; /* [n], none of them empty */
    size_t n;
    hb_buffer held; /* bytes that are not released yet */
    bool found;     /* a stop text was found; it begins after the n_free bytes of hb_stops_add */
} hb_stops;

/* Adds bytes. Sets *n_free to the number of held bytes that certainly lie before any stop text. Returns
 * false when memory runs out. */
bool hb_stops_add(hb_stops *stops, const char *bytes, size_t length, size_t *n_free);

/* Removes the first n held bytes. */
void hb_stops_release(hb_stops *stops, size_t n);

#endif
