#include "report/validation.h"

#include "report/values.h"

static json_t *classes(const hb_class_summary by_label[2])
{
    return json_pack("[o, o]", hb_json_class(&by_label[0]), hb_json_class(&by_label[1]));
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

static json_t *guarantee(const hb_validation *v)
{
    const hb_guarantee *asked = &v->options.guarantee;
    const hb_guarantee_check *c = &v->guarantee;
    if (asked->kind == HB_GUARANTEE_NONE) return json_null();
    return json_pack("{s:s, s:f, s:f, s:I, s:I, s:o, s:b, s:f}", "kind",
                     asked->kind == HB_GUARANTEE_RISK ? "risk" : "recall", "target", asked->target,
                     "delta", asked->delta, "n", (json_int_t)c->n, "k", (json_int_t)c->k, "value",
                     hb_json_number(c->value), "held", (int)c->held, "p", c->p);
}

json_t *hb_validation_json(const hb_calibrated_score *calibrated, const hb_validation *v)
{
    const hb_sweep_result *r = &v->sweep;
    return json_pack(
        "{s:s, s:I, s:f, s:f, s:o, s:f, s:o, s:o, s:o, s:o, s:b, s:f, s:o, s:f, s:f, s:o, "
        "s:s, s:f, s:f, s:f, s:o}",
        "direction", hb_direction_sign(r->direction), "n", (json_int_t)r->n, "hallucination_rate",
        r->hallucination_rate, "auroc", r->auroc, "auroc_delong",
        hb_json_interval(&v->uncertainty.auroc_delong), "pr_auc", r->pr_auc, "calibration_auroc",
        hb_json_number(calibrated->auroc), "bootstrap", hb_json_bootstrap(&v->uncertainty), "at_tau",
        hb_json_point(&v->at_tau), "best", hb_json_point(&r->best), "best_reached",
        (int)(r->selection == HB_SELECT_PRECISION_AT_RECALL), "min_recall", r->min_recall,
        "risk_coverage", risk_curve(v), "aurc", v->aurc, "prr", v->prr, "drift", drift(calibrated, v),
        "map", hb_map_kind_name(v->options.map ? v->options.map->kind : HB_MAP_LAMBDA), "ece", v->ece,
        "brier", v->brier, "log_loss", v->log_loss, "guarantee", guarantee(v));
}

json_t *hb_quadrants_json(const hb_quadrants *q)
{
    json_t *all = json_array();
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++) {
            double rate = (double)q->hallucinated[a][b] / (double)q->count[a][b];
            json_array_append_new(all, json_pack("{s:b, s:b, s:I, s:o}", "hbar_s", a, "pri", b, "count",
                                                 (json_int_t)q->count[a][b], "hallucination_rate",
                                                 hb_json_number(rate)));
        }
    return all;
}

json_t *hb_halting_json(const hb_halting *h)
{
    return json_pack("{s:f, s:I, s:I, s:I, s:I}", "cutoff", h->cutoff, "hallucinated",
                     (json_int_t)h->n[1], "hallucinated_halted", (json_int_t)h->halted[1], "faithful",
                     (json_int_t)h->n[0], "faithful_halted", (json_int_t)h->halted[0]);
}
