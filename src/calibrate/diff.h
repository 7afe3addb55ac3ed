/* Filling in an hb_diff. */
#ifndef HB_CALIBRATE_DIFF_H
#define HB_CALIBRATE_DIFF_H

#include "base/error.h"

/* Adds a setting if its values differ; NULL and an empty text are none. False when memory runs out. */
bool hb_diff_add_setting(hb_diff *diff, const char *name, const char *a, const char *b);

/* Adds a score without numbers. NULL when memory runs out; valid until the next is added. */
hb_compared_result *hb_diff_add_score(hb_diff *diff, const char *name);

/* Sorts the scores by the first result's AUROC, the highest first. */
void hb_diff_sort(hb_diff *diff);

/* Sets diff->untested. HB_ERR_MEMORY. */
hb_status hb_diff_leave_untested(hb_diff *diff, const char *why, hb_error *err);

#endif
