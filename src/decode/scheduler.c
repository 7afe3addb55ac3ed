#include "decode/scheduler.h"

#include <stdlib.h>
#include <string.h>
#include "base/clock.h"

/* Minimum number of tap rows, so that a given continuation is evaluated in pieces of this size. */
#define MIN_ROWS 32

/* ---- Opening and closing ------------------------------------------------------------------------ */

static int32_t least(int64_t a, int64_t b)
{
    return (int32_t)(a < b ? a : b);
}

/* Reserves memory for every output of a tap. The kernel commits only pages that are written to. */
static bool reserve_tap(hb_scheduler *s)
{
    const hb_model_info *m = &s->model->info;
    size_t rows = (size_t)s->max_rows, layers = (size_t)m->n_layers;
    hb_tap *t = &s->room;
    t->n_lens = least(m->n_vocab, HB_LENS_TOKENS);
    t->logits = malloc(rows * (size_t)m->n_vocab * sizeof *t->logits);
    t->states = malloc(rows * layers * (size_t)m->n_embd * sizeof *t->states);
    t->lens = malloc(rows * layers * (size_t)t->n_lens * sizeof *t->lens);
    t->lens_tokens = malloc(rows * (size_t)t->n_lens * sizeof *t->lens_tokens);
    t->attention = malloc(rows * layers * (size_t)m->n_heads * HB_N_ATTENTION * sizeof *t->attention);
    t->normed = malloc(rows * (size_t)m->n_embd * sizeof *t->normed);
    t->head = malloc(rows * (size_t)t->n_lens * (size_t)m->n_embd * sizeof *t->head);
    s->rows = malloc(rows * sizeof *s->rows);
    s->lengths = malloc(rows * sizeof *s->lengths);
    s->blocks = malloc(layers * sizeof *s->blocks);
    s->is_wanted = malloc(layers * sizeof *s->is_wanted);
    return t->logits && t->states && t->lens && t->lens_tokens && t->attention && t->normed &&
           t->head && s->rows && s->lengths && s->blocks && s->is_wanted;
}

static bool reserve(hb_scheduler *s)
{
    size_t size = (size_t)s->session->n_batch;
    s->slots = calloc((size_t)s->n_slots, sizeof *s->slots);
    s->candidates = calloc((size_t)s->session->n_threads, sizeof *s->candidates);
    s->tokens = malloc(size * sizeof *s->tokens);
    s->sequences = malloc(size * sizeof *s->sequences);
    return s->slots && s->candidates && s->tokens && s->sequences && reserve_tap(s);
}

static void free_scheduler(hb_scheduler *s)
{
    for (size_t i = 0; i < s->prompts.n; i++) hb_job_free(hb_job_at(s, i));
    hb_prompts_free(&s->prompts);
    for (int32_t t = 0; s->candidates && t < s->session->n_threads; t++) free(s->candidates[t]);
    free(s->candidates);
    free(s->slots);
    free(s->tokens);
    free(s->sequences);
    free(s->rows);
    free(s->lengths);
    free(s->room.logits);
    free(s->room.states);
    free(s->room.lens);
    free(s->room.lens_tokens);
    free(s->room.attention);
    free(s->room.normed);
    free(s->room.head);
    free(s->blocks);
    free(s->is_wanted);
    free(s);
}

hb_status hb_scheduler_open(hb_session *session, hb_scheduler **scheduler, hb_error *err)
{
    hb_scheduler *s = calloc(1, sizeof *s);
    if (!s) return hb_fail_memory(err);
    hb_session_reset(session);
    s->session = session;
    s->model = session->model;
    s->capacity = hb_session_n_free(session);
    s->positions = least(session->n_ctx, s->capacity);
    s->n_slots = least(session->n_sequences, session->n_batch);
    s->n_in[HB_SLOT_EMPTY] = s->n_slots;
    s->max_rows = s->n_slots > MIN_ROWS ? s->n_slots : MIN_ROWS;
    if (!reserve(s)) {
        free_scheduler(s);
        return hb_fail_memory(err);
    }
    *scheduler = s;
    return HB_OK;
}

/* ---- Requests ------------------------------------------------------------------------------------ */

void hb_scheduler_serve(hb_scheduler *s, hb_serving serving)
{
    s->serving = serving;
}

void hb_job_free(hb_job *job)
{
    for (size_t i = 0; job->stops && i < job->task.request.n_stops; i++) free(job->stops[i]);
    free(job->stops);
    free(job->tokens);
    free(job->biases);
    free(job);
}

static hb_status check_settings(const hb_request *r, hb_error *err)
{
    if (r->max_tokens < 1)
        return hb_fail(err, HB_ERR_ARGUMENT, "max-tokens %d is less than 1", r->max_tokens);
    if (r->n_samples < 1)
        return hb_fail(err, HB_ERR_ARGUMENT, "the number of samples is %d, but must be at least 1",
                       r->n_samples);
    for (size_t i = 0; i < r->n_stops; i++)
        if (!r->stops[i] || !*r->stops[i]) return hb_fail(err, HB_ERR_ARGUMENT, "a stop text is empty");
    if (r->given && r->n_given < 1)
        return hb_fail(err, HB_ERR_ARGUMENT, "the given continuation is empty");
    if (r->given && r->n_samples > 1)
        return hb_fail(err, HB_ERR_ARGUMENT, "a given continuation has one sample, not %d",
                       r->n_samples);
    if (r->n_top < 0 || r->n_top > HB_MAX_LOGPROBS)
        return hb_fail(err, HB_ERR_ARGUMENT, "the number of log-probabilities is %d, not from 0 to %d",
                       r->n_top, HB_MAX_LOGPROBS);
    return hb_sampling_check(&r->sampling, err);
}

static hb_status check_request(const hb_scheduler *s, const hb_request *r, hb_error *err)
{
    hb_status status = check_settings(r, err);
    if (!status) status = hb_adjustment_check(&r->adjustment, s->model->info.n_vocab, err);
    if (status) return status;
    if (r->n_prompt < 1) return hb_fail(err, HB_ERR_ARGUMENT, "the prompt is empty");
    if (r->n_prompt > (size_t)s->positions)
        return hb_fail(err, HB_ERR_CONTEXT, "the prompt's %zu tokens do not fit the %s of %d",
                       r->n_prompt, s->positions < s->session->n_ctx ? "cache" : "context",
                       s->positions);
    status = hb_check_tokens(s->model, r->prompt, r->n_prompt, err);
    if (!status && r->given) status = hb_check_tokens(s->model, r->given, r->n_given, err);
    return status;
}

/* Sets the maximum number of tokens of a sample, and why it ends there. */
static void set_limit(const hb_scheduler *s, hb_job *job)
{
    hb_task *t = &job->task;
    const hb_request *r = &t->request;
    int32_t room = s->positions - (int32_t)r->n_prompt + 1; /* the last token is not evaluated */
    t->limit = r->max_tokens;
    t->at_limit = HB_FINISH_MAX_TOKENS;
    if (r->given && r->n_given <= (size_t)t->limit) {
        t->limit = (int32_t)r->n_given;
        t->at_limit = HB_FINISH_GIVEN;
    }
    if (room < t->limit) {
        t->limit = room;
        t->at_limit = HB_FINISH_CONTEXT;
    }
    job->positions = (int32_t)r->n_prompt + t->limit - 1;
}

/* Replaces the request's arrays by copies. */
static hb_status copy_arrays(hb_job *job, hb_error *err)
{
    hb_request *r = &job->task.request;
    size_t n_given = r->given ? r->n_given : 0, n_biases = r->adjustment.n_biases;
    job->tokens = malloc((r->n_prompt + n_given) * sizeof *job->tokens);
    job->stops = calloc(r->n_stops + 1, sizeof *job->stops);
    job->biases = calloc(n_biases + 1, sizeof *job->biases);
    bool ok = job->tokens && job->stops && job->biases;
    for (size_t i = 0; ok && i < r->n_stops; i++) ok = (job->stops[i] = strdup(r->stops[i])) != NULL;
    if (!ok) return hb_fail_memory(err);
    memcpy(job->tokens, r->prompt, r->n_prompt * sizeof *job->tokens);
    if (n_given) memcpy(job->tokens + r->n_prompt, r->given, n_given * sizeof *job->tokens);
    r->prompt = job->tokens;
    r->given = n_given ? job->tokens + r->n_prompt : NULL;
    r->stops = (const char *const *)job->stops;
    if (n_biases) memcpy(job->biases, r->adjustment.biases, n_biases * sizeof *job->biases);
    r->adjustment.biases = job->biases;
    return HB_OK;
}

/* Allocates the candidates of each thread. Returns false when memory runs out. */
static bool make_candidates(hb_scheduler *s)
{
    bool ok = true;
    for (int32_t t = 0; t < s->session->n_threads && ok; t++) {
        hb_candidate **c = &s->candidates[t];
        if (!*c) *c = malloc((size_t)s->model->info.n_vocab * sizeof **c);
        ok = *c;
    }
    return ok;
}

static hb_status set_up(hb_scheduler *s, hb_job *job, hb_error *err)
{
    const hb_request *r = &job->task.request;
    hb_decoder trial = {0}; /* checks the monitor's settings */
    hb_status status = copy_arrays(job, err);
    if (!status) status = hb_decoder_open(&trial, &job->task, 0, err);
    hb_decoder_close(&trial);
    if (status) return status;
    if (r->sampling.temperature > 0 && !make_candidates(s)) return hb_fail_memory(err);
    set_limit(s, job);
    job->prompt =
        (hb_prompt){.tokens = job->tokens, .n = (int32_t)r->n_prompt, .waits = true, .slot = -1};
    return hb_prompts_add(&s->prompts, &job->prompt) ? HB_OK : hb_fail_memory(err);
}

hb_status hb_scheduler_add(hb_scheduler *s, const hb_request *request, uint64_t *number, hb_error *err)
{
    if (s->closing) return hb_fail(err, HB_ERR_CANCELLED, "the scheduler is being closed");
    hb_status status = check_request(s, request, err);
    if (status) return status;
    hb_job *job = calloc(1, sizeof *job);
    if (!job) return hb_fail_memory(err);
    job->task = (hb_task){.model = s->model,
                          .request = *request,
                          .number = s->next_number,
                          .keeps_tokens = s->serving.n_running > 0};
    job->begun_then = s->n_begun;
    status = set_up(s, job, err);
    if (status) {
        hb_job_free(job);
        return status;
    }
    s->n_waiting++;
    s->n_unfinished += (size_t)request->n_samples;
    *number = s->next_number++;
    return HB_OK;
}

/* ---- Cancelling ---------------------------------------------------------------------------------- */

void hb_scheduler_cancel(hb_scheduler *s, uint64_t number)
{
    for (size_t i = 0; i < s->prompts.n; i++) {
        hb_job *job = hb_job_at(s, i);
        if (job->task.number == number) job->cancelled = s->any_cancelled = true;
    }
}

static hb_job *find_cancelled(const hb_scheduler *s)
{
    for (size_t i = 0; i < s->prompts.n; i++) {
        hb_job *job = hb_job_at(s, i);
        if (job->cancelled && job->prompt.waits) return job;
    }
    return NULL;
}

static void end_cancelled(hb_scheduler *s)
{
    if (!s->any_cancelled) return;
    s->any_cancelled = false;
    for (int32_t k = 0; k < s->n_slots; k++) {
        hb_slot *q = &s->slots[k];
        if (q->state != HB_SLOT_RUNNING || !q->job->cancelled) continue;
        q->decoder.finish = HB_FINISH_CANCELLED;
        hb_end_sample(s, q, NULL);
    }
    for (hb_job *job; (job = find_cancelled(s));) hb_end_waiting_sample(s, job);
}

void hb_scheduler_close(hb_scheduler *s)
{
    if (!s) return;
    s->closing = s->any_cancelled = true;
    for (size_t i = 0; i < s->prompts.n; i++) hb_job_at(s, i)->cancelled = true;
    end_cancelled(s);
    free_scheduler(s);
}

/* ---- Evaluating ---------------------------------------------------------------------------------- */

/* Whether the slot's next token is the one it chose last. Such tokens come first in a batch. */
static bool decodes(const hb_slot *q)
{
    return q->decoder.n_tokens > 0 && !q->job->task.request.given;
}

/* The number of the slot's tokens that are known. */
static int32_t known_end(const hb_slot *q)
{
    const hb_job *job = q->job;
    return job->task.request.given ? job->positions : job->prompt.n + q->decoder.n_tokens;
}

/* Adds up to `most` of the slot's next tokens to the batch, as far as there is room. Taps each token
 * from the prompt's last token on. */
static void put(hb_scheduler *s, hb_slot *q, int32_t most)
{
    const hb_job *job = q->job;
    int32_t last = job->prompt.n - 1, from = q->past;
    int32_t to = least(known_end(q), (int64_t)from + most);
    to = least(to, (int64_t)(from > last ? from : last) + s->max_rows - s->n_rows);
    q->n_rows = to - from;
    q->first_tap = s->n_rows;
    for (int32_t p = from; p < to; p++) {
        if (p >= last) {
            s->lengths[s->n_rows] = job->prompt.n;
            s->rows[s->n_rows++] = s->n_tokens;
        }
        s->tokens[s->n_tokens] = decodes(q) ? q->decoder.token : job->tokens[p];
        s->sequences[s->n_tokens++] = (int32_t)(q - s->slots);
    }
    q->n_taps = s->n_rows - q->first_tap;
}

/* The number of prompt tokens that the batch may take. In a server, samples that decode must not wait
 * for a whole batch of them. */
static int32_t prefill_room(const hb_scheduler *s)
{
    int32_t room = s->session->n_batch - s->n_tokens;
    return s->serving.n_running && s->n_tokens ? least(room, s->serving.prefill) : room;
}

/* The slot that has not been given its part of the batch and has the fewest prompt tokens left; NULL:
 * none. */
static hb_slot *shortest_prefill(const hb_scheduler *s)
{
    hb_slot *best = NULL;
    for (int32_t k = 0; k < s->n_slots; k++) {
        hb_slot *q = &s->slots[k];
        if (q->state != HB_SLOT_RUNNING || decodes(q) || q->n_rows >= 0) continue;
        if (!best || known_end(q) - q->past < known_end(best) - best->past) best = q;
    }
    return best;
}

/* Divides `room` evenly among n prompts, so that none waits for a longer one. */
static void fill_evenly(hb_scheduler *s, int32_t n, int32_t room)
{
    for (hb_slot *q; (q = shortest_prefill(s)) != NULL; n--) {
        put(s, q, room / n);
        room -= q->n_rows;
    }
}

/* Takes one prompt after the other, which is faster for all of them together. */
static void fill_in_turn(hb_scheduler *s, int32_t room)
{
    for (int32_t k = 0; k < s->n_slots; k++) {
        hb_slot *q = &s->slots[k];
        if (q->state != HB_SLOT_RUNNING || decodes(q)) continue;
        put(s, q, room);
        room -= q->n_rows;
    }
}

/* Decode tokens come first; prompts share the rest of the batch. */
static void fill(hb_scheduler *s)
{
    int32_t n_prefills = 0;
    s->n_tokens = s->n_rows = 0;
    for (int32_t k = 0; k < s->n_slots; k++) {
        hb_slot *q = &s->slots[k];
        if (q->state != HB_SLOT_RUNNING) continue;
        q->n_rows = -1;
        if (decodes(q)) put(s, q, 1);
        else n_prefills++;
    }
    if (s->serving.n_running) fill_evenly(s, n_prefills, prefill_room(s));
    else fill_in_turn(s, prefill_room(s));
}

/* Updates a slot after the evaluation. `seconds` is the time per token. */
static void account(hb_scheduler *s, hb_slot *q, double seconds)
{
    hb_prompt *p = &q->job->prompt;
    hb_purpose purpose = q->job->task.request.purpose;
    int32_t past = q->past + q->n_rows;
    int32_t of_prompt = q->past < p->n ? least(past, p->n) - q->past : 0;
    q->reserved -= hb_session_paged(s->session, past) - hb_session_paged(s->session, q->past);
    q->prompt_seconds += seconds * of_prompt;
    q->decode_seconds += seconds * (q->n_rows - of_prompt);
    s->work.prompt_seconds[purpose] += seconds * of_prompt;
    s->work.decode_seconds[purpose] += seconds * (q->n_rows - of_prompt);
    q->past = past;
    if (p->slot == (int32_t)(q - s->slots)) p->evaluated = least(past, p->n);
}

/* Requests every output that the watch of a step to be checked needs. */
static void request_tap(hb_scheduler *s)
{
    hb_tap *t = &s->tap;
    size_t layers = (size_t)s->model->info.n_layers;
    bool head = false;
    *t = s->room;
    t->rows = s->rows;
    t->n_rows = s->n_rows;
    t->prompts = s->lengths;
    t->n_lens = 0;
    bool attention = false;
    memset(s->is_wanted, 0, layers * sizeof *s->is_wanted);
    for (int32_t k = 0; k < s->n_slots; k++) {
        const hb_slot *q = &s->slots[k];
        hb_tap need;
        if (q->state != HB_SLOT_RUNNING || !hb_decoder_checks(&q->decoder, q->n_taps)) continue;
        hb_watch_request(q->decoder.watch, &need);
        for (int32_t i = 0; i < need.n_blocks; i++) s->is_wanted[need.blocks[i]] = true;
        if (need.n_lens) t->n_lens = need.n_lens;
        attention = attention || hb_watch_needs_attention(q->decoder.watch);
        head = head || hb_watch_reads_head(q->decoder.watch);
    }
    t->blocks = s->blocks;
    for (size_t i = 0; i < layers; i++)
        if (s->is_wanted[i]) s->blocks[t->n_blocks++] = (int32_t)i;
    if (!t->n_blocks) t->states = NULL;
    if (!t->n_lens) t->lens = NULL, t->lens_tokens = NULL;
    if (!attention) t->attention = NULL;
    if (!head) t->normed = NULL, t->head = NULL;
}

static hb_status evaluate(hb_scheduler *s, hb_error *err)
{
    request_tap(s);
    double start = hb_seconds();
    hb_status status =
        hb_eval_sequences(s->session, s->tokens, s->sequences, s->n_tokens, &s->tap, err);
    if (status) return status;
    double each = (hb_seconds() - start) / s->n_tokens;
    s->work.evaluated += (uint64_t)s->n_tokens;
    for (int32_t k = 0; k < s->n_slots; k++)
        if (s->slots[k].state == HB_SLOT_RUNNING) account(s, &s->slots[k], each);
    return HB_OK;
}

/* ---- A step -------------------------------------------------------------------------------------- */

/* Whether the slot has a tapped row for this round. */
static bool takes_part(const hb_slot *q, int32_t round)
{
    return q->state == HB_SLOT_RUNNING && round < q->n_taps;
}

/* A round of choosing. Either the slots or the work for one slot is shared among threads. */
typedef struct choosing {
    const hb_scheduler *s;
    int32_t round;
    hb_pool *pool; /* for the work for one slot, or NULL */
} choosing;

static void choose(const void *context, int32_t slot, int32_t thread)
{
    const choosing *c = context;
    hb_slot *q = &c->s->slots[slot];
    if (takes_part(q, c->round))
        hb_decoder_choose(&q->decoder, c->s->candidates[thread], &c->s->tap, q->first_tap + c->round,
                          c->pool);
}

/* Chooses one token for each slot that has a tapped row left. Returns false when no slot has one. */
static bool play_round(hb_scheduler *s, int32_t round)
{
    int32_t n = 0;
    for (int32_t k = 0; k < s->n_slots; k++) n += takes_part(&s->slots[k], round);
    hb_pool *pool = s->session->pool;
    hb_pool_each(n > 1 ? pool : NULL, s->n_slots, choose, &(choosing){s, round, n > 1 ? NULL : pool});
    for (int32_t k = 0; k < s->n_slots; k++) {
        hb_slot *q = &s->slots[k];
        hb_error why;
        if (!takes_part(q, round)) continue;
        hb_status status = hb_decoder_advance(&q->decoder, &why);
        if (status || q->decoder.ended) hb_end_sample(s, q, status ? &why : NULL);
    }
    return n > 0;
}

hb_status hb_scheduler_step(hb_scheduler *s, hb_error *err)
{
    end_cancelled(s);
    hb_begin_samples(s);
    if (!s->n_in[HB_SLOT_RUNNING]) return HB_OK;
    fill(s);
    hb_status status = evaluate(s, err);
    if (status) return status;
    hb_begin_siblings(s);
    for (int32_t round = 0; play_round(s, round);) round++;
    return HB_OK;
}

bool hb_scheduler_is_busy(const hb_scheduler *s)
{
    return s->n_unfinished > 0;
}

int32_t hb_scheduler_n_running(const hb_scheduler *s)
{
    return s->n_in[HB_SLOT_RUNNING];
}

size_t hb_scheduler_n_waiting(const hb_scheduler *s)
{
    return s->n_waiting;
}

int32_t hb_scheduler_positions(const hb_scheduler *s)
{
    return s->positions;
}

hb_scheduler_work hb_scheduler_get_work(const hb_scheduler *s)
{
    hb_scheduler_work work = s->work;
    for (int32_t k = 0; k < s->n_slots; k++) {
        const hb_slot *q = &s->slots[k];
        if (q->state == HB_SLOT_RUNNING) work.unfinished += (uint64_t)(q->past - q->shared);
    }
    return work;
}
