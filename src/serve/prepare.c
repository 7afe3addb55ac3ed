#include "serve/prepare.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "engine/engine.h"

#define NEVER_HALTS 2 /* a cutoff that no P_fail reaches */

/* ---- Prompts ------------------------------------------------------------------------------------- */

/* Joins messages by line breaks, for a model without a chat template. */
static bool join_messages(const hb_message *messages, size_t n, hb_buffer *text)
{
    bool ok = hb_buffer_add(text, "", 0);
    for (size_t i = 0; i < n && ok; i++)
        ok = (i == 0 || hb_buffer_add(text, "\n", 1)) &&
             hb_buffer_add(text, messages[i].text, messages[i].length);
    return ok;
}

static hb_status prepare_plain(const hb_server *s, const hb_message *messages, size_t n,
                               int32_t **tokens, char **text, size_t *length, hb_error *err)
{
    hb_buffer joined = {0};
    hb_status status = HB_OK;
    if (!join_messages(messages, n, &joined)) status = hb_fail_memory(err);
    else if (tokens)
        status = hb_tokenize(s->model, joined.data, joined.length, true, false, tokens, length, err);
    else {
        *text = joined.data;
        *length = joined.length;
        joined = (hb_buffer){0};
    }
    hb_buffer_free(&joined);
    return status;
}

bool hb_prepare_chat(const hb_server *s, const hb_message *messages, size_t n, int32_t **tokens,
                     char **text, size_t *length, hb_problem *problem)
{
    const hb_chat *chat = s->served.chat;
    hb_error err;
    hb_status status = !chat    ? prepare_plain(s, messages, n, tokens, text, length, &err)
                       : tokens ? hb_chat_tokenize(chat, messages, n, true, tokens, length, &err)
                                : hb_chat_render(chat, messages, n, true, text, length, &err);
    return !status || hb_refuse_error(problem, "messages", &err);
}

/* Whether tokenizing put the BOS token in front of a text. */
static bool starts_with_bos(const hb_server *s, const hb_ask_prompt *p)
{
    return p->n > 1 && p->tokens[0] == hb_model_bos(s->model);
}

static bool check_prompt(const hb_server *s, const hb_ask_prompt *p, const char *param,
                         hb_problem *problem)
{
    hb_error err;
    if (p->n == 0) return hb_refuse(problem, param, "the prompt is empty");
    if (hb_check_tokens(s->model, p->tokens, p->n, &err)) return hb_refuse_error(problem, param, &err);
    if (p->n <= (size_t)s->positions) return true;
    hb_refuse(problem, param, "the prompt's %zu tokens do not fit the context of %d", p->n,
              s->positions);
    problem->code = "context_length_exceeded";
    return false;
}

/* Refuses a text that cannot fit before it is tokenized, which takes seconds for megabytes and keeps
 * other connections waiting. */
static bool check_bytes(const hb_server *s, size_t length, const char *param, hb_problem *problem)
{
    if (length <= s->most_bytes) return true;
    hb_refuse(problem, param, "the prompt's %zu bytes do not fit the context of %d tokens", length,
              s->positions);
    problem->code = "context_length_exceeded";
    return false;
}

static size_t message_bytes(const hb_ask *a)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_messages; i++) n += a->messages[i].length;
    return n;
}

static bool prepare_prompts(hb_call *c, hb_problem *problem)
{
    const hb_server *s = c->server;
    const char *param = c->ask.chat ? "messages" : "prompt";
    for (size_t i = 0; i < c->ask.n_prompts; i++) {
        hb_ask_prompt *p = &c->ask.prompts[i];
        hb_error err;
        size_t length = c->ask.chat ? message_bytes(&c->ask) : p->length;
        if (!check_bytes(s, length, param, problem)) return false;
        if (c->ask.chat &&
            !hb_prepare_chat(s, c->ask.messages, c->ask.n_messages, &p->tokens, NULL, &p->n, problem))
            return false;
        if (p->text) {
            if (hb_tokenize(s->model, p->text, p->length, true, false, &p->tokens, &p->n, &err))
                return hb_refuse_error(problem, param, &err);
            p->has_bos = starts_with_bos(s, p);
        }
        if (!check_prompt(s, p, param, problem)) return false;
        c->n_prompt += (int64_t)p->n;
    }
    return true;
}

/* ---- The monitor --------------------------------------------------------------------------------- */

/* Takes the threshold of a signal from the parameters. */
static bool watch(hb_call *c, const char *name, hb_problem *problem)
{
    const hb_params *params = c->server->served.params;
    const hb_signal *signal = hb_signal_find(name);
    hb_score_id id;
    if (signal == c->monitor.watched && !c->monitor.joint) return true;
    for (size_t i = 0; params && i < params->n_scores; i++) {
        const hb_calibrated_score *score = &params->scores[i];
        if (!hb_score_find(score->name, &id) || id.signal != signal) continue;
        c->monitor.watched = signal;
        c->monitor.joint = NULL;
        c->monitor.map = NULL;
        c->monitor.halt = NULL;
        c->monitor.tau = score->tau;
        c->monitor.direction = score->direction;
        c->by_watch = true;
        return true;
    }
    return hb_refuse(problem, "hbar.watch", "the server's parameters have no threshold for '%s'", name);
}

/* Puts the thresholds of halting out of reach. What is measured stays the same. */
static void never_halt(hb_call *c)
{
    c->monitor.cutoff = NEVER_HALTS;
    if (!c->monitor.halt) return;
    c->halt = *c->monitor.halt;
    c->halt.tau = c->halt.direction == HB_DIRECTION_HIGH ? DBL_MAX : -DBL_MAX;
    c->monitor.halt = &c->halt;
}

/* Adds the probes of the server's parameters to the signals that a request asks for. False when memory
 * runs out. */
static bool add_probes(hb_call *c)
{
    const hb_signal_set *probes = c->server->no_signals;
    const hb_signal *signal;
    bool ok = true;
    for (size_t i = 0; c->ask.signals && ok && (signal = hb_signal_set_at(probes, i)) != NULL; i++)
        ok = hb_signal_set_add(c->ask.signals, signal, NULL) == HB_OK;
    return ok;
}

static bool set_monitor(hb_call *c, hb_problem *problem)
{
    const hb_ask *a = &c->ask;
    if (!add_probes(c)) return hb_refuse_memory(problem);
    c->monitor = c->server->served.monitor;
    if (a->watch && !watch(c, a->watch, problem)) return false;
    c->cutoff = isnan(a->cutoff) ? c->monitor.cutoff : a->cutoff;
    c->monitor.cutoff = c->cutoff;
    if (!isnan(a->cutoff)) c->monitor.halt = NULL;
    if (a->mode != HB_RISK_HALT) never_halt(c);
    c->monitor.signals = a->signals ? a->signals : c->server->no_signals;
    if (a->mode == HB_RISK_OFF) {
        c->monitor.watched = NULL;
        c->monitor.joint = NULL;
        c->monitor.halt = NULL;
    }
    return true;
}

static void set_seed(hb_ask *a)
{
    uint64_t seed;
    if (!a->has_seed && getrandom(&seed, sizeof seed, GRND_NONBLOCK) == sizeof seed)
        a->sampling.seed = seed;
}

bool hb_prepare_call(hb_call *c, hb_problem *problem)
{
    hb_error err;
    set_seed(&c->ask);
    if (!set_monitor(c, problem) || !prepare_prompts(c, problem)) return false;
    if (hb_adjustment_check(&c->ask.adjustment, c->server->model->info.n_vocab, &err))
        return hb_refuse_error(problem, "logit_bias", &err);
    return true;
}

/* ---- Judgements ---------------------------------------------------------------------------------- */

/* What a judgement is about. */
typedef struct judged {
    const char *system, *prompt, *response;
    size_t n_prompt, n_response;
    bool chat;
} judged;

/* A conversation of an optional system message, a user's message and the answer. */
static bool read_conversation(hb_call *c, const hb_fields *f, judged *j)
{
    hb_ask *a = &c->ask;
    if (!hb_ask_parse_messages(a, f)) return false;
    const hb_message *m = a->messages;
    size_t n = a->n_messages;
    if (n > 1 && m[n - 1].role == HB_ROLE_ASSISTANT) {
        j->response = m[n - 1].text;
        j->n_response = m[n - 1].length;
        n--;
    }
    if (n == 2 && m[0].role == HB_ROLE_SYSTEM) {
        if (strlen(m[0].text) != m[0].length)
            return hb_field_refuse(f, "messages", "must not contain a zero byte in the system message");
        j->system = m[0].text;
        m++;
        n--;
    }
    if (n != 1 || m[0].role != HB_ROLE_USER)
        return hb_field_refuse(f, "messages",
                               "must be an optional system message, a user's message and an answer");
    j->prompt = m[0].text;
    j->n_prompt = m[0].length;
    j->chat = true;
    return true;
}

static bool read_judged(hb_call *c, const hb_fields *f, judged *j)
{
    if (hb_field(f, "messages")) {
        if (!read_conversation(c, f, j)) return false;
    } else if (!hb_field_text(f, "prompt", &j->prompt, &j->n_prompt)) return false;
    if (!hb_field_text(f, "response", &j->response, &j->n_response)) return false;
    if (!j->prompt) return hb_field_refuse(f, "prompt", "or messages are required");
    return j->response || hb_field_refuse(f, "response", "is required");
}

static bool check_room(hb_call *c, hb_problem *problem)
{
    size_t room = (size_t)c->server->positions + 1; /* the last token is not evaluated */
    if (c->given.n_prompt < room && c->given.n_answer <= room - c->given.n_prompt) return true;
    hb_refuse(problem, "response",
              "the prompt's %zu tokens and the answer's %zu do not fit the context "
              "of %zu",
              c->given.n_prompt, c->given.n_answer, room - 1);
    problem->code = "context_length_exceeded";
    return false;
}

bool hb_prepare_judgement(hb_call *c, const char *body, size_t length, hb_problem *problem)
{
    hb_ask *a = &c->ask;
    judged j = {0};
    hb_error err;
    *a = (hb_ask){.n = 1, .root = hb_fields_parse(body, length, problem)};
    const hb_fields f = {a->root, "", problem};
    if (!a->root || !read_judged(c, &f, &j) || !hb_ask_parse_risk(a, &f)) return false;
    if (a->n_drawn) return hb_refuse(problem, "hbar.samples", "hbar.samples needs an answer to draw");
    a->mode = HB_RISK_FLAG;
    a->prompts = calloc(1, sizeof *a->prompts);
    if (!a->prompts) return hb_refuse_memory(problem);
    a->n_prompts = 1;
    if (!a->signals && hb_signal_set_of_model(c->server->model, &a->signals, &err))
        return hb_refuse_error(problem, NULL, &err);
    if (!set_monitor(c, problem) ||
        !check_bytes(c->server, j.n_prompt + j.n_response, "response", problem))
        return false;
    if (hb_given_tokenize(c->server->model, j.chat ? c->server->served.chat : NULL, j.system, j.prompt,
                          j.n_prompt, j.response, j.n_response, &c->given, &err))
        return hb_refuse_error(problem, "response", &err);
    c->response = j.response;
    c->n_response = j.n_response;
    c->n_prompt = (int64_t)c->given.n_prompt;
    return check_room(c, problem);
}
