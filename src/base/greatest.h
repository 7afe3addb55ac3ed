#ifndef HB_BASE_GREATEST_H
#define HB_BASE_GREATEST_H

#include <stdint.h>

/* The indices of the k greatest of n values, from the greatest on, the lower index first among equals;
 * 1 <= k <= n. Values that are not finite may come in any order. */
void hb_greatest(const float *values, int32_t n, int32_t *indices, int32_t k);

#endif
