/* A clock that a test sets forward, for a test that is linked with --wrap=time. */
#ifndef HB_TESTS_CLOCK_H
#define HB_TESTS_CLOCK_H

#include <time.h>

static time_t later; /* seconds between the machine's clock and this one */
time_t __real_time(time_t *to);
time_t __wrap_time(time_t *to);
time_t __wrap_time(time_t *to)
{
    time_t now = __real_time(NULL) + later;
    if (to) *to = now;
    return now;
}

#endif
