#include "engine/kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"

#ifdef HB_HAVE_X86
#include <cpuid.h>

static int has_avx2(void)
{
    unsigned a, b, c = 0, d;
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

static int has_avxvnni(void)
{
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}

static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#endif

#ifdef HB_HAVE_NEON
#include <sys/auxv.h>

static int has_dot_products(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
}

static int has_i8mm(void)
{
    return has_dot_products() && (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0;
}
#endif

const hb_kernels *hb_kernels_named(const char *name)
{
#ifdef HB_HAVE_X86
    if (strcmp(name, "avx512vnni") == 0 && has_avx512() && __builtin_cpu_supports("avx512vnni"))
        return &hb_kernels_avx512vnni;
    if (strcmp(name, "avxvnni") == 0 && has_avxvnni()) return &hb_kernels_avxvnni;
    if (strcmp(name, "avx512") == 0 && has_avx512()) return &hb_kernels_avx512;
    if (strcmp(name, "avx2") == 0 && has_avx2()) return &hb_kernels_avx2;
#endif
#ifdef HB_HAVE_NEON
    if (strcmp(name, "neon_i8mm") == 0 && has_i8mm()) return &hb_kernels_neon_i8mm;
    if (strcmp(name, "neon") == 0 && has_dot_products()) return &hb_kernels_neon;
#endif
    return strcmp(name, "portable") == 0 ? &hb_kernels_portable : NULL;
}

/* The fastest first. */
static const char *const names[] = {"avx512vnni", "avxvnni", "avx512",  "avx2",
                                    "neon_i8mm",  "neon",    "portable"};
enum { N_NAMES = sizeof names / sizeof *names };

static hb_status unknown(const char *wanted, hb_error *err)
{
    char shown[32], known[80] = "";
    for (int i = 0; i < N_NAMES; i++) {
        size_t used = strlen(known);
        if (hb_kernels_named(names[i]))
            snprintf(known + used, sizeof known - used, used ? ", %s" : "%s", names[i]);
    }
    return hb_fail(err, HB_ERR_ARGUMENT,
                   "the environment variable HBAR_KERNELS is '%s'; this processor has %s",
                   hb_printable(shown, sizeof shown, wanted, strlen(wanted)), known);
}

hb_status hb_kernels_choose(const hb_kernels **kernels, hb_error *err)
{
    const char *wanted = getenv("HBAR_KERNELS");
    bool named = wanted && *wanted;
    const hb_kernels *found = named ? hb_kernels_named(wanted) : NULL;
    if (named && !found) return unknown(wanted, err);
    for (int i = 0; !found; i++) found = hb_kernels_named(names[i]);
    *kernels = found;
    return HB_OK;
}
