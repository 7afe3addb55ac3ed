#include "base/greatest.h"

#include <stdbool.h>
#include "base/wide.h"

/* Whether any of n values exceeds the bar. Most blocks of a vocabulary have no such value. */
static inline bool any_above(const float *x, int32_t n, float bar)
{
    int above = 0;
#pragma omp simd reduction(| : above)
    for (int32_t i = 0; i < n; i++) above |= x[i] > bar;
    return above;
}

/* Inserts index i into the sorted list of `held` indices. If the list already has k, the last one is
 * dropped. */
static int32_t insert(const float *values, int32_t *indices, int32_t held, int32_t k, int32_t i)
{
    int32_t at = held < k ? held : k - 1;
    for (; at > 0 && values[i] > values[indices[at - 1]]; at--) indices[at] = indices[at - 1];
    indices[at] = i;
    return held < k ? held + 1 : k;
}

HB_WIDE static void find_greatest(const float *values, int32_t n, int32_t *indices, int32_t k)
{
    enum { STRETCH = 64 };
    int32_t held = 0;
    for (int32_t start = 0; start < n; start += STRETCH) {
        int32_t end = n - start < STRETCH ? n : start + STRETCH;
        if (held == k && !any_above(values + start, end - start, values[indices[k - 1]])) continue;
        for (int32_t i = start; i < end; i++)
            if (held < k || values[i] > values[indices[k - 1]])
                held = insert(values, indices, held, k, i);
    }
}

void hb_greatest(const float *values, int32_t n, int32_t *indices, int32_t k)
{
    find_greatest(values, n, indices, k);
}
