/* Gathers the events of a call's requests into its choices. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/memory.h"
#include "base/utf8.h"
#include "serve/call.h"

#define UNMEASURED (1 << 30) /* a check_every that leaves steps unmeasured */

/* ---- Text and tokens ----------------------------------------------------------------------------- */

static hb_choice *choice_of(const hb_call_part *part, int32_t sample)
{
    return &part->call->choices[part->index * (size_t)part->call->ask.n + (size_t)sample];
}

static size_t count_characters(const char *text, size_t length)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) n += (text[i] & 0xC0) != 0x80;
    return n;
}

/* Appends bytes to the choice's text as far as they are whole characters. */
static bool add_bytes(hb_choice *choice, const char *bytes, size_t length, bool final)
{
    bool ok = hb_buffer_add(&choice->rest, bytes, length);
    size_t before = choice->text.length;
    size_t used = hb_utf8_clean(&choice->text, choice->rest.data, choice->rest.length, final, &ok);
    if (used) memmove(choice->rest.data, choice->rest.data + used, choice->rest.length - used);
    choice->rest.length -= used;
    if (choice->text.length > before)
        choice->n_characters +=
            count_characters(choice->text.data + before, choice->text.length - before);
    return ok;
}

/* Appends a token to the choice's pieces. `step` is NULL for a token of the prompt. */
static bool add_piece(const hb_call *c, hb_choice *choice, int32_t token, double logprob,
                      const hb_logprob *tops, const hb_step *step)
{
    size_t n = choice->n_pieces, n_top = (size_t)c->ask.n_top;
    size_t n_values = c->ask.signals ? hb_signal_set_count(c->ask.signals) : 0;
    hb_piece *pieces = hb_grown(choice->pieces, n, sizeof *pieces, &choice->piece_room);
    if (pieces) choice->pieces = pieces;
    hb_logprob *top = hb_grown(choice->tops, n, (n_top + 1) * sizeof *top, &choice->top_room);
    if (top) choice->tops = top;
    double *values = hb_grown(choice->values, n, (n_values + 1) * sizeof *values, &choice->value_room);
    if (values) choice->values = values;
    if (!pieces || !top || !values) return false;
    pieces[n] = (hb_piece){.token = token,
                           .logprob = logprob,
                           .p_fail = step ? step->p_fail : NAN,
                           .value = step ? step->watched : NAN,
                           .offset = choice->n_characters};
    for (size_t i = 0; i < n_top; i++) top[n * n_top + i] = tops ? tops[i] : (hb_logprob){-1, NAN};
    for (size_t i = 0; i < n_values; i++)
        values[n * n_values + i] =
            step ? hb_step_value(step, hb_signal_set_at(c->ask.signals, i)) : NAN;
    choice->n_pieces++;
    return true;
}

/* Whether the answer's tokens are reported one by one. */
static bool reports_tokens(const hb_call *c)
{
    return c->ask.logprobs || c->kind == HB_CALL_JUDGE;
}

static bool measures(const hb_call *c)
{
    return c->ask.mode != HB_RISK_OFF || c->ask.signals;
}

/* ---- Risk ---------------------------------------------------------------------------------------- */

/* The score that judges a whole answer. */
static double answer_value(const hb_call *c, const hb_event *event)
{
    const hb_monitor *m = &c->monitor;
    if (m->joint) return event->step->watched;
    hb_score_id id = c->server->score;
    if (c->by_watch || id.signal != m->watched)
        id = (hb_score_id){m->watched, hb_signal_usual(m->watched)};
    return hb_scores_get(event->outcome->scores, hb_score_tail(id, m->direction));
}

static void judge_answer(const hb_call *c, hb_choice *choice, const hb_event *event)
{
    const hb_monitor *m = &c->monitor;
    hb_risk *r = &choice->risk;
    r->halted = choice->finish == HB_FINISH_HALTED;
    if (!event->step || (!m->watched && !m->joint)) return;
    r->value = answer_value(c, event);
    r->p_fail = hb_p_fail_by(m->map, r->value, m->tau, m->lambda, m->direction);
    r->risky = r->halted || hb_is_flagged(r->value, m->tau, m->direction);
}

/* Whether the step would end the answer in the mode `halt`. */
static bool raises_alarm(const hb_call *c, const hb_step *step)
{
    const hb_halt *halt = c->server->served.monitor.halt;
    return c->monitor.halt ? hb_is_flagged(step->halt, halt->tau, halt->direction)
                           : step->p_fail >= c->cutoff;
}

/* ---- Events -------------------------------------------------------------------------------------- */

static void count_time(hb_call *c, hb_choice *choice)
{
    double now = hb_seconds();
    hb_metrics *m = &c->server->metrics;
    pthread_mutex_lock(&c->server->lock);
    if (choice->latest > 0) hb_histogram_add(&m->between, now - choice->latest);
    else if (!c->n_generated) hb_histogram_add(&m->first_token, now - c->arrived);
    m->generated_tokens++;
    pthread_mutex_unlock(&c->server->lock);
    choice->latest = now;
}

static hb_status take_token(hb_call *c, hb_choice *choice, const hb_event *event, hb_error *err)
{
    const hb_step *step = measures(c) ? event->step : NULL;
    count_time(c, choice);
    c->n_generated++;
    bool ok =
        !reports_tokens(c) || add_piece(c, choice, event->token, event->logprob, event->top, step);
    if (ok && !c->ask.logprobs && c->ask.stream) { /* the chunk has the latest step */
        choice->n_pieces = 0;
        ok = add_piece(c, choice, event->token, NAN, NULL, step);
    }
    if (!ok || !add_bytes(choice, event->bytes, event->length, false)) return hb_fail_memory(err);
    if (c->ask.stream && (choice->text.length || c->ask.logprobs))
        hb_call_write_chunk(c, (size_t)(choice - c->choices), false);
    return HB_OK;
}

/* After an echoed prompt, the token that ends the answer is listed although it is not in the text:
 * lm-evaluation-harness asks for one token and drops the last of the list. */
static bool is_last_after_echo(const hb_call *c, const hb_event *event)
{
    return c->ask.echo && c->ask.logprobs &&
           (hb_token_is_end(c->server->model, event->token) || event->step->halts);
}

static hb_status take_step(hb_call *c, hb_choice *choice, const hb_event *event, hb_error *err)
{
    if (choice->risk.step < 0 && raises_alarm(c, event->step)) choice->risk.step = event->step->step;
    bool judged = c->kind == HB_CALL_JUDGE;
    if (!judged && !is_last_after_echo(c, event)) return HB_OK;
    return add_piece(c, choice, event->token, judged ? NAN : event->logprob, event->top, event->step)
               ? HB_OK
               : hb_fail_memory(err);
}

/* A halted answer's text gives way to what the request says instead. A stream has sent it already. */
static bool say_instead(const hb_call *c, hb_choice *choice)
{
    const char *text = c->ask.on_halt;
    if (choice->finish != HB_FINISH_HALTED || !text) return true;
    if (!c->ask.stream) hb_buffer_clear(&choice->text);
    return hb_buffer_add(&choice->text, text, strlen(text));
}

static void count_answer(hb_call *c, const hb_choice *choice)
{
    hb_metrics *m = &c->server->metrics;
    pthread_mutex_lock(&c->server->lock);
    m->answers++;
    m->halted += choice->risk.halted;
    m->risky += choice->risk.risky;
    m->cancelled += choice->finish == HB_FINISH_CANCELLED;
    pthread_mutex_unlock(&c->server->lock);
}

/* Counts the tokens of a prompt that the cache had. */
static void count_cached(hb_call *c, int64_t n)
{
    c->n_cached += n;
    pthread_mutex_lock(&c->server->lock);
    c->server->metrics.cached_tokens += (uint64_t)n;
    pthread_mutex_unlock(&c->server->lock);
}

/* Ends the call with an error, whatever it has answered so far; its other samples are cancelled. */
static void fail(hb_call *c, const hb_problem *problem)
{
    if (c->failed) return;
    c->failed = true;
    if (c->ask.stream) hb_call_write_problem(c, problem);
    else hb_reply_problem(&c->reply, problem);
    hb_call_cancel(c);
}

static void fail_error(hb_call *c, const hb_error *err)
{
    hb_problem problem;
    hb_refuse_error(&problem, NULL, err);
    fail(c, &problem);
}

/* A sample is cancelled because its client is gone, its call has failed, or the server has no more
 * time for it. */
static void fail_cancelled(hb_call *c)
{
    hb_problem problem;
    if (c->unwanted)
        hb_refuse_as(&problem, 499, "client_closed",
                     "the client has closed its side of the connection");
    else hb_refuse_as(&problem, 503, "shutting_down", "the server is shutting down");
    fail(c, &problem);
}

/* Finishes the call if all its choices have ended. It may not exist afterwards. */
static void finish_if_ended(hb_call *c)
{
    if (c->n_ended < c->n_choices || c->beginning) return;
    if (c->ask.stream) hb_call_write_end(c);
    else if (!c->failed) hb_call_set_reply(c);
    hb_call_finish(c);
}

static void end_choice(hb_call *c)
{
    c->n_ended++;
    finish_if_ended(c);
}

/* Ends a choice, whose last chunk or reply can now be written. */
static void write_last(hb_call *c, hb_choice *choice)
{
    if (c->ask.stream && !c->failed) hb_call_write_chunk(c, (size_t)(choice - c->choices), true);
    end_choice(c);
}

static void draw(hb_call *c);

static void take_finish(hb_call *c, hb_choice *choice, const hb_event *event)
{
    hb_outcome *o = event->outcome;
    hb_error err;
    if (o->error) {
        fail_error(c, o->error);
        end_choice(c);
        return;
    }
    choice->finish = o->finish;
    if (event->sample == 0 && !c->ask.echo) count_cached(c, o->n_shared);
    judge_answer(c, choice, event);
    choice->scores = o->scores;
    o->scores = NULL;
    count_answer(c, choice);
    if (o->finish == HB_FINISH_CANCELLED) fail_cancelled(c);
    else if (!add_bytes(choice, event->bytes, event->length, true) || !say_instead(c, choice)) {
        hb_fail_memory(&err);
        fail_error(c, &err);
    }
    if (c->ask.n_drawn && !c->failed) draw(c);
    else write_last(c, choice);
}

/* ---- Samples after the answer -------------------------------------------------------------------- */

static void end_drawn(hb_call *c, const hb_outcome *o)
{
    hb_samples *s = &c->samples;
    hb_error err;
    if (o->error) fail_error(c, o->error);
    else if (o->finish == HB_FINISH_CANCELLED) fail_cancelled(c);
    if (++s->n_ended < s->n) return;
    if (!c->failed && hb_samples_measure(s, &err)) fail_error(c, &err);
    write_last(c, &c->choices[0]);
}

/* An event of a sample. The end of the last sample is the end of the answer. */
static hb_status take_drawn(hb_call *c, const hb_event *event, hb_error *err)
{
    bool ok = hb_samples_add(&c->samples, 1 + (size_t)event->sample, event);
    if (event->kind == HB_EVENT_TOKEN) c->n_generated++;
    if (event->kind != HB_EVENT_FINISH) return ok ? HB_OK : hb_fail_memory(err);
    if (!ok) {
        hb_error why;
        hb_fail_memory(&why);
        fail_error(c, &why);
    }
    end_drawn(c, event->outcome);
    return HB_OK;
}

/* ---- Echoed prompts ------------------------------------------------------------------------------ */

/* The space that some tokenizers put in front of a text is not part of it. */
static bool echo_token(hb_call_part *part, hb_choice *choice, int32_t token, double logprob,
                       const hb_logprob *top)
{
    size_t length;
    hb_call *c = part->call;
    const hb_ask_prompt *p = &c->ask.prompts[part->index];
    const char *bytes = hb_token_bytes(c->server->model, token, &length);
    bool first = choice->text.length + choice->rest.length == 0;
    if (first && p->text && length && *bytes == ' ' && *p->text != ' ') {
        bytes++;
        length--;
    }
    return (!c->ask.logprobs || add_piece(c, choice, token, logprob, top, NULL)) &&
           add_bytes(choice, bytes, length, false);
}

/* Writes the prompt's tokens whose log-probabilities are not measured: all of them or, where they are,
 * the first, unless it is a BOS that the client did not write. */
static bool echo_start(hb_call_part *part)
{
    hb_call *c = part->call;
    const hb_ask_prompt *p = &c->ask.prompts[part->index];
    for (int32_t k = 0; k < c->ask.n; k++) {
        size_t end = c->ask.logprobs ? 1 : p->n;
        for (size_t i = p->has_bos; i < end; i++)
            if (!echo_token(part, choice_of(part, k), p->tokens[i], NAN, NULL)) return false;
    }
    return true;
}

/* An event of the prompt's measurement. */
static hb_status take_echo(hb_call_part *part, const hb_event *event, hb_error *err)
{
    hb_call *c = part->call;
    bool ok = true;
    for (int32_t k = 0; event->kind == HB_EVENT_TOKEN && k < c->ask.n && ok; k++)
        ok = echo_token(part, choice_of(part, k), event->token, event->logprob, event->top);
    return ok ? HB_OK : hb_fail_memory(err);
}

/* ---- Requests ------------------------------------------------------------------------------------ */

static hb_request request_of(hb_call_part *part)
{
    const hb_call *c = part->call;
    const hb_ask *a = &c->ask;
    const hb_ask_prompt *p = &a->prompts[part->index];
    hb_request r = {.prompt = p->tokens,
                    .n_prompt = p->n,
                    .monitor = c->monitor,
                    .adjustment = a->adjustment,
                    .logprobs = a->logprobs,
                    .n_top = a->n_top,
                    .sampling = a->sampling,
                    .n_samples = a->n,
                    .max_tokens = a->max_tokens > 0 ? a->max_tokens : INT32_MAX,
                    .stops = a->stops,
                    .n_stops = a->n_stops,
                    .sink = hb_call_sink,
                    .user = part};
    if (c->samples.list) r.logprobs = true; /* of every step */
    else if (!measures(c)) r.monitor.check_every = UNMEASURED;
    return r;
}

/* The samples: like the answer, but at temperature 1, and measured only by their log-probabilities. */
static hb_request samples_of(hb_call_part *part)
{
    hb_call *c = part->call;
    hb_request r = request_of(&c->parts[0]);
    r.user = part;
    r.n_samples = c->ask.n_drawn;
    r.n_top = 0;
    r.sampling.temperature = 1;
    r.sampling.seed = ~r.sampling.seed; /* not the answer's */
    r.monitor.watched = NULL;
    r.monitor.joint = NULL;
    r.monitor.halt = NULL;
    r.monitor.signals = c->server->no_signals;
    return r;
}

static hb_request judgement_of(hb_call_part *part)
{
    const hb_call *c = part->call;
    return (hb_request){.prompt = c->given.tokens,
                        .n_prompt = c->given.n_prompt,
                        .given = c->given.tokens + c->given.n_prompt,
                        .n_given = c->given.n_answer,
                        .monitor = c->monitor,
                        .sampling = hb_sampling_defaults(),
                        .n_samples = 1,
                        .max_tokens = (int32_t)c->given.n_answer,
                        .sink = hb_call_sink,
                        .user = part};
}

/* The measurement of an echoed prompt: all tokens but the first are given. */
static hb_request echo_of(hb_call_part *part)
{
    hb_request r = request_of(part);
    r.given = r.prompt + 1;
    r.n_given = r.n_prompt - 1;
    r.n_prompt = 1;
    r.max_tokens = (int32_t)r.n_given;
    r.n_samples = 1;
    r.n_stops = 0;
    r.adjustment = (hb_adjustment){0};
    r.monitor.watched = NULL;
    r.monitor.joint = NULL;
    r.monitor.halt = NULL;
    r.monitor.signals = part->call->server->no_signals;
    r.monitor.check_every = UNMEASURED;
    return r;
}

static void add_request(hb_call_part *part, const hb_request *request)
{
    hb_call *c = part->call;
    hb_error err;
    part->is_added = !hb_scheduler_add(c->server->scheduler, request, &part->number, &err);
    if (part->is_added) return;
    fail_error(c, &err);
    c->n_ended += (size_t)c->ask.n;
}

static void draw(hb_call *c)
{
    hb_call_part *part = &c->parts[c->n_parts - 1];
    const hb_request r = samples_of(part);
    hb_error err;
    part->draws = true;
    part->is_added = !hb_scheduler_add(c->server->scheduler, &r, &part->number, &err);
    if (part->is_added) return;
    fail_error(c, &err);
    end_choice(c);
}

/* Ends the choices of a prompt that was echoed and gets no answer. */
static void end_part(hb_call_part *part)
{
    hb_call *c = part->call;
    int32_t n = c->ask.n;
    for (int32_t k = 0; k < n && c->ask.stream && !c->failed; k++) {
        choice_of(part, k)->finish = HB_FINISH_MAX_TOKENS;
        hb_call_write_chunk(c, (size_t)(choice_of(part, k) - c->choices), true);
    }
    for (int32_t k = 0; k < n; k++) choice_of(part, k)->finish = HB_FINISH_MAX_TOKENS;
    c->n_ended += (size_t)n;
}

/* The prompt was measured: now comes its answer, if one is wanted. */
static void end_echo(hb_call_part *part, const hb_event *event)
{
    hb_call *c = part->call;
    const hb_outcome *o = event->outcome;
    part->echoes = false;
    if (o->error) fail_error(c, o->error);
    else if (o->finish == HB_FINISH_CANCELLED) fail_cancelled(c);
    if (!c->failed && c->ask.max_tokens != 0) {
        const hb_request r = request_of(part);
        add_request(part, &r);
    } else end_part(part);
    finish_if_ended(c);
}

hb_status hb_call_sink(void *user, const hb_event *event, hb_error *err)
{
    hb_call_part *part = user;
    hb_call *c = part->call;
    if (part->draws) return take_drawn(c, event, err);
    hb_choice *choice = choice_of(part, event->sample);
    if (part->echoes) {
        if (event->kind != HB_EVENT_FINISH) return take_echo(part, event, err);
        end_echo(part, event);
        return HB_OK;
    }
    if (c->samples.list && !hb_samples_add(&c->samples, 0, event)) return hb_fail_memory(err);
    if (event->kind == HB_EVENT_STEP) return take_step(c, choice, event, err);
    if (event->kind == HB_EVENT_FINISH) take_finish(c, choice, event);
    else if (c->kind != HB_CALL_JUDGE) return take_token(c, choice, event, err);
    return HB_OK;
}

/* ---- Beginning ----------------------------------------------------------------------------------- */

static void begin_part(hb_call_part *part)
{
    hb_call *c = part->call;
    hb_error err;
    bool measured = c->ask.logprobs && c->ask.prompts[part->index].n > 1;
    if (c->ask.echo && !echo_start(part)) {
        hb_fail_memory(&err);
        fail_error(c, &err);
    }
    part->echoes = c->ask.echo && measured && !c->failed;
    if (c->failed || (c->ask.echo && c->ask.max_tokens == 0 && !measured)) {
        end_part(part);
        return;
    }
    const hb_request r = c->kind == HB_CALL_JUDGE ? judgement_of(part)
                         : part->echoes           ? echo_of(part)
                                                  : request_of(part);
    add_request(part, &r);
}

void hb_call_begin(hb_call *c)
{
    c->beginning = true; /* so that the call does not finish before all its parts have begun */
    for (size_t i = 0; i < c->ask.n_prompts; i++) begin_part(&c->parts[i]);
    c->beginning = false;
    finish_if_ended(c);
}

void hb_call_cancel(hb_call *c)
{
    for (size_t i = 0; i < c->n_parts; i++)
        if (c->parts[i].is_added) hb_scheduler_cancel(c->server->scheduler, c->parts[i].number);
}
