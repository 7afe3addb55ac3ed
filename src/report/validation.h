/* A validation as JSON; docs/statistics.md says what the numbers are. */
#ifndef HB_REPORT_VALIDATION_H
#define HB_REPORT_VALIDATION_H

#include <jansson.h>
#include "hbar.h"

/* One score's validation beside its calibration. NULL without memory. */
json_t *hb_validation_json(const hb_calibrated_score *calibrated, const hb_validation *validation);

/* How two thresholds divide the samples: [flagged by the first][by the second]. */
typedef struct hb_quadrants {
    size_t count[2][2], hallucinated[2][2];
} hb_quadrants;

/* [{"hbar_s", "pri", "count", "hallucination_rate"}, ...], the rate null where there is no sample. */
json_t *hb_quadrants_json(const hb_quadrants *quadrants);

json_t *hb_halting_json(const hb_halting *halting);

#endif
