/* The calibration of halting: series of values at steps, and thresholds of their running statistics. */
#ifndef HB_CALIBRATE_HALTS_H
#define HB_CALIBRATE_HALTS_H

#include "base/error.h"

/* Reads the values of a signal at each step of the samples of `table`, which was read from this run and
 * grading. If the run lacks a sample's steps, the series has the values of `extremes` [table->n]. */
hb_status hb_read_series(hb_run *run, const hb_signal *signal, const hb_score_table *table,
                         const double *extremes, hb_series *series, hb_error *err);

/* The same, but fails with HB_ERR_ARGUMENT if the run lacks a sample's steps. Without a signal, only
 * `starts` is of use. */
hb_status hb_read_steps(hb_run *run, const hb_signal *signal, const hb_score_table *table,
                        hb_series *series, hb_error *err);

/* Whether the guarantee of a halt holds on these answers. */
hb_guarantee_check hb_check_halt(const hb_guarantee *guarantee, const hb_halt_report *report);

#endif
