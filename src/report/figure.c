#include "report/figure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "report/markup.h"
#include "report/styles.h"

/* ---- Places -------------------------------------------------------------------------------------- */

static double place(const hb_axis *a, double value)
{
    double share = a->to != a->from ? (value - a->from) / (a->to - a->from) : 0.5;
    return isnan(share) ? 0 : fmin(fmax(share, 0), 1);
}

double hb_figure_x(const hb_figure *f, double x)
{
    return f->left + place(&f->x, x) * (f->width - f->left - f->right);
}

double hb_figure_y(const hb_figure *f, double y)
{
    return f->height - f->bottom - place(&f->y, y) * (f->height - f->top - f->bottom);
}

void hb_figure_put(hb_writer *w, double value)
{
    long tenths = lround(fmin(fmax(value, -1e6), 1e6) * 10);
    hb_write(w, "%s%ld", tenths < 0 ? "-" : "", labs(tenths) / 10);
    if (tenths % 10) hb_write(w, ".%ld", labs(tenths) % 10);
}

static void put_pair(hb_writer *w, double x, double y)
{
    hb_figure_put(w, x);
    hb_write(w, ",");
    hb_figure_put(w, y);
}

/* Writes ` name="value"`. */
static void attribute(hb_writer *w, const char *name, double value)
{
    hb_write(w, " %s=\"", name);
    hb_figure_put(w, value);
    hb_write(w, "\"");
}

hb_figure hb_figure_of(const char *title, const char *description, hb_axis x, hb_axis y)
{
    return (hb_figure){.title = title,
                       .description = description,
                       .x = x,
                       .y = y,
                       .width = 460,
                       .height = 320,
                       .left = 56,
                       .right = 14,
                       .top = 12,
                       .bottom = 46};
}

/* ---- Axes ---------------------------------------------------------------------------------------- */

static void text_at(hb_writer *w, const char *style, double x, double y, const char *anchor)
{
    hb_write(w, "<text class=\"%s\"", style);
    attribute(w, "x", x);
    attribute(w, "y", y);
    hb_write(w, " text-anchor=\"%s\">", anchor);
}

/* The distance of ticks that gives about `n` of them: 1, 2 or 5 times a power of ten. */
static double step_of(const hb_axis *a, int n)
{
    double rough = (a->to - a->from) / n;
    if (!(rough > 1e-300) || !isfinite(rough)) return 0;
    double power = pow(10, floor(log10(rough))), share = rough / power;
    return power * (share > 5 ? 10 : share > 2 ? 5 : share > 1 ? 2 : 1);
}

static int digits_of(double step)
{
    int digits = (int)ceil(-log10(step) - 1e-9);
    return digits < 0 ? 0 : digits > 9 ? 9 : digits;
}

static void tick_x(hb_writer *w, const hb_figure *f, double value, int digits)
{
    double x = hb_figure_x(f, value);
    hb_write(w, "<path class=\"grid\" d=\"M");
    put_pair(w, x, f->top);
    hb_write(w, "V");
    hb_figure_put(w, f->height - f->bottom);
    hb_write(w, "\"/>");
    text_at(w, "tick", x, f->height - f->bottom + 15, "middle");
    hb_markup_number(w, value, digits);
    hb_write(w, "</text>");
}

static void tick_y(hb_writer *w, const hb_figure *f, double value, int digits)
{
    double y = hb_figure_y(f, value);
    hb_write(w, "<path class=\"grid\" d=\"M");
    put_pair(w, f->left, y);
    hb_write(w, "H");
    hb_figure_put(w, f->width - f->right);
    hb_write(w, "\"/>");
    text_at(w, "tick", f->left - 6, y + 4, "end");
    hb_markup_number(w, f->y.mirrored ? fabs(value) : value, digits);
    hb_write(w, "</text>");
}

static void ticks(hb_writer *w, const hb_figure *f, const hb_axis *a,
                  void (*tick)(hb_writer *, const hb_figure *, double, int))
{
    enum { WANTED = 5, MOST = 20 };
    double step = step_of(a, WANTED), first = step > 0 ? ceil(a->from / step - 1e-9) : 0;
    for (int k = 0; k < MOST && step > 0; k++) {
        double value = (first + k) * step;
        if (value > a->to + step * 1e-9) break;
        tick(w, f, value == 0 ? 0 : value, digits_of(step));
    }
}

static void row_names(hb_writer *w, const hb_figure *f)
{
    for (size_t i = 0; i < f->n_rows; i++) {
        text_at(w, "tick", f->left - 6, hb_figure_y(f, (double)i) + 4, "end");
        hb_markup_some(w, f->row_name(f->user, i), 24);
        hb_write(w, "</text>");
    }
}

static void labels(hb_writer *w, const hb_figure *f)
{
    double middle = (f->top + f->height - f->bottom) / 2;
    text_at(w, "label", (f->left + f->width - f->right) / 2, f->height - 8, "middle");
    hb_markup_some(w, f->x.label, 80);
    hb_write(w, "</text><text class=\"label\" text-anchor=\"middle\" transform=\"translate(13,");
    hb_figure_put(w, middle);
    hb_write(w, ") rotate(-90)\">");
    hb_markup_some(w, f->y.label, 80);
    hb_write(w, "</text>");
}

void hb_figure_begin(hb_writer *w, const hb_figure *f)
{
    hb_write(w, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ");
    hb_figure_put(w, f->width);
    hb_write(w, " ");
    hb_figure_put(w, f->height);
    hb_write(w, "\" class=\"figure\" role=\"img\" aria-label=\"");
    hb_markup_some(w, f->title, 200);
    hb_write(w, ". ");
    hb_markup_some(w, f->description, 600);
    hb_write(w, "\"");
    if (f->alone) {
        attribute(w, "width", f->width);
        attribute(w, "height", f->height);
    }
    hb_write(w, "><title>");
    hb_markup_some(w, f->title, 200);
    hb_write(w, "</title><desc>");
    hb_markup_some(w, f->description, 600);
    hb_write(w, "</desc>");
    if (f->alone) {
        hb_write(w, "<style>");
        hb_write_bytes(w, (const char *)hb_figure_css, hb_figure_css_length);
        hb_write(w, "</style>");
    }
    if (*f->x.label) ticks(w, f, &f->x, tick_x);
    if (f->n_rows) row_names(w, f);
    else ticks(w, f, &f->y, tick_y);
    labels(w, f);
}

void hb_figure_end(hb_writer *w)
{
    hb_write(w, "</svg>\n");
}

/* ---- Marks --------------------------------------------------------------------------------------- */

void hb_figure_line(hb_writer *w, const hb_figure *f, const char *style, const double *x,
                    const double *y, size_t n)
{
    hb_write(w, "<polyline class=\"line %s\" points=\"", style);
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i]) || isnan(y[i])) continue;
        put_pair(w, hb_figure_x(f, x[i]), hb_figure_y(f, y[i]));
        hb_write(w, " ");
    }
    hb_write(w, "\"/>");
}

void hb_figure_band(hb_writer *w, const hb_figure *f, const char *style, const double *x,
                    const double *lower, const double *upper, size_t n)
{
    hb_write(w, "<polygon class=\"band %s\" points=\"", style);
    for (size_t i = 0; i < 2 * n; i++) {
        size_t k = i < n ? i : 2 * n - 1 - i;
        if (isnan(lower[k]) || isnan(upper[k]) || isnan(x[k])) continue;
        put_pair(w, hb_figure_x(f, x[k]), hb_figure_y(f, i < n ? lower[k] : upper[k]));
        hb_write(w, " ");
    }
    hb_write(w, "\"/>");
}

void hb_figure_segment(hb_writer *w, const hb_figure *f, const char *style, double x0, double y0,
                       double x1, double y1)
{
    if (isnan(x0) || isnan(y0) || isnan(x1) || isnan(y1)) return;
    hb_write(w, "<path class=\"%s\" d=\"M", style);
    put_pair(w, hb_figure_x(f, x0), hb_figure_y(f, y0));
    hb_write(w, "L");
    put_pair(w, hb_figure_x(f, x1), hb_figure_y(f, y1));
    hb_write(w, "\"/>");
}

static void tip_of(hb_writer *w, const char *tip)
{
    hb_write(w, "<title>");
    hb_markup_some(w, tip, 200);
    hb_write(w, "</title>");
}

void hb_figure_dot(hb_writer *w, const hb_figure *f, const char *style, double x, double y,
                   const char *tip)
{
    if (isnan(x) || isnan(y)) return;
    hb_write(w, "<circle class=\"dot %s\" r=\"4\"", style);
    attribute(w, "cx", hb_figure_x(f, x));
    attribute(w, "cy", hb_figure_y(f, y));
    hb_write(w, ">");
    tip_of(w, tip);
    hb_write(w, "</circle>");
}

void hb_figure_bar(hb_writer *w, const hb_figure *f, const char *style, double x0, double y0, double x1,
                   double y1, const char *tip)
{
    double left = hb_figure_x(f, x0), right = hb_figure_x(f, x1);
    double a = hb_figure_y(f, y0), b = hb_figure_y(f, y1);
    hb_write(w, "<rect class=\"bar %s\"", style);
    attribute(w, "x", fmin(left, right));
    attribute(w, "y", fmin(a, b));
    attribute(w, "width", fabs(right - left));
    attribute(w, "height", fabs(a - b));
    hb_write(w, ">");
    tip_of(w, tip);
    hb_write(w, "</rect>");
}

void hb_figure_note(hb_writer *w, const hb_figure *f, double x, double y, const char *text)
{
    if (isnan(x) || isnan(y)) return;
    double at = hb_figure_x(f, x);
    bool right = at > (f->left + f->width - f->right) * 0.6;
    text_at(w, "note", at + (right ? -7 : 7), hb_figure_y(f, y) + 4, right ? "end" : "start");
    hb_markup_some(w, text, 60);
    hb_write(w, "</text>");
}
