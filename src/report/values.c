#include "report/values.h"

#include <string.h>

const char *hb_compared_name(const void *comparison, size_t i)
{
    return ((const hb_comparison *)comparison)->scores[i].name;
}

const char *hb_judged_name(const void *result, size_t i)
{
    return ((const hb_validation_result *)result)->scores[i].calibrated->name;
}

void hb_json_text_or_null(hb_json *json, const char *key, const char *text)
{
    hb_json_text(json, key, text && *text ? text : NULL);
}

void hb_json_interval(hb_json *json, const char *key, const hb_interval *interval)
{
    hb_json_list(json, key);
    hb_json_number(json, NULL, interval->lower);
    hb_json_number(json, NULL, interval->upper);
    hb_json_end(json);
}

void hb_json_point_members(hb_json *json, const hb_sweep_point *p)
{
    hb_json_number(json, "tau", p->tau);
    hb_json_number(json, "precision", p->precision);
    hb_json_number(json, "recall", p->recall);
    hb_json_number(json, "f1", p->f1);
    hb_json_whole(json, "tp", (int64_t)p->tp);
    hb_json_whole(json, "fp", (int64_t)p->fp);
    hb_json_whole(json, "fn", (int64_t)p->fn);
    hb_json_whole(json, "tn", (int64_t)p->tn);
}

void hb_json_point(hb_json *json, const char *key, const hb_sweep_point *point)
{
    hb_json_row(json, key);
    hb_json_point_members(json, point);
    hb_json_end(json);
}

bool hb_json_guarantee(hb_json *j, const hb_guarantee *g)
{
    if (g->kind == HB_GUARANTEE_NONE) {
        hb_json_null(j, "guarantee");
        return false;
    }
    hb_json_object(j, "guarantee");
    hb_json_text(j, "kind", hb_guarantee_kind_name(g->kind));
    hb_json_number(j, "target", g->target);
    hb_json_number(j, "delta", g->delta);
    return true;
}

void hb_json_class(hb_json *json, const char *key, const hb_class_summary *c)
{
    hb_json_row(json, key);
    hb_json_whole(json, "n", (int64_t)c->n);
    hb_json_number(json, "mean", c->mean);
    hb_json_number(json, "sd", c->sd);
    hb_json_end(json);
}

void hb_json_bootstrap(hb_json *json, const char *key, const hb_uncertainty *u)
{
    const hb_bootstrap *b = &u->bootstrap;
    if (!u->options.n_draws) {
        hb_json_null(json, key);
        return;
    }
    hb_json_object(json, key);
    hb_json_whole(json, "draws", (int64_t)u->options.n_draws);
    hb_json_whole(json, "seed", (int64_t)u->options.seed);
    hb_json_interval(json, "auroc", &b->auroc);
    hb_json_interval(json, "pr_auc", &b->pr_auc);
    hb_json_number(json, "precision", b->precision);
    hb_json_interval(json, "precision_at_recall", &b->precision_at_recall);
    hb_json_end(json);
}

void hb_json_correlations(hb_json *json, const char *key, const char *(*name)(const void *, size_t),
                          const void *user, const double *correlations, size_t n)
{
    hb_json_object(json, key);
    hb_json_text(json, "method", "spearman");
    hb_json_list(json, "scores");
    for (size_t a = 0; a < n; a++) hb_json_text(json, NULL, name(user, a));
    hb_json_end(json);
    hb_json_array(json, "matrix");
    for (size_t a = 0; a < n; a++) {
        hb_json_list(json, NULL);
        for (size_t b = 0; b < n; b++) hb_json_number(json, NULL, correlations[a * n + b]);
        hb_json_end(json);
    }
    hb_json_end(json);
    hb_json_end(json);
}

void hb_json_grading(hb_json *j, const hb_grading *g)
{
    hb_json_text(j, "grade", hb_grade_rule_name(g->rule));
    if (g->rule == HB_GRADE_F1) hb_json_number(j, "min_f1", g->min_f1);
    if (g->rule == HB_GRADE_NUMBER) hb_json_number(j, "tolerance", g->tolerance);
    hb_json_text(j, "abstain_as", hb_abstain_as_name(g->abstain_as));
}

void hb_json_controls(hb_json *json, const char *key, const hb_control *controls, size_t n)
{
    hb_json_array(json, key);
    for (size_t k = 0; k < n; k++) {
        const hb_control *c = &controls[k];
        bool shuffled = strcmp(c->name, "shuffled_labels") == 0;
        hb_json_row(json, NULL);
        hb_json_text(json, "name", c->name);
        hb_json_whole(json, "n", (int64_t)c->n);
        if (!shuffled) hb_json_text(json, "direction", hb_direction_sign(c->direction));
        hb_json_number(json, "auroc", c->auroc);
        hb_json_interval(json, "interval", &c->interval);
        if (!shuffled) hb_json_number(json, "p_difference", c->difference.p);
        hb_json_end(json);
    }
    hb_json_end(json);
}

const char *hb_value_name(const char *score)
{
    hb_score_id id;
    return hb_score_find(score, &id) ? hb_signal_name(id.signal) : score;
}

void hb_json_halt_members(hb_json *j, const hb_halt *h)
{
    char rule[HB_HALT_RULE_BYTES];
    hb_halt_rule_text(&h->rule, rule);
    hb_json_text(j, "rule", rule);
    if (h->rule.kind == HB_HALT_CUSUM) {
        hb_json_number(j, "mean_0", h->rule.mean[0]);
        hb_json_number(j, "mean_1", h->rule.mean[1]);
        hb_json_number(j, "sd", h->rule.sd);
    }
    hb_json_text(j, "direction", hb_direction_sign(h->direction));
    hb_json_number(j, "tau", h->tau);
}

void hb_json_halt(hb_json *j, const char *key, const hb_halt *h)
{
    if (!h) {
        hb_json_null(j, key);
        return;
    }
    hb_json_row(j, key);
    hb_json_halt_members(j, h);
    hb_json_end(j);
}

void hb_json_halt_report(hb_json *j, const char *key, const hb_halt_report *r)
{
    hb_json_object(j, key);
    hb_json_whole(j, "hallucinated", (int64_t)r->n[1]);
    hb_json_whole(j, "hallucinated_halted", (int64_t)r->halted[1]);
    hb_json_interval(j, "hallucinated_share", &r->share[1]);
    hb_json_whole(j, "right", (int64_t)r->n[0]);
    hb_json_whole(j, "right_halted", (int64_t)r->halted[0]);
    hb_json_interval(j, "right_share", &r->share[0]);
    hb_json_whole(j, "left_out", (int64_t)r->n_left_out);
    hb_json_number(j, "printed_median", r->printed[0]);
    hb_json_interval(j, "printed_median_interval", &r->printed_interval[0]);
    hb_json_number(j, "printed_90", r->printed[1]);
    hb_json_interval(j, "printed_90_interval", &r->printed_interval[1]);
    hb_json_end(j);
}

void hb_json_halting(hb_json *json, const char *key, const hb_halting *h)
{
    hb_json_object(json, key);
    hb_json_number(json, "cutoff", h->cutoff);
    hb_json_whole(json, "hallucinated", (int64_t)h->n[1]);
    hb_json_whole(json, "hallucinated_halted", (int64_t)h->halted[1]);
    hb_json_whole(json, "faithful", (int64_t)h->n[0]);
    hb_json_whole(json, "faithful_halted", (int64_t)h->halted[0]);
    hb_json_end(json);
}

/* ---- Curves -------------------------------------------------------------------------------------- */

void hb_json_numbers(hb_json *j, const char *key, const double *values, size_t n)
{
    hb_json_list(j, key);
    for (size_t i = 0; i < n; i++) hb_json_number(j, NULL, values[i]);
    hb_json_end(j);
}

static void add_counts(hb_json *j, const char *key, const size_t *counts, size_t n)
{
    hb_json_list(j, key);
    for (size_t i = 0; i < n; i++) hb_json_whole(j, NULL, (int64_t)counts[i]);
    hb_json_end(j);
}

static void add_curve(hb_json *j, const char *key, const hb_curve *c, const char *x, const char *y)
{
    hb_json_object(j, key);
    hb_json_numbers(j, x, c->x, c->n);
    hb_json_numbers(j, y, c->y, c->n);
    hb_json_numbers(j, "lower", c->lower, c->n);
    hb_json_numbers(j, "upper", c->upper, c->n);
    hb_json_end(j);
}

void hb_json_curves(hb_json *j, const char *key, const hb_curves *c)
{
    hb_json_object(j, key);
    hb_json_object(j, "histogram");
    hb_json_number(j, "lower", c->lower);
    hb_json_number(j, "upper", c->upper);
    add_counts(j, "label_0", c->bars[0], c->n_bars);
    add_counts(j, "label_1", c->bars[1], c->n_bars);
    hb_json_end(j);
    add_curve(j, "roc", &c->roc, "false_positive_rate", "true_positive_rate");
    add_curve(j, "precision_recall", &c->precision_recall, "recall", "precision");
    add_curve(j, "risk_coverage", &c->risk_coverage, "coverage", "risk");
    add_curve(j, "reliability", &c->reliability, "p_fail", "rate");
    add_counts(j, "reliability_n", c->n_in_bin, c->reliability.n);
    hb_json_number(j, "aurc", c->aurc);
    hb_json_number(j, "ece", c->ece);
    hb_json_end(j);
}

/* ---- Tokens -------------------------------------------------------------------------------------- */

static void add_alarms(hb_json *j, const char *key, double threshold, const hb_alarms *a)
{
    hb_json_row(j, key);
    hb_json_number(j, "threshold", threshold);
    hb_json_whole(j, "spans_alarmed", (int64_t)a->n_alarmed);
    hb_json_number(j, "median_delay", a->median_delay);
    hb_json_whole(j, "outside", (int64_t)a->n_outside);
    hb_json_whole(j, "outside_alarmed", (int64_t)a->n_false);
    hb_json_end(j);
}

static void add_token_scores(hb_json *j, const hb_token_report *r)
{
    hb_json_array(j, "signals");
    for (size_t i = 0; i < r->n_scores; i++) {
        hb_json_row(j, NULL);
        hb_json_text(j, "name", hb_signal_name(r->scores[i].signal));
        hb_json_text(j, "direction", hb_direction_sign(r->scores[i].direction));
        hb_json_number(j, "auroc", r->scores[i].auroc);
        hb_json_number(j, "average_precision", r->scores[i].average_precision);
        hb_json_end(j);
    }
    hb_json_end(j);
}

void hb_json_tokens(hb_json *j, const char *key, const hb_token_report *r)
{
    if (!r->n_tokens) {
        hb_json_null(j, key);
        return;
    }
    hb_json_object(j, key);
    hb_json_whole(j, "answers", (int64_t)r->n_answers);
    hb_json_whole(j, "tokens", (int64_t)r->n_tokens);
    hb_json_whole(j, "hallucinated", (int64_t)r->n_hallucinated);
    hb_json_whole(j, "spans", (int64_t)r->n_spans);
    add_token_scores(j, r);
    if (r->watched) {
        hb_json_object(j, "alarms");
        hb_json_text(j, "signal", hb_signal_name(r->watched));
        add_alarms(j, "tau", r->tau, &r->at_tau);
        add_alarms(j, "p_fail", r->cutoff, &r->at_cutoff);
        hb_json_end(j);
    } else {
        hb_json_null(j, "alarms");
    }
    hb_json_end(j);
}
