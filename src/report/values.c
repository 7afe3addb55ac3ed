#include "report/values.h"

#include <math.h>

json_t *hb_json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *hb_json_interval(const hb_interval *interval)
{
    return json_pack("[o, o]", hb_json_number(interval->lower), hb_json_number(interval->upper));
}

json_t *hb_json_point(const hb_sweep_point *p)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:I, s:I, s:I, s:I}", "tau", p->tau, "precision",
                     p->precision, "recall", p->recall, "f1", p->f1, "tp", (json_int_t)p->tp, "fp",
                     (json_int_t)p->fp, "fn", (json_int_t)p->fn, "tn", (json_int_t)p->tn);
}

json_t *hb_json_class(const hb_class_summary *c)
{
    return json_pack("{s:I, s:o, s:o}", "n", (json_int_t)c->n, "mean", hb_json_number(c->mean), "sd",
                     hb_json_number(c->sd));
}

json_t *hb_json_bootstrap(const hb_uncertainty *u)
{
    const hb_bootstrap *b = &u->bootstrap;
    if (!u->options.n_draws) return json_null();
    return json_pack("{s:I, s:I, s:o, s:o, s:f, s:o}", "draws", (json_int_t)u->options.n_draws, "seed",
                     (json_int_t)u->options.seed, "auroc", hb_json_interval(&b->auroc), "pr_auc",
                     hb_json_interval(&b->pr_auc), "precision", b->precision, "precision_at_recall",
                     hb_json_interval(&b->precision_at_recall));
}

json_t *hb_json_correlations(const char *const *names, const double *correlations, size_t n)
{
    json_t *scores = json_array(), *matrix = json_array();
    for (size_t a = 0; a < n; a++) {
        json_t *row = json_array();
        for (size_t b = 0; b < n; b++)
            json_array_append_new(row, hb_json_number(correlations[a * n + b]));
        json_array_append_new(matrix, row);
        json_array_append_new(scores, json_string(names[a]));
    }
    return json_pack("{s:s, s:o, s:o}", "method", "spearman", "scores", scores, "matrix", matrix);
}

const char *hb_direction_sign(hb_direction direction)
{
    return direction == HB_DIRECTION_LOW ? "<=" : ">=";
}
