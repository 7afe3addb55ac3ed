/* The sets of kernels, for tests that try each of them. */
#ifndef HB_TESTS_KERNEL_SETS_H
#define HB_TESTS_KERNEL_SETS_H

#include "check.h"
#include "engine/kernels/kernels.h"

static const char *const kernel_sets[] = {"portable",   "avx2", "avxvnni",  "avx512",
                                          "avx512vnni", "neon", "neon_i8mm"};
enum { N_KERNEL_SETS = sizeof kernel_sets / sizeof *kernel_sets };

/* The set of this number. NULL, with a message, if this processor cannot run it. */
static inline const hb_kernels *kernel_set(int set)
{
    const hb_kernels *k = hb_kernels_named(kernel_sets[set]);
    if (!k) print_message("skipped: this processor has no %s\n", kernel_sets[set]);
    return k;
}

/* Makes later sessions use the set of this number. False, with a message, if this processor cannot run
 * it. */
static inline bool choose_kernels(int set)
{
    return kernel_set(set) && setenv("HBAR_KERNELS", kernel_sets[set], 1) == 0;
}

#endif
