/* A call: one request for completions or a judgement, from its arrival to the end of its reply. A
 * thread of libmicrohttpd creates it and sends its output; the engine thread answers it. */
#ifndef HB_SERVE_CALL_H
#define HB_SERVE_CALL_H

#include "serve/reply.h"
#include "serve/samples.h"
#include "serve/server.h"

/* A token of an answer. */
typedef struct hb_piece {
    int32_t token;
    double logprob; /* NaN: unknown, as for the first token of an echoed prompt */
    double p_fail, value;
    size_t offset; /* characters of the text before it */
} hb_piece;

/* How risky an answer is. */
typedef struct hb_risk {
    double p_fail, value; /* NaN: nothing was measured */
    bool risky, halted;
    int32_t step; /* the first step whose P_fail reached the cutoff; -1: none */
} hb_risk;

typedef struct hb_choice {
    bool begun;          /* of a stream: whether its first chunk was written */
    hb_buffer text;      /* valid UTF-8; of a stream, what the next chunk has */
    hb_buffer rest;      /* bytes of an incomplete character */
    size_t n_characters; /* of the text so far, those that were sent included */
    hb_piece *pieces;    /* [n_pieces]; of a stream, those of the next chunk */
    size_t n_pieces, piece_room;
    hb_logprob *tops; /* [n_pieces][ask.n_top] */
    size_t top_room;
    double *values; /* [n_pieces][signals of the ask] */
    size_t value_room;
    hb_finish finish;
    hb_risk risk;
    hb_scores *scores; /* of a judgement */
    double latest;     /* when its latest token came; 0: it has none */
} hb_choice;

/* A prompt of the call, as the user of its sink. */
typedef struct hb_call_part {
    hb_call *call;
    size_t index;
    uint64_t number; /* of its request in the scheduler */
    bool is_added;   /* whether that request was added */
    bool draws;      /* it draws the samples after the answer */
    bool echoes;     /* its prompt is being measured, and its answer comes later */
} hb_call_part;

typedef enum hb_call_kind { HB_CALL_CHAT, HB_CALL_TEXT, HB_CALL_JUDGE } hb_call_kind;

struct hb_call {
    hb_server *server;
    hb_call_kind kind;
    hb_ask ask;
    hb_given given; /* of a judgement */
    const char *response;
    size_t n_response;
    hb_monitor monitor; /* of its requests; where nothing halts, its threshold is out of reach */
    hb_halt halt;       /* the monitor's, if it has one */
    double cutoff;      /* of the alarm, unless a halt decides about it */
    bool by_watch;      /* the watched signal is the request's choice */
    char id[48];
    int64_t created;
    double arrived;
    hb_call_part *parts; /* [n_parts]: of each prompt and, last, of the samples */
    size_t n_parts;
    hb_samples samples;
    hb_choice *choices; /* [n_choices] */
    size_t n_choices, n_ended;
    bool beginning; /* its parts are being added */
    bool failed;    /* it ends with an error */
    int64_t n_prompt, n_cached, n_generated;

    /* Under the server's lock. */
    int n_users;    /* the HTTP side and the engine side */
    int fd;         /* of the connection; -1: it is gone */
    bool suspended; /* the connection waits for output */
    struct MHD_Connection *connection;
    bool added;       /* the scheduler has its requests */
    bool unwanted;    /* the client is gone: cancel */
    bool broken;      /* output was lost */
    bool finished;    /* nothing is added to the output any more */
    hb_buffer output; /* of a stream */
    size_t sent;
    double written; /* when output was added last */
    hb_reply reply; /* set when it is finished, unless it is a stream */
    hb_call *next, *previous;
};

/* Makes a call of an ask, which it takes over, also on failure. Tokenizes and checks it, so that the
 * scheduler will accept its requests. NULL, with the problem, for a request that is refused. */
hb_call *hb_call_new(hb_server *server, hb_call_kind kind, hb_ask *ask, hb_problem *problem);

/* Parses the body of a judgement and makes its call. */
hb_call *hb_call_new_judgement(hb_server *server, const char *body, size_t length, hb_problem *problem);

/* Hands the call to the engine thread. False, with the problem, while the queue is full or the server
 * takes no requests. */
bool hb_call_submit(hb_call *call, struct MHD_Connection *connection, int fd, hb_problem *problem);

/* One side is done with the call; the last one frees it. The lock must not be held. */
void hb_call_release(hb_call *call);

/* The HTTP side's connection is gone. */
void hb_call_abandon(hb_call *call);

/* Copies the next n bytes of a stream's output, which has as many, and drops them. The lock is held. */
void hb_call_take(hb_call *call, char *bytes, size_t n);

/* ---- For the engine thread ----------------------------------------------------------------------- */

/* Adds text to the output of a stream and wakes its connection. Gives the call up if its client is far
 * behind, because the output would take more and more memory. */
void hb_call_write(hb_call *call, const char *text, size_t length);

/* Wakes the connection of a stream with new output. The lock is held. */
void hb_call_wake(hb_call *call);

/* Output was lost for lack of memory: gives the call up. */
void hb_call_break(hb_call *call);

/* Ends the call with its reply or, if it is a stream, its last output. */
void hb_call_finish(hb_call *call);

/* The sink of a call's requests (answer.c). `user` is an hb_call_part. */
hb_status hb_call_sink(void *user, const hb_event *event, hb_error *err);

/* Adds the requests of a call to the scheduler (answer.c). */
void hb_call_begin(hb_call *call);

/* Cancels the requests that it has in the scheduler (answer.c). */
void hb_call_cancel(hb_call *call);

/* ---- Answers as JSON (write.c) ------------------------------------------------------------------- */

/* The whole answer. */
void hb_call_set_reply(hb_call *call);
/* A chunk of a stream with what choice i has gathered; `last` if it ends the choice. Empties it. */
void hb_call_write_chunk(hb_call *call, size_t i, bool last);
/* An error in a stream. */
void hb_call_write_problem(hb_call *call, const hb_problem *problem);
/* The end of a stream. */
void hb_call_write_end(hb_call *call);
/* The choice's risk, as the member "hbar". */
void hb_write_risk(hb_json *json, const hb_call *call, const hb_choice *choice);

#endif
