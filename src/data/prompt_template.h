/* Prompt templates: text with placeholders such as {question}, which a row fills. {{ and }} stand for
 * braces. */
#ifndef HB_DATA_PROMPT_TEMPLATE_H
#define HB_DATA_PROMPT_TEMPLATE_H

#include "data/path.h"

typedef struct hb_prompt_template hb_prompt_template;

/* HB_ERR_ARGUMENT for an unclosed brace and for an invalid path. */
hb_status hb_prompt_template_parse(const char *text, hb_prompt_template **template, hb_error *err);
void hb_prompt_template_free(hb_prompt_template *template);

/* Appends the text of a placeholder. If there is none, returns false with the reason in `why`; the
 * status is HB_ERR_MEMORY when memory runs out. */
typedef bool hb_fill_placeholder(void *user, const hb_path *path, hb_buffer *out, hb_error *why);

/* Appends the filled template. Fails like hb_fill_placeholder. */
bool hb_prompt_template_fill(const hb_prompt_template *template, hb_fill_placeholder *fill, void *user,
                             hb_buffer *out, hb_error *why);

#endif
