/* Elapsed time. */
#ifndef HB_BASE_CLOCK_H
#define HB_BASE_CLOCK_H

/* Seconds of a clock that only runs forward, whatever the system's time is set to. */
double hb_seconds(void);

#endif
