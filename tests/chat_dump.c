/* Renders chat templates for the scripts that compare with other interpreters: of each line of standard
 * input, a JSON object with "template", "messages", and optionally "parts", "add_generation_prompt",
 * "thinking", "bos", "eos", "variables" and "now", writes one with "text" and "spans" ([end, parsed] of
 * each), or with "error" and "status". */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "chat/template.h"

static const char *text_of(const json_t *of, const char *key, size_t *length)
{
    const json_t *value = json_object_get(of, key);
    *length = json_string_length(value);
    return json_string_value(value) ? json_string_value(value) : "";
}

static hb_role role_of(const json_t *message)
{
    size_t n;
    const char *role = text_of(message, "role", &n);
    return strcmp(role, "system") == 0      ? HB_ROLE_SYSTEM
           : strcmp(role, "assistant") == 0 ? HB_ROLE_ASSISTANT
                                            : HB_ROLE_USER;
}

static hb_thinking thinking_of(const json_t *in)
{
    const json_t *thinking = json_object_get(in, "thinking");
    if (!json_is_boolean(thinking)) return HB_THINKING_DEFAULT;
    return json_is_true(thinking) ? HB_THINKING_ON : HB_THINKING_OFF;
}

static hb_status render(const json_t *in, hb_rendered *out, hb_error *err)
{
    const json_t *list = json_object_get(in, "messages");
    const json_t *variables = json_object_get(in, "variables");
    size_t n = json_array_size(list), length;
    const char *source = text_of(in, "template", &length);
    char *more = variables ? json_dumps(variables, 0) : NULL;
    hb_message *messages = calloc(n + 1, sizeof *messages);
    hb_template *template = NULL;
    hb_template_input input = {.messages = messages,
                               .n = n,
                               .parts = json_is_true(json_object_get(in, "parts")),
                               .add_generation_prompt =
                                   json_is_true(json_object_get(in, "add_generation_prompt")),
                               .thinking = thinking_of(in),
                               .variables = more,
                               .now = json_integer_value(json_object_get(in, "now"))};
    input.bos = text_of(in, "bos", &input.bos_length);
    input.eos = text_of(in, "eos", &input.eos_length);
    for (size_t i = 0; i < n; i++) {
        const json_t *message = json_array_get(list, i);
        messages[i].role = role_of(message);
        messages[i].text = text_of(message, "content", &messages[i].length);
    }
    hb_status status = hb_template_compile(source, length, &template, err);
    if (!status) status = hb_template_render(template, &input, out, err);
    hb_template_free(template);
    free(messages);
    free(more);
    return status;
}

static json_t *answer(const json_t *in)
{
    hb_rendered out;
    hb_error err;
    if (render(in, &out, &err))
        return json_pack("{s:s, s:i}", "error", err.message, "status", (int)err.status);
    json_t *spans = json_array();
    for (size_t i = 0; i < out.n_spans; i++)
        json_array_append_new(
            spans, json_pack("[I, b]", (json_int_t)out.spans[i].end, out.spans[i].parse_special));
    json_t *result =
        json_pack("{s:o, s:o}", "text", json_stringn(out.text, out.length), "spans", spans);
    hb_rendered_free(&out);
    return result;
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, stdin) > 0) {
        json_t *in = json_loads(line, JSON_ALLOW_NUL, NULL);
        if (!in) return 1;
        json_t *out = answer(in);
        json_dumpf(out, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(out);
        json_decref(in);
    }
    free(line);
    return 0;
}
