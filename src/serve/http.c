/* HTTP: reads requests by libmicrohttpd, finds their route, and sends replies and streams. */
#include "serve/http.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "serve/guard.h"
#include "serve/headers.h"
#include "serve/log.h"
#include "serve/routes.h"

enum {
    HTTP_THREADS = 4,
    STREAM_BLOCK = 16384,          /* bytes of a stream that are sent together */
    CONNECTION_MEMORY = 48 * 1024, /* for the headers of a request and of its reply */
    OTHER_FILES = 32,              /* descriptors that are no connections */
};

/* A request on a connection. */
typedef struct exchange {
    hb_server *server;
    hb_client *client;
    struct MHD_Connection *connection;
    const hb_route *route; /* NULL: none */
    hb_buffer body;
    hb_problem refusal; /* is sent after the body was read and dropped; status 0: there is none */
    hb_call *call;      /* NULL: there is none, or not yet */
    int status;         /* of the reply; 0: there is none */
    double started;
} exchange;

/* ---- Replies ------------------------------------------------------------------------------------- */

static bool add_header(struct MHD_Response *r, const char *name, const char *value)
{
    return MHD_add_response_header(r, name, value) == MHD_YES;
}

/* The page needs nothing from elsewhere, and nothing else may embed it. */
#define PAGE_POLICY                                                                                    \
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "  \
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static bool add_headers(const hb_server *s, struct MHD_Response *r, const hb_reply *reply)
{
    char text[32];
    const char *origin = s->options.cors_origin;
    bool ok = add_header(r, "Content-Type", reply->type) &&
              add_header(r, "X-Content-Type-Options", "nosniff") &&
              add_header(r, "Cache-Control", "no-store");
    if (strncmp(reply->type, "text/html", 9) == 0)
        ok = ok && add_header(r, "Content-Security-Policy", PAGE_POLICY);
    if (origin)
        ok = ok && add_header(r, "Access-Control-Allow-Origin", origin) &&
             add_header(r, "Vary", "Origin") &&
             add_header(r, "Access-Control-Expose-Headers", "x-hbar-risk, x-hbar-halted");
    if (reply->status == 401)
        ok = ok && add_header(r, "WWW-Authenticate", "Bearer realm=\"hbar\"") &&
             add_header(r, "WWW-Authenticate", "Basic realm=\"hbar\", charset=\"UTF-8\"");
    snprintf(text, sizeof text, "%d", reply->retry_after);
    if (reply->closes) ok = ok && add_header(r, "Connection", "close");
    if (reply->retry_after) ok = ok && add_header(r, "Retry-After", text);
    snprintf(text, sizeof text, "%.4f", reply->risk);
    if (!isnan(reply->risk)) ok = ok && add_header(r, "x-hbar-risk", text);
    if (reply->halted >= 0) ok = ok && add_header(r, "x-hbar-halted", reply->halted ? "true" : "false");
    return ok;
}

static enum MHD_Result queue(exchange *x, int status, struct MHD_Response *r)
{
    x->status = status;
    enum MHD_Result result = MHD_queue_response(x->connection, (unsigned)status, r);
    MHD_destroy_response(r);
    return result;
}

/* Sends a reply and takes over its body. */
static enum MHD_Result send_reply(exchange *x, hb_reply *reply)
{
    enum MHD_ResponseMemoryMode mode =
        reply->is_static ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE;
    struct MHD_Response *r = MHD_create_response_from_buffer(reply->length, reply->body, mode);
    if (!r) {
        hb_reply_free(reply);
        return MHD_NO;
    }
    reply->is_static = true; /* the response owns the body */
    if (add_headers(x->server, r, reply)) return queue(x, reply->status, r);
    MHD_destroy_response(r);
    return MHD_NO;
}

static enum MHD_Result send_problem(exchange *x, const hb_problem *problem)
{
    hb_reply reply;
    hb_reply_problem(&reply, problem);
    return send_reply(x, &reply);
}

/* Sends the reply after which the connection is closed. */
static enum MHD_Result send_last(exchange *x, const hb_problem *problem)
{
    hb_reply reply;
    hb_reply_problem(&reply, problem);
    reply.closes = true;
    return send_reply(x, &reply);
}

/* Permission for a page of another origin to send a request. */
static enum MHD_Result send_permission(exchange *x)
{
    hb_reply reply;
    hb_reply_static(&reply, "text/plain", "", 0);
    struct MHD_Response *r = MHD_create_response_from_buffer(0, "", MHD_RESPMEM_PERSISTENT);
    if (!r) return MHD_NO;
    if (add_headers(x->server, r, &reply) &&
        add_header(r, "Access-Control-Allow-Methods", "GET, POST, OPTIONS") &&
        add_header(r, "Access-Control-Allow-Headers", "Authorization, Content-Type") &&
        add_header(r, "Access-Control-Max-Age", "600"))
        return queue(x, 204, r);
    MHD_destroy_response(r);
    return MHD_NO;
}

/* ---- Streams ------------------------------------------------------------------------------------- */

/* Lets the connection sleep until its call has output. The lock is held. */
static void sleep_until_output(hb_call *c)
{
    c->suspended = true;
    MHD_suspend_connection(c->connection);
}

/* Gives libmicrohttpd the next bytes of a stream. */
static ssize_t read_stream(void *user, uint64_t position, char *bytes, size_t most)
{
    hb_call *c = user;
    ssize_t result = 0;
    (void)position;
    pthread_mutex_lock(&c->server->lock);
    size_t n = c->output.length - c->sent;
    if (n > most) n = most;
    if (n) {
        hb_call_take(c, bytes, n);
        result = (ssize_t)n;
    } else if (c->finished)
        result = c->broken ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
    else sleep_until_output(c);
    pthread_mutex_unlock(&c->server->lock);
    return result;
}

static enum MHD_Result send_stream(exchange *x)
{
    const hb_reply head = {.type = "text/event-stream", .risk = NAN, .halted = -1};
    struct MHD_Response *r =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, x->call, NULL);
    if (!r) return MHD_NO;
    if (add_headers(x->server, r, &head) && add_header(r, "X-Accel-Buffering", "no"))
        return queue(x, 200, r);
    MHD_destroy_response(r);
    return MHD_NO;
}

/* ---- Requests ------------------------------------------------------------------------------------ */

/* Sends the reply of a call, or sleeps until it is finished. */
static enum MHD_Result await(exchange *x)
{
    hb_call *c = x->call;
    pthread_mutex_lock(&c->server->lock);
    bool finished = c->finished;
    if (!finished) sleep_until_output(c);
    pthread_mutex_unlock(&c->server->lock);
    return finished ? send_reply(x, &c->reply) : MHD_YES;
}

static enum MHD_Result start_call(exchange *x)
{
    hb_problem problem;
    hb_call *c = x->route->call(x->server, x->body.data, x->body.length, &problem);
    hb_buffer_free(&x->body);
    if (!c) return send_problem(x, &problem);
    if (!hb_call_submit(c, x->connection, x->client->fd, &problem)) {
        hb_call_release(c);
        return send_problem(x, &problem);
    }
    x->call = c;
    return c->ask.stream ? send_stream(x) : await(x);
}

static bool is_loading(hb_server *s)
{
    pthread_mutex_lock(&s->lock);
    bool loading = s->state == HB_SERVER_LOADING;
    pthread_mutex_unlock(&s->lock);
    return loading;
}

static void set_deadline(hb_server *s, hb_client *client, double deadline)
{
    pthread_mutex_lock(&s->lock);
    client->deadline = deadline;
    client->n_late = 0;
    pthread_mutex_unlock(&s->lock);
}

static enum MHD_Result answer(exchange *x)
{
    hb_server *s = x->server;
    hb_problem problem;
    hb_reply reply;
    set_deadline(s, x->client, INFINITY);
    if (x->refusal.status) return send_problem(x, &x->refusal);
    if (x->route->needs_model && is_loading(s)) {
        hb_refuse_as(&problem, 503, "loading", "the model is loading");
        return send_problem(x, &problem);
    }
    if (s->options.log_prompts && x->body.length) hb_log_body(s, x->route->path, &x->body);
    if (x->route->call) return start_call(x);
    x->route->answer(s, x->body.data, x->body.length, &reply);
    return send_reply(x, &reply);
}

/* ---- The beginning of a request ------------------------------------------------------------------ */

static const char *header(exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

/* Refuses a request. A client that asks before it sends its body (Expect) gets the reply now. Others
 * already send it and would lose a reply that closes the connection, so their body is read first. */
static enum MHD_Result refuse(exchange *x, const hb_problem *problem)
{
    if (header(x, "Expect")) return send_problem(x, problem);
    x->refusal = *problem;
    return MHD_YES;
}

static void set_too_large(const exchange *x, hb_problem *problem)
{
    hb_refuse_as(problem, 413, "body_too_large", "the body has more than %llu bytes",
                 (unsigned long long)x->server->options.max_body);
}

/* Checks a request's headers. */
static enum MHD_Result begin(exchange *x, const char *method, const char *path, const char *version)
{
    hb_problem problem;
    const char *length = header(x, "Content-Length");
    if (!hb_headers_check(x->connection, method, version, &problem)) return send_last(x, &problem);
    const hb_visitor visitor = {header(x, "Host"), header(x, "Origin"), header(x, "Authorization")};
    bool asks = strcmp(method, "OPTIONS") == 0 && x->server->options.cors_origin;
    hb_problem unknown;
    x->route = asks ? NULL : hb_route_find(method, path, &unknown);
    bool is_open = asks || (x->route && x->route->is_open);
    if (!hb_guard_admits(x->server, &visitor, is_open, &problem)) return refuse(x, &problem);
    if (!asks && !x->route) return refuse(x, &unknown);
    if (asks) return send_permission(x);
    if (!length || strtoull(length, NULL, 10) <= x->server->options.max_body) return MHD_YES;
    set_too_large(x, &problem);
    return refuse(x, &problem);
}

/* Keeps a piece of the body. What is refused is read to its end, but not kept. */
static void take_body(exchange *x, const char *bytes, size_t length)
{
    if (x->body.length + length > x->server->options.max_body) set_too_large(x, &x->refusal);
    else if (!hb_buffer_add(&x->body, bytes, length)) hb_refuse_memory(&x->refusal);
    if (x->refusal.status) hb_buffer_free(&x->body);
}

static exchange *new_exchange(hb_server *s, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    exchange *x = info && info->socket_context ? calloc(1, sizeof *x) : NULL;
    if (!x) return NULL;
    x->server = s;
    x->client = info->socket_context;
    x->connection = connection;
    x->started = hb_seconds();
    return x;
}

/* Called by libmicrohttpd for the headers, each piece of the body, the end of the body and, if the
 * connection slept, when it wakes up. */
static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *bytes,
                              size_t *length, void **context)
{
    exchange *x = *context;
    if (!x) {
        *context = x = new_exchange(user, connection);
        return x ? begin(x, method, path, version) : MHD_NO;
    }
    if (*length) {
        if (!x->refusal.status) take_body(x, bytes, *length);
        *length = 0;
        return MHD_YES;
    }
    return x->call ? await(x) : answer(x);
}

/* ---- The end of a request ------------------------------------------------------------------------ */

static void log_request(exchange *x, bool gone)
{
    hb_json json = {0};
    hb_call *c = x->call;
    bool finished = false;
    if (c) {
        pthread_mutex_lock(&c->server->lock);
        finished = c->finished;
        gone = gone || c->unwanted;
        pthread_mutex_unlock(&c->server->lock);
    }
    hb_log_begin(&json, "request");
    hb_json_text(&json, "route", x->route ? x->route->path : NULL);
    if (x->status) hb_json_whole(&json, "status", x->status);
    hb_json_number(&json, "seconds", hb_seconds() - x->started);
    if (gone) hb_json_bool(&json, "client_gone", true);
    if (c) hb_json_text(&json, "id", c->id);
    if (finished) {
        hb_json_whole(&json, "prompt_tokens", c->n_prompt);
        hb_json_whole(&json, "cached_tokens", c->n_cached);
        hb_json_whole(&json, "completion_tokens", c->n_generated);
    }
    hb_log_end(x->server, &json);
}

static void complete(void *user, struct MHD_Connection *connection, void **context,
                     enum MHD_RequestTerminationCode code)
{
    hb_server *s = user;
    exchange *x = *context;
    (void)connection;
    if (!x) return;
    *context = NULL;
    pthread_mutex_lock(&s->lock);
    if (x->status) s->metrics.requests[x->status / 100]++;
    pthread_mutex_unlock(&s->lock);
    set_deadline(s, x->client, hb_seconds() + s->options.idle_seconds + s->options.request_seconds);
    log_request(x, code != MHD_REQUEST_TERMINATED_COMPLETED_OK);
    if (x->call) hb_call_abandon(x->call);
    hb_buffer_free(&x->body);
    free(x);
}

/* ---- Connections --------------------------------------------------------------------------------- */

static void add_client(hb_server *s, struct MHD_Connection *connection, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    hb_client *c = info ? calloc(1, sizeof *c) : NULL;
    if (!c) return; /* its requests are refused */
    c->fd = info->connect_fd;
    c->deadline = hb_seconds() + s->options.request_seconds;
    pthread_mutex_lock(&s->lock);
    c->next = s->clients;
    if (c->next) c->next->previous = c;
    s->clients = c;
    pthread_mutex_unlock(&s->lock);
    *context = c;
}

static void remove_client(hb_server *s, hb_client *c)
{
    pthread_mutex_lock(&s->lock);
    if (c->next) c->next->previous = c->previous;
    if (c->previous) c->previous->next = c->next;
    else s->clients = c->next;
    pthread_mutex_unlock(&s->lock);
    free(c);
}

static void connection_changed(void *user, struct MHD_Connection *connection, void **context,
                               enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) add_client(user, connection, context);
    else if (*context) remove_client(user, *context);
}

static void ignore_message(void *user, const char *format, va_list args)
{
    (void)user;
    (void)format;
    (void)args;
}

/* The connections for which there are descriptors. Without this limit, libmicrohttpd would try again
 * and again to accept one more. */
static unsigned count_connections(const hb_server_options *o)
{
    struct rlimit limit;
    rlim_t n = (rlim_t)o->n_connections;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY) return (unsigned)n;
    rlim_t most = limit.rlim_cur > OTHER_FILES ? limit.rlim_cur - OTHER_FILES : 0;
    if (n > most) n = most;
    return (unsigned)(n < HTTP_THREADS ? HTTP_THREADS : n);
}

hb_status hb_http_start(hb_server *s, const struct sockaddr *address, hb_error *err)
{
    const hb_server_options *o = &s->options;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME;
    if (address->sa_family == AF_INET6) flags |= MHD_USE_IPv6;
    errno = 0; /* libmicrohttpd can fail without a reason of the system */
    s->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, handle, s, MHD_OPTION_EXTERNAL_LOGGER, ignore_message, NULL,
        MHD_OPTION_SOCK_ADDR, address, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)HTTP_THREADS,
        MHD_OPTION_CONNECTION_LIMIT, count_connections(o), MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)ceil(o->idle_seconds), MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_NOTIFY_COMPLETED, complete, s, MHD_OPTION_NOTIFY_CONNECTION, connection_changed, s,
        MHD_OPTION_END);
    if (!s->daemon)
        return hb_fail(err, HB_ERR_IO, "cannot listen on %s, port %d: %s", o->host, o->port,
                       errno ? strerror(errno) : "the server cannot start");
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    s->port = info ? info->port : o->port;
    return HB_OK;
}

/* The socket is closed when the threads that may still use its number have ended. */
void hb_http_stop_listening(hb_server *s)
{
    s->listener = MHD_quiesce_daemon(s->daemon);
    if (s->listener >= 0) shutdown(s->listener, SHUT_RDWR);
}

void hb_http_stop(hb_server *s)
{
    if (s->daemon) MHD_stop_daemon(s->daemon);
    s->daemon = NULL;
    if (s->listener >= 0) close(s->listener);
    s->listener = -1;
}
