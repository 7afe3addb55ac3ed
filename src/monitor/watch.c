#include "monitor/watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/engine.h"
#include "monitor/able.h"
#include "signals/aggregate.h"
#include "signals/distribution.h"
#include "signals/halt_model.h"
#include "signals/probe.h"
#include "signals/running.h"
#include "signals/scores.h"
#include "signals/set.h"
#include "signals/signal.h"

#define THE_PROBE SIZE_MAX /* the place of the probe of a trained model that halts */

/* A score of the joint model: the index of its signal in the watch, and the aggregation. */
typedef struct feature {
    size_t place;
    hb_aggregation aggregation;
} feature;

struct hb_watch {
    const hb_model *model;
    hb_monitor monitor;
    hb_signal_set *signals; /* measured signals [n] */
    size_t n;
    hb_needs needs;
    size_t watched;           /* index of the watched signal, if there is one */
    hb_aggregate *aggregates; /* [n] */
    double *values;           /* [n], values of the last measured step */
    size_t *state_at;         /* [n], offset of each signal's state in `state` */
    char *state, *next; /* [state_bytes], after the last measured step, and after the current one */
    size_t state_bytes;
    float *lookback; /* [n_layers][n_heads], room for a step's ratios; NULL without attention */
    /* Of the previous step; NULL if not needed: the last block's state [n_embd], the logits [n_vocab]
     * and the last state after the final norm [n_embd]. */
    float *previous, *logits_before, *normed_before;
    feature *features;             /* [monitor.joint->n_features] */
    double *joint_values;          /* [monitor.joint->n_features], their values */
    hb_running running;            /* the statistic that halts, if the monitor has a halt */
    const hb_halt_model *halts_by; /* what it runs over instead of the deciding value; NULL */
    size_t *halt_places;           /* [of its values], indices of signals in the watch */
    double *halt_values;           /* [of its values] */
    hb_features *features_kept;    /* NULL: none */
    size_t n_steps;
};

/* ---- Opening and closing ------------------------------------------------------------------------- */

static hb_status check_monitor(const hb_monitor *m, hb_error *err)
{
    if (!isfinite(m->tau)) return hb_fail(err, HB_ERR_ARGUMENT, "tau %g is not a number", m->tau);
    if (!(m->lambda > 0 && isfinite(m->lambda)))
        return hb_fail(err, HB_ERR_ARGUMENT, "lambda %g is not above 0", m->lambda);
    if (!(m->cutoff > 0)) return hb_fail(err, HB_ERR_ARGUMENT, "cutoff %g is not above 0", m->cutoff);
    if (!(m->alpha >= 0 && isfinite(m->alpha)))
        return hb_fail(err, HB_ERR_ARGUMENT, "alpha %g is negative", m->alpha);
    if (m->direction != HB_DIRECTION_HIGH && m->direction != HB_DIRECTION_LOW)
        return hb_fail(err, HB_ERR_ARGUMENT, "the monitor's direction must be high or low");
    if (m->map && (unsigned)m->map->kind > HB_MAP_ISOTONIC)
        return hb_fail(err, HB_ERR_ARGUMENT, "unknown kind of map %d", (int)m->map->kind);
    if (m->check_every < 1)
        return hb_fail(err, HB_ERR_ARGUMENT, "check-every %d is less than 1", m->check_every);
    if (m->halt && (!isfinite(m->halt->tau) || (m->halt->direction != HB_DIRECTION_HIGH &&
                                                m->halt->direction != HB_DIRECTION_LOW)))
        return hb_fail(err, HB_ERR_ARGUMENT, "the halt's tau or direction is bad");
    if (m->halt && m->halt->rule.kind == HB_HALT_CUSUM && m->halt->direction == HB_DIRECTION_LOW)
        return hb_fail(err, HB_ERR_ARGUMENT, "a cusum halts where it is high, never where it is low");
    if (m->halt && !m->joint && !m->watched && !m->halt->model)
        return hb_fail(err, HB_ERR_ARGUMENT, "the halt has no value to watch");
    if (m->joint && !m->joint->n_features)
        return hb_fail(err, HB_ERR_ARGUMENT, "the joint model has no scores");
    return HB_OK;
}

/* Finds a score of the joint model: the usual score of a measured signal that is not built in, such as
 * a probe, or one of a built-in signal. */
static bool find_score(const hb_watch *w, const char *name, hb_score_id *id)
{
    const hb_signal *signal;
    for (size_t i = 0; (signal = hb_signal_set_at(w->signals, i)) != NULL; i++) {
        if (hb_signal_rank(signal) != SIZE_MAX || strcmp(signal->name, name) != 0) continue;
        *id = (hb_score_id){signal, signal->usual};
        return true;
    }
    return hb_score_find(name, id);
}

/* The number of heads in all blocks. */
static size_t heads_of(const hb_watch *w)
{
    return (size_t)w->model->info.n_layers * (size_t)w->model->info.n_heads;
}

/* Checks that the probes among the signals fit the model. */
static hb_status check_probes(const hb_watch *w, hb_error *err)
{
    const hb_model_info *m = &w->model->info;
    const hb_signal *signal;
    for (size_t i = 0; (signal = hb_signal_set_at(w->signals, i)) != NULL; i++) {
        const hb_probe *p = hb_probe_of(signal);
        if (p && p->kind->of_block && (p->block >= m->n_layers || p->n != (size_t)m->n_embd))
            return hb_fail(
                err, HB_ERR_MISMATCH,
                "the probe '%s' reads %zu numbers after block %d; the model has %d blocks of "
                "%d",
                signal->name, p->n, p->block + 1, m->n_layers, m->n_embd);
        if (p && p->kind->feature == HB_FEATURE_LOOKBACK && p->n != heads_of(w))
            return hb_fail(err, HB_ERR_MISMATCH,
                           "the probe '%s' reads %zu heads; the model has %zu in its %d blocks",
                           signal->name, p->n, heads_of(w), m->n_layers);
    }
    return HB_OK;
}

/* Adds the joint model's signals to the measured signals. */
static hb_status add_joint(hb_watch *w, hb_error *err)
{
    const hb_joint *joint = w->monitor.joint;
    hb_status status = HB_OK;
    for (size_t j = 0; j < joint->n_features && !status; j++) {
        hb_score_id id;
        if (!find_score(w, joint->features[j].score, &id))
            return hb_fail(err, HB_ERR_ARGUMENT,
                           "the joint model has the score '%s', which hbar does not measure",
                           joint->features[j].score);
        status = hb_signal_set_add(w->signals, id.signal, err);
    }
    return status;
}

/* Prepares what a trained model that halts reads: signals, and the state after a block. */
static hb_status add_halt_model(hb_watch *w, hb_error *err)
{
    const hb_halt_model *m = w->halts_by;
    const hb_signal *signal;
    hb_status status = HB_OK;
    w->halt_places = calloc(hb_halt_model_count(m), sizeof *w->halt_places);
    w->halt_values = calloc(hb_halt_model_count(m), sizeof *w->halt_values);
    if (!w->halt_places || !w->halt_values) return hb_fail_memory(err);
    for (size_t k = 0; k < m->joint.n_features && !status; k++) {
        if (!hb_halt_feature(m->joint.features[k].score, &signal) || (!signal && !m->probe))
            return hb_fail(err, HB_ERR_ARGUMENT, "a halt cannot run over '%s'",
                           m->joint.features[k].score);
        if (signal) status = hb_signal_set_add(w->signals, signal, err);
    }
    if (status || !m->probe || m->probe->n == (size_t)w->model->info.n_embd) return status;
    return hb_fail(err, HB_ERR_MISMATCH, "the halt's probe reads %zu numbers; the model has %d",
                   m->probe->n, w->model->info.n_embd);
}

/* Collects the signals to measure: the monitor's signals and those that decide about halting. */
static hb_status choose_signals(hb_watch *w, hb_error *err)
{
    const hb_monitor *m = &w->monitor;
    hb_status status = m->signals ? hb_signal_set_copy(m->signals, &w->signals, err)
                                  : hb_signal_set_of_model(w->model, &w->signals, err);
    if (!status && m->joint) status = add_joint(w, err);
    else if (!status && m->watched) status = hb_signal_set_add(w->signals, m->watched, err);
    if (!status && w->halts_by) status = add_halt_model(w, err);
    w->monitor.signals = w->signals;
    w->n = hb_signal_set_count(w->signals);
    if (!status) status = hb_check_signals(w->model, w->signals, err);
    if (!status) status = check_probes(w, err);
    if (!status) status = hb_signal_set_needs(w->signals, w->model->info.n_layers, &w->needs, err);
    return status;
}

/* Finds the indices of the signals that decide about halting. The set contains them. A score without an
 * aggregation means top5 here: a joint model gets one from a table whose column has that name, and in
 * the tables of earlier versions that column was the mean of the five largest. */
static void find_places(hb_watch *w)
{
    const hb_joint *joint = w->monitor.joint;
    if (w->monitor.watched) hb_signal_set_find(w->signals, w->monitor.watched, &w->watched);
    for (size_t j = 0; joint && j < joint->n_features; j++) {
        hb_score_id id;
        find_score(w, joint->features[j].score, &id);
        hb_signal_set_find(w->signals, id.signal, &w->features[j].place);
        w->features[j].aggregation = hb_score_tail(id, HB_DIRECTION_HIGH).aggregation;
    }
    for (size_t k = 0; w->halts_by && k < w->halts_by->joint.n_features; k++) {
        const hb_signal *signal;
        hb_halt_feature(w->halts_by->joint.features[k].score, &signal);
        if (signal) hb_signal_set_find(w->signals, signal, &w->halt_places[k]);
        else w->halt_places[k] = THE_PROBE;
    }
    if (w->halts_by && !w->halts_by->joint.n_features) *w->halt_places = THE_PROBE;
}

/* Reserves room for the ratios of a step, if attention is needed. */
static hb_status reserve_heads(hb_watch *w, hb_error *err)
{
    if (!w->needs.attention || w->lookback) return HB_OK;
    w->lookback = calloc(heads_of(w), sizeof *w->lookback);
    return w->lookback ? HB_OK : hb_fail_memory(err);
}

/* Reserves room for what the signals need of the previous step. */
static hb_status reserve_previous(hb_watch *w, hb_error *err)
{
    const hb_model_info *m = &w->model->info;
    const hb_needs *n = &w->needs;
    if (n->previous) w->previous = calloc((size_t)m->n_embd, sizeof *w->previous);
    if (n->logits_before) w->logits_before = calloc((size_t)m->n_vocab, sizeof *w->logits_before);
    if (n->head) w->normed_before = calloc((size_t)m->n_embd, sizeof *w->normed_before);
    bool ok = (w->previous || !n->previous) && (w->logits_before || !n->logits_before) &&
              (w->normed_before || !n->head);
    return ok ? HB_OK : hb_fail_memory(err);
}

static hb_status reserve(hb_watch *w, hb_error *err)
{
    size_t n_joint = w->monitor.joint ? w->monitor.joint->n_features : 0;
    w->aggregates = calloc(w->n + 1, sizeof *w->aggregates);
    w->values = calloc(w->n + 1, sizeof *w->values);
    w->state_at = calloc(w->n + 1, sizeof *w->state_at);
    w->features = calloc(n_joint + 1, sizeof *w->features);
    w->joint_values = calloc(n_joint + 1, sizeof *w->joint_values);
    if (!w->aggregates || !w->values || !w->state_at || !w->features || !w->joint_values)
        return hb_fail_memory(err);
    for (size_t i = 0; i < w->n; i++) { /* align each state for any type */
        const size_t align = _Alignof(max_align_t);
        w->state_at[i] = w->state_bytes;
        const hb_signal *signal = hb_signal_set_at(w->signals, i);
        size_t bytes = signal->state_bytes + heads_of(w) * signal->head_bytes;
        w->state_bytes += (bytes + align - 1) / align * align;
    }
    w->state = calloc(w->state_bytes + 1, 1);
    w->next = calloc(w->state_bytes + 1, 1);
    if (!w->state || !w->next) return hb_fail_memory(err);
    hb_status status = reserve_previous(w, err);
    return status ? status : reserve_heads(w, err);
}

/* Adds a block to those whose states are needed. They ascend. */
static hb_status need_block(hb_watch *w, int32_t block, hb_error *err)
{
    hb_needs *n = &w->needs;
    int32_t at = 0;
    if (block >= w->model->info.n_layers)
        return hb_fail(err, HB_ERR_ARGUMENT, "the model has no block %d; it has %d", block + 1,
                       w->model->info.n_layers);
    while (at < n->n_blocks && n->blocks[at] < block) at++;
    if (at < n->n_blocks && n->blocks[at] == block) return HB_OK;
    int32_t *blocks = reallocarray(n->blocks, (size_t)n->n_blocks + 1, sizeof *blocks);
    if (!blocks) return hb_fail_memory(err);
    memmove(blocks + at + 1, blocks + at, (size_t)(n->n_blocks - at) * sizeof *blocks);
    blocks[at] = block;
    n->blocks = blocks;
    n->n_blocks++;
    return HB_OK;
}

hb_status hb_watch_open(const hb_model *model, const hb_monitor *monitor, hb_watch **watch,
                        hb_error *err)
{
    hb_status status = check_monitor(monitor, err);
    if (status) return status;
    hb_watch *w = calloc(1, sizeof *w);
    if (!w) return hb_fail_memory(err);
    w->model = model;
    w->monitor = *monitor;
    w->halts_by = monitor->halt ? monitor->halt->model : NULL;
    status = choose_signals(w, err);
    if (!status && w->halts_by && w->halts_by->probe)
        status = need_block(w, w->halts_by->probe->block, err);
    if (!status) status = reserve(w, err);
    if (!status && monitor->halt) status = hb_running_open(&w->running, &monitor->halt->rule, err);
    if (status) {
        hb_watch_close(w);
        return status;
    }
    find_places(w);
    *watch = w;
    return HB_OK;
}

hb_status hb_watch_keep(hb_watch *w, const hb_feature_plan *plan, hb_error *err)
{
    hb_status status = hb_check_features(w->model, plan, err);
    for (int32_t b = 0; b < plan->n_blocks && !status; b++)
        status = need_block(w, plan->blocks[b], err);
    if (!status && plan->states) status = need_block(w, plan->states_block, err);
    w->needs.distribution = w->needs.distribution || plan->topk;
    w->needs.attention = w->needs.attention || plan->attention;
    if (!status) status = reserve_heads(w, err);
    if (status) return status;
    return hb_features_open(plan, &w->model->info, &w->features_kept, err);
}

const hb_features *hb_watch_features(const hb_watch *watch)
{
    return watch->features_kept;
}

void hb_watch_close(hb_watch *w)
{
    if (!w) return;
    hb_features_free(w->features_kept);
    hb_signal_set_free(w->signals);
    hb_needs_free(&w->needs);
    free(w->aggregates);
    free(w->values);
    free(w->state_at);
    free(w->state);
    free(w->next);
    free(w->previous);
    free(w->lookback);
    free(w->logits_before);
    free(w->normed_before);
    free(w->features);
    free(w->joint_values);
    free(w->halt_places);
    free(w->halt_values);
    hb_running_close(&w->running);
    free(w);
}

const hb_signal_set *hb_watch_signals(const hb_watch *watch)
{
    return watch->signals;
}

bool hb_watch_needs_sums(const hb_watch *watch)
{
    return watch->needs.distribution;
}

void hb_watch_request(const hb_watch *w, hb_tap *tap)
{
    int32_t vocab = w->model->info.n_vocab;
    tap->blocks = w->needs.blocks;
    tap->n_blocks = w->needs.n_blocks;
    tap->n_lens = !w->needs.lens ? 0 : vocab < HB_LENS_TOKENS ? vocab : HB_LENS_TOKENS;
}

bool hb_watch_needs_attention(const hb_watch *watch)
{
    return watch->needs.attention;
}

bool hb_watch_reads_head(const hb_watch *watch)
{
    return watch->needs.head;
}

hb_reading hb_watch_reading(const hb_watch *w, const hb_tap *tap, int32_t row)
{
    size_t r = (size_t)row, blocks = (size_t)tap->n_blocks, k = (size_t)tap->n_lens;
    size_t d = (size_t)w->model->info.n_embd;
    hb_reading reading = {.logits = tap->logits + r * (size_t)w->model->info.n_vocab,
                          .blocks = tap->blocks,
                          .n_blocks = tap->n_blocks,
                          .n_lens = tap->n_lens};
    if (tap->states) reading.states = tap->states + r * blocks * d;
    if (tap->lens) reading.lens = tap->lens + r * blocks * k;
    if (tap->attention) {
        reading.attention = tap->attention + r * heads_of(w) * HB_N_ATTENTION;
        reading.n_prompt = tap->prompts[r];
    }
    if (tap->normed) reading.normed = tap->normed + r * d;
    if (tap->head) reading.head = tap->head + r * k * d;
    return reading;
}

hb_monitor hb_monitor_defaults(void)
{
    return (hb_monitor){.watched = hb_signal_find("hbar_s"),
                        .tau = 2.0,
                        .lambda = HB_DEFAULT_LAMBDA,
                        .cutoff = 0.85,
                        .alpha = 0.1,
                        .direction = HB_DIRECTION_HIGH,
                        .check_every = 1};
}

/* ---- Measuring ----------------------------------------------------------------------------------- */

static hb_status not_finite(const hb_model *model, const char *what, int32_t step, hb_error *err)
{
    hb_text cause = hb_model_not_finite(model);
    if (!cause.bytes)
        return hb_fail(
            err, HB_ERR_NUMERIC,
            "%s: the %s at step %d are not finite; a KV cache of f16 holds values up to 65504",
            model->info.path, what, step);
    return hb_fail(err, HB_ERR_NUMERIC,
                   "%s: the %s at step %d are not finite: the tensor '%.*s' has NaN or infinity",
                   model->info.path, what, step, (int)cause.length, cause.bytes);
}

static bool are_finite(const float *x, size_t n)
{
    float sum = 0; /* 0 unless a number is NaN or infinite */
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) sum += x[i] * 0;
    return sum == 0;
}

hb_status hb_watch_read_logits(hb_watch *w, int32_t step, bool measured, hb_reading *reading,
                               hb_pool *pool, hb_distribution *sums, hb_error *err)
{
    size_t n = (size_t)w->model->info.n_vocab;
    float *kept = measured ? w->logits_before : NULL;
    const float *before = w->n_steps > 0 ? kept : NULL;
    bool finite = sums ? hb_distribution_gather_shared(pool, reading->logits, before, kept, n, sums,
                                                       &reading->shift)
                       : are_finite(reading->logits, n);
    reading->sums = sums;
    return finite ? HB_OK : not_finite(w->model, "logits", step, err);
}

/* Measures the signals. With finite logits, only the blocks' states can make a value infinite or NaN.
 */
static hb_status measure(hb_watch *w, hb_measuring *m, int32_t step, hb_error *err)
{
    memcpy(w->next, w->state, w->state_bytes);
    for (size_t i = 0; i < w->n; i++) {
        const hb_signal *signal = hb_signal_set_at(w->signals, i);
        w->values[i] = signal->measure(signal, m, w->next + w->state_at[i]);
        if (!isfinite(w->values[i])) return not_finite(w->model, "blocks' states", step, err);
    }
    return HB_OK;
}

/* Adds the measured step to the scores and the signals' states. False when memory runs out. */
static bool add_step(hb_watch *w, hb_measuring *m)
{
    char *before = w->state;
    if (w->features_kept && !hb_features_add(w->features_kept, m)) return false;
    w->state = w->next;
    w->next = before;
    for (size_t i = 0; i < w->n; i++) hb_aggregate_add(&w->aggregates[i], w->values[i]);
    if (w->previous)
        memcpy(w->previous, hb_measured_state(m, m->n_layers - 1), m->n_embd * sizeof *w->previous);
    if (w->normed_before)
        memcpy(w->normed_before, m->reading->normed, m->n_embd * sizeof *w->normed_before);
    w->n_steps++;
    return true;
}

/* ---- Judging ------------------------------------------------------------------------------------- */

/* The value that decides about halting: the watched signal, or the joint model's log-odds over the
 * steps up to this one. NaN when there is neither. */
static double deciding_value(hb_watch *w)
{
    const hb_joint *joint = w->monitor.joint;
    if (!joint) return w->monitor.watched ? w->values[w->watched] : NAN;
    for (size_t j = 0; j < joint->n_features; j++)
        w->joint_values[j] =
            hb_aggregate_value(&w->aggregates[w->features[j].place], w->features[j].aggregation);
    return hb_joint_log_odds(joint, w->joint_values);
}

/* The value that the halt runs over. */
static double halting_value(hb_watch *w, const hb_measuring *m, double deciding)
{
    const hb_halt_model *model = w->halts_by;
    if (!model) return deciding;
    for (size_t k = 0; k < hb_halt_model_count(model); k++)
        w->halt_values[k] =
            w->halt_places[k] == THE_PROBE
                ? hb_halt_probe_value(model->probe, hb_measured_state(m, (size_t)model->probe->block))
                : w->values[w->halt_places[k]];
    return hb_halt_model_value(model, w->halt_values);
}

/* Fills in P_fail, the statistic that halts, and whether it does. */
static void judge(hb_watch *w, const hb_measuring *measured, hb_step *s)
{
    const hb_monitor *m = &w->monitor;
    bool decides = m->joint || m->watched;
    s->p_fail = decides ? hb_p_fail_by(m->map, s->watched, m->tau, m->lambda, m->direction) : NAN;
    s->halt = m->halt ? hb_running_add(&w->running, halting_value(w, measured, s->watched)) : NAN;
    s->halts =
        m->halt ? hb_is_flagged(s->halt, m->halt->tau, m->halt->direction) : s->p_fail >= m->cutoff;
}

hb_status hb_watch_step(hb_watch *w, int32_t step, int32_t token, const hb_reading *reading,
                        hb_step *out, bool *halt, hb_error *err)
{
    const hb_monitor *monitor = &w->monitor;
    hb_measuring m = {.n_vocab = (size_t)w->model->info.n_vocab,
                      .n_layers = (size_t)w->model->info.n_layers,
                      .n_embd = (size_t)w->model->info.n_embd,
                      .n_heads = (size_t)w->model->info.n_heads,
                      .reading = reading,
                      .step = step,
                      .token = token,
                      .previous = w->n_steps > 0 ? w->previous : NULL,
                      .normed_before = w->n_steps > 0 ? w->normed_before : NULL,
                      .alpha = monitor->alpha,
                      .fisher_shift = reading->shift,
                      .lookback = w->lookback};
    if (w->needs.distribution) m.distribution = *reading->sums;
    hb_status status = measure(w, &m, step, err);
    if (status) return status;
    if (!add_step(w, &m)) return hb_fail_memory(err);
    hb_step s = {.step = step,
                 .token = token,
                 .impurity = w->needs.distribution ? hb_measured_impurity(&m) : NAN,
                 .watched = deciding_value(w),
                 .signals = w->signals,
                 .values = w->values};
    judge(w, &m, &s);
    *halt = s.halts;
    *out = s;
    return HB_OK;
}

double hb_step_value(const hb_step *step, const hb_signal *signal)
{
    size_t place;
    return hb_signal_set_find(step->signals, signal, &place) ? step->values[place] : NAN;
}

hb_status hb_watch_get_scores(const hb_watch *w, hb_scores **scores, hb_error *err)
{
    hb_scores *s;
    hb_score_id id;
    hb_status status = hb_scores_of_set(w->signals, &s, err);
    if (status) return status;
    for (size_t i = 0, place = 0; hb_score_at(w->signals, i, &id); i++)
        if (hb_aggregation_is_measured(id.aggregation))
            hb_scores_set(
                s, place++,
                hb_aggregate_value(&w->aggregates[i / hb_aggregation_count()], id.aggregation));
    *scores = s;
    return HB_OK;
}
