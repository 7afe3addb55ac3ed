/* Fits densities: probes that are squared Mahalanobis distances. */
#ifndef HB_CALIBRATE_DENSITY_H
#define HB_CALIBRATE_DENSITY_H

#include "base/error.h"
#include "signals/probe.h"

/* As hb_probe_fit, for a kind with `density`. The samples and options were checked. */
hb_status hb_density_fit(const hb_probe_kind *kind, const hb_probe_samples *samples,
                         const hb_joint_options *options, hb_probe **probe, double *out_of_fold,
                         hb_error *err);

#endif
