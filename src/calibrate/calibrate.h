/* Code shared by the calibration of tables and of runs. */
#ifndef HB_CALIBRATE_CALIBRATE_H
#define HB_CALIBRATE_CALIBRATE_H

#include "base/error.h"

/* Appends a score's calibration to the result's list, which must have room for it. */
hb_status hb_add_calibrated(hb_calibration_result *r, const char *name, const hb_sweep_result *sweep,
                            hb_error *err);

#endif
