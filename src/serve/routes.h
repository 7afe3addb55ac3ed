/* What the server answers at which path. */
#ifndef HB_SERVE_ROUTES_H
#define HB_SERVE_ROUTES_H

#include "serve/call.h"

typedef struct hb_route {
    const char *method, *path;
    bool is_open;     /* needs no key */
    bool needs_model; /* answers 503 while the model is loaded */
    /* One of these: an answer at once, or a call for the engine thread (NULL with the problem). */
    void (*answer)(hb_server *server, const char *body, size_t length, hb_reply *reply);
    hb_call *(*call)(hb_server *server, const char *body, size_t length, hb_problem *problem);
} hb_route;

/* The route, or NULL with the problem: an unknown path, or another method. */
const hb_route *hb_route_find(const char *method, const char *path, hb_problem *problem);

/* Answers (info.c, words.c). */
void hb_answer_health(hb_server *server, const char *body, size_t length, hb_reply *reply);
void hb_answer_models(hb_server *server, const char *body, size_t length, hb_reply *reply);
void hb_answer_props(hb_server *server, const char *body, size_t length, hb_reply *reply);
void hb_answer_params(hb_server *server, const char *body, size_t length, hb_reply *reply);
void hb_answer_metrics(hb_server *server, const char *body, size_t length, hb_reply *reply);
void hb_answer_tokenize(hb_server *server, const char *body, size_t length, hb_reply *reply);
void hb_answer_tokenizer(hb_server *server, const char *body, size_t length, hb_reply *reply);
void hb_answer_detokenize(hb_server *server, const char *body, size_t length, hb_reply *reply);
void hb_answer_template(hb_server *server, const char *body, size_t length, hb_reply *reply);

#endif
