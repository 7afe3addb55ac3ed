#include "signals/running.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Rules --------------------------------------------------------------------------------------- */

static const char *const names[] = {[HB_HALT_NONE] = "none",
                                    [HB_HALT_TOKEN] = "token",
                                    [HB_HALT_WINDOW] = "window",
                                    [HB_HALT_EWMA] = "ewma",
                                    [HB_HALT_CUSUM] = "cusum"};

static hb_status check_rule(const hb_halt_rule *r, hb_error *err)
{
    if (r->kind == HB_HALT_NONE || (size_t)r->kind >= sizeof names / sizeof *names)
        return hb_fail(err, HB_ERR_ARGUMENT, "the halt has no rule");
    if (r->kind == HB_HALT_WINDOW && (r->window < 1 || r->window > HB_HALT_WINDOW_MAX))
        return hb_fail(err, HB_ERR_ARGUMENT, "a window of %d values is not from 1 to %d", r->window,
                       HB_HALT_WINDOW_MAX);
    if (r->kind == HB_HALT_EWMA && !(r->weight > 0 && r->weight <= 1))
        return hb_fail(err, HB_ERR_ARGUMENT, "a weight of %g is not above 0 and at most 1", r->weight);
    if (r->kind == HB_HALT_CUSUM &&
        !(isfinite(r->mean[0]) && isfinite(r->mean[1]) && r->sd > 0 && isfinite(r->sd)))
        return hb_fail(err, HB_ERR_ARGUMENT, "the cusum's means and standard deviation are not finite");
    return HB_OK;
}

bool hb_halt_rule_parse(const char *text, hb_halt_rule *rule)
{
    hb_halt_rule r = {.kind = HB_HALT_NONE};
    size_t length = strcspn(text, ":"), kind = 0, n = sizeof names / sizeof *names;
    char *end = NULL;
    while (kind < n && !(strlen(names[kind]) == length && memcmp(names[kind], text, length) == 0))
        kind++;
    if (kind == n) return false;
    r.kind = (hb_halt_kind)kind;
    if (r.kind != HB_HALT_WINDOW && r.kind != HB_HALT_EWMA) {
        if (text[length]) return false;
    } else {
        double number = text[length] ? strtod(text + length + 1, &end) : NAN;
        if (!end || end == text + length + 1 || *end) return false;
        bool whole = number >= 1 && number <= HB_HALT_WINDOW_MAX && number == floor(number);
        if (r.kind == HB_HALT_WINDOW && !whole) return false;
        if (r.kind == HB_HALT_EWMA && !(number > 0 && number <= 1)) return false;
        if (r.kind == HB_HALT_WINDOW) r.window = (int32_t)number;
        else r.weight = number;
    }
    *rule = r;
    return true;
}

void hb_halt_rule_text(const hb_halt_rule *r, char text[HB_HALT_RULE_BYTES])
{
    const char *name = (size_t)r->kind < sizeof names / sizeof *names ? names[r->kind] : "unknown";
    if (r->kind == HB_HALT_WINDOW) snprintf(text, HB_HALT_RULE_BYTES, "%s:%d", name, r->window);
    else if (r->kind == HB_HALT_EWMA) snprintf(text, HB_HALT_RULE_BYTES, "%s:%.17g", name, r->weight);
    else snprintf(text, HB_HALT_RULE_BYTES, "%s", name);
}

/* ---- Statistics ---------------------------------------------------------------------------------- */

hb_status hb_running_open(hb_running *r, const hb_halt_rule *rule, hb_error *err)
{
    hb_status status = check_rule(rule, err);
    if (status) return status;
    *r = (hb_running){.rule = *rule};
    if (rule->kind != HB_HALT_WINDOW) return HB_OK;
    r->last = calloc((size_t)rule->window, sizeof *r->last);
    return r->last ? HB_OK : hb_fail_memory(err);
}

void hb_running_close(hb_running *r)
{
    free(r->last);
    *r = (hb_running){0};
}

void hb_running_reset(hb_running *r)
{
    r->n = 0;
    r->value = 0;
}

float hb_running_round(double value)
{
    return (float)fmin(fmax(value, -FLT_MAX), FLT_MAX);
}

/* The sum is computed anew at each step, so that rounding does not accumulate over a long text. */
static double add_to_window(hb_running *r, float x)
{
    size_t window = (size_t)r->rule.window, n = r->n < window ? r->n + 1 : window;
    double sum = 0;
    r->last[r->n % window] = x;
    for (size_t i = 0; i < n; i++) sum += (double)r->last[i];
    return sum / (double)n;
}

static double add_to_cusum(const hb_running *r, double x)
{
    const double *mean = r->rule.mean, middle = (mean[0] + mean[1]) / 2;
    return fmax(0, r->value + (mean[1] - mean[0]) / (r->rule.sd * r->rule.sd) * (x - middle));
}

double hb_running_add(hb_running *r, double value)
{
    const float x = hb_running_round(value);
    switch (r->rule.kind) {
    case HB_HALT_WINDOW:
        r->value = add_to_window(r, x);
        break;
    case HB_HALT_EWMA:
        r->value = r->n ? r->rule.weight * (double)x + (1 - r->rule.weight) * r->value : (double)x;
        break;
    case HB_HALT_CUSUM:
        r->value = add_to_cusum(r, (double)x);
        break;
    default:
        r->value = (double)x;
    }
    r->n++;
    return r->value;
}

bool hb_halt_stops_all(const hb_halt *halt)
{
    return halt->rule.kind == HB_HALT_CUSUM && halt->direction == HB_DIRECTION_HIGH && halt->tau <= 0;
}

hb_status hb_halt_statistics(const hb_halt_rule *rule, const double *values, size_t n,
                             double *statistics, hb_error *err)
{
    hb_running r;
    hb_status status = hb_running_open(&r, rule, err);
    if (status) return status;
    for (size_t i = 0; i < n; i++) statistics[i] = hb_running_add(&r, values[i]);
    hb_running_close(&r);
    return HB_OK;
}
