/* What a result says in words and tables. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "report/markup.h"
#include "report/page.h"

enum { NAME_BYTES = 200, TEXT_BYTES = 2000, MOST_IN_TABLE = 30 };

/* ---- Values -------------------------------------------------------------------------------------- */

/* Writes a value of the document, whatever it is. */
static void put_value(hb_writer *w, const json_t *value)
{
    if (json_is_string(value)) hb_markup_some(w, json_string_value(value), TEXT_BYTES);
    else if (json_is_integer(value)) hb_write(w, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value)) hb_markup_number(w, json_real_value(value), 4);
    else if (json_is_boolean(value)) hb_write(w, json_is_true(value) ? "yes" : "no");
}

static bool is_shown(const json_t *value)
{
    return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
}

typedef struct fact {
    const char *label, *path;
} fact;

static const fact facts[] = {
    {"Model", "model.name"},
    {"Architecture", "model.architecture"},
    {"Model file", "model.path"},
    {"Size in bytes", "model.file_size"},
    {"SHA-256 of the model", "model.sha256"},
    {"Data", "data.path"},
    {"Format", "data.format"},
    {"SHA-256 of the data", "data.sha256"},
    {"Rows", "data.rows"},
    {"Broken rows", "data.broken_rows"},
    {"Samples drawn", "data.samples"},
    {"Scored", "data.scored"},
    {"Skipped (prompt too long)", "data.skipped"},
    {"Failed", "data.failed"},
    {"Abstained", "data.abstained"},
    {"Labels set later", "data.labels_set"},
    {"Seed", "settings.seed"},
    {"Most tokens of an answer", "settings.max_tokens"},
    {"Context", "settings.context"},
    {"Chat format", "settings.chat"},
    {"System message", "settings.system"},
    {"Responses read as", "settings.read_as"},
    {"Exact sessions", "settings.exact"},
    {"Type of the KV cache", "settings.kv_type"},
    {"Engine", "settings.engine"},
    {"Graded by", "settings.grade"},
    {"Samples beside each answer", "settings.samples.n"},
    {"Their temperature", "settings.samples.temperature"},
    {"Questions to a model", "settings.asks"},
    {"Least recall", "settings.min_recall"},
    {"Thresholds tried", "settings.tau_grid"},
    {"Aggregation of the score", "score.aggregation"},
    {"Map to P_fail", "map.kind"},
    {"Parameters", "params"},
    {"Scores from", "source"},
    {"Graded by", "grade"},
    {"Samples that the calibration had, too", "shared_prompts"},
    {"Created", "created"},
    {"hbar", "hbar_version"},
};

static void put_facts(hb_writer *w, const hb_subject *s)
{
    hb_write(w, "<h3>What was run</h3>\n<p class=\"how\">Results hold for this model, these data and "
                "these settings. Equal hashes mean equal files.</p>\n<table class=\"facts\"><tbody>\n");
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        const json_t *value = hb_member(s->root, facts[i].path);
        if (!is_shown(value)) continue;
        hb_write(w, "<tr><th scope=\"row\">%s</th><td>", facts[i].label);
        put_value(w, value);
        hb_write(w, "</td></tr>\n");
    }
    hb_write(w, "</tbody></table>\n");
}

/* ---- The headline -------------------------------------------------------------------------------- */

typedef struct metric {
    const char *label, *of_params, *of_validation; /* paths; NULL: the document has none */
    const char *params_interval, *validation_interval;
    int digits;
    const char *words;
} metric;

/* Paths of parameters begin at the root, those of a validation at its first score. */
static const metric metrics[] = {
    {"AUROC", "auroc", "auroc", "uncertainty.auroc_delong", "auroc_delong", 3,
     "how often a hallucinated answer has a riskier score than a right one; 0.5 is chance"},
    {"AUROC within folds", "nested.auroc", NULL, "nested.interval", NULL, 3,
     "the same where the choice of the score could not flatter it"},
    {"AUROC of the calibration", NULL, "calibration_auroc", NULL, NULL, 3,
     "much higher than on these data: the calibration was flattered, or the data differ"},
    {"Average precision", "pr_auc", "pr_auc", "uncertainty.bootstrap.pr_auc", "bootstrap.pr_auc", 3,
     "the precision, averaged over all recalls; chance is the rate of hallucinations"},
    {"Precision at τ", "threshold.precision", "at_tau.precision", NULL, NULL, 3,
     "the share of flagged answers that are hallucinated"},
    {"Recall at τ", "threshold.recall", "at_tau.recall", NULL, NULL, 3,
     "the share of hallucinated answers that are flagged"},
    {"F1 at τ", "threshold.f1", "at_tau.f1", NULL, NULL, 3, "the harmonic mean of the two"},
    {"Best precision at the least recall", "uncertainty.bootstrap.precision", "bootstrap.precision",
     "uncertainty.bootstrap.precision_at_recall", "bootstrap.precision_at_recall", 3,
     "the highest precision of a threshold that catches enough"},
    {"AURC", "curves.aurc", "aurc", NULL, NULL, 3, "the mean risk over all coverages; lower is better"},
    {"Rejection ratio (PRR)", NULL, "prr", NULL, NULL, 3, "1 rejects like an oracle, 0 like chance"},
    {"Calibration error (ECE)", "curves.ece", "ece", NULL, NULL, 3,
     "how far P_fail is from the true share, on average"},
    {"Brier score", NULL, "brier", NULL, NULL, 3, "the mean squared error of P_fail"},
    {"Log-loss", NULL, "log_loss", NULL, NULL, 3, "punishes confident errors of P_fail most"},
    {"Rate of hallucinations", "score.hallucination_rate", "hallucination_rate", NULL, NULL, 3,
     "in these samples"},
    {"Samples", "score.n", "n", NULL, NULL, 0, "with a score and a label"},
    {"τ", "threshold.tau", "at_tau.tau", NULL, NULL, 4, "the threshold on the score"},
};

static double metric_of(const hb_subject *s, const metric *m)
{
    const char *path = s->is_validation ? m->of_validation : m->of_params;
    return path ? hb_member_number(s->main, path) : NAN;
}

static void put_metric(hb_writer *w, const hb_subject *s, const metric *m)
{
    hb_interval i =
        hb_member_interval(s->main, s->is_validation ? m->validation_interval : m->params_interval);
    hb_markup_number(w, metric_of(s, m), m->digits);
    hb_markup_interval(w, i.lower, i.upper, m->digits);
}

static void put_guarantee(hb_writer *w, const hb_subject *s)
{
    const json_t *g = hb_member(s->main, s->is_validation ? "guarantee" : "threshold.guarantee");
    const char *kind = hb_member_text(g, "kind");
    const json_t *held = json_object_get(g, "held");
    if (!kind) return;
    bool risk = strcmp(kind, "risk") == 0;
    hb_write(w, "<p><strong>Guarantee:</strong> with probability ");
    hb_markup_number(w, 1 - hb_member_number(g, "delta"), 3);
    hb_write(w, ", at %s ", risk ? "most" : "least");
    hb_markup_number(w, hb_member_number(g, "target"), 3);
    hb_write(w, risk ? " of the accepted answers are hallucinated"
                     : " of the hallucinated answers are flagged");
    hb_write(w, " (%.0f samples, %.0f errors, p ", hb_member_number(g, "n"), hb_member_number(g, "k"));
    hb_markup_number(w, hb_member_number(g, "p"), 4);
    hb_write(w, ").");
    if (json_is_boolean(held))
        hb_write(w, " On these data it %s: ", json_is_true(held) ? "held" : "did not hold");
    if (json_is_boolean(held)) hb_markup_number(w, hb_member_number(g, "value"), 3);
    hb_write(w, "</p>\n");
}

/* What must be known before the numbers are believed. */
static void put_warnings(hb_writer *w, const hb_subject *s)
{
    if (json_is_true(json_object_get(s->root, "within_noise")))
        hb_write(w, "<p class=\"warning\">The AUROC is within noise of 0.5: on these samples the score "
                    "says nothing about the labels.</p>\n");
    if (json_is_true(json_object_get(s->root, "contradicts_signal")))
        hb_write(w, "<p class=\"warning\">The labels contradict the definition of the score's signal. "
                    "Most likely they mean the opposite.</p>\n");
    if (json_is_true(hb_member(s->root, "nested.changes")))
        hb_write(w,
                 "<p class=\"warning\">Different folds choose different scores, so which one is best "
                 "is not settled.</p>\n");
    const char *better = hb_member_text(s->root, "better.name");
    if (!better) return;
    hb_write(w, "<p class=\"warning\">The score ");
    hb_markup_some(w, better, NAME_BYTES);
    hb_write(w, " ranks significantly better on the same samples: AUROC ");
    hb_markup_number(w, hb_member_number(s->root, "better.auroc"), 3);
    hb_write(w, ".</p>\n");
}

static void put_headline(hb_writer *w, const hb_subject *s)
{
    const char *sign = hb_member_text(s->main, "direction");
    hb_write(w, "<h3>Headline</h3>\n<p>%s of the score <strong>",
             s->is_validation ? "Validation" : "Calibration");
    hb_markup_some(w, s->score, NAME_BYTES);
    hb_write(w, "</strong>. An answer is flagged if its score is ");
    hb_markup_some(w, sign ? sign : "beyond", 8);
    hb_write(w, " ");
    hb_markup_number(w, s->tau, 4);
    hb_write(w, ". Brackets are 95 %% intervals: where other samples of the same kind would "
                "plausibly have put the number.</p>\n");
    put_warnings(w, s);
    hb_write(w, "<table><thead><tr><th scope=\"col\">Measure</th><th scope=\"col\">Value</th>"
                "<th scope=\"col\">Meaning</th></tr></thead><tbody>\n");
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        if (isnan(metric_of(s, &metrics[i]))) continue;
        hb_write(w, "<tr><th scope=\"row\">%s</th><td class=\"number\">", metrics[i].label);
        put_metric(w, s, &metrics[i]);
        hb_write(w, "</td><td>%s</td></tr>\n", metrics[i].words);
    }
    hb_write(w, "</tbody></table>\n");
    put_guarantee(w, s);
}

/* ---- Figures and the tables beside them ---------------------------------------------------------- */

static void open_table(hb_writer *w, const char *const *columns)
{
    hb_write(
        w, "<details><summary>The numbers as a table</summary><div class=\"wide\"><table><thead><tr>");
    for (; *columns; columns++) hb_write(w, "<th scope=\"col\">%s</th>", *columns);
    hb_write(w, "</tr></thead><tbody>\n");
}

static void close_table(hb_writer *w)
{
    hb_write(w, "</tbody></table></div></details>\n");
}

static void cell(hb_writer *w, double value, int digits)
{
    hb_write(w, "<td class=\"number\">");
    hb_markup_number(w, value, digits);
    hb_write(w, "</td>");
}

static void put_curve(hb_writer *w, const hb_curve *c, const size_t *counts, const char *x,
                      const char *y)
{
    const char *const columns[] = {x, y, "lower", "upper", counts ? "samples" : NULL, NULL};
    open_table(w, columns);
    for (size_t k = 0; k < c->n; k++) {
        hb_write(w, "<tr>");
        cell(w, c->x[k], 3);
        cell(w, c->y[k], 3);
        cell(w, c->lower[k], 3);
        cell(w, c->upper[k], 3);
        if (counts) hb_write(w, "<td class=\"number\">%zu</td>", counts[k]);
        hb_write(w, "</tr>\n");
    }
    close_table(w);
}

static void put_histogram(hb_writer *w, const hb_curves *c)
{
    static const char *const columns[] = {"from", "to", "right", "hallucinated", NULL};
    double width = (c->upper - c->lower) / (double)c->n_bars;
    open_table(w, columns);
    for (size_t b = 0; b < c->n_bars; b++) {
        hb_write(w, "<tr>");
        cell(w, c->lower + width * (double)b, 4);
        cell(w, c->lower + width * (double)(b + 1), 4);
        hb_write(w, "<td class=\"number\">%zu</td><td class=\"number\">%zu</td></tr>\n", c->bars[0][b],
                 c->bars[1][b]);
    }
    close_table(w);
}

/* The detail of a row that only scores have. */
static const json_t *score_row(const hb_subject *s, const char *name, size_t i)
{
    return s->is_validation ? json_object_get(json_object_get(s->root, "scores"), name)
                            : json_array_get(json_object_get(s->root, "ranking"), i);
}

static void put_ranking(hb_writer *w, const hb_subject *s)
{
    static const char *const columns[] = {
        "score", "AUROC", "95 % interval", "average precision", "risky", "p (Holm)", NULL};
    hb_ranked *rows = NULL;
    size_t n = 0;
    if (!hb_page_ranking(s, &rows, &n)) w->failed = true;
    open_table(w, columns);
    for (size_t i = 0; i < n; i++) {
        const json_t *row = rows[i].control ? NULL : score_row(s, rows[i].name, i);
        const char *sign = hb_member_text(row, "direction");
        hb_write(w, "<tr><th scope=\"row\">");
        hb_markup_some(w, rows[i].name, NAME_BYTES);
        hb_write(w, "%s</th>", rows[i].control ? " (control)" : "");
        cell(w, rows[i].auroc, 3);
        hb_write(w, "<td class=\"number\">");
        hb_markup_interval(w, rows[i].lower, rows[i].upper, 3);
        hb_write(w, "</td>");
        cell(w, hb_member_number(row, "pr_auc"), 3);
        hb_write(w, "<td>");
        hb_markup_some(w, sign ? sign : "–", 8);
        hb_write(w, "</td>");
        cell(w, hb_member_number(row, "p_difference_holm"), 4);
        hb_write(w, "</tr>\n");
    }
    close_table(w);
    free(rows);
}

static void put_correlations(hb_writer *w, const hb_subject *s)
{
    const json_t *names = hb_member(s->root, "correlations.scores");
    const json_t *matrix = hb_member(s->root, "correlations.matrix");
    size_t n = json_array_size(names) < MOST_IN_TABLE ? json_array_size(names) : MOST_IN_TABLE;
    hb_write(w, "<details><summary>The numbers as a table</summary><div class=\"wide\"><table><thead>"
                "<tr><td></td>");
    for (size_t a = 0; a <= n; a++) {
        const char *name = a ? json_string_value(json_array_get(names, a - 1)) : NULL;
        if (a) hb_write(w, "<tr><th scope=\"row\">");
        if (a) hb_markup_some(w, name ? name : "?", NAME_BYTES);
        if (a) hb_write(w, "</th>");
        for (size_t b = 0; b < n; b++) {
            name = json_string_value(json_array_get(names, b));
            if (!a) hb_write(w, "<th scope=\"col\">");
            if (!a) hb_markup_some(w, name ? name : "?", NAME_BYTES);
            if (!a) hb_write(w, "</th>");
            else cell(w, hb_member_number(json_array_get(json_array_get(matrix, a - 1), b), ""), 2);
        }
        hb_write(w, a ? "</tr>\n" : "</tr></thead><tbody>\n");
    }
    close_table(w);
}

static void put_numbers(hb_writer *w, const hb_subject *s, const char *name)
{
    const hb_curves *c = &s->curves;
    if (strcmp(name, "histogram") == 0) put_histogram(w, c);
    else if (strcmp(name, "roc") == 0)
        put_curve(w, &c->roc, NULL, "right flagged", "hallucinated flagged");
    else if (strcmp(name, "precision_recall") == 0)
        put_curve(w, &c->precision_recall, NULL, "recall", "precision");
    else if (strcmp(name, "risk_coverage") == 0)
        put_curve(w, &c->risk_coverage, NULL, "coverage", "risk");
    else if (strcmp(name, "reliability") == 0)
        put_curve(w, &c->reliability, c->n_in_bin, "mean P_fail", "share hallucinated");
    else if (strcmp(name, "ranking") == 0) put_ranking(w, s);
    else put_correlations(w, s);
}

/* Writes a figure that was drawn, with how to read it. */
static void put_figure(hb_writer *w, const hb_subject *s, const hb_writer *picture,
                       const hb_figure_words *words, hb_detail detail)
{
    hb_write(w, "<figure><h4>%s</h4>\n", words->title);
    hb_write_bytes(w, picture->text.data, picture->text.length);
    hb_write(w, "<figcaption>%s", words->words);
    if (strcmp(words->name, "reliability") == 0 && !s->is_validation)
        hb_write(w, " Here it looks better than it is: P_fail was fitted to these samples.");
    hb_write(w, "</figcaption>\n");
    if (detail == HB_DETAIL_ALL) put_numbers(w, s, words->name);
    hb_write(w, "</figure>\n");
}

static void put_figures(hb_writer *w, const hb_subject *s, hb_detail detail)
{
    hb_figure_words words;
    hb_write(w, "<h3>Figures</h3>\n");
    if (detail != HB_DETAIL_ALL)
        hb_write(w,
                 "<p class=\"how\">With so many results, the page has no room for %s. A report of "
                 "fewer results shows them.</p>\n",
                 detail == HB_DETAIL_NUMBERS ? "the figures of each"
                                             : "the figures' numbers as tables");
    if (detail == HB_DETAIL_NUMBERS) return;
    if (!s->has_curves)
        hb_write(w,
                 "<p class=\"warning\">This file is of an earlier version and has no curves. hbar "
                 "calibrate, sweep and validate write them now; the run need not be repeated.</p>\n");
    hb_write(w, "<div class=\"figures\">\n");
    for (size_t i = 0;; i++) {
        hb_writer picture = {0};
        bool drawn = hb_page_figure(&picture, false, s, i, &words);
        if (picture.failed) w->failed = true;
        if (drawn) put_figure(w, s, &picture, &words, detail);
        hb_buffer_free(&picture.text);
        if (!words.name) break;
    }
    hb_write(w, "</div>\n");
}

/* ---- Halts --------------------------------------------------------------------------------------- */

static void put_share(hb_writer *w, const json_t *answers, const char *of, const char *halted,
                      const char *interval, const char *words)
{
    hb_interval i = hb_member_interval(answers, interval);
    double n = hb_member_number(answers, of), k = hb_member_number(answers, halted);
    if (!(n > 0)) return;
    hb_write(w, "<tr><th scope=\"row\">%s</th><td class=\"number\">%.0f of %.0f</td>", words, k, n);
    hb_write(w, "<td class=\"number\">");
    hb_markup_number(w, k / n, 3);
    hb_markup_interval(w, i.lower, i.upper, 3);
    hb_write(w, "</td></tr>\n");
}

static void put_delay(hb_writer *w, const json_t *answers, const char *path, const char *interval,
                      const char *words)
{
    hb_interval i = hb_member_interval(answers, interval);
    double value = hb_member_number(answers, path);
    if (isnan(value)) return;
    hb_write(w, "<tr><th scope=\"row\">%s</th><td></td><td class=\"number\">", words);
    hb_markup_number(w, value, 1);
    hb_markup_interval(w, i.lower, i.upper, 0);
    hb_write(w, "</td></tr>\n");
}

static void put_halt(hb_writer *w, const json_t *halt)
{
    const json_t *answers = json_object_get(halt, "answers");
    const char *rule = hb_member_text(halt, "rule"), *sign = hb_member_text(halt, "direction");
    hb_write(w, "<p>Generation halts where the rule <strong>");
    hb_markup_some(w, rule ? rule : "?", 60);
    hb_write(w, "</strong> reaches ");
    hb_markup_some(w, sign ? sign : "", 8);
    hb_write(w, " ");
    hb_markup_number(w, hb_member_number(halt, "tau"), 4);
    hb_write(w, ". The delay is how much of a hallucinated answer is printed before.</p>\n"
                "<table><tbody>\n");
    put_share(w, answers, "hallucinated", "hallucinated_halted", "hallucinated_share",
              "Hallucinated answers stopped");
    put_share(w, answers, "right", "right_halted", "right_share", "Right answers stopped");
    put_delay(w, answers, "printed_median", "printed_median_interval", "Tokens printed before, median");
    put_delay(w, answers, "printed_90", "printed_90_interval", "Tokens printed before, 90 % quantile");
    hb_write(w, "</tbody></table>\n");
}

static void put_no_halt(hb_writer *w, const char *why)
{
    hb_write(w, "<p>There is no calibrated halt, so no answer is halted unless a cutoff is given.");
    if (why) {
        hb_write(w, " The reason: ");
        hb_markup_some(w, why, 500);
        hb_write(w, ".");
    }
    hb_write(w, "</p>\n");
}

static void put_alarms(hb_writer *w, const json_t *tokens)
{
    double spans = hb_member_number(tokens, "spans");
    double alarmed = hb_member_number(tokens, "alarms.tau.spans_alarmed");
    if (!(spans > 0) || isnan(alarmed)) return;
    hb_write(w, "<p>Of %.0f hallucinated spans with known places, %.0f raise an alarm at τ", spans,
             alarmed);
    double delay = hb_member_number(tokens, "alarms.tau.median_delay");
    if (!isnan(delay)) hb_write(w, ", after %.0f tokens in the median", delay);
    double outside = hb_member_number(tokens, "alarms.tau.outside");
    double false_alarms = hb_member_number(tokens, "alarms.tau.outside_alarmed");
    if (outside > 0) hb_write(w, "; of %.0f tokens elsewhere, %.0f raise one", outside, false_alarms);
    hb_write(w, ".</p>\n");
}

static void put_halts(hb_writer *w, const hb_subject *s)
{
    const json_t *halt = json_object_get(s->root, "halt"),
                 *halting = json_object_get(s->root, "halting");
    hb_write(w, "<h3>Halts and delay</h3>\n");
    if (json_is_object(halt)) put_halt(w, halt);
    else put_no_halt(w, hb_member_text(s->root, "no_halt"));
    if (json_is_object(halting)) {
        hb_write(w, "<p>Halting where P_fail reaches ");
        hb_markup_number(w, hb_member_number(halting, "cutoff"), 2);
        hb_write(w, ", without a guarantee, would stop:</p>\n<table><tbody>\n");
        put_share(w, halting, "hallucinated", "hallucinated_halted", "", "Hallucinated answers");
        put_share(w, halting, "faithful", "faithful_halted", "", "Right answers");
        hb_write(w, "</tbody></table>\n");
    }
    put_alarms(w, json_object_get(s->root, "tokens"));
}

/* ---- All of it ----------------------------------------------------------------------------------- */

void hb_page_parts(hb_writer *w, const hb_subject *s, size_t id, hb_detail detail)
{
    hb_write(w, "<section id=\"r%zu\">\n<h2>", id);
    hb_markup_some(w, s->name, NAME_BYTES);
    hb_write(w, "</h2>\n");
    put_headline(w, s);
    put_facts(w, s);
    put_figures(w, s, detail);
    put_halts(w, s);
    hb_write(w, "</section>\n");
}

void hb_page_comparison(hb_writer *w, const hb_subject *subjects, size_t n)
{
    hb_write(w, "<section id=\"comparison\">\n<h2>Side by side</h2>\n<p class=\"how\">Numbers are "
                "comparable if the data are the same. Where intervals overlap, the difference may be "
                "chance.</p>\n<div class=\"wide\"><table><thead><tr><td></td>");
    for (size_t i = 0; i < n; i++) {
        hb_write(w, "<th scope=\"col\"><a href=\"#r%zu\">", i);
        hb_markup_some(w, subjects[i].name, NAME_BYTES);
        hb_write(w, "</a></th>");
    }
    hb_write(w, "</tr></thead><tbody>\n<tr><th scope=\"row\">Score</th>");
    for (size_t i = 0; i < n; i++) {
        hb_write(w, "<td>");
        hb_markup_some(w, subjects[i].score, NAME_BYTES);
        hb_write(w, "</td>");
    }
    hb_write(w, "</tr>\n");
    for (size_t k = 0; k < sizeof metrics / sizeof *metrics; k++) {
        hb_write(w, "<tr><th scope=\"row\">%s</th>", metrics[k].label);
        for (size_t i = 0; i < n; i++) {
            hb_write(w, "<td class=\"number\">");
            put_metric(w, &subjects[i], &metrics[k]);
            hb_write(w, "</td>");
        }
        hb_write(w, "</tr>\n");
    }
    hb_write(w, "</tbody></table></div>\n<div class=\"figures\">\n<figure><h4>ROC curves</h4>\n");
    hb_page_overlay(w, false, subjects, n);
    hb_write(w, "<figcaption>The higher curve ranks better; dots are the thresholds.</figcaption>"
                "</figure>\n<figure><h4>AUROC</h4>\n");
    hb_page_aurocs(w, false, subjects, n);
    hb_write(w, "<figcaption>Each result's AUROC with its 95 %% interval; 0.5 is chance.</figcaption>"
                "</figure>\n</div>\n</section>\n");
}
