#include "serve/reply.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define JSON_TYPE "application/json"

static void set(hb_reply *r, int status, const char *type)
{
    *r = (hb_reply){.status = status, .type = type, .risk = NAN, .halted = -1};
}

void hb_reply_static(hb_reply *r, const char *type, const char *body, size_t length)
{
    set(r, 200, type);
    r->body = (char *)body;
    r->length = length;
    r->is_static = true;
}

static void say_no_memory(hb_reply *r)
{
    static const char body[] =
        "{\"error\": {\"message\": \"out of memory\", \"type\": \"server_error\", \"param\": null, "
        "\"code\": null}}";
    hb_reply_static(r, JSON_TYPE, body, sizeof body - 1);
    r->status = 500;
}

static void take(hb_reply *r, int status, const char *type, char *text)
{
    set(r, status, type);
    r->body = text;
    r->length = strlen(text);
}

void hb_reply_json(hb_reply *r, int status, hb_json *json)
{
    char *text;
    if (hb_json_finish(json, &text, NULL)) say_no_memory(r);
    else take(r, status, JSON_TYPE, text);
}

void hb_reply_text(hb_reply *r, const char *type, hb_writer *writer)
{
    char *text;
    if (hb_writer_finish(writer, &text, NULL)) say_no_memory(r);
    else take(r, 200, type, text);
}

void hb_reply_problem(hb_reply *r, const hb_problem *problem)
{
    hb_json json = {0};
    hb_json_row(&json, NULL);
    hb_write_problem(&json, problem);
    hb_json_end(&json);
    hb_reply_json(r, problem->status, &json);
    if (problem->status == 503) r->retry_after = 1;
}

void hb_reply_free(hb_reply *r)
{
    if (!r->is_static) free(r->body);
    *r = (hb_reply){0};
}
