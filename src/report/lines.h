/* Code shared by the human-readable reports. */
#ifndef HB_REPORT_LINES_H
#define HB_REPORT_LINES_H

#include "base/writer.h"

/* Writes a score's name in a column of `width` characters, at most 32. */
void hb_write_name(hb_writer *w, const char *name, int width);

/* " [lower, upper]". */
void hb_write_interval(hb_writer *w, const hb_interval *interval, int digits);

/* Writes how many of the samples are hallucinated. */
void hb_write_rate(hb_writer *w, size_t n, double hallucination_rate, const hb_grading *grading,
                   uint64_t n_abstained);

/* Writes the statement of a guarantee, without its test result. */
void hb_write_guarantee(hb_writer *w, const hb_guarantee *guarantee);

/* Writes how many samples halting would have stopped. */
/* What a halt does to labelled answers, in three lines. */
void hb_write_halt_report(hb_writer *writer, const hb_halt_report *report);
/* "the mean of the last 8 values of hbar_s is at most 1.25". `value` is the name of the values. */
void hb_write_halt(hb_writer *writer, const hb_halt *halt, const char *value);
void hb_write_halting(hb_writer *w, const hb_halting *halting);

/* Writes the evaluation of tokens; nothing without tokens. */
void hb_write_tokens(hb_writer *w, const hb_token_report *report);

/* Writes the controls: their AUROCs, and how the score's AUROC differs from them. */
void hb_write_controls(hb_writer *w, const hb_control *controls, size_t n);

/* Writes rank correlations [n][n], one line per score. name(user, i) returns the i-th score's name. */
void hb_write_correlations(hb_writer *w, const char *(*name)(const void *, size_t), const void *user,
                           const double *correlations, size_t n);

#endif
