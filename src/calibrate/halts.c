/* Calibration of halting. The statistic that halts runs along an answer, so an answer is stopped
 * exactly if its largest statistic reaches the threshold. So a threshold for halting is a threshold for
 * these largest values, and its guarantee a tolerance limit (Wilks, 1941): with r the largest number
 * for which Binomial(m, target) is at most r with a probability of at most the level, a threshold above
 * the (r + 1)-th largest statistic of m right answers stops too many right answers in future with at
 * most this probability. This holds for every distribution, also with ties, because each threshold
 * below would have stopped more than r of the m answers. */
#include "calibrate/halts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "calibrate/binomial.h"
#include "calibrate/folds.h"
#include "calibrate/guarantee.h"
#include "calibrate/metrics.h"
#include "signals/running.h"

#define NEVER            SIZE_MAX /* the step of an answer that is not stopped */
#define LEAST_DIFFERENCE 1e-6     /* of a cusum's means, in standard deviations; less may be rounding */

void hb_series_free(hb_series *s)
{
    if (!s) return;
    free(s->values);
    free(s->starts);
    free(s->labels);
    free(s->groups);
    *s = (hb_series){0};
}

hb_halt_options hb_halt_defaults(void)
{
    return (hb_halt_options){
        .rule = {.kind = HB_HALT_TOKEN},
        .guarantee = {.kind = HB_GUARANTEE_FALSE_HALTS, .target = 0.05, .delta = 0.05},
        .direction = HB_DIRECTION_HIGH,
        .n_choices = 1,
        .seed = 42};
}

static hb_status check_series(const hb_series *s, const hb_halt_rule *rule, hb_direction direction,
                              hb_error *err)
{
    if (direction != HB_DIRECTION_HIGH && direction != HB_DIRECTION_LOW)
        return hb_fail(err, HB_ERR_ARGUMENT, "the direction of a halt must be high or low");
    if (s->extremes && rule->kind != HB_HALT_TOKEN && rule->kind != HB_HALT_NONE)
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "the values at each step are unknown, so the only rule for a halt is token");
    for (size_t i = 0; i < s->n; i++)
        if (s->labels[i] > 1) return hb_fail(err, HB_ERR_DATA, "label %d is not 0 or 1", s->labels[i]);
    return hb_check_groups(s->groups, s->n, err);
}

/* ---- The answers that count ---------------------------------------------------------------------- */

/* Draws one answer of each label from every group of the answers with counts[i] set, and clears the
 * others. */
static hb_status draw_from_groups(const hb_series *s, uint64_t seed, bool *counts, size_t *n_left_out,
                                  hb_error *err)
{
    hb_rng rng = {seed};
    size_t *seen = calloc(2 * s->n + 1, sizeof *seen), *drawn = calloc(2 * s->n + 1, sizeof *drawn);
    *n_left_out = 0;
    if (!seen || !drawn) {
        free(seen);
        free(drawn);
        return hb_fail_memory(err);
    }
    for (size_t i = 0; i < s->n; i++) {
        size_t at = 2 * hb_group_of(s->groups, i) + s->labels[i];
        if (!counts[i]) continue;
        bool takes = hb_rng_below(&rng, ++seen[at]) == 0; /* each with the same probability */
        if (seen[at] > 1) counts[takes ? drawn[at] : i] = false;
        *n_left_out += seen[at] > 1;
        if (takes) drawn[at] = i;
    }
    free(seen);
    free(drawn);
    return HB_OK;
}

/* ---- CUSUM --------------------------------------------------------------------------------------- */

/* Fits the means and the common standard deviation of a cusum to the tokens of half of the answers, and
 * clears their counts[i]. Groups are not divided. */
static hb_status fit_cusum(const hb_series *s, uint64_t seed, hb_halt_rule *rule, bool *counts,
                           size_t *n_fitted, hb_error *err)
{
    uint32_t *half = calloc(s->n + 1, sizeof *half);
    size_t dealt, n[2] = {0};
    double sum[2] = {0}, squares = 0;
    if (!half) return hb_fail_memory(err);
    hb_status status = hb_deal_folds(s->labels, s->groups, s->n, 2, seed, half, &dealt, err);
    for (size_t i = 0; i < s->n && !status; i++) {
        if (half[i]) continue;
        counts[i] = false;
        ++*n_fitted;
        for (size_t t = s->starts[i]; t < s->starts[i + 1]; t++)
            sum[s->labels[i]] += (double)s->values[t];
        n[s->labels[i]] += s->starts[i + 1] - s->starts[i];
    }
    for (int label = 0; label < 2; label++) rule->mean[label] = sum[label] / (double)n[label];
    for (size_t i = 0; i < s->n && !status; i++)
        for (size_t t = s->starts[i]; t < s->starts[i + 1] && !half[i]; t++) {
            double off = (double)s->values[t] - rule->mean[s->labels[i]];
            squares += off * off;
        }
    rule->sd = sqrt(squares / (double)(n[0] + n[1] - 2));
    free(half);
    bool differ = rule->sd > 0 && fabs(rule->mean[1] - rule->mean[0]) > LEAST_DIFFERENCE * rule->sd;
    if (status || (n[0] && n[1] && n[0] + n[1] > 2 && differ)) return status;
    return hb_fail(err, HB_ERR_DATA,
                   "a cusum cannot be fitted: half of the answers have no tokens of one label, or the "
                   "tokens of both labels have the same mean");
}

/* ---- Statistics ---------------------------------------------------------------------------------- */

static double oriented(double value, hb_direction direction)
{
    return direction == HB_DIRECTION_LOW ? 0 - value : value;
}

/* The riskiest statistic of each answer that counts, oriented. An answer without steps is never
 * stopped. */
static hb_status find_largest(const hb_series *s, const hb_halt_rule *rule, hb_direction direction,
                              const bool *counts, double *largest, hb_error *err)
{
    hb_running r;
    hb_status status = hb_running_open(&r, rule, err);
    if (status) return status;
    for (size_t i = 0; i < s->n; i++) {
        largest[i] = -INFINITY;
        hb_running_reset(&r);
        for (size_t t = s->starts[i]; counts[i] && t < s->starts[i + 1]; t++)
            largest[i] =
                fmax(largest[i], oriented(hb_running_add(&r, (double)s->values[t]), direction));
    }
    hb_running_close(&r);
    return HB_OK;
}

/* The step at which the halt stops an answer; NEVER if it does not. */
static size_t find_stop(const hb_series *s, const hb_halt *halt, hb_running *r, size_t i)
{
    hb_running_reset(r);
    for (size_t t = s->starts[i]; t < s->starts[i + 1]; t++)
        if (hb_is_flagged(hb_running_add(r, (double)s->values[t]), halt->tau, halt->direction))
            return t - s->starts[i];
    return NEVER;
}

/* ---- The threshold ------------------------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The statistics of a label's answers that count, ascending. Release with free(). NULL when memory runs
 * out. */
static double *sorted_of(const hb_series *s, const bool *counts, const double *largest, uint8_t label,
                         size_t *n)
{
    double *list = calloc(s->n + 1, sizeof *list);
    *n = 0;
    for (size_t i = 0; list && i < s->n; i++)
        if (counts[i] && s->labels[i] == label) list[(*n)++] = largest[i];
    if (list) qsort(list, *n, sizeof *list, compare_numbers);
    return list;
}

static hb_status too_few(const hb_guarantee *g, size_t m, size_t needed, hb_error *err)
{
    bool right = g->kind == HB_GUARANTEE_FALSE_HALTS;
    return hb_fail(err, HB_ERR_DATA,
                   "a halt that stops at %s %g of the %s answers with delta %g needs %zu %s answers to "
                   "choose its threshold; there are %zu",
                   right ? "most" : "least", g->target, right ? "right" : "hallucinated", g->delta,
                   needed, right ? "right" : "hallucinated", m);
}

/* A threshold above `bound`: the middle between it and the smallest statistic above it of any answer
 * that counts, so that rounding on another machine moves neither across. */
static double just_above(const hb_series *s, const bool *counts, const double *largest, double bound)
{
    double next = INFINITY;
    for (size_t i = 0; i < s->n; i++)
        if (counts[i] && largest[i] > bound && largest[i] < next) next = largest[i];
    return isfinite(next) && bound + (next - bound) / 2 > bound ? bound + (next - bound) / 2
                                                                : nextafter(bound, INFINITY);
}

/* Finds the oriented threshold, and fills in n, k and p of the guarantee. */
static hb_status find_tau(const hb_series *s, const bool *counts, const double *largest,
                          hb_guarantee *g, double *tau, hb_error *err)
{
    bool right = g->kind == HB_GUARANTEE_FALSE_HALTS;
    const double rate = right ? g->target : 1 - g->target;
    size_t m, needed = hb_fewest_without(rate, g->level);
    double *sorted = sorted_of(s, counts, largest, right ? 0 : 1, &m);
    if (!sorted) return hb_fail_memory(err);
    if (m < needed) {
        free(sorted);
        return too_few(g, m, needed, err);
    }
    size_t r = hb_most_failures(m, rate, g->level);
    *tau = right ? just_above(s, counts, largest, sorted[m - 1 - r]) : sorted[r];
    g->n = m;
    g->k = 0;
    for (size_t i = 0; i < m; i++) g->k += right == (sorted[i] >= *tau);
    g->p = hb_binomial_at_most(g->k, m, rate);
    free(sorted);
    if (isfinite(*tau)) return HB_OK;
    return hb_fail(err, HB_ERR_DATA,
                   "no halt stops at least %g of the hallucinated answers: some have no "
                   "steps",
                   g->target);
}

/* ---- The report ---------------------------------------------------------------------------------- */

/* A bound of the rate q at which a binomial tail has a probability of 2.5 %, by bisection. */
static double bound_of_rate(size_t k, size_t n, bool upper)
{
    double low = 0, high = 1;
    for (int i = 0; i < 60; i++) {
        double q = (low + high) / 2;
        bool beyond =
            upper ? hb_binomial_at_most(k, n, q) <= 0.025 : hb_binomial_at_least(k, n, q) > 0.025;
        if (beyond) high = q;
        else low = q;
    }
    return (low + high) / 2;
}

hb_interval hb_interval_of_share(size_t k, size_t n)
{
    return (hb_interval){.lower = k ? bound_of_rate(k, n, false) : 0,
                         .upper = k < n ? bound_of_rate(k, n, true) : 1};
}

/* The interval of quantile q of sorted values [n]: the closest ones for which the binomial number of
 * values below the quantile leaves at most 2.5 % on each side. */
static hb_interval interval_of_quantile(const double *sorted, size_t n, double q)
{
    size_t low = 0, high = n + 1; /* ranks from 1; 0 and n + 1: none */
    while (low < n && hb_binomial_at_most(low, n, q) <= 0.025) low++;
    while (high > 1 && hb_binomial_at_least(high - 1, n, q) <= 0.025) high--;
    return (hb_interval){.lower = low ? sorted[low - 1] : -INFINITY,
                         .upper = high <= n ? sorted[high - 1] : INFINITY};
}

static void summarise_printed(double *printed, size_t n, bool known, hb_halt_report *report)
{
    static const double quantiles[2] = {0.5, 0.9};
    const hb_interval unknown = {NAN, NAN};
    qsort(printed, n, sizeof *printed, compare_numbers);
    for (int i = 0; i < 2; i++) {
        bool is = known && n > 0;
        report->printed[i] = is ? hb_quantile(printed, n, quantiles[i]) : NAN;
        report->printed_interval[i] = is ? interval_of_quantile(printed, n, quantiles[i]) : unknown;
        if (report->printed_interval[i].lower < 0) report->printed_interval[i].lower = 0;
    }
}

static hb_status fill_report(const hb_series *s, const hb_halt *halt, const bool *counts,
                             hb_halt_report *report, hb_error *err)
{
    hb_running r;
    hb_status status = hb_running_open(&r, &halt->rule, err);
    if (status) return status;
    double *printed = calloc(s->n + 1, sizeof *printed);
    size_t n = 0;
    for (size_t i = 0; printed && i < s->n; i++) {
        if (!counts[i]) continue;
        size_t stop = find_stop(s, halt, &r, i);
        report->n[s->labels[i]]++;
        report->halted[s->labels[i]] += stop != NEVER;
        if (s->labels[i] && stop != NEVER) printed[n++] = (double)stop;
    }
    hb_running_close(&r);
    if (!printed) return hb_fail_memory(err);
    for (int label = 0; label < 2; label++)
        report->share[label] = hb_interval_of_share(report->halted[label], report->n[label]);
    summarise_printed(printed, n, !s->extremes, report);
    free(printed);
    return HB_OK;
}

/* ---- Calibrating and validating ------------------------------------------------------------------ */

static hb_status check_options(const hb_halt_options *o, hb_error *err)
{
    bool halting =
        o->guarantee.kind == HB_GUARANTEE_FALSE_HALTS || o->guarantee.kind == HB_GUARANTEE_HALTS;
    if (!halting)
        return hb_fail(err, HB_ERR_ARGUMENT, "a halt guarantees a share of false halts or of halts");
    if (!o->n_choices) return hb_fail(err, HB_ERR_ARGUMENT, "n_choices is 0");
    return hb_check_guarantee(&o->guarantee, err);
}

/* Finds the halt. `counts` [n] are all set. */
static hb_status calibrate(const hb_series *s, const hb_halt_options *o, bool *counts, double *largest,
                           hb_halt_calibration *c, hb_error *err)
{
    hb_status status = HB_OK;
    c->halt = (hb_halt){.rule = o->rule, .direction = o->direction};
    c->guarantee = o->guarantee;
    c->guarantee.level = o->guarantee.delta / (double)o->n_choices;
    if (o->rule.kind == HB_HALT_CUSUM) c->halt.direction = HB_DIRECTION_HIGH;
    if (o->rule.kind == HB_HALT_CUSUM && !(o->rule.sd > 0)) {
        status = fit_cusum(s, o->seed, &c->halt.rule, counts, &c->n_fitted, err);
    }
    if (!status) status = draw_from_groups(s, o->seed, counts, &c->report.n_left_out, err);
    if (!status) status = find_largest(s, &c->halt.rule, c->halt.direction, counts, largest, err);
    if (!status) status = find_tau(s, counts, largest, &c->guarantee, &c->halt.tau, err);
    if (status) return status;
    c->halt.tau = oriented(c->halt.tau, c->halt.direction);
    return fill_report(s, &c->halt, counts, &c->report, err);
}

hb_status hb_calibrate_halt(const hb_series *series, const hb_halt_options *options,
                            hb_halt_calibration *out, hb_error *err)
{
    const hb_halt_options defaults = hb_halt_defaults(), *o = options ? options : &defaults;
    hb_halt_calibration c = {.n_fitted = 0};
    hb_status status = check_series(series, &o->rule, o->direction, err);
    if (!status) status = check_options(o, err);
    if (status) return status;
    bool *counts = malloc((series->n + 1) * sizeof *counts);
    double *largest = calloc(series->n + 1, sizeof *largest);
    if (counts) memset(counts, true, series->n);
    status = counts && largest ? calibrate(series, o, counts, largest, &c, err) : hb_fail_memory(err);
    free(counts);
    free(largest);
    if (!status) *out = c;
    return status;
}

hb_status hb_validate_halt(const hb_series *series, const hb_halt *halt, uint64_t seed,
                           hb_halt_report *report, hb_error *err)
{
    hb_halt_report r = {.n_left_out = 0};
    hb_status status = check_series(series, &halt->rule, halt->direction, err);
    if (status) return status;
    bool *counts = malloc((series->n + 1) * sizeof *counts);
    if (!counts) return hb_fail_memory(err);
    memset(counts, true, series->n);
    status = draw_from_groups(series, seed, counts, &r.n_left_out, err);
    if (!status) status = fill_report(series, halt, counts, &r, err);
    free(counts);
    if (!status) *report = r;
    return status;
}

hb_guarantee_check hb_check_halt(const hb_guarantee *g, const hb_halt_report *report)
{
    bool right = g->kind == HB_GUARANTEE_FALSE_HALTS;
    hb_guarantee_check c = {.n = report->n[right ? 0 : 1]};
    c.k = right ? report->halted[0] : c.n - report->halted[1];
    c.value = (double)report->halted[right ? 0 : 1] / (double)c.n;
    c.held = right ? !(c.value > g->target) : !(c.value < g->target);
    c.p = hb_binomial_at_least(c.k, c.n, right ? g->target : 1 - g->target);
    return c;
}
