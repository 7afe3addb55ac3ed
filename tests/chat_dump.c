/* Renders chat templates for scripts that compare them with other interpreters. Each line of standard
 * input is a JSON object with "template" and the members that chat_input.h describes. Writes an object
 * with "text" and "spans" ([end, parsed] of each), or with "error" and "status". */
#include <stdio.h>
#include "chat_input.h"

static json_t *answer(const json_t *in)
{
    hb_rendered out;
    hb_error err;
    size_t length;
    const char *source = chat_text(in, "template", &length);
    if (chat_render(source, length, in, &out, &err))
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
