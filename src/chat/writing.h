/* What chat.c shares with given.c: conversations written out, with where each part came from. */
#ifndef HB_CHAT_WRITING_H
#define HB_CHAT_WRITING_H

#include "chat/template.h"

/* As hb_chat_render, in spans. Released with hb_rendered_free. */
hb_status hb_chat_write(const hb_chat *chat, const hb_message *messages, size_t n, bool answer,
                        hb_rendered *out, hb_error *err);

/* Whether the template itself wrote the BOS token at the beginning of the text. */
bool hb_chat_has_bos(const hb_chat *chat, const hb_rendered *text);

/* Whether the chat is HB_CHAT_PREPARED. */
bool hb_chat_is_prepared(const hb_chat *chat);

#endif
