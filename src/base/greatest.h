#ifndef HB_BASE_GREATEST_H
#define HB_BASE_GREATEST_H

#include <stdint.h>

/* Finds the indices of the k largest of n values, in descending order of value. On ties the lower index
 * comes first. 1 <= k <= n. Values that are not finite may come in any order. */
void hb_greatest(const float *values, int32_t n, int32_t *indices, int32_t k);

#endif
