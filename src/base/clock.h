/* Time that passes, for measuring. */
#ifndef HB_BASE_CLOCK_H
#define HB_BASE_CLOCK_H

/* Seconds since some moment in the past, which no setting of the clock changes. */
double hb_seconds(void);

#endif
