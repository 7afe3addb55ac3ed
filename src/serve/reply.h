/* A reply: status, body and headers, until it is handed to libmicrohttpd. */
#ifndef HB_SERVE_REPLY_H
#define HB_SERVE_REPLY_H

#include "serve/problem.h"

typedef struct hb_reply {
    int status;
    const char *type; /* of the content; static */
    char *body;       /* [length], owned unless is_static */
    size_t length;
    bool is_static;
    bool closes;         /* the connection is closed afterwards */
    int32_t retry_after; /* seconds; 0: none */
    double risk;         /* for x-hbar-risk; NaN: none */
    int halted;          /* for x-hbar-halted; -1: none */
} hb_reply;

/* Takes over a document. When memory ran out, the reply says so. */
void hb_reply_json(hb_reply *reply, int status, hb_json *json);
void hb_reply_problem(hb_reply *reply, const hb_problem *problem);
void hb_reply_text(hb_reply *reply, const char *type, hb_writer *text);
void hb_reply_static(hb_reply *reply, const char *type, const char *body, size_t length);
void hb_reply_free(hb_reply *reply);

#endif
