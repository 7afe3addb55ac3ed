/* The figures of a report: numbers in, SVG out. `alone` makes a document of its own. */
#ifndef HB_REPORT_FIGURES_H
#define HB_REPORT_FIGURES_H

#include "base/writer.h"
#include "hbar.h"

/* A curve of one of the results that a figure shows together. */
typedef struct hb_drawn {
    const char *name;
    const hb_curve *curve;
    double x, y; /* the point of the threshold; NaN: unknown */
} hb_drawn;

/* The score's distribution by label: label 0 upwards, label 1 downwards, as shares of each label. */
void hb_draw_histogram(hb_writer *w, bool alone, const hb_curves *curves, const char *score,
                       double tau);
/* With one curve also its band, with several a legend. */
void hb_draw_roc(hb_writer *w, bool alone, const hb_drawn *curves, size_t n);
/* `rate` is the share of hallucinated samples, which is the precision of chance; NaN: unknown. */
void hb_draw_precision_recall(hb_writer *w, bool alone, const hb_drawn *curves, size_t n, double rate);
void hb_draw_risk_coverage(hb_writer *w, bool alone, const hb_drawn *curves, size_t n, double rate);
void hb_draw_reliability(hb_writer *w, bool alone, const hb_curve *curve, const size_t *n_in_bin);

/* A row of a ranking. */
typedef struct hb_ranked {
    const char *name;
    double auroc, lower, upper;
    bool control;
} hb_ranked;
#define HB_DRAWN_ROWS 60 /* the most that are drawn */
void hb_draw_ranking(hb_writer *w, bool alone, const char *title, const hb_ranked *rows, size_t n);

/* Rank correlations [n][n]; NaN is left blank. */
#define HB_DRAWN_SCORES 40 /* the most that are drawn */
void hb_draw_correlations(hb_writer *w, bool alone, const char *const *names,
                          const double *correlations, size_t n);

#endif
