/* Loops that are also compiled for wider registers. */
#ifndef HB_BASE_WIDE_H
#define HB_BASE_WIDE_H

/* For a static function, because the versions of others would leave the library. The dynamic linker
 * chooses the version for AVX-512, AVX2 or any processor. It does so before main, which checkers
 * (HB_FOR_CHECKERS) do not survive. */
#if defined(HB_HAVE_X86) && !defined(HB_FOR_CHECKERS)
#define HB_WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define HB_WIDE
#endif

#endif
