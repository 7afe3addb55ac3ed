/* Samples that belong together, and folds for cross-validation. */
#ifndef HB_CALIBRATE_FOLDS_H
#define HB_CALIBRATE_FOLDS_H

#include "base/error.h"

/* The group of sample i. Without groups, each sample is a group of its own. */
static inline size_t hb_group_of(const uint32_t *groups, size_t i)
{
    return groups ? groups[i] : i;
}

/* HB_ERR_ARGUMENT unless the groups [n] are numbered below n. NULL is fine. */
hb_status hb_check_groups(const uint32_t *groups, size_t n, hb_error *err);

/* Assigns samples to folds 0 ... n_folds - 1. The samples of a group share a fold. Groups with the same
 * numbers of samples of each label are shuffled and dealt in turn, so that the labels are balanced.
 * Equal on every platform. *n_dealt becomes the number of groups. */
hb_status hb_deal_folds(const uint8_t *labels, const uint32_t *groups, size_t n, size_t n_folds,
                        uint64_t seed, uint32_t *fold, size_t *n_dealt, hb_error *err);

/* Checks that any two folds leave samples of either label. HB_ERR_DATA. There are at most HB_MAX_FOLDS.
 */
hb_status hb_check_pairs(const uint8_t *labels, const uint32_t *fold, size_t n, size_t n_folds,
                         hb_error *err);
#define HB_MAX_FOLDS 20

#endif
