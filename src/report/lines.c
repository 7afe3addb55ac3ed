#include "report/lines.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include "base/text.h"

#define MATRIX_MAX 20 /* maximum number of scores in a table of correlations */

void hb_write_name(hb_writer *w, const char *name, int width)
{
    char shown[33];
    hb_printable(shown, (size_t)width + 1, name, strlen(name));
    hb_write(w, "%-*s", width, shown);
}

void hb_write_interval(hb_writer *w, const hb_interval *interval, int digits)
{
    hb_write(w, " [%.*f, %.*f]", digits, interval->lower, digits, interval->upper);
}

void hb_write_rate(hb_writer *w, size_t n, double rate, const hb_grading *grading, uint64_t n_abstained)
{
    hb_write(w, "%zu %s", n, grading ? "answers" : "samples");
    if (n && grading)
        hb_write(w, ", %.1f %% of them right (%s), %.1f %% hallucinated", 100 - 100 * rate,
                 hb_grade_rule_name(grading->rule), 100 * rate);
    else if (n) hb_write(w, ", %.1f %% of them hallucinated", 100 * rate);
    if (grading && n_abstained && grading->abstain_as == HB_ABSTAIN_OUT)
        hb_write(w, "; %" PRIu64 " more abstained", n_abstained);
    else if (grading && n_abstained)
        hb_write(w, "; %" PRIu64 " of them abstained, which counts as %s", n_abstained,
                 hb_abstain_as_name(grading->abstain_as));
    hb_write(w, "\n");
}

hb_status hb_rate_text(size_t n, double hallucination_rate, const hb_grading *grading,
                       uint64_t n_abstained, char **text, hb_error *err)
{
    hb_writer w = {0};
    hb_write_rate(&w, n, hallucination_rate, grading, n_abstained);
    return hb_writer_finish(&w, text, err);
}

void hb_write_guarantee(hb_writer *w, const hb_guarantee *g)
{
    static const struct {
        const char *bound, *of;
    } promises[] = {[HB_GUARANTEE_RISK] = {"most", "the accepted are hallucinated"},
                    [HB_GUARANTEE_RECALL] = {"least", "the hallucinated are flagged"},
                    [HB_GUARANTEE_FALSE_HALTS] = {"most", "the right answers are stopped"},
                    [HB_GUARANTEE_HALTS] = {"least", "the hallucinated answers are stopped"}};
    hb_write(w, "with probability %g, at %s %g of %s", 1 - g->delta, promises[g->kind].bound, g->target,
             promises[g->kind].of);
}

static double percent(size_t part, size_t whole)
{
    return whole ? 100 * (double)part / (double)whole : 0;
}

void hb_write_halt(hb_writer *w, const hb_halt *h, const char *value)
{
    const hb_halt_rule *r = &h->rule;
    if (r->kind == HB_HALT_WINDOW) hb_write(w, "the mean of the last %d values of ", r->window);
    if (r->kind == HB_HALT_EWMA) hb_write(w, "the moving average (weight %g) of ", r->weight);
    if (r->kind == HB_HALT_CUSUM) hb_write(w, "the cusum of ");
    hb_write_printable(w, value, strlen(value));
    hb_write(w, " is at %s %.10g", h->direction == HB_DIRECTION_LOW ? "most" : "least", h->tau);
}

static void write_stopped(hb_writer *w, const hb_halt_report *r, int label, const char *name)
{
    hb_write(w, "%zu of the %zu %s (%.1f %% [%.1f, %.1f])", r->halted[label], r->n[label], name,
             percent(r->halted[label], r->n[label]), 100 * r->share[label].lower,
             100 * r->share[label].upper);
}

static void write_printed(hb_writer *w, const char *name, double value, const hb_interval *i)
{
    hb_write(w, "%s %g [%g, ", name, value, i->lower);
    if (isfinite(i->upper)) hb_write(w, "%g]", i->upper);
    else hb_write(w, "-]");
}

void hb_write_halt_report(hb_writer *w, const hb_halt_report *r)
{
    hb_write(w, "  stops ");
    write_stopped(w, r, 1, "hallucinated");
    hb_write(w, ", and ");
    write_stopped(w, r, 0, "right");
    hb_write(w, "\n");
    if (isfinite(r->printed[0])) {
        write_printed(w, "  hallucinated answers are stopped after", r->printed[0],
                      &r->printed_interval[0]);
        write_printed(w, " tokens (median) and", r->printed[1], &r->printed_interval[1]);
        hb_write(w, " (90 %%)\n");
    }
    if (r->n_left_out)
        hb_write(w, "  one answer of each label counts in each group; %zu are left out\n",
                 r->n_left_out);
}

void hb_write_halting(hb_writer *w, const hb_halting *h)
{
    hb_write(w,
             "Halting at the first token whose P_fail reaches %g would stop\n"
             "  %zu of the %zu hallucinated (%.1f %%), and %zu of the %zu faithful (%.1f %%)\n",
             h->cutoff, h->halted[1], h->n[1], percent(h->halted[1], h->n[1]), h->halted[0], h->n[0],
             percent(h->halted[0], h->n[0]));
}

static void write_alarms(hb_writer *w, const char *when, double threshold, const hb_alarms *a,
                         size_t n_spans)
{
    hb_write(w, "  %s %-10.6g in %zu of %zu spans (%.1f %%)", when, threshold, a->n_alarmed, n_spans,
             percent(a->n_alarmed, n_spans));
    if (a->n_alarmed) hb_write(w, ", after %g tokens (median)", a->median_delay);
    hb_write(w, "; at %.1f %% of the other tokens\n", percent(a->n_false, a->n_outside));
}

void hb_write_tokens(hb_writer *w, const hb_token_report *r)
{
    if (!r->n_tokens) return;
    hb_write(w, "Tokens: %zu in %zu answers, %zu of them hallucinated (%.1f %%), in %zu spans\n",
             r->n_tokens, r->n_answers, r->n_hallucinated, percent(r->n_hallucinated, r->n_tokens),
             r->n_spans);
    hb_write(w, "  %-22s AUROC   average precision\n", "signal");
    for (size_t i = 0; i < r->n_scores; i++) {
        const hb_token_score *s = &r->scores[i];
        hb_write(w, "  ");
        hb_write_name(w, hb_signal_name(s->signal), 22);
        hb_write(w, " %.4f  %.4f  (%s values are risky)\n", s->auroc, s->average_precision,
                 hb_direction_name(s->direction));
    }
    if (!r->watched) {
        hb_write(
            w, "No alarms: a run keeps the calibrated score of whole answers, not of single tokens\n");
        return;
    }
    hb_write(w, "Alarms of %s\n", hb_signal_name(r->watched));
    write_alarms(w, "at tau       ", r->tau, &r->at_tau, r->n_spans);
    write_alarms(w, "at P_fail >=", r->cutoff, &r->at_cutoff, r->n_spans);
}

/* Words for a control, and for what is risky by direction. */
static const struct {
    const char *name, *shown, *risky[2];
} controls_shown[] = {
    {"answer_length", "answer length", {"long answers are risky", "short answers are risky"}},
    {"prompt_length", "prompt length", {"long prompts are risky", "short prompts are risky"}},
    {"overlap", "overlap with context", {"high overlap is risky", "low overlap is risky"}},
    {"shuffled_labels", "shuffled labels", {"must be 0.5", ""}}};

static void write_control(hb_writer *w, const hb_control *c)
{
    size_t i = 0;
    while (strcmp(controls_shown[i].name, c->name) != 0) i++;
    hb_write(w, "  %-22s   %.3f", controls_shown[i].shown, c->auroc);
    if (isfinite(c->interval.lower)) hb_write_interval(w, &c->interval, 3);
    else hb_write(w, "%15s", "");
    if (isnan(c->difference.p)) hb_write(w, "  %-8s", "");
    else hb_write(w, "  %-8.2g", c->difference.p);
    hb_write(w, "  %s\n", controls_shown[i].risky[c->direction == HB_DIRECTION_LOW]);
}

void hb_write_controls(hb_writer *w, const hb_control *controls, size_t n)
{
    bool tested = false;
    if (!n) return;
    hb_write(w, "%-27s%-20s  p\n", "Controls [95 %]", "AUROC");
    for (size_t k = 0; k < n; k++) {
        write_control(w, &controls[k]);
        tested = tested || !isnan(controls[k].difference.p);
    }
    if (tested) hb_write(w, "p: of no difference from the score's AUROC (DeLong's paired test)\n");
}

void hb_write_correlations(hb_writer *w, const char *(*name)(const void *, size_t), const void *user,
                           const double *correlations, size_t n)
{
    if (n > MATRIX_MAX) {
        hb_write(w, "Correlations of %zu scores: see --json\n", n);
        return;
    }
    hb_write(w, "Rank correlations (Spearman), in hundredths\n%27s", "");
    for (size_t k = 1; k <= n; k++) hb_write(w, "%5zu", k);
    hb_write(w, "\n");
    for (size_t a = 0; a < n; a++) {
        hb_write(w, "%4zu ", a + 1);
        hb_write_name(w, name(user, a), 22);
        for (size_t b = 0; b <= a; b++) hb_write(w, "%5.0f", 100 * correlations[a * n + b]);
        hb_write(w, "\n");
    }
}
