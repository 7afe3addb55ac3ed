#include "serve/log.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "serve/server.h"

void hb_log_begin(hb_json *json, const char *event)
{
    char text[40], with[56];
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(with, sizeof with, "%s.%03ldZ", text, now.tv_nsec / 1000000);
    hb_json_row(json, NULL);
    hb_json_text(json, "time", with);
    hb_json_text(json, "event", event);
}

void hb_log_end(hb_server *s, hb_json *json)
{
    char *line;
    hb_json_end(json);
    if (hb_json_finish(json, &line, NULL)) return;
    if (s->options.log) {
        pthread_mutex_lock(&s->log_lock);
        s->options.log(s->options.user, line, strlen(line));
        pthread_mutex_unlock(&s->log_lock);
    }
    free(line);
}

void hb_log_body(hb_server *s, const char *route, const hb_buffer *body)
{
    hb_json json = {0};
    hb_log_begin(&json, "body");
    hb_json_text(&json, "route", route);
    hb_json_bytes(&json, "body", body->data, body->length);
    hb_log_end(s, &json);
}

void hb_log_event(hb_server *s, const char *event)
{
    hb_json json = {0};
    hb_log_begin(&json, event);
    hb_log_end(s, &json);
}
