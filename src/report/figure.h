/* The parts of a figure as SVG: frame, axes, bands, lines, points. Values are given in the units of the
 * axes; what lies beyond an axis is drawn at its end. Colours are classes of figure.css. */
#ifndef HB_REPORT_FIGURE_H
#define HB_REPORT_FIGURE_H

#include "base/writer.h"

typedef struct hb_axis {
    const char *label;
    double from, to;
    bool mirrored; /* ticks show absolute values */
} hb_axis;

typedef struct hb_figure {
    const char *title, *description; /* for screen readers */
    hb_axis x, y;
    double width, height;            /* of the picture */
    double left, right, top, bottom; /* margins */
    bool alone;                      /* a document of its own, which needs its own styles */
    const char *(*row_name)(const void *user, size_t i); /* with rows, the axis y shows their names */
    const void *user;
    size_t n_rows;
} hb_figure;

/* A figure of the usual size. */
hb_figure hb_figure_of(const char *title, const char *description, hb_axis x, hb_axis y);

void hb_figure_begin(hb_writer *w, const hb_figure *f);
void hb_figure_end(hb_writer *w);

/* Each takes the class of its elements, such as "s0". */
void hb_figure_line(hb_writer *w, const hb_figure *f, const char *style, const double *x,
                    const double *y, size_t n);
/* Leaves out the band where a bound is not known. */
void hb_figure_band(hb_writer *w, const hb_figure *f, const char *style, const double *x,
                    const double *lower, const double *upper, size_t n);
void hb_figure_segment(hb_writer *w, const hb_figure *f, const char *style, double x0, double y0,
                       double x1, double y1);
void hb_figure_dot(hb_writer *w, const hb_figure *f, const char *style, double x, double y,
                   const char *tip);
void hb_figure_bar(hb_writer *w, const hb_figure *f, const char *style, double x0, double y0, double x1,
                   double y1, const char *tip);
/* A short text beside a point of the plot. */
void hb_figure_note(hb_writer *w, const hb_figure *f, double x, double y, const char *text);

/* The place on the picture of a value. */
double hb_figure_x(const hb_figure *f, double x);
double hb_figure_y(const hb_figure *f, double y);
/* A number of the picture, with one decimal. */
void hb_figure_put(hb_writer *w, double value);

#endif
