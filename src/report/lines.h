/* What several reports for people have in common. */
#ifndef HB_REPORT_LINES_H
#define HB_REPORT_LINES_H

#include "base/writer.h"

/* A score's name in a column of `width` characters, up to 32. */
void hb_write_name(hb_writer *w, const char *name, int width);

/* " [lower, upper]". */
void hb_write_interval(hb_writer *w, const hb_interval *interval, int digits);

/* How many of the samples are hallucinated. */
void hb_write_rate(hb_writer *w, size_t n, double hallucination_rate, const hb_grading *grading);

/* What a guarantee says, without how it came out. */
void hb_write_guarantee(hb_writer *w, const hb_guarantee *guarantee);

/* What halting would have stopped. */
void hb_write_halting(hb_writer *w, const hb_halting *halting);

/* Rank correlations [n][n] with a line for each score; name(user, i) is the i-th score's. */
void hb_write_correlations(hb_writer *w, const char *(*name)(const void *, size_t), const void *user,
                           const double *correlations, size_t n);

#endif
