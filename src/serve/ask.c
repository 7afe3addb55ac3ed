#include "serve/ask.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Messages ------------------------------------------------------------------------------------ */

/* Joins the parts of a message, which must all be text, with line breaks. */
static bool join_parts(hb_ask *ask, const json_t *parts, const char *name, hb_message *m,
                       hb_problem *problem)
{
    hb_buffer text = {0};
    char param[96];
    size_t i;
    json_t *part;
    bool ok = hb_buffer_add(&text, "", 0), good = true;
    json_array_foreach(parts, i, part)
    {
        const char *type = json_string_value(json_object_get(part, "type"));
        const json_t *value = json_object_get(part, "text");
        good = type && strcmp(type, "text") == 0 && json_is_string(value) &&
               strlen(json_string_value(value)) == json_string_length(value);
        if (!good) break;
        ok = ok && (i == 0 || hb_buffer_add(&text, "\n", 1)) &&
             hb_buffer_add(&text, json_string_value(value), json_string_length(value));
    }
    snprintf(param, sizeof param, "%s[%zu]", name, i);
    if (!good) hb_refuse(problem, param, "%s must be a part of type 'text' with a text", param);
    else if (!ok || !hb_texts_add(&ask->joined, text.data, text.length))
        good = hb_refuse_memory(problem);
    if (good) {
        m->text = ask->joined.list[ask->joined.n - 1];
        m->length = text.length;
    }
    hb_buffer_free(&text);
    return good;
}

static bool parse_role(const char *role, hb_role *out)
{
    static const struct {
        const char *name;
        hb_role role;
    } roles[] = {{"system", HB_ROLE_SYSTEM},
                 {"developer", HB_ROLE_SYSTEM},
                 {"user", HB_ROLE_USER},
                 {"assistant", HB_ROLE_ASSISTANT}};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (strcmp(role, roles[i].name) != 0) continue;
        *out = roles[i].role;
        return true;
    }
    return false;
}

static bool parse_message(hb_ask *ask, const json_t *from, size_t i, hb_message *m, hb_problem *problem)
{
    char param[64];
    const char *role = json_string_value(json_object_get(from, "role"));
    const json_t *content = json_object_get(from, "content");
    snprintf(param, sizeof param, "messages[%zu]", i);
    if (!json_is_object(from)) return hb_refuse(problem, param, "%s must be an object", param);
    snprintf(param, sizeof param, "messages[%zu].role", i);
    if (!role || !parse_role(role, &m->role))
        return hb_refuse(problem, param, "%s must be 'system', 'developer', 'user' or 'assistant'",
                         param);
    snprintf(param, sizeof param, "messages[%zu].content", i);
    if (json_is_array(content)) return join_parts(ask, content, param, m, problem);
    if (!json_is_string(content))
        return hb_refuse(problem, param, "%s must be a string or a list of parts", param);
    m->text = json_string_value(content);
    m->length = json_string_length(content);
    return true;
}

bool hb_ask_parse_messages(hb_ask *ask, const hb_fields *f)
{
    const json_t *list = hb_field(f, "messages");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n == 0 || n > HB_ASK_MESSAGES)
        return hb_field_refuse(f, "messages", "must be a list of 1 to %d messages", HB_ASK_MESSAGES);
    ask->messages = calloc(n, sizeof *ask->messages);
    if (!ask->messages) return hb_refuse_memory(f->problem);
    ask->n_messages = n;
    for (size_t i = 0; i < n; i++)
        if (!parse_message(ask, json_array_get(list, i), i, &ask->messages[i], f->problem))
            return false;
    return true;
}

/* A chat has one prompt, whose tokens come from the messages. */
static bool parse_chat(hb_ask *ask, const hb_fields *f)
{
    ask->prompts = calloc(1, sizeof *ask->prompts);
    if (!ask->prompts) return hb_refuse_memory(f->problem);
    ask->n_prompts = 1;
    return hb_ask_parse_messages(ask, f);
}

/* ---- Prompts ------------------------------------------------------------------------------------- */

static bool parse_tokens(hb_ask_prompt *p, const json_t *list, const hb_fields *f)
{
    size_t n = json_array_size(list);
    if (n == 0) return hb_field_refuse(f, "prompt", "must not be an empty list");
    p->tokens = calloc(n, sizeof *p->tokens);
    if (!p->tokens) return hb_refuse_memory(f->problem);
    p->n = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *token = json_array_get(list, i);
        json_int_t id = json_integer_value(token);
        if (!json_is_integer(token) || id < 0 || id > INT32_MAX)
            return hb_field_refuse(f, "prompt", "must be a text, a list of tokens, or a list of these");
        p->tokens[i] = (int32_t)id;
    }
    return true;
}

static bool parse_prompt(hb_ask_prompt *p, const json_t *value, const hb_fields *f)
{
    if (json_is_array(value)) return parse_tokens(p, value, f);
    if (!json_is_string(value))
        return hb_field_refuse(f, "prompt", "must be a text, a list of tokens, or a list of these");
    p->text = json_string_value(value);
    p->length = json_string_length(value);
    return true;
}

/* A text, a list of texts, a list of tokens, or a list of lists of tokens. */
static bool parse_prompts(hb_ask *ask, const hb_fields *f)
{
    const json_t *prompt = hb_field(f, "prompt");
    bool several = json_is_array(prompt) && !json_is_number(json_array_get(prompt, 0));
    size_t n = several ? json_array_size(prompt) : 1;
    if (!prompt) return hb_field_refuse(f, "prompt", "is required");
    if (n == 0 || n > HB_ASK_CHOICES)
        return hb_field_refuse(f, "prompt", "must have 1 to %d prompts", HB_ASK_CHOICES);
    ask->prompts = calloc(n, sizeof *ask->prompts);
    if (!ask->prompts) return hb_refuse_memory(f->problem);
    ask->n_prompts = n;
    for (size_t i = 0; i < n; i++)
        if (!parse_prompt(&ask->prompts[i], several ? json_array_get(prompt, i) : prompt, f))
            return false;
    return true;
}

/* ---- Sampling ------------------------------------------------------------------------------------ */

static bool parse_stops(hb_ask *ask, const hb_fields *f)
{
    const json_t *stop = hb_field(f, "stop");
    size_t n = json_is_array(stop) ? json_array_size(stop) : stop != NULL;
    if (n > HB_ASK_STOPS) return hb_field_refuse(f, "stop", "must have at most %d texts", HB_ASK_STOPS);
    for (size_t i = 0; i < n; i++) {
        const json_t *text = json_is_array(stop) ? json_array_get(stop, i) : stop;
        const char *value = json_string_value(text);
        if (!value || !*value || strlen(value) != json_string_length(text))
            return hb_field_refuse(f, "stop", "must be a text that is not empty, or a list of these");
        ask->stops[ask->n_stops++] = value;
    }
    return true;
}

static bool parse_bias(const char *key, const json_t *value, hb_bias *bias)
{
    char *end;
    errno = 0;
    long token = strtol(key, &end, 10);
    if (!*key || *end || errno || token < 0 || token > INT32_MAX || !json_is_number(value))
        return false;
    *bias = (hb_bias){(int32_t)token, (float)json_number_value(value)};
    return bias->bias >= -100 && bias->bias <= 100;
}

static bool parse_biases(hb_ask *ask, const hb_fields *f)
{
    const json_t *map = hb_field(f, "logit_bias");
    const char *key;
    json_t *value;
    if (!map) return true;
    if (!json_is_object(map) || json_object_size(map) > HB_ASK_BIASES)
        return hb_field_refuse(f, "logit_bias", "must be an object with at most %d tokens",
                               HB_ASK_BIASES);
    ask->biases = calloc(json_object_size(map) + 1, sizeof *ask->biases);
    if (!ask->biases) return hb_refuse_memory(f->problem);
    json_object_foreach((json_t *)map, key, value) if (
        !parse_bias(key, value,
                    &ask->biases[ask->adjustment
                                     .n_biases++])) return hb_field_refuse(f, "logit_bias",
                                                                           "must give tokens numbers "
                                                                           "from -100 to 100");
    ask->adjustment.biases = ask->biases;
    return true;
}

/* Any whole number is a seed. */
static bool parse_seed(hb_ask *ask, const hb_fields *f)
{
    const json_t *seed = hb_field(f, "seed");
    if (!seed) return true;
    if (!json_is_integer(seed)) return hb_field_refuse(f, "seed", "must be a whole number");
    ask->sampling.seed = (uint64_t)json_integer_value(seed);
    ask->has_seed = true;
    return true;
}

static bool parse_sampling(hb_ask *ask, const hb_fields *f)
{
    hb_sampling *s = &ask->sampling;
    hb_adjustment *a = &ask->adjustment;
    bool ok = hb_field_real(f, "temperature", 0, 100, &s->temperature) &&
              hb_field_real(f, "top_p", 0, 1, &s->top_p) &&
              hb_field_int(f, "top_k", -1, 1 << 24, &s->top_k) && parse_seed(ask, f) &&
              hb_field_real(f, "frequency_penalty", -2, 2, &a->frequency_penalty) &&
              hb_field_real(f, "presence_penalty", -2, 2, &a->presence_penalty) &&
              parse_biases(ask, f) && parse_stops(ask, f);
    if (s->top_p == 0) s->top_p = 1e-9; /* the most probable token alone */
    if (s->top_k < 0) s->top_k = 0;
    return ok;
}

static bool parse_lengths(hb_ask *ask, const hb_fields *f)
{
    int32_t least = ask->chat || !ask->echo ? 1 : 0;
    return hb_field_int(f, "n", 1, HB_ASK_CHOICES, &ask->n) &&
           hb_field_int(f, "max_tokens", least, 1 << 24, &ask->max_tokens) &&
           hb_field_int(f, "max_completion_tokens", 1, 1 << 24, &ask->max_tokens);
}

/* ---- What is asked for besides the text ---------------------------------------------------------- */

static bool parse_logprobs(hb_ask *ask, const hb_fields *f)
{
    if (!ask->chat) {
        ask->n_top = -1;
        if (!hb_field_int(f, "logprobs", 0, HB_MAX_LOGPROBS, &ask->n_top)) return false;
        ask->logprobs = ask->n_top >= 0;
        if (ask->n_top < 0) ask->n_top = 0;
        return true;
    }
    if (!hb_field_bool(f, "logprobs", &ask->logprobs) ||
        !hb_field_int(f, "top_logprobs", 0, HB_MAX_LOGPROBS, &ask->n_top))
        return false;
    if (ask->n_top && !ask->logprobs)
        return hb_field_refuse(f, "top_logprobs", "needs logprobs to be true");
    return true;
}

static bool parse_stream(hb_ask *ask, const hb_fields *f)
{
    const json_t *options = hb_field(f, "stream_options");
    if (!hb_field_bool(f, "stream", &ask->stream)) return false;
    if (!options) return true;
    if (!json_is_object(options)) return hb_field_refuse(f, "stream_options", "must be an object");
    if (!ask->stream) return hb_field_refuse(f, "stream_options", "needs stream to be true");
    const hb_fields inner = {options, "stream_options.", f->problem};
    return hb_field_bool(&inner, "include_usage", &ask->include_usage);
}

static bool parse_format(const hb_fields *f)
{
    const json_t *format = hb_field(f, "response_format");
    const char *type = json_string_value(json_object_get(format, "type"));
    if (!format || (type && strcmp(type, "text") == 0)) return true;
    if (!json_is_object(format) || !type)
        return hb_field_refuse(f, "response_format", "must be an object with a type");
    return hb_field_refuse(f, "response_format.type", "'%s' is not supported; only 'text' is", type);
}

/* Fields that would change the answer, and that this server cannot obey. */
static bool refuse_unsupported(const hb_ask *ask, const hb_fields *f)
{
    static const char *const names[] = {"tools", "functions", "suffix", "modalities", "audio"};
    const char *user = NULL, *model = NULL;
    int32_t best_of = ask->n;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *v = hb_field(f, names[i]);
        bool plain = strcmp(names[i], "modalities") == 0 && json_array_size(v) == 1 &&
                     json_is_string(json_array_get(v, 0)) &&
                     strcmp(json_string_value(json_array_get(v, 0)), "text") == 0;
        bool blank =
            json_is_string(v) ? !json_string_length(v) : json_is_array(v) && !json_array_size(v);
        if (v && !blank && !plain) return hb_field_refuse(f, names[i], "is not supported");
    }
    if (!ask->chat && !hb_field_int(f, "best_of", 1, HB_ASK_CHOICES, &best_of)) return false;
    if (best_of != ask->n) return hb_field_refuse(f, "best_of", "must equal n");
    return hb_field_text(f, "user", &user, NULL) && hb_field_text(f, "model", &model, NULL);
}

/* ---- The object "hbar" --------------------------------------------------------------------------- */

/* A list of names, or "all". */
static bool parse_signals(hb_ask *ask, const hb_fields *f)
{
    const char *list = NULL;
    hb_error err;
    if (!hb_field_text(f, "signals", &list, NULL)) return false;
    if (!list || !hb_signal_set_parse(list, &ask->signals, &err)) return true;
    if (err.status == HB_ERR_MEMORY) return hb_refuse_memory(f->problem);
    return hb_field_refuse(f, "signals", "is bad: %s", err.message);
}

static bool parse_watch(hb_ask *ask, const hb_fields *f)
{
    if (!hb_field_text(f, "watch", &ask->watch, NULL)) return false;
    if (!ask->watch || hb_signal_find(ask->watch)) return true;
    return hb_field_refuse(f, "watch", "must be the name of a signal");
}

bool hb_ask_parse_risk(hb_ask *ask, const hb_fields *f)
{
    static const char *const modes[] = {"halt", "flag", "off", NULL};
    const json_t *hbar = hb_field(f, "hbar");
    int mode = HB_RISK_HALT;
    ask->cutoff = NAN;
    if (!hbar) return true;
    if (!json_is_object(hbar)) return hb_field_refuse(f, "hbar", "must be an object");
    const hb_fields inner = {hbar, "hbar.", f->problem};
    if (!hb_field_int(&inner, "samples", 0, HB_MAX_DRAWN, &ask->n_drawn)) return false;
    if (ask->n_drawn && (ask->n > 1 || ask->n_prompts > 1))
        return hb_field_refuse(&inner, "samples", "needs one prompt and n 1");
    if (!hb_field_choice(&inner, "mode", modes, &mode) ||
        !hb_field_real(&inner, "cutoff", 1e-9, 1e9, &ask->cutoff) || !parse_watch(ask, &inner) ||
        !hb_field_text(&inner, "on_halt", &ask->on_halt, NULL) || !parse_signals(ask, &inner))
        return false;
    ask->mode = (hb_risk_mode)mode;
    return true;
}

/* ---- All together -------------------------------------------------------------------------------- */

static bool parse(hb_ask *ask, const hb_fields *f)
{
    if (!ask->chat && !hb_field_bool(f, "echo", &ask->echo)) return false;
    if (!(ask->chat ? parse_chat(ask, f) : parse_prompts(ask, f)) || !parse_sampling(ask, f) ||
        !parse_lengths(ask, f) || !parse_logprobs(ask, f) || !parse_stream(ask, f) ||
        !parse_format(f) || !hb_ask_parse_risk(ask, f) || !refuse_unsupported(ask, f))
        return false;
    if (ask->n_prompts * (size_t)ask->n > HB_ASK_CHOICES)
        return hb_field_refuse(f, "n", "times the number of prompts must be at most %d",
                               HB_ASK_CHOICES);
    return true;
}

bool hb_ask_parse(hb_ask *ask, bool chat, const hb_ask_defaults *defaults, const char *body,
                  size_t length, hb_problem *problem)
{
    *ask = (hb_ask){
        .chat = chat, .sampling = defaults->sampling, .max_tokens = defaults->max_tokens, .n = 1};
    ask->root = hb_fields_parse(body, length, problem);
    const hb_fields f = {ask->root, "", problem};
    if (ask->root && parse(ask, &f)) return true;
    hb_ask_free(ask);
    return false;
}

void hb_ask_free(hb_ask *ask)
{
    for (size_t i = 0; i < ask->n_prompts; i++) free(ask->prompts[i].tokens);
    free(ask->prompts);
    free(ask->messages);
    hb_texts_free(&ask->joined);
    free(ask->biases);
    hb_signal_set_free(ask->signals);
    json_decref(ask->root);
    *ask = (hb_ask){0};
}
