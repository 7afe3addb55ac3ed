#include "decode/stops.h"

#include <string.h>

/* The number of held bytes at the end that may begin the stop text. */
static size_t may_begin(const hb_buffer *held, const char *stop)
{
    size_t n = strlen(stop) - 1;
    if (n > held->length) n = held->length;
    while (n > 0 && memcmp(held->data + held->length - n, stop, n) != 0) n--;
    return n;
}

bool hb_stops_add(hb_stops *s, const char *bytes, size_t length, size_t *n_free)
{
    if (!hb_buffer_add(&s->held, bytes, length)) return false;
    size_t first = s->held.length, back = 0;
    for (size_t i = 0; i < s->n; i++) {
        const char *at = memmem(s->held.data, s->held.length, s->texts[i], strlen(s->texts[i]));
        size_t n = may_begin(&s->held, s->texts[i]);
        if (at && (size_t)(at - s->held.data) < first) first = (size_t)(at - s->held.data);
        if (at) s->found = true;
        if (n > back) back = n;
    }
    *n_free = s->found ? first : s->held.length - back;
    return true;
}

void hb_stops_release(hb_stops *s, size_t n)
{
    s->held.length -= n;
    memmove(s->held.data, s->held.data + n, s->held.length);
}
