#include "monitor/watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/engine.h"
#include "signals/scores.h"

struct hb_watch {
    const hb_model *model;
    hb_monitor monitor;
    hb_aggregate scores[HB_N_SIGNALS];
    hb_score_id joint[HB_JOINT_MAX]; /* the joint model's scores, if there is one */
    size_t n_steps;
    float previous[]; /* [n_embd], the last block's state at the step before */
};

/* ---- Opening and closing ------------------------------------------------------------------------ */

static hb_status check_monitor(const hb_monitor *m, hb_error *err)
{
    if (m->watched >= HB_N_SIGNALS || m->signals & ~HB_SIGNALS_ALL)
        return hb_fail(err, HB_ERR_ARGUMENT, "there are %d signals, and no more", HB_N_SIGNALS);
    if (!isfinite(m->tau)) return hb_fail(err, HB_ERR_ARGUMENT, "tau %g is not a number", m->tau);
    if (!(m->lambda > 0 && isfinite(m->lambda)))
        return hb_fail(err, HB_ERR_ARGUMENT, "lambda %g is not above 0", m->lambda);
    if (!(m->cutoff > 0 && isfinite(m->cutoff)))
        return hb_fail(err, HB_ERR_ARGUMENT, "cutoff %g is not above 0", m->cutoff);
    if (!(m->alpha >= 0 && isfinite(m->alpha)))
        return hb_fail(err, HB_ERR_ARGUMENT, "alpha %g is negative", m->alpha);
    if (m->direction != HB_DIRECTION_HIGH && m->direction != HB_DIRECTION_LOW)
        return hb_fail(err, HB_ERR_ARGUMENT, "the monitor's direction must be high or low");
    if (m->check_every < 1)
        return hb_fail(err, HB_ERR_ARGUMENT, "check-every %d is not at least 1", m->check_every);
    return HB_OK;
}

/* Finds the joint model's scores, whose signals are then measured in any case. */
static hb_status find_joint(hb_watch *w, hb_error *err)
{
    const hb_joint *joint = w->monitor.joint;
    for (size_t j = 0; joint && j < joint->n_features; j++) {
        if (!hb_score_find(joint->features[j].score, &w->joint[j]))
            return hb_fail(err, HB_ERR_ARGUMENT,
                           "the joint model has the score '%s', which is none that hbar measures",
                           joint->features[j].score);
        w->monitor.signals |= HB_SIGNAL_BIT(w->joint[j].signal);
    }
    return HB_OK;
}

hb_status hb_watch_open(const hb_model *model, const hb_monitor *monitor, hb_watch **watch,
                        hb_error *err)
{
    hb_status status = check_monitor(monitor, err);
    if (status) return status;
    hb_watch *w = calloc(1, sizeof *w + (size_t)model->info.n_embd * sizeof *w->previous);
    if (!w) return hb_fail_memory(err);
    w->model = model;
    w->monitor = *monitor;
    w->monitor.signals |= HB_SIGNAL_BIT(HB_SIGNAL_HBAR_S) | HB_SIGNAL_BIT(monitor->watched);
    status = find_joint(w, err);
    if (status) hb_watch_close(w);
    else *watch = w;
    return status;
}

void hb_watch_close(hb_watch *watch)
{
    free(watch);
}

void hb_watch_reset(hb_watch *watch)
{
    memset(watch->scores, 0, sizeof watch->scores);
    watch->n_steps = 0;
}

/* ---- Measuring ---------------------------------------------------------------------------------- */

static hb_status not_finite(const hb_model *model, const char *what, int32_t step, hb_error *err)
{
    return hb_fail(err, HB_ERR_NUMERIC, "%s: the %s at step %d are not finite", model->info.path, what,
                   step);
}

hb_status hb_check_logits(const hb_model *model, int32_t step, const float *logits, hb_error *err)
{
    float sum = 0; /* of zeros, unless one is NaN or infinite */
#pragma omp simd reduction(+ : sum)
    for (int32_t i = 0; i < model->info.n_vocab; i++) sum += logits[i] * 0;
    return sum == 0 ? HB_OK : not_finite(model, "logits", step, err);
}

static bool wants(const hb_watch *w, hb_signal_set any)
{
    return w->monitor.signals & any;
}

int32_t hb_watch_n_lens(const hb_model *model)
{
    return model->info.n_vocab < HB_LENS_TOKENS ? model->info.n_vocab : HB_LENS_TOKENS;
}

bool hb_watch_wants_lens(const hb_watch *watch)
{
    return wants(watch, HB_SIGNAL_BIT(HB_SIGNAL_LENS_JSD) | HB_SIGNAL_BIT(HB_SIGNAL_LENS_DEPTH));
}

/* The signals of the distribution and the token chosen from it. */
static void measure_distribution(const hb_watch *w, const hb_distribution *d, float chosen, double *v)
{
    const hb_aggregate *surprises = &w->scores[HB_SIGNAL_SURPRISE];
    v[HB_SIGNAL_DELTA_MU] = hb_delta_mu(hb_gini_impurity(d));
    v[HB_SIGNAL_ENTROPY] = hb_entropy(d);
    v[HB_SIGNAL_RENYI] = hb_renyi_divergence(d);
    v[HB_SIGNAL_TSALLIS] = hb_tsallis_divergence(d);
    v[HB_SIGNAL_FISHER_RAO] = hb_fisher_rao_distance(d);
    v[HB_SIGNAL_MAX_PROB] = hb_max_probability(d);
    v[HB_SIGNAL_MARGIN] = hb_margin(d);
    v[HB_SIGNAL_SELF_CERTAINTY] = hb_self_certainty(d);
    v[HB_SIGNAL_SURPRISE] = hb_surprise(hb_probability(d, chosen));
    double total = surprises->sum + v[HB_SIGNAL_SURPRISE];
    v[HB_SIGNAL_PERPLEXITY] = exp(total / (double)(surprises->n + 1));
    v[HB_SIGNAL_SEQUENCE_LOGPROB] = 0 - total;
}

/* Blocks are compared with the last one, whose row of the lens is the model's own logits. */
static void measure_lens(const hb_watch *w, const float *lens, double *v)
{
    size_t layers = (size_t)w->model->info.n_layers, k = (size_t)hb_watch_n_lens(w->model);
    const float *last = lens + (layers - 1) * k, *middle = lens + ((layers + 1) / 2 - 1) * k;
    v[HB_SIGNAL_LENS_JSD] = hb_jensen_shannon(last, middle, k);
    v[HB_SIGNAL_LENS_DEPTH] = hb_prediction_depth(lens, layers, k);
}

/* The signals of the blocks' states; those of the distribution are there. */
static void measure_states(const hb_watch *w, const float *states, double *v)
{
    size_t d = (size_t)w->model->info.n_embd, layers = (size_t)w->model->info.n_layers;
    const float *last = states + (layers - 1) * d;
    v[HB_SIGNAL_DELTA_SIGMA] = hb_delta_sigma(states, layers, d);
    v[HB_SIGNAL_HBAR_S] = hb_hbar_s(v[HB_SIGNAL_DELTA_MU], v[HB_SIGNAL_DELTA_SIGMA]);
    v[HB_SIGNAL_DELTA_H] = w->n_steps > 0 ? hb_cosine_distance(last, w->previous, d) : 0;
    v[HB_SIGNAL_PRI] = hb_pri(v[HB_SIGNAL_SURPRISE], v[HB_SIGNAL_DELTA_H], w->monitor.alpha);
}

/* The joint model's log-odds for the steps so far, this one included. */
static double joint_log_odds(const hb_watch *w)
{
    double values[HB_JOINT_MAX], all[HB_N_AGGREGATIONS];
    for (size_t j = 0; j < w->monitor.joint->n_features; j++) {
        hb_aggregate_get(&w->scores[w->joint[j].signal], all);
        values[j] = all[w->joint[j].aggregation];
    }
    return hb_joint_log_odds(w->monitor.joint, values);
}

hb_status hb_watch_measure(hb_watch *w, int32_t step, int32_t token, const hb_tapped_row *row,
                           hb_step *out, hb_error *err)
{
    const hb_monitor *m = &w->monitor;
    size_t d = (size_t)w->model->info.n_embd, layers = (size_t)w->model->info.n_layers;
    hb_distribution distribution;
    hb_step s = {.step = step, .token = token};
    if (!hb_distribution_gather(row->logits, (size_t)w->model->info.n_vocab, &distribution))
        return not_finite(w->model, "logits", step, err);
    s.impurity = hb_gini_impurity(&distribution);
    measure_distribution(w, &distribution, row->logits[token], s.signals);
    measure_states(w, row->states, s.signals);
    if (hb_watch_wants_lens(w)) measure_lens(w, row->lens, s.signals);
    if (!isfinite(s.signals[HB_SIGNAL_HBAR_S]) || !isfinite(s.signals[HB_SIGNAL_PRI]))
        return not_finite(w->model, "blocks' states", step, err);
    memcpy(w->previous, row->states + (layers - 1) * d, d * sizeof *w->previous);
    for (int i = 0; i < HB_N_SIGNALS; i++) {
        hb_aggregate_add(&w->scores[i], s.signals[i]);
        if (!wants(w, HB_SIGNAL_BIT(i))) s.signals[i] = NAN;
    }
    w->n_steps++;
    s.watched = m->joint ? joint_log_odds(w) : s.signals[m->watched];
    s.p_fail = hb_p_fail_by(m->map, s.watched, m->tau, m->lambda, m->direction);
    *out = s;
    return HB_OK;
}

void hb_watch_get_scores(const hb_watch *watch, hb_scores *scores)
{
    static const hb_aggregate none;
    for (int i = 0; i < HB_N_SIGNALS; i++)
        hb_aggregate_get(wants(watch, HB_SIGNAL_BIT(i)) ? &watch->scores[i] : &none, scores->of[i]);
}
