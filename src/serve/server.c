/* Opens and closes a server: options, address, keys. */
#include "serve/server.h"

#include <arpa/inet.h>
#include <math.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "serve/guard.h"
#include "serve/http.h"
#include "serve/log.h"

hb_server_options hb_server_defaults(void)
{
    return (hb_server_options){.host = "127.0.0.1",
                               .port = 8080,
                               .n_connections = 512,
                               .n_queue = 64,
                               .max_body = 8 << 20,
                               .request_seconds = 30,
                               .idle_seconds = 60,
                               .ping_seconds = 15,
                               .drain_seconds = 30};
}

/* ---- Options ------------------------------------------------------------------------------------- */

static hb_status check_time(const char *name, double seconds, hb_error *err)
{
    if (seconds > 0 && seconds <= 86400) return HB_OK;
    return hb_fail(err, HB_ERR_ARGUMENT, "%s %g is not above 0 and at most 86400", name, seconds);
}

/* What a browser sends as Origin: a scheme, a host and perhaps a port, or "null". */
static hb_status check_origin(const char *origin, hb_error *err)
{
    if (!origin || strcmp(origin, "*") == 0 || strcmp(origin, "null") == 0) return HB_OK;
    const char *host = strstr(origin, "://");
    bool ok = host && host > origin && host[3] && !strpbrk(host + 3, "/?#,*");
    for (const char *c = origin; *c && ok; c++) ok = *c > ' ' && *c < 0x7f;
    if (ok) return HB_OK;
    return hb_fail(err, HB_ERR_ARGUMENT,
                   "cors-origin '%s' is not like https://app.example.org, and not *", origin);
}

static hb_status check_options(const hb_server_options *o, hb_error *err)
{
    if (!o->host || !*o->host) return hb_fail(err, HB_ERR_ARGUMENT, "the host is empty");
    if (o->port < 0 || o->port > 65535)
        return hb_fail(err, HB_ERR_ARGUMENT, "port %d is not from 0 to 65535", o->port);
    if (o->n_connections < 4 || o->n_connections > 65536)
        return hb_fail(err, HB_ERR_ARGUMENT, "connections %d is not from 4 to 65536", o->n_connections);
    if (o->n_queue < 0 || o->n_queue > 1 << 20)
        return hb_fail(err, HB_ERR_ARGUMENT, "queue %d is not from 0 to 1048576", o->n_queue);
    for (size_t i = 0; i < o->n_api_keys; i++)
        if (!o->api_keys[i] || !*o->api_keys[i])
            return hb_fail(err, HB_ERR_ARGUMENT, "an API key is empty");
    hb_status status = check_origin(o->cors_origin, err);
    if (!status) status = check_time("request-seconds", o->request_seconds, err);
    if (!status) status = check_time("idle-seconds", o->idle_seconds, err);
    if (!status) status = check_time("ping-seconds", o->ping_seconds, err);
    if (!status && o->drain_seconds != 0) status = check_time("drain-seconds", o->drain_seconds, err);
    return status;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) >> 24) == 127;
    return address->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

static hb_status check_safety(const hb_server *s, hb_error *err)
{
    if (s->is_local || s->options.n_api_keys || s->options.insecure) return HB_OK;
    return hb_fail(err, HB_ERR_ARGUMENT,
                   "%s can be reached from other machines: give --api-key-file, or --insecure to allow "
                   "anyone",
                   s->options.host);
}

/* Copies the texts of the options that are used later. */
static bool copy_options(hb_server *s, const hb_server_options *o)
{
    s->options = *o;
    s->options.api_keys = NULL;
    s->options.host = strdup(o->host);
    s->options.cors_origin = o->cors_origin ? strdup(o->cors_origin) : NULL;
    return s->options.host && (s->options.cors_origin || !o->cors_origin) &&
           hb_guard_open(s, o->api_keys, o->n_api_keys);
}

/* ---- Opening ------------------------------------------------------------------------------------- */

static hb_status listen_on(hb_server *s, hb_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    char port[16];
    snprintf(port, sizeof port, "%d", s->options.port);
    int failed = getaddrinfo(s->options.host, port, &hints, &found);
    if (failed)
        return hb_fail(err, HB_ERR_ARGUMENT, "host %s: %s", s->options.host, gai_strerror(failed));
    s->is_local = is_loopback(found->ai_addr);
    hb_status status = check_safety(s, err);
    if (!status) status = hb_http_start(s, found->ai_addr, err);
    freeaddrinfo(found);
    return status;
}

static hb_status open_locks(hb_server *s, hb_error *err)
{
    pthread_condattr_t clock;
    if (pthread_condattr_init(&clock)) return hb_fail_memory(err);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    bool ok = !pthread_mutex_init(&s->lock, NULL) && !pthread_mutex_init(&s->log_lock, NULL) &&
              !pthread_cond_init(&s->wake, &clock);
    pthread_condattr_destroy(&clock);
    return ok ? HB_OK : hb_fail_memory(err);
}

hb_status hb_server_open(const hb_server_options *options, hb_server **server, hb_error *err)
{
    const hb_server_options defaults = hb_server_defaults();
    const hb_server_options *o = options ? options : &defaults;
    hb_status status = check_options(o, err);
    if (status) return status;
    hb_server *s = calloc(1, sizeof *s);
    if (!s) return hb_fail_memory(err);
    s->started = hb_seconds();
    s->listener = -1;
    status = open_locks(s, err);
    if (status) {
        free(s);
        return status;
    }
    if (!copy_options(s, o)) status = hb_fail_memory(err);
    if (!status) status = listen_on(s, err);
    if (status) {
        hb_server_close(s);
        return status;
    }
    *server = s;
    return HB_OK;
}

int32_t hb_server_port(const hb_server *server)
{
    return server->port;
}

void hb_server_close(hb_server *s)
{
    if (!s) return;
    bool listened = s->daemon;
    hb_http_stop(s);
    if (listened) hb_log_event(s, "stopped"); /* the last line: every request has its own by now */
    pthread_mutex_destroy(&s->lock);
    pthread_mutex_destroy(&s->log_lock);
    pthread_cond_destroy(&s->wake);
    hb_signal_set_free(s->no_signals);
    free(s->keys);
    free((char *)s->options.host);
    free((char *)s->options.cors_origin);
    free(s);
}
