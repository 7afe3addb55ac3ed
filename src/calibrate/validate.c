/* Evaluates a threshold from one split on another split. */
#include <math.h>
#include <stdlib.h>
#include "calibrate/binomial.h"
#include "calibrate/guarantee.h"

/* ---- Rejecting the riskiest ---------------------------------------------------------------------- */

/* Samples are accepted from the least risky on; samples with equal scores count with the mean rate of
 * their group. */
double hb_area_under_risk(const hb_scored *ranked, size_t n, double risks[HB_RISK_POINTS])
{
    double ones = 0, area = 0;
    size_t point = 1;
    for (size_t end = n, at; end > 0; end = at) {
        double tied = 0;
        for (at = end; at > 0 && ranked[at - 1].score == ranked[end - 1].score; at--)
            tied += ranked[at - 1].label;
        double rate = tied / (double)(end - at);
        for (size_t i = 1; i <= end - at; i++) {
            size_t accepted = n - end + i;
            double risk = (ones + rate * (double)i) / (double)accepted;
            area += risk;
            for (; point <= HB_RISK_POINTS && accepted * HB_RISK_POINTS >= point * n; point++)
                risks[point - 1] = risk;
        }
        ones += tied;
    }
    return area / (double)n;
}

/* The same area for an oracle that accepts all hallucinated samples last. */
static double area_of_oracle(size_t n, size_t ones)
{
    double area = 0;
    for (size_t k = n - ones + 1; k <= n; k++) area += (double)(k - (n - ones)) / (double)k;
    return area / (double)n;
}

/* ---- P_fail as a probability --------------------------------------------------------------------- */

void hb_bin_probabilities(const double *p, const uint8_t *labels, size_t n, hb_p_bin bins[HB_P_BINS])
{
    for (int b = 0; b < HB_P_BINS; b++) bins[b] = (hb_p_bin){0};
    for (size_t i = 0; i < n; i++) {
        hb_p_bin *bin = &bins[p[i] < 1 ? (int)(p[i] * HB_P_BINS) : HB_P_BINS - 1];
        bin->n++;
        bin->ones += labels[i];
        bin->sum += p[i];
    }
}

double hb_calibration_error(const hb_p_bin bins[HB_P_BINS], size_t n)
{
    double error = 0;
    for (int b = 0; b < HB_P_BINS; b++) error += fabs(bins[b].sum - (double)bins[b].ones) / (double)n;
    return error;
}

static hb_status judge_probabilities(const double *scores, const uint8_t *labels, size_t n,
                                     const hb_validation_options *o, hb_validation *v, hb_error *err)
{
    hb_p_bin bins[HB_P_BINS];
    double squares = 0, *p = calloc(n, sizeof *p);
    if (!p) return hb_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        p[i] = hb_p_fail_by(o->map, scores[i], o->tau, o->lambda, o->direction);
        squares += (p[i] - labels[i]) * (p[i] - labels[i]);
    }
    v->log_loss = hb_log_loss(p, labels, n);
    v->brier = squares / (double)n;
    hb_bin_probabilities(p, labels, n, bins);
    v->ece = hb_calibration_error(bins, n);
    free(p);
    return HB_OK;
}

/* ---- The threshold ------------------------------------------------------------------------------- */

static hb_sweep_point confusion_at(const double *scores, const uint8_t *labels, size_t n,
                                   const hb_validation_options *o)
{
    hb_sweep_point p = {.tau = o->tau};
    for (size_t i = 0; i < n; i++) {
        bool flagged = hb_is_flagged(scores[i], o->tau, o->direction);
        ++*(flagged ? labels[i] ? &p.tp : &p.fp : labels[i] ? &p.fn : &p.tn);
    }
    if (p.tp + p.fp) p.precision = (double)p.tp / (double)(p.tp + p.fp);
    p.recall = (double)p.tp / (double)(p.tp + p.fn);
    if (p.tp) p.f1 = 2 * (double)p.tp / (double)(2 * p.tp + p.fp + p.fn);
    return p;
}

static hb_guarantee_check check_guarantee(const hb_guarantee *p, const hb_sweep_point *at_tau)
{
    hb_guarantee_check c = {.n = at_tau->tn + at_tau->fn, .k = at_tau->fn};
    if (p->kind == HB_GUARANTEE_RECALL) {
        c.n = at_tau->tp + at_tau->fn;
        c.value = at_tau->recall;
        c.held = c.value >= p->target;
        c.p = hb_binomial_at_least(c.k, c.n, 1 - p->target);
    } else {
        c.value = (double)c.k / (double)c.n;
        c.held = !(c.value > p->target);
        c.p = hb_binomial_at_least(c.k, c.n, p->target);
    }
    return c;
}

static hb_status judge_rejection(const double *scores, const uint8_t *labels, size_t n,
                                 const hb_validation_options *o, hb_validation *v, hb_error *err)
{
    double *oriented = hb_oriented(scores, n, o->direction);
    hb_scored *ranked = NULL;
    if (!oriented) return hb_fail_memory(err);
    hb_status status = hb_rank(oriented, labels, n, &ranked, err);
    if (!status) {
        double rate = v->sweep.hallucination_rate;
        v->aurc = hb_area_under_risk(ranked, n, v->risks);
        double oracle = area_of_oracle(n, v->sweep.by_label[1].n);
        v->prr = (rate - v->aurc) / (rate - oracle);
    }
    free(ranked);
    free(oriented);
    return status;
}

hb_validation_options hb_validation_defaults(void)
{
    const hb_monitor monitor = hb_monitor_defaults();
    return (hb_validation_options){.tau = monitor.tau,
                                   .lambda = monitor.lambda,
                                   .direction = monitor.direction,
                                   .bootstrap = hb_bootstrap_defaults()};
}

hb_status hb_validate(const double *scores, const uint8_t *labels, size_t n,
                      const hb_validation_options *options, hb_validation *out, hb_error *err)
{
    const hb_validation_options defaults = hb_validation_defaults();
    if (!options) options = &defaults;
    hb_validation v = {.options = *options};
    const hb_sweep_options sweep = {.grid = HB_GRID_EXACT,
                                    .min_recall = options->bootstrap.min_recall,
                                    .direction = options->direction};
    if (options->direction != HB_DIRECTION_LOW && options->direction != HB_DIRECTION_HIGH)
        return hb_fail(err, HB_ERR_ARGUMENT, "the direction must be high or low");
    if (!isfinite(options->tau) || !(options->lambda > 0))
        return hb_fail(err, HB_ERR_ARGUMENT, "tau %g is not a number or lambda %g not above 0",
                       options->tau, options->lambda);
    hb_status status = hb_check_guarantee(&options->guarantee, err);
    if (!status) status = hb_sweep(scores, labels, n, &sweep, &v.sweep, err);
    if (status) return status;
    v.at_tau = confusion_at(scores, labels, n, options);
    if (options->guarantee.kind) v.guarantee = check_guarantee(&options->guarantee, &v.at_tau);
    status = judge_probabilities(scores, labels, n, options, &v, err);
    if (!status) status = judge_rejection(scores, labels, n, options, &v, err);
    if (!status)
        status = hb_find_uncertainty(scores, labels, n, options->direction, &options->bootstrap,
                                     &v.uncertainty, err);
    if (status) hb_validation_free(&v);
    else *out = v;
    return status;
}

void hb_validation_free(hb_validation *validation)
{
    if (validation) hb_sweep_free(&validation->sweep);
}
