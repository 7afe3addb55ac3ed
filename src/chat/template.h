/* A chat template is a program in Jinja. It is compiled once and rendered for each conversation. It
 * behaves as in transformers. It sees only the conversation, and its steps, depth, memory and output
 * are limited. */
#ifndef HB_CHAT_TEMPLATE_H
#define HB_CHAT_TEMPLATE_H

#include "engine/engine.h"

#define HB_TEMPLATE_MAX_BYTES ((size_t)1 << 20)

typedef struct hb_template hb_template;

/* Compiles a template. HB_ERR_FORMAT for a syntax error, HB_ERR_UNSUPPORTED for a tag that is not
 * supported; messages begin with the line. The source is not needed afterwards. */
hb_status hb_template_compile(const char *source, size_t length, hb_template **template, hb_error *err);
void hb_template_free(hb_template *template);

/* The input of a template. */
typedef struct hb_template_input {
    const hb_message *messages;
    size_t n;
    bool parts; /* message contents are lists of parts instead of texts, because some templates require
                   that */
    bool empty_tools; /* `tools` is an empty list instead of none, the default of transformers */
    bool add_generation_prompt;
    hb_thinking thinking;
    const char *bos, *eos; /* the model's spelling of these tokens */
    size_t bos_length, eos_length;
    const char *variables; /* further variables, a JSON object; NULL: none */
    int64_t now;           /* seconds since 1970 */
} hb_template_input;

/* The output of a template, divided into spans by origin. Text of the template itself is parsed for
 * control tokens. Text that came from messages or variables is not, however the template changed it. */
typedef struct hb_rendered {
    char *text;          /* zero-terminated */
    hb_text_span *spans; /* [n_spans], at least one */
    size_t length, n_spans;
    bool shows_system, shows_messages; /* whether the output has any text of the system message, and of
                                          other messages */
} hb_rendered;

/* Renders a conversation. HB_ERR_ARGUMENT when the template refuses the conversation (raise_exception)
 * or the variables are not a JSON object; HB_ERR_FORMAT for an error in the template;
 * HB_ERR_UNSUPPORTED for an unknown filter or test. Several threads may render one template at once. */
hb_status hb_template_render(const hb_template *template, const hb_template_input *input,
                             hb_rendered *rendered, hb_error *err);
void hb_rendered_free(hb_rendered *rendered);

#endif
