/* The server's state. Threads of libmicrohttpd read requests and send replies; the thread that calls
 * hb_server_run owns the scheduler. They share the list of calls, under one lock that is held briefly.
 */
#ifndef HB_SERVE_SERVER_H
#define HB_SERVE_SERVER_H

#include <microhttpd.h>
#include <pthread.h>
#include "base/texts.h"
#include "serve/ask.h"
#include "serve/metrics.h"

typedef enum hb_server_state {
    HB_SERVER_LOADING, /* listens, but has no model yet */
    HB_SERVER_READY,
    HB_SERVER_DRAINING /* finishes the running calls and takes no new ones */
} hb_server_state;

/* A connection, from its beginning to its end. */
typedef struct hb_client {
    int fd;
    double deadline; /* until when the next request must have arrived; infinity while one is answered */
    int32_t n_late;  /* checks since the deadline passed */
    struct hb_client *next, *previous;
} hb_client;

typedef struct hb_call hb_call;

struct hb_server {
    hb_server_options options; /* texts are copies */
    unsigned char (*keys)[32]; /* [options.n_api_keys], SHA-256 of each key */
    bool is_local;             /* bound to the loopback interface */
    int32_t port;
    struct MHD_Daemon *daemon;
    int listener; /* the listening socket, once it takes no more connections; -1 before */
    double started;

    /* Set by hb_server_run before the state becomes ready; constant from then on. */
    const hb_model *model;
    hb_session *session;
    hb_server_model served;
    hb_score_id score; /* the calibrated score, unless it is a joint model */
    int32_t positions; /* as hb_scheduler_positions */
    size_t most_bytes; /* of a prompt that may fit: tokens have at most so many bytes */
    const char *name;  /* of the model */
    char fingerprint[32];
    int64_t created;
    hb_signal_set *no_signals; /* what a request measures that asks for none: the parameters' probes */
    hb_scheduler *scheduler;   /* used by the thread of hb_server_run alone */

    pthread_mutex_t lock; /* guards what follows, and calls */
    pthread_cond_t wake;  /* a call arrived, or is no longer wanted */
    hb_server_state state;
    hb_client *clients;
    hb_call *calls; /* those that the engine thread works for, the latest first */
    size_t n_calls;
    uint64_t next_id;
    hb_metrics metrics;
    pthread_mutex_t log_lock;
};

#endif
