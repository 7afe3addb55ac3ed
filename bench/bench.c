#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, ascending);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

uint64_t bench_peak_memory(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_maxrss * 1024;
}

void bench_check(hb_status status, const hb_error *err)
{
    if (!status) return;
    fprintf(stderr, "bench: %s\n", err->message);
    exit(1);
}

void *bench_need(void *memory)
{
    if (memory) return memory;
    fprintf(stderr, "bench: out of memory\n");
    exit(1);
}

int32_t bench_number(const char *option, const char *text, int32_t min)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (end != text && !*end && !errno && value >= min && value <= 1 << 24) return (int32_t)value;
    fprintf(stderr, "bench: --%s: '%s' is not a whole number of at least %d\n", option, text, min);
    exit(2);
}

void bench_print(json_t *object)
{
    json_dumpf(bench_need(object), stdout, JSON_REAL_PRECISION(6));
    putchar('\n');
    fflush(stdout);
    json_decref(object);
}
