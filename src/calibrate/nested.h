/* Choosing the best of several scores, with a figure that the choice does not flatter. */
#ifndef HB_CALIBRATE_NESTED_H
#define HB_CALIBRATE_NESTED_H

#include "base/error.h"

/* For each fold, finds the score and direction with the highest AUROC on the other folds, and measures
 * it on this one. Does the same with shuffled labels. `direction` may be HB_DIRECTION_AUTO. `winners`
 * of the result are places in the table. n_folds is 0, and nothing else set, when the groups or one
 * label's samples are too few for folds. Release with hb_nested_free. */
hb_status hb_choose_nested(const hb_score_table *table, hb_direction direction, hb_nested *nested,
                           hb_error *err);
/* The control of a joint model: fits it to shuffled labels, 10 to 100 times, and adds its AUROC out of
 * fold to `nested`, whose other members stay. Arguments and errors as in hb_joint_fit, which has
 * accepted them with the labels themselves. */
hb_status hb_shuffle_joint(const double *x, const uint8_t *labels, size_t n, size_t d,
                           const char *const *names, const hb_joint_options *options, hb_nested *nested,
                           hb_error *err);
void hb_nested_free(hb_nested *nested);

#endif
