/* Turns what a client asked for into what the scheduler needs: tokens and a monitor. */
#ifndef HB_SERVE_PREPARE_H
#define HB_SERVE_PREPARE_H

#include "serve/call.h"

/* Tokenizes the call's prompts and sets its monitor. */
bool hb_prepare_call(hb_call *call, hb_problem *problem);

/* Parses a judgement's body, tokenizes prompt and answer, and sets the monitor. */
bool hb_prepare_judgement(hb_call *call, const char *body, size_t length, hb_problem *problem);

/* The tokens, or with `tokens` NULL the text, of a chat up to its answer. A server without a chat joins
 * the messages by line breaks. Release with free(). */
bool hb_prepare_chat(const hb_server *server, const hb_message *messages, size_t n, int32_t **tokens,
                     char **text, size_t *length, hb_problem *problem);

#endif
