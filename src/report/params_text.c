/* Writes a calibration as human-readable text. */
#include <math.h>
#include <string.h>
#include "report/lines.h"
#include "report/values.h"
#include "signals/probe.h"

/* ---- Several scores ----------------------------------------------------------------------------- */

static void write_estimate(hb_writer *w, double value, const hb_interval *interval, bool known)
{
    hb_write(w, "  %.3f", value);
    if (known) hb_write_interval(w, interval, 3);
}

static void write_ranking(hb_writer *w, const hb_comparison *c, bool drawn)
{
    hb_write(w, "%-27s  %-20s  %-*s  %-*s  p (Holm)\n", "By AUROC [95 %]", "AUROC", drawn ? 20 : 6,
             "PR-AUC", drawn ? 20 : 9, "precision");
    for (size_t k = 0; k < c->n; k++) {
        const hb_compared_score *s = &c->scores[k];
        const hb_bootstrap *b = &s->uncertainty.bootstrap;
        hb_write(w, "%4zu ", k + 1);
        hb_write_name(w, s->name, 22);
        write_estimate(w, s->sweep.auroc, &s->uncertainty.auroc_delong, true);
        write_estimate(w, s->sweep.pr_auc, &b->pr_auc, drawn);
        write_estimate(w, drawn ? b->precision : s->sweep.best.precision, &b->precision_at_recall,
                       drawn);
        if (isnan(s->p_holm)) hb_write(w, "  %s\n", k ? "-" : "");
        else hb_write(w, "  %.2g\n", s->p_holm);
    }
    if (c->n_constant)
        hb_write(w, "%zu scores are left out: all their values are equal\n", c->n_constant);
    hb_write(w,
             "precision: %s\np: of no difference from the first's AUROC (DeLong's paired test, Holm's "
             "correction)\n",
             drawn ? "the highest at the requested recall" : "at the chosen threshold");
}

/* Writes how often each score was chosen: "a in 3, b in 2". */
static void write_winners(hb_writer *w, const hb_calibration_result *r)
{
    const hb_nested *n = &r->nested;
    const char *between = "";
    for (size_t k = 0; k < r->comparison.n; k++) {
        size_t folds = 0;
        for (size_t f = 0; f < n->n_folds; f++) folds += n->winners[f] == k;
        if (!folds) continue;
        hb_write(w, "%s", between);
        hb_write_printable(w, r->comparison.scores[k].name, strlen(r->comparison.scores[k].name));
        hb_write(w, " in %zu", folds);
        between = ", ";
    }
}

static void write_nested(hb_writer *w, const hb_calibration_result *r)
{
    const hb_nested *n = &r->nested;
    hb_write(
        w,
        "The first is the best of %zu on these data, so its numbers flatter it; hbar validate judges "
        "it on other data\n",
        r->comparison.n);
    if (!n->n_folds) return;
    hb_write(w, "Chosen on %zu of %zu folds and judged on the other, in turn: AUROC %.4f",
             n->n_folds - 1, n->n_folds, n->auroc);
    if (isfinite(n->interval.lower)) hb_write_interval(w, &n->interval, 4);
    hb_write(w, "\n");
    if (!n->changes) return;
    hb_write(w, "  warning: the folds choose different scores: ");
    write_winners(w, r);
    hb_write(w, "\n");
}

static void write_comparison(hb_writer *w, const hb_calibration_result *r)
{
    const hb_comparison *c = &r->comparison;
    if (!c->n) return;
    write_ranking(w, c, r->options.bootstrap.n_draws > 0);
    hb_write_correlations(w, hb_compared_name, c, c->correlations, c->n);
    write_nested(w, r);
}

static void write_joint(hb_writer *w, const hb_joint *joint)
{
    if (!joint->n_features) return;
    const hb_joint_trial *best = &joint->trials[joint->best];
    hb_write(w,
             "Joint model of %zu scores, c %g chosen by %zu folds: out of fold AUROC %.4f, log-loss "
             "%.4f\n",
             joint->n_features, best->c, joint->options.n_folds, best->auroc, best->log_loss);
    for (size_t k = 0; k < joint->n_features; k++) {
        const hb_joint_feature *f = &joint->features[k];
        hb_write(w, "  ");
        hb_write_name(w, f->score, 22);
        hb_write(w, " %+.4f per standard deviation (%.6g +- %.6g)\n", f->weight, f->mean, f->sd);
    }
}

/* ---- The score calibrated ----------------------------------------------------------------------- */

static void write_class(hb_writer *w, const char *what, const hb_class_summary *c)
{
    hb_write(w, "  %-22s %.6g +- %.6g  (n %zu)\n", what, c->mean, c->sd, c->n);
}

static void write_score(hb_writer *w, const hb_params_source *source, const hb_calibration_result *r)
{
    const hb_sweep_result *s = &r->sweep;
    hb_score_id id;
    hb_write_rate(w, s->n, s->hallucination_rate, source->grading, source->counts.abstained);
    hb_write(w, "Score ");
    hb_write_printable(w, r->scores[0].name, strlen(r->scores[0].name));
    if (source->run && hb_score_find(r->scores[0].name, &id)) {
        const char *unit = hb_signal_unit(id.signal);
        hb_write(w, " (%s%s%s)", hb_signal_about(id.signal), *unit ? ", " : "", unit);
    }
    hb_write(w, "\n  %-22s %.6g to %.6g\n", "range", s->score_min, s->score_max);
    write_class(w, "faithful (label 0)", &s->by_label[0]);
    write_class(w, "hallucinated (label 1)", &s->by_label[1]);
    if (isfinite(s->cohens_d)) hb_write(w, "  %-22s %.3f\n", "Cohen's d", s->cohens_d);
}

/* Labels that come from grades cannot mean the opposite, so only others are put in question. */
static void write_contradiction(hb_writer *w, const hb_params_source *source,
                                const hb_calibration_result *r)
{
    hb_score_id id;
    if (!r->contradicts_signal || !hb_score_find(r->scores[0].name, &id)) return;
    const char *name = hb_signal_name(id.signal);
    hb_direction risky = hb_signal_risky(id.signal);
    hb_write(w, "  warning: %s %s should be risky, but here %s %s is, beyond chance%s\n",
             hb_direction_name(risky), name,
             hb_direction_name(risky == HB_DIRECTION_HIGH ? HB_DIRECTION_LOW : HB_DIRECTION_HIGH), name,
             source->grading ? "" : ": do labels of 1 mean that the answer is right (--correct)?");
}

static void write_better(hb_writer *w, const hb_calibration_result *r)
{
    const hb_better_score *b = &r->better;
    if (!b->name) return;
    hb_write(
        w, "%s ranks better: AUROC %.4f against %.4f (paired test, p %.2g); --score %s calibrates it\n",
        b->name, b->auroc, r->sweep.auroc, b->p_holm, b->name);
}

static void write_curves(hb_writer *w, const hb_params_source *source, const hb_calibration_result *r)
{
    const hb_sweep_result *s = &r->sweep;
    const hb_uncertainty *u = &r->uncertainty;
    bool low = s->direction == HB_DIRECTION_LOW, drawn = u->options.n_draws > 0;
    hb_write(w, "AUROC %.4f", s->auroc);
    if (drawn) hb_write_interval(w, &u->bootstrap.auroc, 4);
    hb_write(w, ", PR-AUC %.4f", s->pr_auc);
    if (drawn) hb_write_interval(w, &u->bootstrap.pr_auc, 4);
    const hb_probe *probe = hb_probes_find(r->probes, r->n_probes, r->scores[0].name);
    const char *why = probe && probe->kind->density                     ? "as distances are"
                      : r->joint.n_features || probe                    ? "as log-odds are"
                      : r->options.sweep.direction == HB_DIRECTION_AUTO ? "found from the data"
                                                                        : "as asked";
    hb_write(w, ": %s scores are risky (%s)\n", hb_direction_name(s->direction), why);
    hb_write(w,
             "  in %.0f of 100 pairs of a hallucinated and a faithful sample, the hallucinated one "
             "scores %s\n",
             100 * s->auroc, low ? "lower" : "higher");
    hb_write(w, "  %-22s high %.4f, low %.4f", "AUROC by direction", s->auroc_high, s->auroc_low);
    if (isfinite(u->auroc_se)) {
        hb_write(w, "; DeLong's interval");
        hb_write_interval(w, &u->auroc_delong, 4);
    }
    hb_write(w, "\n");
    if (s->within_noise)
        hb_write(w,
                 "  warning: this AUROC is within %.4f of 0.5, so the score may contain no "
                 "information\n",
                 1.96 * s->auroc_null_se);
    write_contradiction(w, source, r);
}

static void write_probes(hb_writer *w, const hb_calibration_result *r)
{
    for (size_t i = 0; i < r->n_probes; i++) {
        const hb_probe *p = r->probes[i];
        const hb_probe_trial *best = &p->trials[p->best];
        hb_write(w, "Probe %s of %zu numbers", p->kind->name, p->n);
        if (p->kind->of_block) hb_write(w, ", block %d", p->block + 1);
        if (!p->kind->density) hb_write(w, ", c %.3g", best->c);
        hb_write(w, ", chosen within %zu folds; its values here are out of fold\n", p->options.n_folds);
    }
}

static void write_choice(hb_writer *w, const hb_sweep_result *s)
{
    if (s->selection == HB_SELECT_PRECISION_AT_RECALL)
        hb_write(w, " (highest precision at recall >= %g)\n", s->min_recall);
    else if (s->selection == HB_SELECT_GUARANTEE) hb_write(w, " (guaranteed)\n");
    else hb_write(w, " (best F1: no threshold reached recall %g)\n", s->min_recall);
}

static void write_guarantee(hb_writer *w, const hb_guarantee *g)
{
    size_t k = g->kind == HB_GUARANTEE_RISK ? g->k : g->n - g->k;
    hb_write(w, "  guarantee: ");
    hb_write_guarantee(w, g);
    hb_write(w, "; here %zu of %zu (p %.4f, level %g)\n", k, g->n, g->p, g->level);
}

static void write_threshold(hb_writer *w, const hb_calibration_result *r)
{
    const hb_sweep_result *s = &r->sweep;
    const hb_sweep_point *b = &s->best;
    const hb_uncertainty *u = &r->uncertainty;
    hb_write(w, "Threshold tau: a score of %s %.10g is risky",
             s->direction == HB_DIRECTION_LOW ? "at most" : "at least", b->tau);
    write_choice(w, s);
    hb_write(w, "  precision %.4f, recall %.4f, F1 %.4f\n", b->precision, b->recall, b->f1);
    if (u->options.n_draws) {
        hb_write(w, "  best precision of any tau at that recall: %.4f", u->bootstrap.precision);
        hb_write_interval(w, &u->bootstrap.precision_at_recall, 4);
        hb_write(w, "\n");
    }
    hb_write(w, "  flags %zu of the %zu hallucinated and %zu of the %zu faithful samples\n", b->tp,
             b->tp + b->fn, b->fp, b->fp + b->tn);
    if (s->selection == HB_SELECT_GUARANTEE) write_guarantee(w, &s->guarantee);
    else if (s->wide_grid)
        hb_write(w, "  no tau at the quantiles 0.60 to 0.99 reached the recall, so 0.01 to 0.99 were "
                    "swept\n");
}

/* Without a calibrated halt, nothing halts unless a cutoff on P_fail is given. */
static void write_halt(hb_writer *w, const hb_calibration_result *r)
{
    const hb_halt_calibration *c = &r->halt;
    const hb_guarantee *g = &c->guarantee;
    if (c->halt.rule.kind == HB_HALT_NONE) {
        if (r->no_halt)
            hb_write(w,
                     "No halt is guaranteed: %s\n  with these parameters, generate halts no answer\n",
                     r->no_halt);
        if (r->has_halting) hb_write_halting(w, &r->halting);
        return;
    }
    hb_write(w, "Halt: before the token where ");
    hb_write_halt(w, &c->halt, hb_value_name(r->scores[0].name));
    hb_write(w, "\n");
    hb_write_halt_report(w, &c->report);
    if (hb_halt_stops_all(&c->halt))
        hb_write(w, "  warning: a cusum is never below 0, so this halt stops every answer before its "
                    "first token; ask for fewer --halts or choose another rule\n");
    hb_write(w, "  guarantee: ");
    hb_write_guarantee(w, g);
    hb_write(w, "; here %zu of %zu (p %.4f, level %.4g)\n",
             g->kind == HB_GUARANTEE_FALSE_HALTS ? g->k : g->n - g->k, g->n, g->p, g->level);
    if (r->halt_model)
        hb_write(w, "  it runs over a model that was fitted to the other %zu answers\n", c->n_fitted);
    else if (c->n_fitted)
        hb_write(w, "  the cusum is fitted to the other %zu answers: means %.6g and %.6g, sd %.6g\n",
                 c->n_fitted, c->halt.rule.mean[0], c->halt.rule.mean[1], c->halt.rule.sd);
}

/* Writes the quality of the map's probabilities on the samples it was fitted to. */
static void write_map(hb_writer *w, const hb_calibration_result *r)
{
    const hb_map *map = &r->map;
    if (map->kind == HB_MAP_LAMBDA) return;
    hb_write(w, "P_fail by %s", hb_map_kind_name(map->kind));
    if (map->kind == HB_MAP_PLATT) hb_write(w, ", 1 / (1 + exp(%.6g score + %.6g))", map->a, map->b);
    else if (map->kind == HB_MAP_ISOTONIC) hb_write(w, ", %zu knots", map->n_knots);
    else hb_write(w, " %.6g", map->lambda);
    hb_write(w, ": Brier %.4f on these samples\n", r->brier);
}

hb_status hb_params_text(const hb_params_source *source, const hb_calibration_result *r, char **text,
                         hb_error *err)
{
    hb_writer w = {0};
    write_comparison(&w, r);
    write_joint(&w, &r->joint);
    write_score(&w, source, r);
    write_probes(&w, r);
    write_curves(&w, source, r);
    write_better(&w, r);
    hb_write_controls(&w, r->controls, r->n_controls);
    write_threshold(&w, r);
    write_map(&w, r);
    write_halt(&w, r);
    hb_write_tokens(&w, &r->tokens);
    return hb_writer_finish(&w, text, err);
}
