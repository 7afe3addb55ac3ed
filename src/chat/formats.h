/* The formats that hbar knows by name. They serve models without a template, and callers who name a
 * format. */
#ifndef HB_CHAT_FORMATS_H
#define HB_CHAT_FORMATS_H

#include "chat/template.h"

typedef struct hb_chat_form hb_chat_form;

/* NULL for an unknown name. Valid forever. */
const hb_chat_form *hb_chat_form_find(const char *name);

/* Writes a conversation like hb_template_render; with `reply`, the text ends where the model's answer
 * begins. The conversation may begin with a system message. After it, user and assistant must take
 * turns, and with `reply` the last message must be the user's; otherwise the result is HB_ERR_ARGUMENT.
 */
hb_status hb_chat_form_write(const hb_chat_form *form, const hb_message *messages, size_t n, bool reply,
                             hb_rendered *rendered, hb_error *err);

#endif
