#include "decode/decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/greatest.h"
#include "base/memory.h"
#include "engine/engine.h"
#include "signals/scores.h"

/* ---- Prompts ------------------------------------------------------------------------------------- */

#define MARKER_TOKENS 32 /* a marker has no more, with the blanks after it */

const char *hb_prompt_opened_block(const hb_model *model, const int32_t *prompt, size_t n_prompt)
{
    char tail[256];
    size_t n = 0, length;
    for (size_t i = n_prompt > MARKER_TOKENS ? n_prompt - MARKER_TOKENS : 0; i < n_prompt; i++) {
        const char *piece = hb_token_bytes(model, prompt[i], &length);
        if (!length) piece = hb_token_piece(model, prompt[i], &length);
        if (length > sizeof tail / 2) length = 0; /* no part of a marker */
        if (n + length > sizeof tail) n = 0;
        memcpy(tail + n, piece, length);
        n += length;
    }
    return hb_answer_opened_block(tail, n);
}

/* ---- Opening and closing ------------------------------------------------------------------------ */

/* The initial state of sample k's random numbers. Sample 0 has the seed itself; for the others it is
 * hashed, so that no sample repeats another sample's numbers a few draws later. */
static uint64_t sample_seed(uint64_t seed, int32_t k)
{
    if (k == 0) return seed;
    hb_rng hash = {seed};
    hash.state = hb_rng_next(&hash) + (uint64_t)k;
    return hb_rng_next(&hash);
}

hb_status hb_decoder_open(hb_decoder *d, const hb_task *task, int32_t sample, hb_error *err)
{
    const hb_request *r = &task->request;
    *d = (hb_decoder){.task = task, .sample = sample, .stops = {.texts = r->stops, .n = r->n_stops}};
    d->sampler = (hb_sampler){r->sampling, {sample_seed(r->sampling.seed, sample)}};
    const char *block =
        r->answer_lines ? hb_prompt_opened_block(task->model, r->prompt, r->n_prompt) : NULL;
    hb_answer_scan_start(&d->answer, r->answer_lines);
    if (block) hb_answer_scan_add(&d->answer, block, strlen(block));
    hb_status status = hb_adjuster_open(&d->adjuster, &r->adjustment, task->model->info.n_vocab, err);
    if (!status) status = hb_watch_open(task->model, &r->monitor, &d->watch, err);
    if (!status && r->features) status = hb_watch_keep(d->watch, r->features, err);
    return status;
}

void hb_decoder_close(hb_decoder *d)
{
    hb_watch_close(d->watch);
    hb_adjuster_close(&d->adjuster);
    free(d->tokens);
    hb_buffer_free(&d->stops.held);
    *d = (hb_decoder){0};
}

/* ---- Choosing ----------------------------------------------------------------------------------- */

bool hb_decoder_checks(const hb_decoder *d, int32_t n)
{
    int32_t every = d->task->request.monitor.check_every;
    int32_t since = d->n_tokens % every; /* steps since the last check was due */
    return n > 0 && (since == 0 || every - since < n);
}

/* Sets the log-probabilities of the chosen token and of the most probable ones. */
static void set_logprobs(hb_decoder *d, const hb_reading *reading, int32_t n_vocab)
{
    int32_t best[HB_MAX_LOGPROBS], n_top = d->task->request.n_top;
    const float *logits = reading->logits;
    double total = reading->sums->max + log(reading->sums->exps);
    if (n_top > n_vocab) n_top = n_vocab;
    d->logprob = logits[d->token] - total;
    if (n_top) hb_greatest(logits, n_vocab, best, n_top);
    for (int32_t i = 0; i < n_top; i++) d->top[i] = (hb_logprob){best[i], logits[best[i]] - total};
}

/* Signals and log-probabilities share the sums over the vocabulary. */
static hb_status read_logits(hb_decoder *d, hb_reading *reading, hb_distribution *sums, hb_pool *pool)
{
    bool needed = d->task->request.logprobs || (d->checked && hb_watch_needs_sums(d->watch));
    return hb_watch_read_logits(d->watch, d->n_tokens, d->checked, reading, pool, needed ? sums : NULL,
                                &d->why);
}

void hb_decoder_choose(hb_decoder *d, hb_candidate *candidates, const hb_tap *tap, int32_t row,
                       hb_pool *pool)
{
    const hb_task *t = d->task;
    const hb_request *r = &t->request;
    hb_reading reading = hb_watch_reading(d->watch, tap, row);
    hb_distribution sums;
    int32_t step = d->n_tokens, n_vocab = t->model->info.n_vocab;
    d->checked = hb_decoder_checks(d, 1);
    d->failed = read_logits(d, &reading, &sums, pool);
    if (d->failed) return;
    d->token = r->given
                   ? r->given[step]
                   : hb_sampler_choose(&d->sampler, hb_adjuster_apply(&d->adjuster, reading.logits),
                                       n_vocab, candidates);
    if (d->checked)
        d->failed = hb_watch_step(d->watch, step, d->token, &reading, &d->step, &d->halts, &d->why);
    if (r->logprobs && !d->failed) set_logprobs(d, &reading, n_vocab);
}

/* ---- Going on ----------------------------------------------------------------------------------- */

static hb_status emit(const hb_decoder *d, hb_event_kind kind, const char *bytes, size_t length,
                      hb_error *err)
{
    const hb_event event = {.kind = kind,
                            .request = d->task->number,
                            .sample = d->sample,
                            .token = d->token,
                            .step = &d->step,
                            .logprob = d->logprob,
                            .top = d->top,
                            .bytes = bytes,
                            .length = length};
    return d->task->request.sink(d->task->request.user, &event, err);
}

/* The bytes that a token adds to the text. For a control token that marks reasoning they are its
 * spelling, so that reasoning stays separate from the answer. */
static const char *bytes_of(const hb_model *model, int32_t token, size_t *length)
{
    size_t n_piece;
    const char *bytes = hb_token_bytes(model, token, length);
    const char *piece = *length ? NULL : hb_token_piece(model, token, &n_piece);
    if (!piece || !hb_answer_is_marker(piece, n_piece)) return bytes;
    *length = n_piece;
    return piece;
}

/* Keeps and counts the appended token, where that is wanted. */
static hb_status remember(hb_decoder *d, hb_error *err)
{
    size_t n = (size_t)d->n_tokens;
    if (d->task->keeps_tokens) {
        int32_t *tokens = hb_grown(d->tokens, n, sizeof *tokens, &d->token_room);
        if (!tokens) return hb_fail_memory(err);
        d->tokens = tokens;
        tokens[n] = d->token;
    }
    d->n_tokens++;
    return hb_adjuster_count(&d->adjuster, d->token, err);
}

static hb_status append(hb_decoder *d, hb_error *err)
{
    size_t length;
    const char *bytes = bytes_of(d->task->model, d->token, &length);
    hb_status status = remember(d, err);
    if (status) return status;
    if (d->task->request.answer_lines) hb_answer_scan_add(&d->answer, bytes, length);
    if (!d->stops.n) return emit(d, HB_EVENT_TOKEN, bytes, length, err);
    if (!hb_stops_add(&d->stops, bytes, length, &length)) return hb_fail_memory(err);
    status = emit(d, HB_EVENT_TOKEN, d->stops.held.data, length, err);
    hb_stops_release(&d->stops, length);
    return status;
}

static hb_status end(hb_decoder *d, hb_finish why)
{
    d->ended = true;
    d->finish = why;
    return HB_OK;
}

/* Handles the chosen token: emits events, appends it, and ends the sample if a condition is met. */
static hb_status go_on(hb_decoder *d, hb_error *err)
{
    const hb_task *t = d->task;
    if (d->failed) return hb_fail(err, d->failed, "%s", d->why.message);
    if (d->checked) {
        d->n_steps++;
        hb_status status = emit(d, HB_EVENT_STEP, NULL, 0, err);
        if (status) return status;
        if (d->halts && !t->request.goes_on) return end(d, HB_FINISH_HALTED);
    }
    if (hb_token_is_end(t->model, d->token)) return end(d, HB_FINISH_END);
    hb_status status = append(d, err);
    if (status) return status;
    if (d->answer.ended) return end(d, HB_FINISH_LINE);
    if (d->stops.found) return end(d, HB_FINISH_STOP);
    if (d->n_tokens == t->limit) return end(d, t->at_limit);
    return HB_OK;
}

hb_status hb_decoder_advance(hb_decoder *d, hb_error *err)
{
    hb_status status = go_on(d, err);
    if (status) d->ended = true;
    return status;
}

void hb_decoder_finish(hb_decoder *d, const hb_error *error, int32_t n_shared, double prompt_seconds,
                       double decode_seconds)
{
    const hb_request *r = &d->task->request;
    hb_scores *scores = NULL;
    hb_error why;
    if (!error && hb_watch_get_scores(d->watch, &scores, &why)) error = &why;
    bool rest = !error && !d->stops.found; /* held-back bytes turned out not to begin a stop text */
    hb_outcome outcome = {.error = error,
                          .finish = d->finish,
                          .signals = error ? NULL : hb_watch_signals(d->watch),
                          .scores = scores,
                          .features = error ? NULL : hb_watch_features(d->watch),
                          .n_prompt = (int32_t)r->n_prompt,
                          .n_tokens = d->n_tokens,
                          .n_shared = n_shared,
                          .n_steps = d->n_steps,
                          .prompt_seconds = prompt_seconds,
                          .decode_seconds = decode_seconds};
    const hb_event event = {.kind = HB_EVENT_FINISH,
                            .request = d->task->number,
                            .sample = d->sample,
                            .token = d->token,
                            .step = d->n_steps && !error ? &d->step : NULL,
                            .bytes = d->stops.held.data,
                            .length = rest ? d->stops.held.length : 0,
                            .outcome = &outcome};
    hb_error ignored;
    r->sink(r->user, &event, &ignored);
    hb_scores_free(outcome.scores);
}
