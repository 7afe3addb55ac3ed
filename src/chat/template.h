/* A chat template, which is a program in Jinja: compiled once, rendered for each conversation. It is
 * run as transformers runs it, with nothing but the conversation to look at, and bounded in steps,
 * depth, memory and what it writes. */
#ifndef HB_CHAT_TEMPLATE_H
#define HB_CHAT_TEMPLATE_H

#include "engine/engine.h"

#define HB_TEMPLATE_MAX_BYTES ((size_t)1 << 20)

typedef struct hb_template hb_template;

/* HB_ERR_FORMAT for a source that is no template, HB_ERR_UNSUPPORTED for one with a tag that chat
 * templates have no use for. Messages begin with the line. The source is not needed afterwards. */
hb_status hb_template_compile(const char *source, size_t length, hb_template **template, hb_error *err);
void hb_template_free(hb_template *template);

/* What a template is given. */
typedef struct hb_template_input {
    const hb_message *messages;
    size_t n;
    bool parts;       /* contents are lists of parts, as some templates want them, rather than texts */
    bool empty_tools; /* `tools` is an empty list, rather than none as transformers has it */
    bool add_generation_prompt;
    hb_thinking thinking;
    const char *bos, *eos; /* how the model spells these tokens */
    size_t bos_length, eos_length;
    const char *variables; /* more of them: a JSON object; NULL: none */
    int64_t now;           /* seconds since 1970 */
} hb_template_input;

/* What it wrote, in spans: what came from the template itself is parsed for control tokens, and what
 * came from messages or variables, whatever the template made of it, is not. */
typedef struct hb_rendered {
    char *text;          /* zero-terminated */
    hb_text_span *spans; /* [n_spans], at least one */
    size_t length, n_spans;
    bool shows_system, shows_messages; /* something of the system message, or of others, came out */
} hb_rendered;

/* HB_ERR_ARGUMENT when the template refuses the conversation (raise_exception) or the variables are no
 * JSON object; HB_ERR_FORMAT for what goes wrong in the template, HB_ERR_UNSUPPORTED for a filter or
 * test that is unknown. A template may be rendered by several threads at once. */
hb_status hb_template_render(const hb_template *template, const hb_template_input *input,
                             hb_rendered *rendered, hb_error *err);
void hb_rendered_free(hb_rendered *rendered);

#endif
