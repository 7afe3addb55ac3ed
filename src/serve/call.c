#include "serve/call.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/clock.h"
#include "serve/prepare.h"
#include "signals/scores.h"

/* Bytes of a stream that may wait for a client that reads slowly. */
#define MOST_UNSENT (16 << 20)

static void free_call(hb_call *c)
{
    for (size_t i = 0; c->choices && i < c->n_choices; i++) {
        hb_choice *choice = &c->choices[i];
        hb_buffer_free(&choice->text);
        hb_buffer_free(&choice->rest);
        free(choice->pieces);
        free(choice->tops);
        free(choice->values);
        hb_scores_free(choice->scores);
    }
    free(c->choices);
    free(c->parts);
    hb_samples_close(&c->samples);
    hb_given_free(&c->given);
    hb_ask_free(&c->ask);
    hb_buffer_free(&c->output);
    hb_reply_free(&c->reply);
    free(c);
}

/* ---- Making -------------------------------------------------------------------------------------- */

static void name_call(hb_call *c)
{
    static const char *const starts[] = {"chatcmpl", "cmpl", "judge"};
    pthread_mutex_lock(&c->server->lock);
    uint64_t number = c->server->next_id++;
    pthread_mutex_unlock(&c->server->lock);
    snprintf(c->id, sizeof c->id, "%s-%llx-%llu", starts[c->kind],
             (unsigned long long)c->server->created, (unsigned long long)number);
}

static bool make_choices(hb_call *c)
{
    size_t n = c->ask.n_prompts * (size_t)c->ask.n;
    c->n_parts = c->ask.n_prompts + 1;
    c->parts = calloc(c->n_parts, sizeof *c->parts);
    c->choices = calloc(n, sizeof *c->choices);
    if (!c->parts || !c->choices) return false;
    c->n_choices = n;
    if (c->ask.n_drawn && !hb_samples_open(&c->samples, (size_t)c->ask.n_drawn)) return false;
    for (size_t i = 0; i < c->n_parts; i++) c->parts[i] = (hb_call_part){.call = c, .index = i};
    for (size_t i = 0; i < n; i++)
        c->choices[i].risk = (hb_risk){.p_fail = NAN, .value = NAN, .step = -1};
    return true;
}

static hb_call *start_call(hb_server *server, hb_call_kind kind)
{
    hb_call *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->server = server;
    c->kind = kind;
    c->created = (int64_t)time(NULL);
    c->arrived = c->written = hb_seconds();
    c->n_users = 1;
    c->fd = -1;
    name_call(c);
    return c;
}

static hb_call *complete_call(hb_call *c, bool ok, hb_problem *problem)
{
    if (ok && !make_choices(c)) ok = hb_refuse_memory(problem);
    if (ok) return c;
    free_call(c);
    return NULL;
}

hb_call *hb_call_new(hb_server *server, hb_call_kind kind, hb_ask *ask, hb_problem *problem)
{
    hb_call *c = start_call(server, kind);
    if (!c) {
        hb_ask_free(ask);
        hb_refuse_memory(problem);
        return NULL;
    }
    c->ask = *ask;
    *ask = (hb_ask){0};
    return complete_call(c, hb_prepare_call(c, problem), problem);
}

hb_call *hb_call_new_judgement(hb_server *server, const char *body, size_t length, hb_problem *problem)
{
    hb_call *c = start_call(server, HB_CALL_JUDGE);
    if (c) return complete_call(c, hb_prepare_judgement(c, body, length, problem), problem);
    hb_refuse_memory(problem);
    return NULL;
}

/* ---- The list of calls --------------------------------------------------------------------------- */

static void put_in_list(hb_call *c)
{
    hb_server *s = c->server;
    c->next = s->calls;
    if (c->next) c->next->previous = c;
    s->calls = c;
    s->n_calls++;
}

static void take_from_list(hb_call *c)
{
    hb_server *s = c->server;
    if (c->next) c->next->previous = c->previous;
    if (c->previous) c->previous->next = c->next;
    else s->calls = c->next;
    c->next = c->previous = NULL;
    s->n_calls--;
}

bool hb_call_submit(hb_call *c, struct MHD_Connection *connection, int fd, hb_problem *problem)
{
    hb_server *s = c->server;
    size_t most = (size_t)s->served.n_parallel + (size_t)s->options.n_queue;
    bool ok = true;
    pthread_mutex_lock(&s->lock);
    if (s->state != HB_SERVER_READY)
        ok = hb_refuse_as(problem, 503, "shutting_down", "the server is shutting down");
    else if (s->n_calls >= most)
        ok = hb_refuse_as(problem, 503, "queue_full", "the queue of %d requests is full",
                          s->options.n_queue);
    if (ok) {
        c->connection = connection;
        c->fd = fd;
        c->n_users++;
        put_in_list(c);
        pthread_cond_signal(&s->wake);
    } else if (s->state == HB_SERVER_READY) s->metrics.refused++;
    pthread_mutex_unlock(&s->lock);
    return ok;
}

void hb_call_release(hb_call *c)
{
    pthread_mutex_lock(&c->server->lock);
    bool last = --c->n_users == 0;
    pthread_mutex_unlock(&c->server->lock);
    if (last) free_call(c);
}

void hb_call_abandon(hb_call *c)
{
    hb_server *s = c->server;
    pthread_mutex_lock(&s->lock);
    c->unwanted = true;
    c->connection = NULL;
    c->fd = -1;
    c->suspended = false;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    hb_call_release(c);
}

/* ---- Output -------------------------------------------------------------------------------------- */

void hb_call_wake(hb_call *c)
{
    if (!c->suspended) return;
    c->suspended = false;
    MHD_resume_connection(c->connection);
}

void hb_call_write(hb_call *c, const char *text, size_t length)
{
    pthread_mutex_lock(&c->server->lock);
    bool lags = c->output.length - c->sent > MOST_UNSENT;
    if (lags || !hb_buffer_add(&c->output, text, length)) c->unwanted = c->broken = true;
    c->written = hb_seconds();
    hb_call_wake(c);
    pthread_mutex_unlock(&c->server->lock);
}

/* Drops the bytes that were sent when they are the greater part, so that each is moved once at most. */
void hb_call_take(hb_call *c, char *bytes, size_t n)
{
    hb_buffer *output = &c->output;
    memcpy(bytes, output->data + c->sent, n);
    c->sent += n;
    if (c->sent * 2 < output->length) return;
    output->length -= c->sent;
    memmove(output->data, output->data + c->sent, output->length);
    c->sent = 0;
}

void hb_call_break(hb_call *c)
{
    pthread_mutex_lock(&c->server->lock);
    c->unwanted = c->broken = true;
    pthread_mutex_unlock(&c->server->lock);
}

void hb_call_finish(hb_call *c)
{
    pthread_mutex_lock(&c->server->lock);
    c->finished = true;
    take_from_list(c);
    hb_call_wake(c);
    pthread_mutex_unlock(&c->server->lock);
    hb_call_release(c);
}
