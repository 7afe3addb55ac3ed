#include "report/validation.h"

#include <math.h>

static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *interval(double lower, double upper)
{
    return json_pack("[o, o]", number(lower), number(upper));
}

static json_t *point(const hb_sweep_point *p)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I}", "tau", p->tau, "precision",
                     p->precision, "recall", p->recall, "f1", p->f1, "tp", (json_int_t)p->tp, "fp",
                     (json_int_t)p->fp, "fn", (json_int_t)p->fn, "tn", (json_int_t)p->tn);
}

static json_t *classes(const hb_class_summary by_label[2])
{
    json_t *both = json_array();
    for (int c = 0; c < 2; c++)
        json_array_append_new(both, json_pack("{s:I, s:o, s:o}", "n", (json_int_t)by_label[c].n, "mean",
                                              number(by_label[c].mean), "sd", number(by_label[c].sd)));
    return both;
}

/* The score's statistics on both splits, by label. */
static json_t *drift(const hb_calibrated_score *calibrated, const hb_validation *v)
{
    return json_pack("{s:o, s:o}", "calibration", classes(calibrated->by_label), "test",
                     classes(v->sweep.by_label));
}

static json_t *risk_curve(const hb_validation *v)
{
    json_t *curve = json_array();
    for (int i = 0; i < HB_RISK_POINTS; i++)
        json_array_append_new(curve, json_pack("{s:f, s:f}", "coverage", (i + 1.0) / HB_RISK_POINTS,
                                               "risk", v->risks[i]));
    return curve;
}

static json_t *bootstrap(const hb_validation *v)
{
    const hb_bootstrap *b = &v->intervals;
    if (!v->options.bootstrap.n_draws) return json_null();
    return json_pack("{s:I, s:I, s:o, s:o, s:o}", "draws", (json_int_t)v->options.bootstrap.n_draws,
                     "seed", (json_int_t)v->options.bootstrap.seed, "auroc",
                     interval(b->auroc.lower, b->auroc.upper), "pr_auc",
                     interval(b->pr_auc.lower, b->pr_auc.upper), "precision_at_recall",
                     interval(b->precision_at_recall.lower, b->precision_at_recall.upper));
}

json_t *hb_validation_json(const hb_calibrated_score *calibrated, const hb_validation *v)
{
    const hb_sweep_result *r = &v->sweep;
    return json_pack("{s:s, s:I, s:f, s:f, s:o, s:f, s:o, s:o, s:o, s:o, s:b, s:f, s:o, s:f, s:f, s:o, "
                     "s:f, s:f}",
                     "direction", r->direction == HB_DIRECTION_LOW ? "<=" : ">=", "n", (json_int_t)r->n,
                     "hallucination_rate", r->hallucination_rate, "auroc", r->auroc, "auroc_delong",
                     interval(r->auroc - 1.96 * v->auroc_se, r->auroc + 1.96 * v->auroc_se), "pr_auc",
                     r->pr_auc, "calibration_auroc", number(calibrated->auroc), "bootstrap",
                     bootstrap(v), "at_tau", point(&v->at_tau), "best", point(&r->best), "best_reached",
                     (int)(r->selection == HB_SELECT_PRECISION_AT_RECALL), "min_recall", r->min_recall,
                     "risk_coverage", risk_curve(v), "aurc", v->aurc, "prr", v->prr, "drift",
                     drift(calibrated, v), "ece", v->ece, "brier", v->brier);
}

json_t *hb_quadrants_json(const hb_quadrants *q)
{
    json_t *all = json_array();
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++) {
            double rate = (double)q->hallucinated[a][b] / (double)q->count[a][b];
            json_array_append_new(all, json_pack("{s:b, s:b, s:I, s:o}", "hbar_s", a, "pri", b, "count",
                                                 (json_int_t)q->count[a][b], "hallucination_rate",
                                                 number(rate)));
        }
    return all;
}
