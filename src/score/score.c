/* Pass 1: each sample generated exactly once, and only scalars and the short text kept. Samples are
 * scored together, each in a sequence of its own, and tokens that their prompts share are evaluated
 * once. A sample's results are those of scoring it alone, in whatever company. */
#include <stdlib.h>
#include <string.h>
#include "score/scorer.h"
#include "store/run.h"

/* ---- Samples that wait --------------------------------------------------------------------------- */

/* Copies a sample's id and right answers, and makes room for what it has in common with each slot. */
static hb_status copy_sample(const hb_scorer *s, const hb_sample *sample, hb_pending_sample *p)
{
    *p = (hb_pending_sample){.index = sample->index, .label = sample->label, .id = strdup(sample->id)};
    p->common = calloc((size_t)s->n_slots, sizeof *p->common);
    bool ok = p->id && p->common;
    if (sample->answers) {
        p->answers = calloc(sample->n_answers + 1, sizeof *p->answers);
        ok = ok && p->answers;
    }
    for (; ok && p->n_answers < sample->n_answers; p->n_answers += ok)
        ok = (p->answers[p->n_answers] = strdup(sample->answers[p->n_answers])) != NULL;
    if (ok) return HB_OK;
    hb_pending_sample_free(p);
    return hb_fail_memory(s->err);
}

static void let_wait(hb_scorer *s, hb_pending_sample p)
{
    for (int32_t k = 0; k < s->n_slots; k++)
        p.common[k] = hb_common_prefix(s->slots[k].sample.tokens, s->slots[k].sample.n, p.tokens, p.n);
    hb_pending_add(&s->pending, p);
}

/* Tokenizes a sample and lets it wait, or records why it cannot be scored. One that cannot run to
 * max_tokens would not be comparable with the others: it is skipped. */
static hb_status take_in(hb_scorer *s, const hb_sample *sample)
{
    size_t n = 0, budget = (size_t)s->settings->max_tokens, room = (size_t)s->settings->n_ctx;
    hb_pending_sample p;
    hb_error why;
    if (copy_sample(s, sample, &p)) return HB_ERR_MEMORY;
    hb_status status = hb_prompt_tokenize(s->model, s->settings->chat, s->settings->system,
                                          sample->prompt, strlen(sample->prompt), &p.tokens, &n, &why);
    p.n = (int32_t)n;
    if (status == HB_ERR_MEMORY) {
        status = hb_fail_memory(s->err);
    } else if (status) {
        status = hb_record_reason(s, &p, HB_SAMPLE_FAILED, why.message);
    } else if (n == 0) {
        status = hb_record_reason(s, &p, HB_SAMPLE_FAILED, "the prompt is empty");
    } else if (n + budget - 1 > room) {
        hb_fail(&why, HB_ERR_CONTEXT,
                "the prompt's %zu tokens and %zu more do not fit the context of %zu", n, budget, room);
        status = hb_record_reason(s, &p, HB_SAMPLE_SKIPPED, why.message);
    } else {
        let_wait(s, p);
        return HB_OK;
    }
    hb_pending_sample_free(&p);
    return status;
}

/* Reads on once half of those that waited have begun, so that slots never run dry. */
static hb_status refill(hb_scorer *s)
{
    hb_status status = HB_OK;
    if (s->exhausted || s->pending.n > HB_PENDING_MAX / 2) return HB_OK;
    while (!status && s->pending.n < HB_PENDING_MAX) {
        hb_sample sample;
        bool found, has;
        status = hb_dataset_next(s->dataset, &sample, &found, s->err);
        if (status) return status;
        s->exhausted = !found;
        if (!found) return HB_OK;
        status = hb_run_has(s->run, sample.index, &has, s->err);
        if (!status && !has) status = take_in(s, &sample);
    }
    return status;
}

/* A sample that does not even fit the empty cache. */
static hb_status skip_first(hb_scorer *s)
{
    hb_pending_sample p = hb_pending_take(&s->pending, 0);
    hb_status status =
        hb_record_reason(s, &p, HB_SAMPLE_SKIPPED, "the prompt does not fit the KV cache");
    hb_pending_sample_free(&p);
    return status;
}

static hb_status score_all(hb_scorer *s)
{
    hb_status status = hb_run_count(s->run, &s->counts, s->err);
    while (!status) {
        if (s->options->cancelled && s->options->cancelled(s->options->user))
            return hb_fail(s->err, HB_ERR_CANCELLED, "interrupted");
        status = refill(s);
        if (!status) status = hb_slots_begin(s);
        if (status || (s->exhausted && !s->pending.n && !hb_slots_count(s, HB_SLOT_RUNNING))) break;
        status = hb_slots_count(s, HB_SLOT_RUNNING) ? hb_score_step(s) : skip_first(s);
        if (!status) status = hb_run_commit(s->run, s->err);
    }
    hb_status kept = hb_run_commit(s->run, status ? NULL : s->err);
    return status ? status : kept;
}

/* ---- Setting up ---------------------------------------------------------------------------------- */

static bool open_batch(hb_scorer *s)
{
    size_t n = (size_t)s->session->n_batch;
    s->tokens = calloc(n, sizeof *s->tokens);
    s->sequences = calloc(n, sizeof *s->sequences);
    s->rows = calloc(n, sizeof *s->rows);
    return s->tokens && s->sequences && s->rows;
}

/* Room for what the watches, which are all alike, need of a step. */
static hb_status open_tap(hb_scorer *s)
{
    const hb_model_info *m = &s->model->info;
    hb_tap *t = &s->tap;
    hb_watch_request(s->slots[0].watch, t);
    size_t n = (size_t)s->n_slots, blocks = (size_t)t->n_blocks, k = (size_t)t->n_lens;
    t->logits = calloc(n * (size_t)m->n_vocab, sizeof *t->logits);
    if (blocks) t->states = calloc(n * blocks * (size_t)m->n_embd, sizeof *t->states);
    if (k) t->lens = calloc(n * blocks * k, sizeof *t->lens);
    if (k) t->lens_tokens = calloc(n * k, sizeof *t->lens_tokens);
    bool ok = t->logits && (!blocks || t->states) && (!k || (t->lens && t->lens_tokens));
    return ok ? HB_OK : hb_fail_memory(s->err);
}

static hb_status open_scorer(hb_scorer *s)
{
    const hb_model_info *m = &s->model->info;
    hb_generate_options o = hb_generate_defaults();
    o.monitor.watched = NULL; /* nothing halts */
    o.monitor.alpha = s->settings->alpha;
    o.monitor.signals = s->settings->signals;
    s->n_slots = hb_session_n_sequences(s->session);
    if (s->n_slots > s->session->n_batch) s->n_slots = s->session->n_batch;
    size_t n = (size_t)s->n_slots;
    s->slots = calloc(n, sizeof *s->slots);
    if (!s->slots || !open_batch(s)) return hb_fail_memory(s->err);
    hb_status status = hb_sampler_open(&s->sampler, &o.sampling, m->n_vocab, s->err);
    for (size_t k = 0; k < n && !status; k++)
        status = hb_watch_open(s->model, &o.monitor, &s->slots[k].watch, s->err);
    return status ? status : open_tap(s);
}

static void close_scorer(hb_scorer *s)
{
    for (int32_t k = 0; s->slots && k < s->n_slots; k++) {
        hb_slot_empty(s, &s->slots[k]);
        hb_watch_close(s->slots[k].watch);
        hb_buffer_free(&s->slots[k].raw);
    }
    hb_pending_free(&s->pending);
    hb_sampler_close(&s->sampler);
    hb_buffer_free(&s->text);
    free(s->slots);
    free(s->tokens);
    free(s->sequences);
    free(s->rows);
    free(s->tap.logits);
    free(s->tap.states);
    free(s->tap.lens);
    free(s->tap.lens_tokens);
    free(s);
}

hb_status hb_score(hb_session *session, hb_dataset *dataset, hb_run *run,
                   const hb_score_options *options, hb_error *err)
{
    static const hb_score_options none = {0};
    const hb_run_settings *settings = hb_run_get_settings(run);
    if (hb_session_n_ctx(session) != settings->n_ctx ||
        hb_dataset_get_info(dataset)->n_selected != settings->n_samples)
        return hb_fail(err, HB_ERR_ARGUMENT, "the session or the dataset is not the run's");
    hb_scorer *s = calloc(1, sizeof *s);
    if (!s) return hb_fail_memory(err);
    s->session = session;
    s->model = hb_session_model(session);
    s->dataset = dataset;
    s->run = run;
    s->settings = settings;
    s->options = options ? options : &none;
    s->err = err;
    hb_session_reset(session);
    hb_status status = open_scorer(s);
    if (!status) status = score_all(s);
    if (s->options->work) *s->options->work = s->work;
    close_scorer(s);
    return status;
}
