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
    if (g->kind == HB_GUARANTEE_RISK)
        hb_write(w, "with probability %g, at most %g of the accepted are hallucinated", 1 - g->delta,
                 g->target);
    else
        hb_write(w, "with probability %g, at least %g of the hallucinated are flagged", 1 - g->delta,
                 g->target);
}

static double percent(size_t part, size_t whole)
{
    return whole ? 100 * (double)part / (double)whole : 0;
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
