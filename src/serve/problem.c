#include "serve/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/text.h"

static void set_message(hb_problem *p, const char *format, va_list args)
{
    char text[sizeof p->message];
    vsnprintf(text, sizeof text, format, args);
    hb_printable(p->message, sizeof p->message, text, strlen(text));
}

bool hb_refuse(hb_problem *p, const char *param, const char *format, ...)
{
    va_list args;
    *p = (hb_problem){.status = 400};
    if (param) snprintf(p->param, sizeof p->param, "%s", param);
    va_start(args, format);
    set_message(p, format, args);
    va_end(args);
    return false;
}

bool hb_refuse_as(hb_problem *p, int status, const char *code, const char *format, ...)
{
    va_list args;
    *p = (hb_problem){.status = status, .code = code};
    va_start(args, format);
    set_message(p, format, args);
    va_end(args);
    return false;
}

bool hb_refuse_memory(hb_problem *p)
{
    return hb_refuse_as(p, 500, NULL, "out of memory");
}

bool hb_refuse_error(hb_problem *p, const char *param, const hb_error *err)
{
    bool own = err->status == HB_ERR_ARGUMENT || err->status == HB_ERR_CONTEXT ||
               err->status == HB_ERR_UNSUPPORTED || err->status == HB_ERR_FORMAT;
    hb_refuse(p, own ? param : NULL, "%s", err->message);
    if (!own) p->status = 500;
    if (err->status == HB_ERR_CONTEXT) p->code = "context_length_exceeded";
    return false;
}

static const char *type_of(const hb_problem *p)
{
    if (p->status == 401) return "authentication_error";
    if (p->status == 403) return "permission_error";
    if (p->status == 503) return "overloaded_error";
    return p->status >= 500 ? "server_error" : "invalid_request_error";
}

void hb_write_problem(hb_json *json, const hb_problem *p)
{
    hb_json_object(json, "error");
    hb_json_text(json, "message", p->message);
    hb_json_text(json, "type", type_of(p));
    hb_json_text(json, "param", *p->param ? p->param : NULL);
    hb_json_text(json, "code", p->code);
    hb_json_end(json);
}
