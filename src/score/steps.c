/* A step: one evaluation for all running samples, and what each makes of it. */
#include "base/clock.h"
#include "monitor/monitor.h"
#include "score/scorer.h"

static void put(hb_scorer *s, hb_slot *q, const int32_t *tokens, int32_t n, bool tapped)
{
    for (int32_t i = 0; i < n; i++) {
        s->tokens[s->n_tokens + i] = tokens[i];
        s->sequences[s->n_tokens + i] = (int32_t)(q - s->slots);
    }
    s->n_tokens += n;
    q->n_rows = n;
    if (!tapped) return;
    q->tap = s->n_rows;
    s->rows[s->n_rows++] = s->n_tokens - 1;
}

/* Fills the batch: the next token of everything that is decoded, and then as much of the prompts as
 * there is room for. */
static void fill_batch(hb_scorer *s)
{
    s->n_tokens = s->n_rows = 0;
    for (int32_t k = 0; k < s->n_slots; k++) {
        hb_slot *q = &s->slots[k];
        q->n_rows = 0;
        q->tap = -1;
        if (q->state == HB_SLOT_RUNNING && q->step) put(s, q, &q->token, 1, true);
    }
    for (int32_t k = 0; k < s->n_slots && s->n_tokens < s->session->n_batch; k++) {
        hb_slot *q = &s->slots[k];
        int32_t room = s->session->n_batch - s->n_tokens, left = q->sample.n - q->evaluated;
        if (q->state != HB_SLOT_RUNNING || q->step) continue;
        int32_t n = left < room ? left : room;
        put(s, q, q->sample.tokens + q->evaluated, n, n == left);
    }
}

static hb_status finish(hb_scorer *s, hb_slot *q, hb_finish why)
{
    hb_status status = hb_record_scores(s, q, why);
    q->state = HB_SLOT_KEPT;
    q->reserved = 0;
    return status;
}

static hb_status evaluate_batch(hb_scorer *s)
{
    s->tap.rows = s->rows;
    s->tap.n_rows = s->n_rows;
    double start = hb_seconds();
    hb_status status =
        hb_eval_sequences(s->session, s->tokens, s->sequences, s->n_tokens, &s->tap, s->err);
    if (status) return status;
    double each = (hb_seconds() - start) / s->n_tokens;
    s->work.tokens_evaluated += (uint64_t)s->n_tokens;
    for (int32_t k = 0; k < s->n_slots; k++) {
        hb_slot *q = &s->slots[k];
        if (!q->n_rows) continue;
        int32_t past = hb_sequence_n_past(s->session, k);
        q->reserved -=
            hb_session_paged(s->session, past) - hb_session_paged(s->session, past - q->n_rows);
        *(q->step ? &q->decode_seconds : &q->prompt_seconds) += each * q->n_rows;
        if (!q->step) q->evaluated += q->n_rows;
    }
    return HB_OK;
}

/* Chooses and measures the next token of a sample, from its row of the taps. */
static void measure(hb_scorer *s, hb_slot *q)
{
    const hb_reading reading = hb_watch_reading(q->watch, &s->tap, q->tap);
    hb_step step;
    bool halt;
    q->token = hb_sampler_choose(&s->sampler, reading.logits);
    q->measured = hb_watch_step(q->watch, q->step, q->token, &reading, &step, &halt, &q->why);
}

static bool is_tapped(const hb_slot *q)
{
    return q->n_rows && q->tap >= 0;
}

static void measure_all(hb_scorer *s)
{
#pragma omp parallel for schedule(dynamic) num_threads(s->session->n_threads) if (s->n_rows > 1)
    for (int32_t k = 0; k < s->n_slots; k++)
        if (is_tapped(&s->slots[k])) measure(s, &s->slots[k]);
}

/* Appends the token that was measured, or ends the sample. */
static hb_status advance(hb_scorer *s, hb_slot *q)
{
    hb_status status = q->measured;
    if (status == HB_ERR_NUMERIC) {
        status = hb_record_reason(s, &q->sample, HB_SAMPLE_FAILED, q->why.message);
        hb_slot_empty(s, q);
        return status;
    }
    if (status) return hb_fail(s->err, status, "%s", q->why.message);
    if (hb_token_is_end(s->model, q->token)) return finish(s, q, HB_FINISH_END);
    size_t length;
    const char *bytes = hb_token_bytes(s->model, q->token, &length);
    if (!hb_buffer_add(&q->raw, bytes, length)) return hb_fail_memory(s->err);
    q->step++;
    if (q->sample.answers && hb_ends_line(s->model, q->token, &q->line_begun))
        return finish(s, q, HB_FINISH_LINE);
    if (q->step == s->settings->max_tokens) return finish(s, q, HB_FINISH_MAX_TOKENS);
    return HB_OK;
}

hb_status hb_score_step(hb_scorer *s)
{
    fill_batch(s);
    hb_status status = evaluate_batch(s);
    if (!status) measure_all(s);
    for (int32_t k = 0; k < s->n_slots && !status; k++)
        if (is_tapped(&s->slots[k])) status = advance(s, &s->slots[k]);
    hb_slots_tidy(s);
    return status;
}
