/* The input of a chat template as JSON: "messages" with "role" and "content", and optionally "parts",
 * "add_generation_prompt", "thinking", "bos", "eos", "variables" and "now". */
#ifndef HB_TESTS_CHAT_INPUT_H
#define HB_TESTS_CHAT_INPUT_H

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include "chat/template.h"

static inline const char *chat_text(const json_t *of, const char *key, size_t *length)
{
    const json_t *value = json_object_get(of, key);
    *length = json_string_length(value);
    return json_string_value(value) ? json_string_value(value) : "";
}

static inline hb_message chat_message(const json_t *json)
{
    hb_message m = {.role = HB_ROLE_USER};
    size_t n;
    const char *role = chat_text(json, "role", &n);
    if (strcmp(role, "system") == 0) m.role = HB_ROLE_SYSTEM;
    if (strcmp(role, "assistant") == 0) m.role = HB_ROLE_ASSISTANT;
    m.text = chat_text(json, "content", &m.length);
    return m;
}

/* The input points into the JSON. Free *messages and *variables. */
static inline hb_template_input chat_input(const json_t *json, hb_message **messages, char **variables)
{
    const json_t *list = json_object_get(json, "messages"), *more = json_object_get(json, "variables");
    const json_t *thinking = json_object_get(json, "thinking");
    hb_template_input in = {.n = json_array_size(list),
                            .parts = json_is_true(json_object_get(json, "parts")),
                            .now = json_integer_value(json_object_get(json, "now"))};
    *messages = calloc(in.n + 1, sizeof **messages);
    *variables = more ? json_dumps(more, 0) : NULL;
    for (size_t i = 0; i < in.n; i++) (*messages)[i] = chat_message(json_array_get(list, i));
    in.messages = *messages;
    in.variables = *variables;
    in.add_generation_prompt = json_is_true(json_object_get(json, "add_generation_prompt"));
    if (json_is_boolean(thinking))
        in.thinking = json_is_true(thinking) ? HB_THINKING_ON : HB_THINKING_OFF;
    in.bos = chat_text(json, "bos", &in.bos_length);
    in.eos = chat_text(json, "eos", &in.eos_length);
    return in;
}

/* Compiles and renders. */
static inline hb_status chat_render(const char *source, size_t length, const json_t *json,
                                    hb_rendered *out, hb_error *err)
{
    hb_message *messages;
    char *variables;
    hb_template *template = NULL;
    hb_template_input in = chat_input(json, &messages, &variables);
    hb_status status = hb_template_compile(source, length, &template, err);
    if (!status) status = hb_template_render(template, &in, out, err);
    hb_template_free(template);
    free(messages);
    free(variables);
    return status;
}

#endif
