#include "report/figures.h"

#include <math.h>
#include <stdio.h>
#include "report/figure.h"
#include "report/markup.h"

static const char *const styles[] = {"s0", "s1", "s2", "s3", "s4", "s5"};
#define N_STYLES (sizeof styles / sizeof *styles)

/* ---- The histogram ------------------------------------------------------------------------------- */

static size_t sum_of(const size_t *bars, size_t n)
{
    size_t sum = 0;
    for (size_t b = 0; b < n; b++) sum += bars[b];
    return sum ? sum : 1;
}

void hb_draw_histogram(hb_writer *w, bool alone, const hb_curves *c, const char *score, double tau)
{
    static const char *const words[2] = {"right", "hallucinated"};
    double sums[2], most = 0, width = (c->upper - c->lower) / (double)(c->n_bars ? c->n_bars : 1);
    char tip[128];
    for (int label = 0; label < 2; label++) {
        sums[label] = (double)sum_of(c->bars[label], c->n_bars);
        for (size_t b = 0; b < c->n_bars; b++)
            most = fmax(most, (double)c->bars[label][b] / sums[label]);
    }
    hb_figure f = hb_figure_of(
        "Scores by label",
        "Bars upwards are the shares of right answers, bars downwards those of hallucinated ones, at "
        "each value of the score. The dashed line is the threshold.",
        (hb_axis){score, c->lower, c->upper, false},
        (hb_axis){"hallucinated | right", -most * 1.05, most * 1.05, true});
    f.alone = alone;
    hb_figure_begin(w, &f);
    for (int label = 0; label < 2; label++)
        for (size_t b = 0; b < c->n_bars; b++) {
            double share = (double)c->bars[label][b] / sums[label], x = c->lower + width * (double)b;
            if (share == 0) continue;
            snprintf(tip, sizeof tip, "%.4g to %.4g: %zu %s", x, x + width, c->bars[label][b],
                     words[label]);
            hb_figure_bar(w, &f, styles[label], x, 0, x + width, label ? -share : share, tip);
        }
    hb_figure_segment(w, &f, "tau", tau, f.y.from, tau, f.y.to);
    hb_figure_note(w, &f, tau, f.y.to * 0.9, "τ");
    hb_figure_end(w);
}

/* ---- Curves -------------------------------------------------------------------------------------- */

static void legend(hb_writer *w, const hb_figure *f, const hb_drawn *curves, size_t n, double y)
{
    double step = (f->y.to - f->y.from) * 0.06;
    for (size_t i = 0; i < n && i < 2 * N_STYLES; i++) {
        double at = y - step * (double)i;
        hb_figure_bar(w, f, styles[i % N_STYLES], 0.5, at - step / 6, 0.54, at + step / 6,
                      curves[i].name);
        hb_write(w, "<text class=\"note\" x=\"");
        hb_figure_put(w, hb_figure_x(f, 0.56));
        hb_write(w, "\" y=\"");
        hb_figure_put(w, hb_figure_y(f, at) + 4);
        hb_write(w, "\">");
        hb_markup_some(w, curves[i].name, 24);
        hb_write(w, "</text>");
    }
}

/* The curves with their thresholds' points; of one alone the band, too. */
static void draw_curves(hb_writer *w, const hb_figure *f, const hb_drawn *curves, size_t n)
{
    char tip[96];
    for (size_t i = 0; i < n; i++) {
        const hb_curve *c = curves[i].curve;
        const char *style = styles[i % N_STYLES];
        if (n == 1) hb_figure_band(w, f, style, c->x, c->lower, c->upper, c->n);
        hb_figure_line(w, f, style, c->x, c->y, c->n);
        snprintf(tip, sizeof tip, "at the threshold: %.3f, %.3f", curves[i].x, curves[i].y);
        hb_figure_dot(w, f, style, curves[i].x, curves[i].y, tip);
        if (n == 1) hb_figure_note(w, f, curves[i].x, curves[i].y, "τ");
    }
}

void hb_draw_roc(hb_writer *w, bool alone, const hb_drawn *curves, size_t n)
{
    hb_figure f = hb_figure_of(
        "ROC curve",
        "For each threshold, the share of hallucinated answers that it flags against the share of "
        "right "
        "answers that it flags. The dashed diagonal is chance; the band is the 95 % interval.",
        (hb_axis){"right answers flagged", 0, 1, false},
        (hb_axis){"hallucinated answers flagged", 0, 1, false});
    f.alone = alone;
    hb_figure_begin(w, &f);
    hb_figure_segment(w, &f, "chance", 0, 0, 1, 1);
    draw_curves(w, &f, curves, n);
    if (n > 1) legend(w, &f, curves, n, 0.06 * (double)n + 0.02);
    hb_figure_end(w);
}

void hb_draw_precision_recall(hb_writer *w, bool alone, const hb_drawn *curves, size_t n, double rate)
{
    hb_figure f = hb_figure_of(
        "Precision and recall",
        "For each recall, the share of flagged answers that are hallucinated. The dashed line is the "
        "precision of flagging at random; the band is the 95 % interval.",
        (hb_axis){"recall", 0, 1, false}, (hb_axis){"precision", 0, 1, false});
    f.alone = alone;
    hb_figure_begin(w, &f);
    hb_figure_segment(w, &f, "chance", 0, rate, 1, rate);
    draw_curves(w, &f, curves, n);
    if (n > 1) legend(w, &f, curves, n, 0.06 * (double)n + 0.02);
    hb_figure_end(w);
}

void hb_draw_risk_coverage(hb_writer *w, bool alone, const hb_drawn *curves, size_t n, double rate)
{
    double most = isnan(rate) ? 0 : rate;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < curves[i].curve->n; k++)
            most = fmax(most, fmax(curves[i].curve->y[k], curves[i].curve->upper[k]));
    hb_figure f = hb_figure_of(
        "Risk and coverage",
        "If only the least risky answers are accepted, the share of them that is hallucinated, against "
        "the share that is accepted. The dashed line is random rejection; the band is the 95 % "
        "interval.",
        (hb_axis){"answers accepted (coverage)", 0, 1, false},
        (hb_axis){"hallucinated among them (risk)", 0, fmin(1, most * 1.1 + 0.01), false});
    f.alone = alone;
    hb_figure_begin(w, &f);
    hb_figure_segment(w, &f, "chance", 0, rate, 1, rate);
    draw_curves(w, &f, curves, n);
    if (n > 1) legend(w, &f, curves, n, f.y.to * (0.06 * (double)n + 0.02));
    hb_figure_end(w);
}

void hb_draw_reliability(hb_writer *w, bool alone, const hb_curve *c, const size_t *n_in_bin)
{
    char tip[128];
    hb_figure f = hb_figure_of(
        "Reliability",
        "Of the answers with about the same P_fail, the share that is hallucinated. On the dashed "
        "diagonal P_fail is right; bars are 95 % intervals.",
        (hb_axis){"P_fail", 0, 1, false}, (hb_axis){"share hallucinated", 0, 1, false});
    f.alone = alone;
    hb_figure_begin(w, &f);
    hb_figure_segment(w, &f, "chance", 0, 0, 1, 1);
    for (size_t k = 0; k < c->n; k++) {
        snprintf(tip, sizeof tip, "P_fail %.3f: %.3f of %zu", c->x[k], c->y[k], n_in_bin[k]);
        hb_figure_segment(w, &f, "span s0", c->x[k], c->lower[k], c->x[k], c->upper[k]);
        hb_figure_dot(w, &f, "s0", c->x[k], c->y[k], tip);
    }
    hb_figure_end(w);
}

/* ---- The ranking --------------------------------------------------------------------------------- */

static const char *ranked_name(const void *user, size_t i)
{
    const hb_ranked *rows = user;
    return rows[i].name;
}

/* Where the axis begins, so that all intervals are on it. */
static double lowest_of(const hb_ranked *rows, size_t n)
{
    double lowest = 0.4;
    for (size_t i = 0; i < n; i++) lowest = fmin(lowest, fmin(rows[i].auroc, rows[i].lower));
    return fmax(0, floor(lowest * 10) / 10);
}

void hb_draw_ranking(hb_writer *w, bool alone, const char *title, const hb_ranked *rows, size_t n)
{
    char tip[64];
    if (n > HB_DRAWN_ROWS) n = HB_DRAWN_ROWS;
    hb_figure f = hb_figure_of(
        title,
        "The AUROC of each row with its 95 % interval. The dashed line at 0.5 is "
        "chance. Grey rows are controls.",
        (hb_axis){"AUROC", lowest_of(rows, n), 1, false}, (hb_axis){"", (double)n - 0.5, -0.5, false});
    f.alone = alone;
    f.left = 190;
    f.height = 66 + 20 * (double)n;
    f.row_name = ranked_name;
    f.user = rows;
    f.n_rows = n;
    hb_figure_begin(w, &f);
    hb_figure_segment(w, &f, "chance", 0.5, f.y.from, 0.5, f.y.to);
    for (size_t i = 0; i < n; i++) {
        const char *style = rows[i].control ? "none" : "s0";
        char span[16];
        snprintf(span, sizeof span, "span %s", style);
        snprintf(tip, sizeof tip, "%.3f", rows[i].auroc);
        hb_figure_segment(w, &f, span, rows[i].lower, (double)i, rows[i].upper, (double)i);
        hb_figure_dot(w, &f, style, rows[i].auroc, (double)i, tip);
    }
    hb_figure_end(w);
}

enum { MOST_TIPS = 15 };

/* ---- Correlations -------------------------------------------------------------------------------- */

static const char *score_name(const void *user, size_t i)
{
    const char *const *names = user;
    return names[i];
}

/* Ends a square, with its tip if there are few of them: the table beside the figure has the numbers. */
static void put_pair_tip(hb_writer *w, const char *a, const char *b, double r, bool shown)
{
    if (!shown) {
        hb_write(w, "/>");
        return;
    }
    hb_write(w, "><title>");
    hb_markup_some(w, a, 60);
    hb_write(w, ", ");
    hb_markup_some(w, b, 60);
    hb_write(w, ": ");
    hb_markup_number(w, r, 2);
    hb_write(w, "</title></rect>");
}

void hb_draw_correlations(hb_writer *w, bool alone, const char *const *names, const double *matrix,
                          size_t n_all)
{
    size_t n = n_all < HB_DRAWN_SCORES ? n_all : HB_DRAWN_SCORES;
    double side = n > 12 ? 18 : 30;
    hb_figure f =
        hb_figure_of("Rank correlations of the scores",
                     "Each square is Spearman's correlation of two scores, in the same order "
                     "on both axes: blue is positive, orange negative, pale is none.",
                     (hb_axis){"", 0, (double)n, false}, (hb_axis){"", (double)n - 0.5, -0.5, false});
    f.alone = alone;
    f.left = 190;
    f.width = f.left + f.right + side * (double)n;
    f.height = f.top + f.bottom + side * (double)n;
    f.row_name = score_name;
    f.user = names;
    f.n_rows = n;
    hb_figure_begin(w, &f);
    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < n; b++) {
            double r = matrix[a * n_all + b];
            if (isnan(r)) continue;
            hb_write(w, "<rect class=\"cell %s\" stroke-width=\"1\" fill-opacity=\"",
                     styles[r < 0 ? 1 : 0]);
            hb_markup_number(w, fmin(fabs(r), 1), 2);
            hb_write(w, "\" x=\"");
            hb_figure_put(w, f.left + side * (double)b);
            hb_write(w, "\" y=\"");
            hb_figure_put(w, f.top + side * (double)a);
            hb_write(w, "\" width=\"%.0f\" height=\"%.0f\"", side, side);
            put_pair_tip(w, names[a], names[b], r, n <= MOST_TIPS);
        }
    hb_figure_end(w);
}
