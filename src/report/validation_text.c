/* Writes a validation as human-readable text. */
#include <math.h>
#include <string.h>
#include "report/lines.h"
#include "report/values.h"

/* ---- The score calibrated ----------------------------------------------------------------------- */

static void write_curves(hb_writer *w, const hb_validation_source *source, const hb_judged_score *s)
{
    const hb_validation *v = &s->validation;
    const hb_bootstrap *b = &v->uncertainty.bootstrap;
    bool drawn = v->uncertainty.options.n_draws > 0;
    hb_write_rate(w, v->sweep.n, v->sweep.hallucination_rate, source->grading, source->n_abstained);
    hb_write(w, "Score ");
    hb_write_printable(w, s->calibrated->name, strlen(s->calibrated->name));
    hb_write(w, ": %s scores are risky\n", hb_direction_name(s->calibrated->direction));
    hb_write(w, "  AUROC                  %.4f", v->sweep.auroc);
    if (drawn) hb_write_interval(w, &b->auroc, 4);
    if (isfinite(v->uncertainty.auroc_se)) { /* not so with one sample of a class */
        hb_write(w, ", DeLong's");
        hb_write_interval(w, &v->uncertainty.auroc_delong, 4);
    }
    if (isfinite(s->calibrated->auroc)) hb_write(w, "; at calibration %.4f", s->calibrated->auroc);
    hb_write(w, "\n  PR-AUC                 %.4f", v->sweep.pr_auc);
    if (drawn) hb_write_interval(w, &b->pr_auc, 4);
    hb_write(w, "\n");
}

static void write_thresholds(hb_writer *w, const hb_validation *v)
{
    const hb_sweep_point *t = &v->at_tau, *b = &v->sweep.best;
    hb_write(w, "  at tau %-15.8g precision %.4f, recall %.4f, F1 %.4f\n", t->tau, t->precision,
             t->recall, t->f1);
    hb_write(
        w,
        "                         flagged %zu hallucinated, %zu faithful; passed %zu hallucinated, "
        "%zu faithful\n",
        t->tp, t->fp, t->fn, t->tn);
    hb_write(w, "  best on this split     precision %.4f", b->precision);
    if (v->uncertainty.options.n_draws)
        hb_write_interval(w, &v->uncertainty.bootstrap.precision_at_recall, 4);
    hb_write(w, " at recall %.4f, tau %.8g\n", b->recall, b->tau);
}

static void write_drift(hb_writer *w, const hb_judged_score *s)
{
    for (int c = 0; c < 2; c++) {
        const hb_class_summary *then = &s->calibrated->by_label[c],
                               *now = &s->validation.sweep.by_label[c];
        hb_write(w, "  label %d               ", c);
        if (then->n)
            hb_write(w, " calibration %.6g +- %.6g (n %zu); here", then->mean, then->sd, then->n);
        hb_write(w, " %.6g +- %.6g (n %zu)\n", now->mean, now->sd, now->n);
    }
}

static void write_risks(hb_writer *w, const hb_validation *v)
{
    const hb_map *map = v->options.map;
    hb_write(w, "  risk at coverage       ");
    for (int i = HB_RISK_POINTS / 5; i <= HB_RISK_POINTS; i += HB_RISK_POINTS / 5)
        hb_write(w, "%s%.1f: %.4f", i > HB_RISK_POINTS / 5 ? ", " : "", (double)i / HB_RISK_POINTS,
                 v->risks[i - 1]);
    hb_write(w, "\n  AURC %.4f, PRR %.4f; P_fail by %s: ECE %.4f, Brier %.4f, log-loss %.4f\n", v->aurc,
             v->prr, hb_map_kind_name(map ? map->kind : HB_MAP_LAMBDA), v->ece, v->brier, v->log_loss);
}

static void write_guarantee(hb_writer *w, const hb_validation *v)
{
    const hb_guarantee *g = &v->options.guarantee;
    const hb_guarantee_check *c = &v->guarantee;
    if (g->kind == HB_GUARANTEE_NONE) return;
    hb_write(w, "Guarantee: ");
    hb_write_guarantee(w, g);
    hb_write(w, ": %s, %zu of %zu", c->held ? "kept" : "not kept",
             g->kind == HB_GUARANTEE_RISK ? c->k : c->n - c->k, c->n);
    if (c->n) hb_write(w, " are, %.4f", c->value);
    if (!c->held) hb_write(w, "; a value this bad has probability %.4f by chance", c->p);
    hb_write(w, "\n");
}

static void write_halt(hb_writer *w, const hb_validation_result *r)
{
    const hb_guarantee_check *c = &r->halt_guarantee;
    if (!r->has_halt) {
        if (r->no_halt) hb_write(w, "The halt is not validated: %s\n", r->no_halt);
        else if (r->has_halting) hb_write_halting(w, &r->halting);
        return;
    }
    hb_write(w, "Halt: before the token where ");
    hb_write_halt(w, &r->params->halt, hb_value_name(r->params->score));
    hb_write(w, "\n");
    hb_write_halt_report(w, &r->halt);
    hb_write(w, "  guarantee: ");
    hb_write_guarantee(w, &r->params->halt_guarantee);
    hb_write(w, ": %s", c->held ? "kept" : "not kept");
    if (!c->held) hb_write(w, "; a value this bad has probability %.4f by chance", c->p);
    hb_write(w, "\n");
}

/* ---- All scores --------------------------------------------------------------------------------- */

static void write_table(hb_writer *w, const hb_validation_result *r)
{
    hb_write(w, "%-22s %6s %6s  %12s  %6s %6s %6s  %6s %7s  %8s\n", "all scores", "AUROC", "PR-AUC",
             "tau", "prec.", "recall", "F1", "AURC", "PRR", "p (Holm)");
    for (size_t i = 0; i < r->n_scores; i++) {
        const hb_judged_score *s = &r->scores[i];
        const hb_validation *v = &s->validation;
        const hb_sweep_point *t = &v->at_tau;
        hb_write_name(w, s->calibrated->name, 22);
        hb_write(w, " %.4f %.4f  %s%11.6g  %.4f %.4f %.4f  %.4f %7.4f", v->sweep.auroc, v->sweep.pr_auc,
                 v->sweep.direction == HB_DIRECTION_LOW ? "<" : ">", t->tau, t->precision, t->recall,
                 t->f1, v->aurc, v->prr);
        if (isnan(s->p_holm)) hb_write(w, "\n");
        else hb_write(w, "  %8.2g\n", s->p_holm);
    }
}

static void write_quadrants(hb_writer *w, const hb_quadrants *q)
{
    static const char *const names[2][2] = {{"neither risky", "PRI alone"}, {"hbar_s alone", "both"}};
    hb_write(w, "hbar_s and PRI\n");
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++) {
            size_t n = q->count[a][b], ones = q->hallucinated[a][b];
            hb_write(w, "  %-22s %zu samples, %.1f %% hallucinated\n", names[a][b], n,
                     n ? 100 * (double)ones / (double)n : 0);
        }
}

hb_status hb_validation_text(const hb_validation_source *source, const hb_validation_result *r,
                             char **text, hb_error *err)
{
    hb_writer w = {0};
    const hb_judged_score *first = &r->scores[0];
    write_curves(&w, source, first);
    write_thresholds(&w, &first->validation);
    write_drift(&w, first);
    write_risks(&w, &first->validation);
    write_guarantee(&w, &first->validation);
    write_halt(&w, r);
    hb_write_tokens(&w, &r->tokens);
    if (r->n_scores > 1) {
        write_table(&w, r);
        hb_write_correlations(&w, hb_judged_name, r, r->correlations, r->n_scores);
    }
    hb_write_controls(&w, r->controls, r->n_controls);
    if (r->has_quadrants) write_quadrants(&w, &r->quadrants);
    return hb_writer_finish(&w, text, err);
}
