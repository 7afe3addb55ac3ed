/* The public API of chats. A chat is a template or a format, and the model that tokenizes its text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/sha256.h"
#include "chat/formats.h"
#include "chat/writing.h"
#include "engine/engine.h"

struct hb_chat {
    const hb_model *model;
    char name[32];
    bool prepared;
    const hb_chat_form *form; /* NULL: a template */
    hb_template *template;
    hb_template_input input; /* everything except the messages */
    char *variables;
    bool own; /* whether the template is the model's own */
    hb_reasoning reasoning;
};

hb_chat_options hb_chat_defaults(void)
{
    return (hb_chat_options){0};
}

/* ---- Writing ------------------------------------------------------------------------------------ */

/* Copies an error of the template, with the model's path if the template is the model's own. */
static hb_status blame(const hb_chat *c, const hb_error *why, hb_error *err)
{
    if (why->status == HB_ERR_MEMORY) return hb_fail_memory(err);
    return hb_fail(err, why->status, "%s%schat template: %s", c->own ? c->model->info.path : "",
                   c->own ? ": " : "", why->message);
}

/* Writes the user's message unchanged. */
static hb_status write_prepared(const hb_message *messages, size_t n, hb_rendered *out, hb_error *err)
{
    if (n != 1 || messages->role != HB_ROLE_USER)
        return hb_fail(err, HB_ERR_ARGUMENT, "a prepared prompt is exactly one message, by the user");
    *out = (hb_rendered){.text = malloc(messages->length + 1),
                         .spans = calloc(1, sizeof *out->spans),
                         .length = messages->length,
                         .n_spans = 1};
    if (!out->text || !out->spans) {
        hb_rendered_free(out);
        return hb_fail_memory(err);
    }
    if (messages->length) memcpy(out->text, messages->text, messages->length);
    out->text[messages->length] = '\0';
    out->spans[0] = (hb_text_span){messages->length, true};
    return HB_OK;
}

static hb_status run_template(const hb_chat *c, const hb_message *messages, size_t n, bool answer,
                              hb_rendered *out, hb_error *err)
{
    hb_template_input input = c->input;
    hb_error why;
    input.messages = messages;
    input.n = n;
    input.add_generation_prompt = answer;
    if (hb_template_render(c->template, &input, out, &why)) return blame(c, &why, err);
    return HB_OK;
}

static bool is_blank(const hb_message *m)
{
    size_t i = 0;
    while (i < m->length && hb_is_space(m->text[i])) i++;
    return i == m->length;
}

hb_status hb_chat_write(const hb_chat *c, const hb_message *messages, size_t n, bool answer,
                        hb_rendered *out, hb_error *err)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned)messages[i].role > HB_ROLE_ASSISTANT)
            return hb_fail(err, HB_ERR_ARGUMENT, "message %zu has an unknown role", i);
    if (c->prepared) return write_prepared(messages, n, out, err);
    if (c->form) return hb_chat_form_write(c->form, messages, n, answer, out, err);
    hb_status status = run_template(c, messages, n, answer, out, err);
    if (status) return status;
    bool system = n > 0 && messages[0].role == HB_ROLE_SYSTEM && !is_blank(messages);
    if (!system || out->shows_system) return HB_OK;
    hb_rendered_free(out);
    hb_error why;
    hb_fail(&why, HB_ERR_UNSUPPORTED, "it leaves out the system message");
    return blame(c, &why, err);
}

hb_status hb_chat_render(const hb_chat *chat, const hb_message *messages, size_t n, bool answer,
                         char **text, size_t *length, hb_error *err)
{
    hb_rendered out;
    hb_status status = hb_chat_write(chat, messages, n, answer, &out, err);
    if (status) return status;
    *text = out.text;
    *length = out.length;
    free(out.spans);
    return HB_OK;
}

bool hb_chat_has_bos(const hb_chat *c, const hb_rendered *out)
{
    size_t n = c->input.bos_length;
    return n > 0 && out->spans[0].parse_special && out->spans[0].end >= n &&
           memcmp(out->text, c->input.bos, n) == 0;
}

hb_status hb_chat_tokenize(const hb_chat *chat, const hb_message *messages, size_t n, bool answer,
                           int32_t **tokens, size_t *n_tokens, hb_error *err)
{
    hb_rendered out;
    if (!chat->model) return hb_fail(err, HB_ERR_ARGUMENT, "a chat without a model cannot tokenize");
    hb_status status = hb_chat_write(chat, messages, n, answer, &out, err);
    if (status) return status;
    status = hb_tokenize_spans(chat->model, out.text, out.spans, out.n_spans,
                               !hb_chat_has_bos(chat, &out), false, false, tokens, n_tokens, err);
    hb_rendered_free(&out);
    return status;
}

hb_status hb_chat_prompt(const hb_model *model, const hb_chat *chat, const char *system,
                         const char *prompt, size_t length, int32_t **tokens, size_t *n_tokens,
                         hb_error *err)
{
    if (!chat) return hb_tokenize(model, prompt, length, true, false, tokens, n_tokens, err);
    const hb_message messages[] = {{HB_ROLE_SYSTEM, system, system ? strlen(system) : 0},
                                   {HB_ROLE_USER, prompt, length}};
    size_t from = system && *system ? 0 : 1;
    return hb_chat_tokenize(chat, messages + from, 2 - from, true, tokens, n_tokens, err);
}

/* ---- Reasoning ---------------------------------------------------------------------------------- */

static const char *const marks[][2] = {
    {"<think>", "</think>"},
    {"<|START_THINKING|>", "<|END_THINKING|>"},
    {"<seed:think>", "</seed:think>"},
    {"<mm:think>", "</mm:think>"},
    {"<thinking>", "</thinking>"},
    {"<reasoning>", "</reasoning>"},
    {"[THINK]", "[/THINK]"},
    {"<|channel>thought", "<channel|>"},
    {"<|channel|>analysis<|message|>", "<|end|>"},
};

/* Finds the reasoning markers that a template contains, and whether the text that it writes after the
 * last message leaves them open. */
static void find_reasoning(hb_chat *c, const char *template, size_t length, const hb_rendered *tried)
{
    size_t i = 0, n = sizeof marks / sizeof *marks, from = 0;
    while (i < n && !memmem(template, length, marks[i][0], strlen(marks[i][0])) &&
           !memmem(template, length, marks[i][1], strlen(marks[i][1])))
        i++;
    if (i == n) return;
    c->reasoning = (hb_reasoning){marks[i][0], marks[i][1], false};
    for (size_t k = 0; k < tried->n_spans; k++)
        if (!tried->spans[k].parse_special) from = tried->spans[k].end;
    const char *at = tried->text ? tried->text + from : NULL;
    while (at && (at = strstr(at, marks[i][0]))) {
        at = strstr(at + strlen(marks[i][0]), marks[i][1]);
        c->reasoning.opened = !at;
    }
}

/* Renders a test conversation to find the input that the template expects: contents as texts or as
 * lists of parts, `tools` none or an empty list. The first input whose output has the message is used.
 * If no output has it, the template may need other conversations, and the plain input is used. Fails
 * when memory runs out: another input would make another prompt. */
static hb_status try_out(hb_chat *c, const char *template, size_t length, hb_error *err)
{
    static const hb_message hello = {HB_ROLE_USER, "Hello", 5};
    static const struct {
        bool parts, empty_tools;
    } ways[] = {{false, false}, {true, false}, {false, true}, {true, true}, {false, false}};
    const size_t n = sizeof ways / sizeof *ways;
    hb_rendered out = {0};
    hb_error why;
    for (size_t i = 0; i < n && !out.shows_messages; i++) {
        hb_rendered_free(&out);
        c->input.parts = ways[i].parts;
        c->input.empty_tools = ways[i].empty_tools;
        hb_status status = run_template(c, &hello, 1, true, &out, &why);
        if (status == HB_ERR_MEMORY) return hb_fail_memory(err);
        if (status) out = (hb_rendered){0};
    }
    find_reasoning(c, template, length, &out);
    hb_rendered_free(&out);
    return HB_OK;
}

/* ---- Opening ------------------------------------------------------------------------------------ */

static hb_status name_template(hb_chat *c, const char *template, size_t length, hb_error *err)
{
    static const char *const choices[] = {"", "-thinking-on", "-thinking-off"};
    hb_sha256 hash;
    char hex[65];
    if (!hb_sha256_init(&hash)) return hb_fail_memory(err);
    hb_sha256_add(&hash, template, length);
    if (c->variables) hb_sha256_add(&hash, c->variables, strlen(c->variables) + 1);
    hb_sha256_finish(&hash, hex);
    snprintf(c->name, sizeof c->name, "template-%.8s%s", hex, choices[c->input.thinking]);
    return HB_OK;
}

static hb_status open_template(hb_chat *c, const char *text, size_t length, hb_error *err)
{
    hb_error why;
    if (!text) {
        hb_text own = {0};
        if (c->model) own = hb_model_chat_template(c->model);
        if (!own.bytes)
            return hb_fail(err, HB_ERR_UNSUPPORTED,
                           "%s: the model has no chat template (metadata 'tokenizer.chat_template')",
                           c->model ? c->model->info.path : "no model");
        c->own = true;
        text = own.bytes;
        length = own.length;
    }
    if (hb_template_compile(text, length, &c->template, &why)) return blame(c, &why, err);
    if (c->input.thinking && !memmem(text, length, "thinking", strlen("thinking"))) {
        hb_fail(&why, HB_ERR_UNSUPPORTED, "it has no thinking option");
        return blame(c, &why, err);
    }
    hb_status status = try_out(c, text, length, err);
    return status ? status : name_template(c, text, length, err);
}

static hb_status open_format(hb_chat *c, const char *name, hb_error *err)
{
    c->prepared = strcmp(name, HB_CHAT_PREPARED) == 0;
    c->form = c->prepared ? NULL : hb_chat_form_find(name);
    if (!c->prepared && !c->form)
        return hb_fail(err, HB_ERR_ARGUMENT, "unknown chat format '%s'", name);
    if (c->input.thinking)
        return hb_fail(err, HB_ERR_UNSUPPORTED, "the chat format %s has no thinking option", name);
    snprintf(c->name, sizeof c->name, "%s", name);
    return HB_OK;
}

hb_status hb_chat_open(const hb_model *model, const hb_chat_options *options, hb_chat **chat,
                       hb_error *err)
{
    const hb_chat_options o = options ? *options : hb_chat_defaults();
    hb_status status = HB_OK;
    if ((unsigned)o.thinking > HB_THINKING_OFF)
        return hb_fail(err, HB_ERR_ARGUMENT, "unknown choice of thinking %d", (int)o.thinking);
    hb_chat *c = calloc(1, sizeof *c);
    if (!c) return hb_fail_memory(err);
    c->model = model;
    if (model) {
        c->input.bos = hb_token_piece(model, hb_model_bos(model), &c->input.bos_length);
        c->input.eos = hb_token_piece(model, hb_model_eos(model), &c->input.eos_length);
    }
    c->input.thinking = o.thinking;
    c->input.now = o.now ? o.now : (int64_t)time(NULL);
    if (o.variables && !(c->variables = strdup(o.variables))) status = hb_fail_memory(err);
    c->input.variables = c->variables;
    if (!status && o.format) status = open_format(c, o.format, err);
    else if (!status) status = open_template(c, o.template_text, o.template_length, err);
    if (status) hb_chat_close(c);
    else *chat = c;
    return status;
}

void hb_chat_close(hb_chat *chat)
{
    if (!chat) return;
    hb_template_free(chat->template);
    free(chat->variables);
    free(chat);
}

const char *hb_chat_name(const hb_chat *chat)
{
    return chat->name;
}

bool hb_chat_is_prepared(const hb_chat *chat)
{
    return chat->prepared;
}

hb_reasoning hb_chat_reasoning(const hb_chat *chat)
{
    return chat->reasoning;
}
