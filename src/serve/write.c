/* Answers as JSON, in OpenAI's forms with the members "hbar". */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "serve/call.h"

/* ---- Tokens -------------------------------------------------------------------------------------- */

/* The text of a token: its bytes or, for a control token, its spelling. */
static const char *text_of(const hb_call *c, int32_t token, size_t *length)
{
    const char *bytes = hb_token_bytes(c->server->model, token, length);
    return *length ? bytes : hb_token_piece(c->server->model, token, length);
}

static void write_token(hb_json *json, const hb_call *c, int32_t token, double logprob)
{
    size_t length;
    const char *bytes = text_of(c, token, &length);
    hb_json_bytes(json, "token", bytes, length);
    hb_json_number(json, "logprob", logprob);
    hb_json_list(json, "bytes");
    for (size_t i = 0; i < length; i++) hb_json_whole(json, NULL, (unsigned char)bytes[i]);
    hb_json_end(json);
}

/* What was measured at a token; `values` are those of the requested signals. */
static void write_step(hb_json *json, const hb_call *c, const hb_piece *p, const double *values)
{
    const hb_signal_set *signals = c->ask.signals;
    if (c->ask.mode == HB_RISK_OFF && !signals) return;
    hb_json_row(json, "hbar");
    hb_json_number(json, "p_fail", p->p_fail);
    hb_json_number(json, "value", p->value);
    if (signals) hb_json_row(json, "signals");
    for (size_t i = 0; signals && i < hb_signal_set_count(signals); i++)
        hb_json_number(json, hb_signal_name(hb_signal_set_at(signals, i)), values[i]);
    if (signals) hb_json_end(json);
    hb_json_end(json);
}

static const double *values_of(const hb_call *c, const hb_choice *choice, size_t i)
{
    return choice->values + i * (c->ask.signals ? hb_signal_set_count(c->ask.signals) : 0);
}

static void write_chat_logprobs(hb_json *json, const hb_call *c, const hb_choice *choice)
{
    size_t n_top = (size_t)c->ask.n_top;
    hb_json_row(json, "logprobs");
    hb_json_list(json, "content");
    for (size_t i = 0; i < choice->n_pieces; i++) {
        const hb_piece *p = &choice->pieces[i];
        hb_json_row(json, NULL);
        write_token(json, c, p->token, p->logprob);
        hb_json_list(json, "top_logprobs");
        for (size_t k = 0; k < n_top; k++) {
            const hb_logprob *top = &choice->tops[i * n_top + k];
            hb_json_row(json, NULL);
            write_token(json, c, top->token, top->logprob);
            hb_json_end(json);
        }
        hb_json_end(json);
        write_step(json, c, p, values_of(c, choice, i));
        hb_json_end(json);
    }
    hb_json_end(json);
    hb_json_end(json);
}

/* The text of a token as a name. Bytes that are no whole characters are written as OpenAI does. */
static void name_token(hb_writer *name, const hb_call *c, int32_t token)
{
    size_t length;
    const char *bytes = text_of(c, token, &length);
    if (hb_utf8_valid(bytes, length)) {
        hb_write_bytes(name, bytes, length);
        return;
    }
    hb_write(name, "bytes:");
    for (size_t i = 0; i < length; i++) hb_write(name, "\\x%02x", (unsigned char)bytes[i]);
}

/* The token's log-probabilities by name: the most probable tokens, and the token itself. */
static void write_tops(hb_json *json, const hb_call *c, const hb_piece *p, const hb_logprob *tops)
{
    bool listed = false;
    if (isnan(p->logprob)) {
        hb_json_null(json, NULL);
        return;
    }
    hb_json_row(json, NULL);
    for (int32_t k = 0; k <= c->ask.n_top; k++) {
        const hb_logprob own = {p->token, p->logprob};
        const hb_logprob *top = k < c->ask.n_top ? &tops[k] : &own;
        hb_writer name = {0};
        char *text;
        if (k == c->ask.n_top && listed) break;
        listed = listed || top->token == p->token;
        name_token(&name, c, top->token);
        if (hb_writer_finish(&name, &text, NULL)) json->out.failed = true;
        else hb_json_number(json, text, top->logprob);
        if (!json->out.failed) free(text);
    }
    hb_json_end(json);
}

static void write_text_logprobs(hb_json *json, const hb_call *c, const hb_choice *choice)
{
    hb_json_row(json, "logprobs");
    hb_json_list(json, "tokens");
    for (size_t i = 0; i < choice->n_pieces; i++) {
        hb_writer name = {0};
        char *text;
        name_token(&name, c, choice->pieces[i].token);
        if (hb_writer_finish(&name, &text, NULL)) {
            json->out.failed = true;
            continue;
        }
        hb_json_text(json, NULL, text);
        free(text);
    }
    hb_json_end(json);
    hb_json_list(json, "token_logprobs");
    for (size_t i = 0; i < choice->n_pieces; i++) hb_json_number(json, NULL, choice->pieces[i].logprob);
    hb_json_end(json);
    hb_json_list(json, "top_logprobs");
    for (size_t i = 0; i < choice->n_pieces; i++)
        write_tops(json, c, &choice->pieces[i], &choice->tops[i * (size_t)c->ask.n_top]);
    hb_json_end(json);
    hb_json_list(json, "text_offset");
    for (size_t i = 0; i < choice->n_pieces; i++)
        hb_json_whole(json, NULL, (int64_t)choice->pieces[i].offset);
    hb_json_end(json);
    hb_json_list(json, "hbar");
    for (size_t i = 0; i < choice->n_pieces; i++) {
        hb_json_row(json, NULL);
        hb_json_number(json, "p_fail", choice->pieces[i].p_fail);
        hb_json_number(json, "value", choice->pieces[i].value);
        hb_json_end(json);
    }
    hb_json_end(json);
    hb_json_end(json);
}

static void write_logprobs(hb_json *json, const hb_call *c, const hb_choice *choice)
{
    if (!c->ask.logprobs) hb_json_null(json, "logprobs");
    else if (c->ask.chat) write_chat_logprobs(json, c, choice);
    else write_text_logprobs(json, c, choice);
}

/* ---- Risk and reasons ---------------------------------------------------------------------------- */

/* The name of the score that judges the answer. */
static const char *score_name(const hb_call *c)
{
    if (!c->monitor.joint && !c->monitor.watched) return NULL;
    const hb_server *s = c->server;
    if (!c->by_watch && s->served.params && !s->served.watch_given) return s->served.params->score;
    return c->monitor.joint ? "joint" : hb_signal_name(c->monitor.watched);
}

void hb_write_risk(hb_json *json, const hb_call *c, const hb_choice *choice)
{
    const hb_risk *r = &choice->risk;
    if (!c->monitor.watched && !c->monitor.joint && !c->samples.measures) return;
    hb_json_row(json, "hbar");
    hb_json_number(json, "p_fail", r->p_fail);
    hb_json_bool(json, "risky", r->risky);
    hb_json_bool(json, "halted", r->halted);
    if (r->step >= 0) hb_json_whole(json, "step", r->step);
    else hb_json_null(json, "step");
    hb_json_text(json, "score", score_name(c));
    hb_json_number(json, "value", r->value);
    if (c->monitor.halt) hb_json_null(json, "cutoff");
    else hb_json_number(json, "cutoff", c->cutoff);
    hb_json_text(json, "params", c->server->served.params_name);
    if (c->samples.measures) hb_samples_write(json, &c->samples);
    hb_json_end(json);
}

static const char *reason_of(const hb_choice *choice)
{
    bool full = choice->finish == HB_FINISH_MAX_TOKENS || choice->finish == HB_FINISH_CONTEXT;
    return full ? "length" : "stop";
}

/* "finish_reason", "stop_reason" and "hbar" of a choice that has ended. */
static void write_reason(hb_json *json, const hb_call *c, const hb_choice *choice)
{
    hb_json_text(json, "finish_reason", reason_of(choice));
    hb_json_text(json, "stop_reason", choice->finish == HB_FINISH_HALTED ? "hbar_halted" : NULL);
    hb_write_risk(json, c, choice);
}

/* ---- Whole answers ------------------------------------------------------------------------------- */

static void write_head(hb_json *json, const hb_call *c, const char *object)
{
    hb_json_text(json, "id", c->id);
    hb_json_text(json, "object", object);
    hb_json_whole(json, "created", c->created);
    hb_json_text(json, "model", c->server->name);
    hb_json_text(json, "system_fingerprint", c->server->fingerprint);
}

static void write_usage(hb_json *json, const hb_call *c)
{
    hb_json_row(json, "usage");
    hb_json_whole(json, "prompt_tokens", c->n_prompt);
    hb_json_whole(json, "completion_tokens", c->n_generated);
    hb_json_whole(json, "total_tokens", c->n_prompt + c->n_generated);
    hb_json_row(json, "prompt_tokens_details");
    hb_json_whole(json, "cached_tokens", c->n_cached);
    hb_json_end(json);
    hb_json_end(json);
}

static void write_choice(hb_json *json, const hb_call *c, size_t i)
{
    const hb_choice *choice = &c->choices[i];
    const char *text = choice->text.data ? choice->text.data : "";
    hb_json_row(json, NULL);
    hb_json_whole(json, "index", (int64_t)i);
    if (c->ask.chat) {
        hb_json_row(json, "message");
        hb_json_text(json, "role", "assistant");
        hb_json_bytes(json, "content", text, choice->text.length);
        hb_json_null(json, "refusal");
        hb_json_end(json);
    } else hb_json_bytes(json, "text", text, choice->text.length);
    write_logprobs(json, c, choice);
    write_reason(json, c, choice);
    hb_json_end(json);
}

static void write_answer(hb_json *json, const hb_call *c)
{
    write_head(json, c, c->ask.chat ? "chat.completion" : "text_completion");
    hb_json_list(json, "choices");
    for (size_t i = 0; i < c->n_choices; i++) write_choice(json, c, i);
    hb_json_end(json);
    write_usage(json, c);
}

/* ---- Judgements ---------------------------------------------------------------------------------- */

static void write_judged_token(hb_json *json, const hb_call *c, size_t i)
{
    const hb_choice *choice = &c->choices[0];
    const hb_piece *p = &choice->pieces[i];
    size_t length;
    const char *bytes = hb_token_bytes(c->server->model, p->token, &length);
    hb_json_row(json, NULL);
    hb_json_whole(json, "token", p->token);
    hb_json_bytes(json, "text", bytes, length);
    hb_json_whole(json, "start", (int64_t)c->given.characters[i].start);
    hb_json_whole(json, "end", (int64_t)c->given.characters[i].end);
    write_step(json, c, p, values_of(c, choice, i));
    hb_json_end(json);
}

/* Each signal's scores by its usual aggregation, in both directions. */
static void write_scores(hb_json *json, const hb_call *c)
{
    const hb_scores *scores = c->choices[0].scores;
    hb_json_row(json, "scores");
    for (size_t i = 0; i < hb_signal_set_count(c->ask.signals); i++) {
        const hb_signal *signal = hb_signal_set_at(c->ask.signals, i);
        const hb_score_id usual = {signal, hb_signal_usual(signal)};
        for (int low = 0; low < 2; low++) {
            hb_score_id id = hb_score_tail(usual, low ? HB_DIRECTION_LOW : HB_DIRECTION_HIGH);
            if (low && id.aggregation == hb_score_tail(usual, HB_DIRECTION_HIGH).aggregation) break;
            char *name = hb_score_name(id);
            if (name) hb_json_number(json, name, hb_scores_get(scores, id));
            else json->out.failed = true;
            free(name);
        }
    }
    hb_json_end(json);
}

static void write_judgement(hb_json *json, const hb_call *c)
{
    write_head(json, c, "hbar.judgement");
    hb_json_bytes(json, "response", c->response, c->n_response);
    hb_json_list(json, "tokens");
    for (size_t i = 0; i < c->choices[0].n_pieces && i < c->given.n_answer; i++)
        write_judged_token(json, c, i);
    hb_json_end(json);
    hb_write_risk(json, c, &c->choices[0]);
    write_scores(json, c);
    write_usage(json, c);
}

/* For clients that drop unknown members: the greatest risk of the choices, and whether any was halted.
 */
static void set_headers(hb_call *c)
{
    if (!c->monitor.watched && !c->monitor.joint) return;
    c->reply.halted = 0;
    for (size_t i = 0; i < c->n_choices; i++) {
        c->reply.risk = fmax(c->reply.risk, c->choices[i].risk.p_fail);
        if (c->choices[i].risk.halted) c->reply.halted = 1;
    }
}

void hb_call_set_reply(hb_call *c)
{
    hb_json json = {0};
    hb_json_row(&json, NULL);
    if (c->kind == HB_CALL_JUDGE) write_judgement(&json, c);
    else write_answer(&json, c);
    hb_json_end(&json);
    hb_reply_json(&c->reply, 200, &json);
    if (c->reply.status == 200) set_headers(c);
}

/* ---- Streams ------------------------------------------------------------------------------------- */

/* Sends a document as an event. A stream that lacks a piece must not go on. */
static void send_event(hb_call *c, hb_json *json)
{
    char *text;
    if (hb_json_finish(json, &text, NULL)) {
        hb_call_break(c);
        return;
    }
    hb_writer event = {0};
    hb_write(&event, "data: ");
    hb_write_bytes(&event, text, strlen(text));
    hb_write(&event, "\n\n");
    free(text);
    if (event.failed) hb_call_break(c);
    else hb_call_write(c, event.text.data, event.text.length);
    hb_buffer_free(&event.text);
}

static void begin_chunk(hb_json *json, const hb_call *c)
{
    hb_json_row(json, NULL);
    write_head(json, c, c->ask.chat ? "chat.completion.chunk" : "text_completion");
    hb_json_list(json, "choices");
}

static void end_chunk(hb_json *json, hb_call *c)
{
    hb_json_end(json);
    if (c->ask.include_usage) hb_json_null(json, "usage");
    hb_json_end(json);
    send_event(c, json);
}

static void write_delta(hb_json *json, hb_choice *choice, bool chat)
{
    const char *text = choice->text.data ? choice->text.data : "";
    if (chat) {
        hb_json_row(json, "delta");
        if (!choice->begun) hb_json_text(json, "role", "assistant");
        if (choice->text.length || !choice->begun)
            hb_json_bytes(json, "content", text, choice->text.length);
        hb_json_end(json);
    } else hb_json_bytes(json, "text", text, choice->text.length);
    choice->begun = true;
}

/* A chunk of a chat's answer that ends has no text: some clients ignore it. */
static void write_part(hb_call *c, size_t i, bool last)
{
    hb_choice *choice = &c->choices[i];
    hb_json json = {0};
    begin_chunk(&json, c);
    hb_json_row(&json, NULL);
    hb_json_whole(&json, "index", (int64_t)i);
    write_delta(&json, choice, c->ask.chat);
    if (last && !choice->n_pieces) hb_json_null(&json, "logprobs");
    else write_logprobs(&json, c, choice);
    if (last) write_reason(&json, c, choice);
    else {
        hb_json_null(&json, "finish_reason");
        if (choice->n_pieces) {
            size_t k = choice->n_pieces - 1;
            write_step(&json, c, &choice->pieces[k], values_of(c, choice, k));
        }
    }
    hb_json_end(&json);
    end_chunk(&json, c);
    hb_buffer_clear(&choice->text);
    choice->n_pieces = 0;
}

void hb_call_write_chunk(hb_call *c, size_t i, bool last)
{
    const hb_choice *choice = &c->choices[i];
    if (last && choice->text.length) write_part(c, i, false);
    write_part(c, i, last);
}

void hb_call_write_problem(hb_call *c, const hb_problem *problem)
{
    hb_json json = {0};
    hb_json_row(&json, NULL);
    hb_write_problem(&json, problem);
    hb_json_end(&json);
    send_event(c, &json);
}

void hb_call_write_end(hb_call *c)
{
    hb_json json = {0};
    if (c->ask.include_usage && !c->failed) {
        hb_json_row(&json, NULL);
        write_head(&json, c, c->ask.chat ? "chat.completion.chunk" : "text_completion");
        hb_json_list(&json, "choices");
        hb_json_end(&json);
        write_usage(&json, c);
        hb_json_end(&json);
        send_event(c, &json);
    }
    hb_call_write(c, "data: [DONE]\n\n", 14);
}
