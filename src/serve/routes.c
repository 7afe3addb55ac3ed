#include "serve/routes.h"

#include <string.h>

static hb_call *complete(hb_server *s, bool chat, const char *body, size_t length, hb_problem *problem)
{
    const hb_ask_defaults defaults = {s->served.sampling, s->served.max_tokens};
    hb_ask ask;
    if (!hb_ask_parse(&ask, chat, &defaults, body, length, problem)) return NULL;
    return hb_call_new(s, chat ? HB_CALL_CHAT : HB_CALL_TEXT, &ask, problem);
}

static hb_call *chat(hb_server *s, const char *body, size_t length, hb_problem *problem)
{
    return complete(s, true, body, length, problem);
}

static hb_call *text(hb_server *s, const char *body, size_t length, hb_problem *problem)
{
    return complete(s, false, body, length, problem);
}

/* The page, which is made from page.html when hbar is built. */
extern const unsigned char hb_page[];
extern const size_t hb_page_length;

static void show_page(hb_server *s, const char *body, size_t length, hb_reply *reply)
{
    (void)s;
    (void)body;
    (void)length;
    hb_reply_static(reply, "text/html; charset=utf-8", (const char *)hb_page, hb_page_length);
}

static const hb_route routes[] = {
    {"GET", "/", false, false, show_page, NULL},
    {"GET", "/health", true, false, hb_answer_health, NULL},
    {"GET", "/v1/models", false, true, hb_answer_models, NULL},
    {"GET", "/props", false, true, hb_answer_props, NULL},
    {"GET", "/metrics", false, false, hb_answer_metrics, NULL},
    {"GET", "/v1/hbar/params", false, true, hb_answer_params, NULL},
    {"POST", "/v1/chat/completions", false, true, NULL, chat},
    {"POST", "/v1/completions", false, true, NULL, text},
    {"POST", "/v1/hbar/judge", false, true, NULL, hb_call_new_judgement},
    {"GET", "/tokenizer_info", false, true, hb_answer_tokenizer, NULL},
    {"POST", "/tokenize", false, true, hb_answer_tokenize, NULL},
    {"POST", "/detokenize", false, true, hb_answer_detokenize, NULL},
    {"POST", "/apply-template", false, true, hb_answer_template, NULL},
};

const hb_route *hb_route_find(const char *method, const char *path, hb_problem *problem)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method, *other = NULL;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(routes[i].path, path) != 0) continue;
        if (strcmp(routes[i].method, wanted) == 0) return &routes[i];
        other = routes[i].method;
    }
    if (other) hb_refuse_as(problem, 405, "method_not_allowed", "this path is for %s", other);
    else hb_refuse_as(problem, 404, "not_found", "there is nothing at this path");
    return NULL;
}
