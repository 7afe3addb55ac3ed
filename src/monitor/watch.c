#include "monitor/watch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "engine/model.h"
#include "signals/scores.h"

struct hb_watch {
    const hb_model *model;
    hb_monitor monitor;
    hb_aggregate scores[HB_N_SIGNALS];
    size_t n_steps;
    float previous[]; /* [n_embd], the last block's state at the step before */
};

struct hb_watch_scratch {
    float *p; /* [n_vocab] */
};

/* ---- Opening and closing ------------------------------------------------------------------------ */

static hb_status check_monitor(const hb_monitor *m, hb_error *err)
{
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

hb_status hb_watch_scratch_open(const hb_model *model, hb_watch_scratch **scratch, hb_error *err)
{
    hb_watch_scratch *s = calloc(1, sizeof *s);
    if (s) s->p = malloc((size_t)model->info.n_vocab * sizeof *s->p);
    if (!s || !s->p) {
        hb_watch_scratch_close(s);
        return hb_fail_memory(err);
    }
    *scratch = s;
    return HB_OK;
}

void hb_watch_scratch_close(hb_watch_scratch *scratch)
{
    if (!scratch) return;
    free(scratch->p);
    free(scratch);
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
    *watch = w;
    return HB_OK;
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

hb_status hb_check_logits(const hb_model *model, int32_t step, const float *logits, hb_error *err)
{
    float sum = 0; /* of zeros, unless one is NaN or infinite */
    for (int32_t i = 0; i < model->info.n_vocab; i++) sum += logits[i] * 0;
    if (sum == 0) return HB_OK;
    return hb_fail(err, HB_ERR_NUMERIC, "%s: the logits at step %d are not finite", model->info.path,
                   step);
}

hb_status hb_watch_measure(hb_watch *w, hb_watch_scratch *scratch, int32_t step, int32_t token,
                           const float *logits, const float *states, hb_step *out, hb_error *err)
{
    const hb_model_info *info = &w->model->info;
    const hb_monitor *m = &w->monitor;
    size_t vocab = (size_t)info->n_vocab, d = (size_t)info->n_embd, layers = (size_t)info->n_layers;
    const float *last = states + (layers - 1) * d;
    hb_status status = hb_check_logits(w->model, step, logits, err);
    if (status) return status;
    hb_step s = {.step = step, .token = token};
    double *v = s.signals;
    hb_softmax(logits, vocab, scratch->p);
    s.impurity = hb_gini_impurity(scratch->p, vocab);
    v[HB_SIGNAL_DELTA_MU] = hb_delta_mu(s.impurity);
    v[HB_SIGNAL_DELTA_SIGMA] = hb_delta_sigma(states, layers, d);
    v[HB_SIGNAL_HBAR_S] = hb_hbar_s(v[HB_SIGNAL_DELTA_MU], v[HB_SIGNAL_DELTA_SIGMA]);
    s.p_fail = hb_p_fail(v[HB_SIGNAL_HBAR_S], m->tau, m->lambda, m->direction);
    v[HB_SIGNAL_SURPRISE] = hb_surprise(scratch->p[token]);
    v[HB_SIGNAL_DELTA_H] = w->n_steps > 0 ? hb_cosine_distance(last, w->previous, d) : 0;
    v[HB_SIGNAL_PRI] = hb_pri(v[HB_SIGNAL_SURPRISE], v[HB_SIGNAL_DELTA_H], m->alpha);
    if (!isfinite(v[HB_SIGNAL_HBAR_S]) || !isfinite(v[HB_SIGNAL_PRI]))
        return hb_fail(err, HB_ERR_NUMERIC, "%s: the blocks' states at step %d are not finite",
                       info->path, step);
    memcpy(w->previous, last, d * sizeof *last);
    for (int i = 0; i < HB_N_SIGNALS; i++) hb_aggregate_add(&w->scores[i], v[i]);
    w->n_steps++;
    *out = s;
    return HB_OK;
}

void hb_watch_get_scores(const hb_watch *watch, hb_scores *scores)
{
    for (int i = 0; i < HB_N_SIGNALS; i++) hb_aggregate_get(&watch->scores[i], scores->of[i]);
}
