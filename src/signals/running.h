/* The running statistics that decide about halting. The monitor and the calibration compute them with
 * the same function, so that both get the same numbers. */
#ifndef HB_SIGNALS_RUNNING_H
#define HB_SIGNALS_RUNNING_H

#include "base/error.h"

typedef struct hb_running {
    hb_halt_rule rule;
    float *last; /* [rule.window], the last values of a window; NULL for other rules */
    size_t n;    /* values so far */
    double value;
} hb_running;

/* HB_ERR_ARGUMENT, naming the rule, for a bad rule and for HB_HALT_NONE. */
hb_status hb_running_open(hb_running *running, const hb_halt_rule *rule, hb_error *err);
void hb_running_close(hb_running *running);
void hb_running_reset(hb_running *running); /* as after opening */

/* Adds a step's value, and returns the statistic. */
double hb_running_add(hb_running *running, double value);

/* The value as a float. A value beyond the floats becomes the largest one, so that it stays finite. */
float hb_running_round(double value);

#endif
