/* Writes a validation as JSON. docs/statistics.md explains the numbers. */
#include <math.h>
#include "report/params.h"
#include "report/values.h"

static void add_classes(hb_json *j, const char *key, const hb_class_summary by_label[2])
{
    hb_json_list(j, key);
    hb_json_class(j, NULL, &by_label[0]);
    hb_json_class(j, NULL, &by_label[1]);
    hb_json_end(j);
}

static void add_risks(hb_json *j, const hb_validation *v)
{
    hb_json_array(j, "risk_coverage");
    for (int i = 0; i < HB_RISK_POINTS; i++) {
        hb_json_row(j, NULL);
        hb_json_number(j, "coverage", (i + 1.0) / HB_RISK_POINTS);
        hb_json_number(j, "risk", v->risks[i]);
        hb_json_end(j);
    }
    hb_json_end(j);
}

/* Completes the object of a guarantee. */
static void add_check(hb_json *j, const hb_guarantee_check *c)
{
    hb_json_whole(j, "n", (int64_t)c->n);
    hb_json_whole(j, "k", (int64_t)c->k);
    hb_json_number(j, "value", c->value);
    hb_json_bool(j, "held", c->held);
    hb_json_number(j, "p", c->p);
    hb_json_end(j);
}

static void add_guarantee(hb_json *j, const hb_validation *v)
{
    const hb_guarantee_check *c = &v->guarantee;
    if (!hb_json_guarantee(j, &v->options.guarantee)) return;
    add_check(j, c);
}

static void add_probabilities(hb_json *j, const hb_validation *v)
{
    const hb_map *map = v->options.map;
    hb_json_text(j, "map", hb_map_kind_name(map ? map->kind : HB_MAP_LAMBDA));
    hb_json_number(j, "ece", v->ece);
    hb_json_number(j, "brier", v->brier);
    hb_json_number(j, "log_loss", v->log_loss);
}

/* Adds the score's statistics on both splits, by label. */
static void add_drift(hb_json *j, const hb_judged_score *s)
{
    hb_json_object(j, "drift");
    add_classes(j, "calibration", s->calibrated->by_label);
    add_classes(j, "test", s->validation.sweep.by_label);
    hb_json_end(j);
}

static void add_score(hb_json *j, const hb_judged_score *s)
{
    const hb_validation *v = &s->validation;
    const hb_sweep_result *r = &v->sweep;
    hb_json_object(j, s->calibrated->name);
    hb_json_text(j, "direction", hb_direction_sign(r->direction));
    hb_json_whole(j, "n", (int64_t)r->n);
    hb_json_number(j, "hallucination_rate", r->hallucination_rate);
    hb_json_number(j, "auroc", r->auroc);
    hb_json_interval(j, "auroc_delong", &v->uncertainty.auroc_delong);
    hb_json_number(j, "pr_auc", r->pr_auc);
    hb_json_number(j, "calibration_auroc", s->calibrated->auroc);
    hb_json_bootstrap(j, "bootstrap", &v->uncertainty);
    hb_json_point(j, "at_tau", &v->at_tau);
    hb_json_point(j, "best", &r->best);
    hb_json_bool(j, "best_reached", r->selection == HB_SELECT_PRECISION_AT_RECALL);
    hb_json_number(j, "min_recall", r->min_recall);
    add_risks(j, v);
    hb_json_number(j, "aurc", v->aurc);
    hb_json_number(j, "prr", v->prr);
    add_drift(j, s);
    add_probabilities(j, v);
    add_guarantee(j, v);
    hb_json_number(j, "p_difference", s->difference.p);
    hb_json_number(j, "p_difference_holm", s->p_holm);
    hb_json_end(j);
}

static void add_quadrants(hb_json *j, const hb_quadrants *q)
{
    hb_json_array(j, "quadrants");
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 2; b++) {
            size_t n = q->count[a][b];
            hb_json_row(j, NULL);
            hb_json_bool(j, "hbar_s", a);
            hb_json_bool(j, "pri", b);
            hb_json_whole(j, "count", (int64_t)n);
            hb_json_number(j, "hallucination_rate",
                           n ? (double)q->hallucinated[a][b] / (double)n : NAN);
            hb_json_end(j);
        }
    hb_json_end(j);
}

/* Adds the halt, which is null if the parameters have none. */
static void add_halt(hb_json *j, const hb_validation_result *r)
{
    const hb_guarantee_check *c = &r->halt_guarantee;
    if (!r->has_halt) {
        hb_json_null(j, "halt");
        return;
    }
    hb_json_object(j, "halt");
    hb_json_halt_members(j, &r->params->halt);
    hb_json_guarantee(j, &r->params->halt_guarantee);
    add_check(j, c);
    hb_json_halt_report(j, "answers", &r->halt);
    hb_json_end(j);
}

static void add_source(hb_json *j, const hb_validation_source *source)
{
    const hb_grading *g = source->grading;
    hb_json_text(j, "params", source->params);
    hb_json_text(j, "source", source->scores);
    if (g) hb_json_grading(j, g);
    else hb_json_null(j, "grade");
    if (g) hb_json_whole(j, "abstained", (int64_t)source->n_abstained);
    if (source->run)
        hb_json_origin(j,
                       &(hb_params_source){.run = source->run, .counts = source->counts, .grading = g});
}

hb_status hb_validation_json(const hb_validation_source *source, const hb_validation_result *r,
                             char **json, hb_error *err)
{
    hb_json j = {0};
    hb_json_object(&j, NULL);
    hb_json_text(&j, "schema", HB_VALIDATION_SCHEMA);
    add_source(&j, source);
    hb_json_text(&j, "score", r->scores[0].calibrated->name);
    if (r->knows_shared) hb_json_whole(&j, "shared_prompts", (int64_t)r->n_shared);
    else hb_json_null(&j, "shared_prompts");
    hb_json_object(&j, "scores");
    for (size_t i = 0; i < r->n_scores; i++) add_score(&j, &r->scores[i]);
    hb_json_end(&j);
    hb_json_correlations(&j, "correlations", hb_judged_name, r, r->correlations, r->n_scores);
    hb_json_controls(&j, "controls", r->controls, r->n_controls);
    if (r->has_quadrants) add_quadrants(&j, &r->quadrants);
    else hb_json_null(&j, "quadrants");
    if (r->has_halting) hb_json_halting(&j, "halting", &r->halting);
    else hb_json_null(&j, "halting");
    add_halt(&j, r);
    hb_json_tokens(&j, "tokens", &r->tokens);
    hb_json_curves(&j, "curves", r->curves);
    hb_json_end(&j);
    return hb_json_finish(&j, json, err);
}
