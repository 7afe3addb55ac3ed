/* Functions shared by the benchmark programs. */
#ifndef HB_BENCH_H
#define HB_BENCH_H

#include <jansson.h>
#include <stdint.h>
#include "base/clock.h"
#include "hbar.h"

/* The median of the values, which are sorted in place. */
double bench_median(double *values, int n);

/* Peak resident memory of this process in bytes. */
uint64_t bench_peak_memory(void);

/* Exits with the error message unless `status` is HB_OK. */
void bench_check(hb_status status, const hb_error *err);

/* Returns `memory`; exits with a message if it is NULL. */
void *bench_need(void *memory);

/* Reads an integer of at least `min` from an option's text; exits with a message if it is none. */
int32_t bench_number(const char *option, const char *text, int32_t min);

/* Prints the object on one line and releases it. */
void bench_print(json_t *object);

#endif
