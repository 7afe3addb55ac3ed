/* Token-level evaluation: how well signals tell the hallucinated tokens of given responses from the
 * others, and how soon alarms follow the beginning of a hallucinated span. */
#include "base/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "calibrate/metrics.h"

/* What counts as an alarm. */
enum { AT_TAU, AT_CUTOFF, N_KINDS };

/* Delays of one kind of alarm. */
typedef struct delays {
    double *list; /* [n] */
    size_t n, room;
} delays;

/* Tokens of all responses. */
typedef struct gathering {
    const hb_monitor *monitor;
    const hb_signal_set *signals;
    size_t n_signals, watched; /* watched: index of the monitor's signal; n_signals: there is none */
    float *values;             /* [n][n_signals] */
    uint8_t *labels;           /* [n], whether the token is hallucinated */
    size_t n, values_room, labels_room;
    delays delays[N_KINDS];
    hb_token_report report;
} gathering;

/* The tokens of one response that have characters, in order. */
typedef struct response {
    const hb_run_tokens *tokens;
    size_t *places; /* [n], index of each in `tokens` */
    size_t n;
    size_t *next[N_KINDS];    /* [n + 1], the first alarm from each token on; n: none */
    hb_response_span *merged; /* [n_merged], spans in order, without overlaps */
    size_t n_merged;
} response;

/* ---- A response ---------------------------------------------------------------------------------- */

static int compare_spans(const void *a, const void *b)
{
    const hb_response_span *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

/* Copies the spans in order, and joins those that overlap. False when memory runs out. */
static bool merge_spans(response *r)
{
    size_t n = r->tokens->n_spans;
    r->merged = calloc(n + 1, sizeof *r->merged);
    if (!r->merged) return false;
    if (n) memcpy(r->merged, r->tokens->spans, n * sizeof *r->merged);
    qsort(r->merged, n, sizeof *r->merged, compare_spans);
    for (size_t i = 0; i < n; i++) {
        hb_response_span *last = r->n_merged ? &r->merged[r->n_merged - 1] : NULL;
        if (!last || r->merged[i].start > last->end) r->merged[r->n_merged++] = r->merged[i];
        else if (r->merged[i].end > last->end) last->end = r->merged[i].end;
    }
    return true;
}

static bool raises_alarm(const hb_monitor *m, double value, int kind)
{
    if (kind == AT_TAU) return hb_is_flagged(value, m->tau, m->direction);
    return hb_p_fail_by(m->map, value, m->tau, m->lambda, m->direction) >= m->cutoff;
}

static void find_alarms(const gathering *g, response *r, int kind)
{
    r->next[kind][r->n] = r->n;
    for (size_t i = r->n; i-- > 0;) {
        double value = r->tokens->values[r->places[i] * g->n_signals + g->watched];
        r->next[kind][i] = raises_alarm(g->monitor, value, kind) ? i : r->next[kind][i + 1];
    }
}

/* Fills in a response. False when memory runs out. */
static bool open_response(const gathering *g, const hb_run_tokens *tokens, response *r)
{
    *r = (response){.tokens = tokens, .places = calloc(tokens->n + 1, sizeof *r->places)};
    bool ok = r->places && merge_spans(r);
    for (size_t i = 0; i < tokens->n && ok; i++)
        if (tokens->characters[i].start < tokens->characters[i].end) r->places[r->n++] = i;
    for (int k = 0; k < N_KINDS && ok && g->watched < g->n_signals; k++) {
        ok = (r->next[k] = calloc(r->n + 1, sizeof *r->next[k])) != NULL;
        if (ok) find_alarms(g, r, k);
    }
    return ok;
}

static void close_response(response *r)
{
    for (int k = 0; k < N_KINDS; k++) free(r->next[k]);
    free(r->places);
    free(r->merged);
}

static const hb_response_span *characters(const response *r, size_t i)
{
    return &r->tokens->characters[r->places[i]];
}

/* ---- Gathering ----------------------------------------------------------------------------------- */

static bool add_token(gathering *g, const float *values, bool hallucinated)
{
    size_t size = g->n_signals * sizeof *g->values;
    float *all = hb_grown(g->values, g->n, size, &g->values_room);
    if (all) g->values = all;
    uint8_t *labels = hb_grown(g->labels, g->n, sizeof *labels, &g->labels_room);
    if (labels) g->labels = labels;
    if (!all || !labels) return false;
    memcpy(g->values + g->n * g->n_signals, values, size);
    g->labels[g->n++] = hallucinated;
    g->report.n_hallucinated += hallucinated;
    return true;
}

static void count_outside(gathering *g, const response *r, size_t i)
{
    hb_alarms *const alarms[N_KINDS] = {&g->report.at_tau, &g->report.at_cutoff};
    for (int k = 0; k < N_KINDS && r->next[k]; k++) {
        alarms[k]->n_outside++;
        alarms[k]->n_false += r->next[k][i] == i;
    }
}

/* Labels the tokens: a token is hallucinated if one of its characters is. */
static bool add_tokens(gathering *g, const response *r)
{
    bool ok = true;
    for (size_t i = 0, span = 0; i < r->n && ok; i++) {
        const hb_response_span *c = characters(r, i);
        while (span < r->n_merged && r->merged[span].end <= c->start) span++;
        bool hallucinated = span < r->n_merged && r->merged[span].start < c->end;
        ok = add_token(g, r->tokens->values + r->places[i] * g->n_signals, hallucinated);
        if (!hallucinated) count_outside(g, r, i);
    }
    return ok;
}

/* The first token that ends after this character; r->n: none. */
static size_t first_token(const response *r, uint64_t character)
{
    size_t low = 0, high = r->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (characters(r, middle)->end > character) high = middle;
        else low = middle + 1;
    }
    return low;
}

static bool add_delay(delays *d, double delay)
{
    double *list = hb_grown(d->list, d->n, sizeof *list, &d->room);
    if (!list) return false;
    d->list = list;
    d->list[d->n++] = delay;
    return true;
}

/* Counts the tokens from a span's first one to its first alarm. */
static bool add_span(gathering *g, const response *r, const hb_response_span *span)
{
    hb_alarms *const alarms[N_KINDS] = {&g->report.at_tau, &g->report.at_cutoff};
    size_t first = first_token(r, span->start);
    bool ok = true;
    if (first == r->n || characters(r, first)->start >= span->end) return true;
    g->report.n_spans++;
    for (int k = 0; k < N_KINDS && ok && r->next[k]; k++) {
        size_t alarm = r->next[k][first];
        if (alarm == r->n || characters(r, alarm)->start >= span->end) continue;
        alarms[k]->n_alarmed++;
        ok = add_delay(&g->delays[k], (double)(alarm - first));
    }
    return ok;
}

static hb_status gather(void *user, const hb_run_tokens *tokens)
{
    gathering *g = user;
    response r;
    bool ok = open_response(g, tokens, &r) && add_tokens(g, &r);
    for (size_t i = 0; i < tokens->n_spans && ok; i++) ok = add_span(g, &r, &tokens->spans[i]);
    close_response(&r);
    g->report.n_answers++;
    return ok ? HB_OK : HB_ERR_MEMORY;
}

/* ---- The report ---------------------------------------------------------------------------------- */

/* The direction in which a signal's values are risky: as calibrated, else by its definition, else high.
 */
static hb_direction direction_of(const hb_signal *signal, const hb_calibrated_score *scores, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(scores[i].name, hb_signal_name(signal)) == 0) return scores[i].direction;
    hb_direction risky = hb_signal_risky(signal);
    return risky == HB_DIRECTION_AUTO ? HB_DIRECTION_HIGH : risky;
}

/* Evaluates signal number k. Both numbers are NaN when a class is missing. */
static hb_status score_signal(const gathering *g, size_t k, hb_token_score *score, hb_error *err)
{
    hb_scored *ranked;
    hb_error why;
    double *values = calloc(g->n + 1, sizeof *values);
    if (!values) return hb_fail_memory(err);
    for (size_t i = 0; i < g->n; i++) {
        double value = g->values[i * g->n_signals + k];
        values[i] = score->direction == HB_DIRECTION_LOW ? -value : value;
    }
    hb_status status = hb_rank(values, g->labels, g->n, &ranked, &why);
    free(values);
    if (status) return status == HB_ERR_MEMORY ? hb_fail_memory(err) : HB_OK;
    score->auroc = hb_ranked_auroc(ranked, g->n, NULL);
    score->average_precision = hb_ranked_average_precision(ranked, g->n);
    free(ranked);
    return HB_OK;
}

/* The highest AUROC first, NaN last. */
static int compare_scores(const void *a, const void *b)
{
    const hb_token_score *x = a, *y = b;
    if (isnan(x->auroc) || isnan(y->auroc)) return isnan(x->auroc) - isnan(y->auroc);
    return (x->auroc < y->auroc) - (x->auroc > y->auroc);
}

static int compare_delays(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median(delays *d)
{
    if (!d->n) return NAN;
    qsort(d->list, d->n, sizeof *d->list, compare_delays);
    return hb_quantile(d->list, d->n, 0.5);
}

static hb_status complete(gathering *g, const hb_calibrated_score *scores, size_t n_scores,
                          hb_error *err)
{
    hb_token_report *r = &g->report;
    hb_status status = HB_OK;
    r->n_tokens = g->n;
    r->scores = calloc(g->n_signals + 1, sizeof *r->scores);
    if (!r->scores) return hb_fail_memory(err);
    for (; r->n_scores < g->n_signals && !status; r->n_scores++) {
        hb_token_score *s = &r->scores[r->n_scores];
        const hb_signal *signal = hb_signal_set_at(g->signals, r->n_scores);
        *s = (hb_token_score){signal, direction_of(signal, scores, n_scores), NAN, NAN};
        status = score_signal(g, r->n_scores, s, err);
    }
    qsort(r->scores, r->n_scores, sizeof *r->scores, compare_scores);
    r->at_tau.median_delay = median(&g->delays[AT_TAU]);
    r->at_cutoff.median_delay = median(&g->delays[AT_CUTOFF]);
    return status;
}

/* Finds the index of the signal that decides alarms. A joint model has none, because a run does not
 * keep its log-odds at each token. */
static void find_watched(gathering *g)
{
    const hb_monitor *m = g->monitor;
    g->watched = m->joint || !m->watched ? g->n_signals : 0;
    while (g->watched < g->n_signals && hb_signal_set_at(g->signals, g->watched) != m->watched)
        g->watched++;
    g->report.watched = g->watched < g->n_signals ? m->watched : NULL;
    g->report.tau = m->tau;
    g->report.cutoff = m->cutoff;
}

hb_status hb_run_report_tokens(hb_run *run, const hb_monitor *monitor,
                               const hb_calibrated_score *scores, size_t n_scores,
                               hb_token_report *report, hb_error *err)
{
    hb_error why;
    gathering g = {.monitor = monitor, .signals = hb_run_get_settings(run)->signals};
    g.n_signals = hb_signal_set_count(g.signals);
    find_watched(&g);
    hb_status status = g.n_signals ? hb_run_each_tokens(run, gather, &g, &why) : HB_OK;
    if (status == HB_ERR_CALLBACK || status == HB_ERR_MEMORY) status = hb_fail_memory(err);
    else if (status) status = hb_fail(err, status, "%s", why.message);
    if (!status) status = complete(&g, scores, n_scores, err);
    for (int k = 0; k < N_KINDS; k++) free(g.delays[k].list);
    free(g.values);
    free(g.labels);
    if (status) hb_token_report_free(&g.report);
    else *report = g.report;
    return status;
}

void hb_token_report_free(hb_token_report *report)
{
    if (!report) return;
    free(report->scores);
    *report = (hb_token_report){0};
}
