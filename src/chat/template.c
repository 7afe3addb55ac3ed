#include "chat/template.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "base/json_read.h"
#include "chat/eval.h"
#include "chat/parser.h"

/* Limits. They grow with the conversation, because templates copy its text several times. */
#define STEPS          ((uint64_t)10000000)
#define STEPS_PER_BYTE 8
#define MEMORY         ((size_t)64 << 20)
#define MEMORY_TIMES   64
#define TEXT           ((size_t)16 << 20)
#define TEXT_TIMES     8
#define DEPTH          400

struct hb_template {
    hb_jarena arena;
    const hb_jnode *body;
};

/* Calls a function that may fail by hb_jfail. Returns false if it fails. */
static bool guarded(hb_jinja *j, void (*run)(hb_jinja *j, void *with), void *with)
{
    if (setjmp(j->failed)) return false;
    run(j, with);
    return true;
}

/* ---- Compiling ---------------------------------------------------------------------------------- */

typedef struct compiling {
    const char *source;
    size_t length;
    const hb_jnode *body;
} compiling;

static void compile(hb_jinja *j, void *with)
{
    compiling *c = with;
    c->body = hb_jparse(j, c->source, c->length);
}

hb_status hb_template_compile(const char *source, size_t length, hb_template **template, hb_error *err)
{
    if (length > HB_TEMPLATE_MAX_BYTES)
        return hb_fail(err, HB_ERR_FORMAT, "%zu bytes are too long for a chat template", length);
    compiling c = {source, length, NULL};
    hb_jinja j = {
        .arena = {NULL, MEMORY}, .steps = STEPS, .depth = DEPTH, .text_limit = TEXT, .err = err};
    hb_template *t = calloc(1, sizeof *t);
    if (!t) return hb_fail_memory(err);
    if (!guarded(&j, compile, &c)) {
        hb_jarena_free(&j.arena);
        free(t);
        return j.status;
    }
    *t = (hb_template){j.arena, c.body};
    *template = t;
    return HB_OK;
}

void hb_template_free(hb_template *template)
{
    if (!template) return;
    hb_jarena_free(&template->arena);
    free(template);
}

/* ---- What a template sees ------------------------------------------------------------------------ */

static hb_jvalue marked_text(hb_jinja *j, const char *bytes, size_t length, hb_jmark mark)
{
    hb_jtext *t = hb_jalloc(j, 1, sizeof *t);
    *t = (hb_jtext){length ? bytes : "", length, NULL, mark};
    return hb_jof_text(t);
}

static void put(hb_jinja *j, hb_jdict *dict, const char *name, hb_jvalue value)
{
    hb_jput(j, dict, hb_jof_text(hb_jliteral(j, name)), value);
}

static hb_jvalue content_value(hb_jinja *j, const hb_message *m, bool parts)
{
    hb_jvalue text = marked_text(j, m->text, m->length,
                                 m->role == HB_ROLE_SYSTEM ? HB_FROM_SYSTEM : HB_FROM_MESSAGE);
    if (!parts) return text;
    hb_jdict *part = hb_jnew_dict(j);
    hb_jlist *list = hb_jnew_list(j, HB_J_PLAIN);
    put(j, part, "type", hb_jof_text(hb_jliteral(j, "text")));
    put(j, part, "text", text);
    hb_jpush(j, list, hb_jof_dict(part));
    return hb_jof_list(list);
}

static hb_jvalue messages_value(hb_jinja *j, const hb_template_input *input)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    hb_jlist *list = hb_jnew_list(j, HB_J_PLAIN);
    for (size_t i = 0; i < input->n; i++) {
        hb_jdict *message = hb_jnew_dict(j);
        put(j, message, "role", hb_jof_text(hb_jliteral(j, roles[input->messages[i].role])));
        put(j, message, "content", content_value(j, &input->messages[i], input->parts));
        hb_jpush(j, list, hb_jof_dict(message));
    }
    return hb_jof_list(list);
}

static hb_jvalue json_value(hb_jinja *j, const json_t *json)
{
    const char *name;
    json_t *item;
    size_t i;
    hb_jvalue v = hb_jnone();
    hb_jenter(j);
    if (json_is_string(json)) {
        v = marked_text(j, json_string_value(json), json_string_length(json), HB_FROM_CALLER);
    } else if (json_is_array(json)) {
        v = hb_jof_list(hb_jnew_list(j, HB_J_PLAIN));
        json_array_foreach(json, i, item) hb_jpush(j, v.list, json_value(j, item));
    } else if (json_is_object(json)) {
        v = hb_jof_dict(hb_jnew_dict(j));
        json_object_foreach((json_t *)json, name, item)
            hb_jput(j, v.dict, marked_text(j, name, strlen(name), HB_FROM_CALLER), json_value(j, item));
    } else if (json_is_boolean(json)) {
        v = hb_jbool(json_is_true(json));
    } else if (json_is_number(json)) {
        v = json_is_integer(json) ? hb_jint(json_integer_value(json)) : hb_jreal(json_real_value(json));
        v.mark = HB_FROM_CALLER;
    }
    hb_jleave(j);
    return v;
}

static void set(hb_jinja *j, const char *name, hb_jvalue value)
{
    hb_jset(j, j->scope, hb_jliteral(j, name), value);
}

/* ---- Rendering ---------------------------------------------------------------------------------- */

typedef struct rendering {
    const hb_template *template;
    const hb_template_input *input;
    json_t *variables;
    hb_jbuilder out;
} rendering;

static void render(hb_jinja *j, void *with)
{
    rendering *r = with;
    const hb_template_input *in = r->input;
    const char *name;
    json_t *value;
    j->scope = hb_jscope_new(j, NULL);
    j->out = &r->out;
    set(j, "messages", messages_value(j, in));
    set(j, "add_generation_prompt", hb_jbool(in->add_generation_prompt));
    set(j, "tools", in->empty_tools ? hb_jof_list(hb_jnew_list(j, HB_J_PLAIN)) : hb_jnone());
    set(j, "documents", hb_jnone());
    set(j, "bos_token", marked_text(j, in->bos, in->bos_length, HB_FROM_TEMPLATE));
    set(j, "eos_token", marked_text(j, in->eos, in->eos_length, HB_FROM_TEMPLATE));
    for (size_t i = 0; in->thinking && i < 2; i++)
        set(j, i ? "thinking" : "enable_thinking", hb_jbool(in->thinking == HB_THINKING_ON));
    json_object_foreach(r->variables, name, value) set(j, name, json_value(j, value));
    if (hb_jexec(j, r->template->body))
        hb_jfail(j, HB_ERR_FORMAT, "a break or continue is outside a loop");
}

/* Copies the output. Each stretch of text that is the template's, or is not, becomes a span. */
static bool copy_out(const hb_jbuilder *b, hb_rendered *out)
{
    const hb_jtext t = {b->bytes, b->length, b->marks, b->mark};
    *out = (hb_rendered){.text = malloc(b->length + 1), .length = b->length};
    size_t room = 1;
    for (size_t i = 1; i < t.length; i++)
        room +=
            (hb_jmark_at(&t, i - 1) == HB_FROM_TEMPLATE) != (hb_jmark_at(&t, i) == HB_FROM_TEMPLATE);
    out->spans = calloc(room, sizeof *out->spans);
    if (!out->text || !out->spans) return false;
    if (t.length) memcpy(out->text, t.bytes, t.length);
    out->text[t.length] = '\0';
    out->spans[out->n_spans++] = (hb_text_span){t.length, true};
    for (size_t i = 0; i < t.length; i++) {
        uint8_t mark = hb_jmark_at(&t, i);
        bool ours = mark == HB_FROM_TEMPLATE;
        hb_text_span *last = &out->spans[out->n_spans - 1];
        if (i == 0) last->parse_special = ours;
        if (last->parse_special != ours) {
            last->end = i;
            out->spans[out->n_spans++] = (hb_text_span){t.length, ours};
        }
        out->shows_system |= mark == HB_FROM_SYSTEM;
        out->shows_messages |= mark == HB_FROM_MESSAGE;
    }
    return true;
}

/* The size of a template's input in bytes. */
static size_t input_size(const hb_template_input *input)
{
    size_t n = input->variables ? strlen(input->variables) : 0;
    for (size_t i = 0; i < input->n; i++) n += input->messages[i].length + sizeof(hb_message);
    return n < SIZE_MAX / (4 * MEMORY_TIMES) ? n : SIZE_MAX / (4 * MEMORY_TIMES);
}

static hb_status read_variables(const char *text, json_t **variables, hb_error *err)
{
    json_error_t why;
    if (!text) return (*variables = json_object()) ? HB_OK : hb_fail_memory(err);
    hb_status status =
        hb_json_load(text, strlen(text), JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, variables, &why, err);
    if (status || json_is_object(*variables)) return status;
    json_decref(*variables);
    return hb_fail(err, HB_ERR_ARGUMENT, "the variables are not a JSON object");
}

hb_status hb_template_render(const hb_template *template, const hb_template_input *input,
                             hb_rendered *rendered, hb_error *err)
{
    rendering r = {.template = template, .input = input};
    size_t n = input_size(input);
    hb_jinja j = {.arena = {NULL, MEMORY + MEMORY_TIMES * n},
                  .steps = STEPS + STEPS_PER_BYTE * n,
                  .depth = DEPTH,
                  .text_limit = TEXT + TEXT_TIMES * n,
                  .now = input->now,
                  .err = err};
    hb_status status = read_variables(input->variables, &r.variables, err);
    if (status) return status;
    hb_rendered out = {0};
    if (!guarded(&j, render, &r)) status = j.status;
    else if (!copy_out(&r.out, &out)) status = hb_fail_memory(err);
    hb_jarena_free(&j.arena);
    json_decref(r.variables);
    if (status) hb_rendered_free(&out);
    else *rendered = out;
    return status;
}

void hb_rendered_free(hb_rendered *rendered)
{
    free(rendered->text);
    free(rendered->spans);
    *rendered = (hb_rendered){0};
}
