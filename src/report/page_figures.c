/* The figures of a result: which there are, what they are called, how to read them. */
#include <math.h>
#include <stdlib.h>
#include "report/page.h"

enum { MOST_ROWS = 500, MOST_SCORES = 200 };

hb_interval hb_page_auroc_interval(const hb_subject *s)
{
    return hb_member_interval(s->main, s->is_validation ? "auroc_delong" : "uncertainty.auroc_delong");
}

double hb_page_rate(const hb_subject *s)
{
    return hb_member_number(s->main,
                            s->is_validation ? "hallucination_rate" : "score.hallucination_rate");
}

/* The counts at the threshold. */
static const json_t *threshold(const hb_subject *s)
{
    return hb_member(s->main, s->is_validation ? "at_tau" : "threshold");
}

/* ---- Curves -------------------------------------------------------------------------------------- */

/* A rate such as fp / (fp + tn) at the threshold. */
static double share(const hb_subject *s, const char *part, const char *other)
{
    double a = hb_member_number(threshold(s), part), b = hb_member_number(threshold(s), other);
    return a + b > 0 ? a / (a + b) : NAN;
}

static hb_drawn roc_of(const hb_subject *s)
{
    return (hb_drawn){s->name, &s->curves.roc, share(s, "fp", "tn"), share(s, "tp", "fn")};
}

static bool draw_histogram(hb_writer *w, bool alone, const hb_subject *s)
{
    if (!s->curves.n_bars) return false;
    hb_draw_histogram(w, alone, &s->curves, s->score, s->tau);
    return true;
}

static bool draw_roc(hb_writer *w, bool alone, const hb_subject *s)
{
    const hb_drawn d = roc_of(s);
    if (!d.curve->n) return false;
    hb_draw_roc(w, alone, &d, 1);
    return true;
}

static bool draw_precision_recall(hb_writer *w, bool alone, const hb_subject *s)
{
    const hb_drawn d = {s->name, &s->curves.precision_recall, hb_member_number(threshold(s), "recall"),
                        hb_member_number(threshold(s), "precision")};
    if (!d.curve->n) return false;
    hb_draw_precision_recall(w, alone, &d, 1, hb_page_rate(s));
    return true;
}

static bool draw_risk_coverage(hb_writer *w, bool alone, const hb_subject *s)
{
    double tn = hb_member_number(threshold(s), "tn"), fn = hb_member_number(threshold(s), "fn");
    double all = tn + fn + hb_member_number(threshold(s), "tp") + hb_member_number(threshold(s), "fp");
    const hb_drawn d = {s->name, &s->curves.risk_coverage, all > 0 ? (tn + fn) / all : NAN,
                        tn + fn > 0 ? fn / (tn + fn) : NAN};
    if (!d.curve->n) return false;
    hb_draw_risk_coverage(w, alone, &d, 1, hb_page_rate(s));
    return true;
}

static bool draw_reliability(hb_writer *w, bool alone, const hb_subject *s)
{
    if (!s->curves.reliability.n) return false;
    hb_draw_reliability(w, alone, &s->curves.reliability, s->curves.n_in_bin);
    return true;
}

void hb_page_overlay(hb_writer *w, bool alone, const hb_subject *subjects, size_t n)
{
    hb_drawn *drawn = calloc(n, sizeof *drawn);
    size_t count = 0;
    if (!drawn) w->failed = true;
    for (size_t i = 0; drawn && i < n; i++)
        if (subjects[i].curves.roc.n) drawn[count++] = roc_of(&subjects[i]);
    if (count) hb_draw_roc(w, alone, drawn, count);
    free(drawn);
}

/* ---- Rankings ------------------------------------------------------------------------------------ */

static const char *name_of(const json_t *row)
{
    const char *name = hb_member_text(row, "name");
    return name ? name : "?";
}

static hb_ranked row_of(const char *name, const json_t *row, const char *interval, bool control)
{
    hb_interval i = hb_member_interval(row, interval);
    return (hb_ranked){name, hb_member_number(row, "auroc"), i.lower, i.upper, control};
}

bool hb_page_ranking(const hb_subject *s, hb_ranked **rows, size_t *n)
{
    const json_t *ranking = json_object_get(s->root, "ranking"), *row;
    const json_t *controls = json_object_get(s->root, "controls");
    json_t *scores = s->is_validation ? json_object_get(s->root, "scores") : NULL;
    const char *name;
    size_t count = 0;
    hb_ranked *list = calloc(2 * MOST_ROWS, sizeof *list);
    if (!list) return false;
    for (size_t i = 0; i < json_array_size(ranking) && count < MOST_ROWS; i++) {
        row = json_array_get(ranking, i);
        list[count++] = row_of(name_of(row), row, "uncertainty.auroc_delong", false);
    }
    json_t *value;
    json_object_foreach(scores, name, value)
    {
        if (count < MOST_ROWS) list[count++] = row_of(name, value, "auroc_delong", false);
    }
    if (!count) {
        hb_interval i = hb_page_auroc_interval(s);
        list[count++] =
            (hb_ranked){s->score, hb_member_number(s->main, "auroc"), i.lower, i.upper, false};
    }
    for (size_t i = 0; i < json_array_size(controls) && count < 2 * MOST_ROWS; i++) {
        row = json_array_get(controls, i);
        list[count++] = row_of(name_of(row), row, "interval", true);
    }
    *rows = list;
    *n = count;
    return true;
}

static bool draw_ranking(hb_writer *w, bool alone, const hb_subject *s)
{
    hb_ranked *rows = NULL;
    size_t n = 0;
    if (!hb_page_ranking(s, &rows, &n)) w->failed = true;
    bool any = n > 1;
    if (any) hb_draw_ranking(w, alone, "Ranking with controls", rows, n);
    free(rows);
    return any;
}

void hb_page_aurocs(hb_writer *w, bool alone, const hb_subject *subjects, size_t n)
{
    hb_ranked *rows = calloc(n, sizeof *rows);
    if (!rows) w->failed = true;
    for (size_t i = 0; rows && i < n; i++) {
        hb_interval interval = hb_page_auroc_interval(&subjects[i]);
        rows[i] = (hb_ranked){subjects[i].name, hb_member_number(subjects[i].main, "auroc"),
                              interval.lower, interval.upper, false};
    }
    if (rows) hb_draw_ranking(w, alone, "AUROC of each result", rows, n);
    free(rows);
}

static bool draw_correlations(hb_writer *w, bool alone, const hb_subject *s)
{
    const json_t *names = hb_member(s->root, "correlations.scores");
    const json_t *matrix = hb_member(s->root, "correlations.matrix");
    size_t n = json_array_size(names);
    if (n < 2 || n > MOST_SCORES || json_array_size(matrix) != n) return false;
    double *values = calloc(n * n, sizeof *values);
    const char **list = calloc(n, sizeof *list);
    if (!values || !list) w->failed = true;
    for (size_t a = 0; values && list && a < n; a++) {
        const char *name = json_string_value(json_array_get(names, a));
        list[a] = name ? name : "?";
        for (size_t b = 0; b < n; b++)
            values[a * n + b] = hb_member_number(json_array_get(json_array_get(matrix, a), b), "");
    }
    if (values && list) hb_draw_correlations(w, alone, list, values, n);
    free(values);
    free(list);
    return true;
}

/* ---- All of them --------------------------------------------------------------------------------- */

static const struct {
    hb_figure_words words;
    bool (*draw)(hb_writer *w, bool alone, const hb_subject *s);
} all[] = {
    {{"histogram", "Scores by label",
      "Right answers are above the line, hallucinated ones below. The less the two halves overlap, the "
      "better the score tells them apart. Answers beyond the dashed τ, on the risky side, are flagged. "
      "The outermost bars also hold the few samples beyond the ends."},
     draw_histogram},
    {{"roc", "ROC curve",
      "Each point is a threshold. A curve near the upper left corner flags many hallucinated answers "
      "and few right ones; the diagonal is chance. The dot is τ, and the band says how far the curve "
      "could lie elsewhere with other samples (95 %, at each point)."},
     draw_roc},
    {{"precision_recall", "Precision and recall",
      "Follow the curve to the share of hallucinated answers that you want to catch, and read off how "
      "many of the flagged answers really are hallucinated. The dashed line is flagging at random."},
     draw_precision_recall},
    {{"risk_coverage", "Risk and coverage",
      "If you accept only the least risky answers, this is the share of hallucinated ones among them. "
      "Lower is better; the mean height of the curve is the AURC. The dot is what τ accepts."},
     draw_risk_coverage},
    {{"reliability", "Reliability of P_fail",
      "Where the dots lie on the diagonal, a P_fail of 0.3 means that 3 in 10 such answers are "
      "hallucinated. Dots below it: P_fail is too high; above it: too low."},
     draw_reliability},
    {{"ranking", "Ranking with controls",
      "Scores whose intervals overlap may be equally good. A score is only worth its cost if it lies "
      "clearly above the grey controls, such as the length of the answer; shuffled labels show what "
      "chance finds on so few samples."},
     draw_ranking},
    {{"correlations", "Correlations of the scores",
      "Strong squares are scores that rank the samples alike (blue) or in reverse (orange), so "
      "together "
      "they say little more than one of them; pale squares are scores that complement each other."},
     draw_correlations},
};

bool hb_page_figure(hb_writer *w, bool alone, const hb_subject *s, size_t i, hb_figure_words *words)
{
    if (i >= sizeof all / sizeof *all) {
        words->name = NULL;
        return false;
    }
    *words = all[i].words;
    return all[i].draw(w, alone, s);
}
