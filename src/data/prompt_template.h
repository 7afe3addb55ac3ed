/* Prompt templates: text with places like {question}, which a row fills. {{ and }} are braces. */
#ifndef HB_DATA_PROMPT_TEMPLATE_H
#define HB_DATA_PROMPT_TEMPLATE_H

#include "data/path.h"

typedef struct hb_prompt_template hb_prompt_template;

/* HB_ERR_ARGUMENT for a brace that is not closed, or holds no path. */
hb_status hb_prompt_template_parse(const char *text, hb_prompt_template **template, hb_error *err);
void hb_prompt_template_free(hb_prompt_template *template);

/* Appends the text that belongs into a place. False when there is none, with the reason in `why`, or
 * with HB_ERR_MEMORY there. */
typedef bool hb_fill_place(void *user, const hb_path *path, hb_buffer *out, hb_error *why);

/* Appends the filled template. False with the reason in `why`. */
bool hb_prompt_template_fill(const hb_prompt_template *template, hb_fill_place *fill, void *user,
                             hb_buffer *out, hb_error *why);

#endif
