/* What calibrating a table and calibrating a run share. */
#ifndef HB_CALIBRATE_CALIBRATE_H
#define HB_CALIBRATE_CALIBRATE_H

#include "base/error.h"

/* Adds a score's calibration to the result's list, which has room for it. */
hb_status hb_add_calibrated(hb_calibration_result *r, const char *name, const hb_sweep_result *sweep,
                            hb_error *err);

#endif
