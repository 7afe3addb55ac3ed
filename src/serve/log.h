/* The log: JSON Lines without prompts, paths and keys. */
#ifndef HB_SERVE_LOG_H
#define HB_SERVE_LOG_H

#include "base/buffer.h"
#include "base/json.h"

/* Begins a line: an object with the time and the event. The command uses this, too, for its messages.
 */
void hb_log_begin(hb_json *json, const char *event);
/* Ends it and hands it to the server's log. */
void hb_log_end(hb_server *server, hb_json *json);

/* A line with the body of a request. */
void hb_log_body(hb_server *server, const char *route, const hb_buffer *body);

/* A line without further members. */
void hb_log_event(hb_server *server, const char *event);

#endif
