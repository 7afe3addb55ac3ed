/* The thread that owns the scheduler. Calls are added to it and cancelled between two steps. */
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include "base/clock.h"
#include "serve/call.h"
#include "serve/http.h"
#include "serve/log.h"

#define TICK       0.1 /* seconds between two looks at `stopped` and at deadlines while nothing runs */
#define SEND_AFTER 5.0 /* seconds for the last replies to be sent */
#define MOST_LATE  20  /* checks that a late client with unread bytes gets */

typedef struct engine {
    hb_server *server;
    struct pollfd *polled; /* of the calls' connections */
    size_t room;
    double looked;   /* when deadlines were last checked */
    double draining; /* when draining began; 0: it has not */
} engine;

/* ---- Calls --------------------------------------------------------------------------------------- */

static bool is_stopped(const hb_server *s)
{
    return s->options.stopped && s->options.stopped(s->options.user);
}

/* The oldest call that the scheduler does not have yet, or NULL. The lock is held. */
static hb_call *next_new(const hb_server *s)
{
    hb_call *oldest = NULL;
    for (hb_call *c = s->calls; c; c = c->next)
        if (!c->added) oldest = c;
    if (oldest) oldest->added = true;
    return oldest;
}

static void begin_calls(hb_server *s)
{
    for (;;) {
        pthread_mutex_lock(&s->lock);
        hb_call *c = next_new(s);
        if (c) s->metrics.prompt_tokens += (uint64_t)c->n_prompt;
        pthread_mutex_unlock(&s->lock);
        if (!c) return;
        hb_call_begin(c);
    }
}

/* Marks the calls whose client has closed its connection. libmicrohttpd does not watch connections that
 * wait for output. The lock is held. */
static void find_closed(engine *e)
{
    hb_server *s = e->server;
    size_t n = 0;
    if (s->n_calls > e->room) {
        struct pollfd *polled = realloc(e->polled, 2 * s->n_calls * sizeof *polled);
        if (!polled) return; /* they are found when output is sent */
        e->polled = polled;
        e->room = 2 * s->n_calls;
    }
    for (hb_call *c = s->calls; c; c = c->next)
        e->polled[n++] = (struct pollfd){.fd = c->fd, .events = POLLRDHUP};
    if (!n || poll(e->polled, n, 0) <= 0) return;
    n = 0;
    for (hb_call *c = s->calls; c; c = c->next, n++)
        if (e->polled[n].revents & (POLLRDHUP | POLLHUP | POLLERR)) c->unwanted = true;
}

/* The lock is held. */
static void cancel_unwanted(hb_server *s, bool all)
{
    for (hb_call *c = s->calls; c; c = c->next)
        if (c->added && (c->unwanted || all)) hb_call_cancel(c);
}

/* Keeps streams without output open. */
static void ping(hb_server *s, double now)
{
    for (hb_call *c = s->calls; c; c = c->next) {
        if (!c->ask.stream || now - c->written < s->options.ping_seconds) continue;
        if (!hb_buffer_add(&c->output, ": ping\n\n", 8)) c->unwanted = c->broken = true;
        c->written = now;
        hb_call_wake(c);
    }
}

/* ---- Deadlines ----------------------------------------------------------------------------------- */

/* Whether a client's deadline has passed for at least two checks and no bytes from it wait to be read.
 * A busy machine, or one that was suspended, may have such bytes. A client that never stops sending
 * gets MOST_LATE checks. */
static bool is_too_slow(hb_client *client, double now)
{
    char byte;
    if (client->deadline >= now || client->n_late++ == 0) return false;
    return client->n_late > MOST_LATE || recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0;
}

/* Ends connections whose request did not arrive in time. libmicrohttpd's own limit is for silence only.
 */
static void end_slow_clients(hb_server *s, double now)
{
    for (hb_client *client = s->clients; client; client = client->next)
        if (is_too_slow(client, now)) shutdown(client->fd, SHUT_RDWR);
}

/* What is due now and then. The lock is held. */
static void look(engine *e)
{
    hb_server *s = e->server;
    double now = hb_seconds();
    find_closed(e);
    if (now - e->looked >= TICK) {
        e->looked = now;
        ping(s, now);
        end_slow_clients(s, now);
    }
    bool late = e->draining && now - e->draining > s->options.drain_seconds;
    cancel_unwanted(s, late);
    s->metrics.n_running = (size_t)hb_scheduler_n_running(s->scheduler);
}

/* Waits until a call arrives, but not for long. The lock is held. */
static void wait_for_calls(hb_server *s)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(TICK * 1e9);
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&s->wake, &s->lock, &until);
}

/* ---- Running ------------------------------------------------------------------------------------- */

static void start_draining(engine *e)
{
    hb_server *s = e->server;
    e->draining = hb_seconds();
    pthread_mutex_lock(&s->lock);
    s->state = HB_SERVER_DRAINING;
    pthread_mutex_unlock(&s->lock);
    hb_log_event(s, "draining");
    hb_http_stop_listening(s);
}

static hb_status serve(engine *e, hb_error *err)
{
    hb_server *s = e->server;
    hb_status status = HB_OK;
    while (!status) {
        if (!e->draining && is_stopped(s)) start_draining(e);
        begin_calls(s);
        pthread_mutex_lock(&s->lock);
        look(e);
        bool idle = !s->calls && !hb_scheduler_is_busy(s->scheduler);
        if (idle && !e->draining) wait_for_calls(s);
        pthread_mutex_unlock(&s->lock);
        if (idle && e->draining) break;
        if (!idle) status = hb_scheduler_step(s->scheduler, err);
    }
    return status;
}

/* Waits until the last replies are sent. */
static void flush_replies(hb_server *s)
{
    double start = hb_seconds();
    bool busy = true;
    while (busy && hb_seconds() - start < SEND_AFTER) {
        pthread_mutex_lock(&s->lock);
        busy = false;
        for (hb_client *c = s->clients; c; c = c->next) busy = busy || isinf(c->deadline);
        if (busy) wait_for_calls(s);
        pthread_mutex_unlock(&s->lock);
    }
}

/* ---- Settings ------------------------------------------------------------------------------------ */

hb_server_model hb_server_model_defaults(void)
{
    return (hb_server_model){.monitor = hb_monitor_defaults(),
                             .sampling = hb_sampling_defaults(),
                             .max_tokens = -1,
                             .n_parallel = 4,
                             .prefill = 64};
}

static hb_status check_model(const hb_server_model *m, hb_error *err)
{
    if (!m->session) return hb_fail(err, HB_ERR_ARGUMENT, "the server has no session");
    if (m->n_parallel < 1 || m->n_parallel > hb_session_n_sequences(m->session))
        return hb_fail(err, HB_ERR_ARGUMENT, "parallel %d is not from 1 to the session's %d sequences",
                       m->n_parallel, hb_session_n_sequences(m->session));
    if (m->prefill < 1) return hb_fail(err, HB_ERR_ARGUMENT, "prefill %d is less than 1", m->prefill);
    if (m->max_tokens == 0 || m->max_tokens < -1)
        return hb_fail(err, HB_ERR_ARGUMENT, "max-tokens %d is less than 1", m->max_tokens);
    return HB_OK;
}

/* The bytes of the longest token. */
static size_t longest_token(const hb_model *model)
{
    size_t longest = 1, length;
    for (int32_t i = 0; i < hb_model_get_info(model)->n_vocab; i++) {
        hb_token_piece(model, i, &length);
        if (length > longest) longest = length;
    }
    return longest;
}

/* Finds the score of the parameters and the probes that they need: the monitor's signals that are not
 * built in. Requests measure these beside the signals that they ask for. */
static hb_status find_score(hb_server *s, const hb_server_model *m, hb_error *err)
{
    const hb_signal *signal;
    bool single = m->params && !m->params->joint.n_features;
    if (single) hb_score_find(m->params->score, &s->score);
    hb_status status = hb_signal_set_new(&s->no_signals, err);
    for (size_t i = 0; !status && (signal = hb_signal_set_at(m->monitor.signals, i)) != NULL; i++) {
        if (hb_signal_find(hb_signal_name(signal)) == signal) continue;
        if (single) s->score = (hb_score_id){signal, hb_signal_usual(signal)};
        status = hb_signal_set_add(s->no_signals, signal, err);
    }
    return status;
}

static hb_status set_up(hb_server *s, const hb_server_model *m, hb_error *err)
{
    hb_status status = hb_scheduler_open(m->session, &s->scheduler, err);
    if (status) return status;
    hb_scheduler_serve(s->scheduler, (hb_serving){m->n_parallel, m->prefill});
    s->session = m->session;
    s->model = hb_session_model(m->session);
    s->served = *m;
    s->name = m->name ? m->name : hb_model_get_info(s->model)->name;
    s->positions = hb_scheduler_positions(s->scheduler);
    s->most_bytes = longest_token(s->model) * (size_t)s->positions;
    s->created = (int64_t)time(NULL);
    snprintf(s->fingerprint, sizeof s->fingerprint, "hbar-%s", hb_version());
    return find_score(s, m, err);
}

hb_status hb_server_run(hb_server *s, const hb_server_model *model, hb_error *err)
{
    const hb_server_model defaults = hb_server_model_defaults();
    engine e = {.server = s};
    hb_status status = check_model(model ? model : &defaults, err);
    if (!status) status = set_up(s, model, err);
    if (status) return status;
    pthread_mutex_lock(&s->lock);
    s->state = HB_SERVER_READY;
    pthread_mutex_unlock(&s->lock);
    hb_log_event(s, "ready");
    status = serve(&e, err);
    pthread_mutex_lock(&s->lock);
    s->state = HB_SERVER_DRAINING;
    pthread_mutex_unlock(&s->lock);
    begin_calls(s);
    hb_scheduler_close(s->scheduler); /* ends every call */
    s->scheduler = NULL;
    flush_replies(s);
    free(e.polled);
    return status;
}
