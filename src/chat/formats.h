/* The formats that hbar knows by name, for models without a template and for people who ask for one. */
#ifndef HB_CHAT_FORMATS_H
#define HB_CHAT_FORMATS_H

#include "chat/template.h"

typedef struct hb_chat_form hb_chat_form;

/* NULL when there is none of that name. Valid forever. */
const hb_chat_form *hb_chat_form_find(const char *name);

/* Writes a conversation, up to where the model's answer begins with `reply`: as hb_template_render.
 * HB_ERR_ARGUMENT unless, after a system message or none, user and assistant take turns, and the last
 * message is the user's where a reply is to follow. */
hb_status hb_chat_form_write(const hb_chat_form *form, const hb_message *messages, size_t n, bool reply,
                             hb_rendered *rendered, hb_error *err);

#endif
