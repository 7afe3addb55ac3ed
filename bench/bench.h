/* What the measuring programs share. */
#ifndef HB_BENCH_H
#define HB_BENCH_H

#include <jansson.h>
#include <stdint.h>
#include "hbar.h"

/* Seconds on a clock that only goes forward. */
double bench_now(void);

/* Sorts the values; the middle one, or the mean of the middle two. */
double bench_median(double *values, int n);

/* Highest resident memory of this process so far, bytes. */
uint64_t bench_peak_memory(void);

/* Ends the program, saying why, unless a library call gave HB_OK. */
void bench_check(hb_status status, const hb_error *err);

/* Ends the program if the pointer is NULL. */
void *bench_need(void *memory);

/* A whole number of at least `min` from an option's text; ends the program when it is none. */
int32_t bench_number(const char *option, const char *text, int32_t min);

/* Prints the object as one line, and releases it. */
void bench_print(json_t *object);

#endif
