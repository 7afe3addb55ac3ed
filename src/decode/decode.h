/* Generation: requests go in, events come out. A scheduler owns a session and evaluates the tokens of
 * all requests in hand together; what their prompts share is evaluated once. One thread uses a
 * scheduler.
 *
 * A sample's results are those of generating it alone: bit by bit on the portable kernels, within
 * rounding on others (see hb_eval). */
#ifndef HB_DECODE_DECODE_H
#define HB_DECODE_DECODE_H

#include "base/error.h"

typedef struct hb_scheduler hb_scheduler;

typedef enum hb_event_kind {
    HB_EVENT_STEP,  /* a step was checked; its token comes next, unless it halts or ends the sample */
    HB_EVENT_TOKEN, /* a token was appended */
    HB_EVENT_FINISH /* the sample ended; the last of its events */
} hb_event_kind;

/* How a sample ended. */
typedef struct hb_outcome {
    const hb_error *error; /* why it failed; NULL when it did not, and only then the next three count */
    hb_finish finish;      /* why it ended */
    const hb_signal_set *signals; /* those measured */
    hb_scores *scores; /* of these over the checked steps; all NaN when there is none. A sink that keeps
                          them puts NULL here. */
    int32_t n_prompt, n_tokens;
    size_t n_steps;                        /* checked */
    double prompt_seconds, decode_seconds; /* of each evaluation, its tokens' part of the time */
} hb_outcome;

/* What pointers lead to is valid during the call of the sink. */
typedef struct hb_event {
    hb_event_kind kind;
    uint64_t request;    /* hb_scheduler_add's number */
    int32_t sample;      /* 0 to n_samples - 1 */
    int32_t token;       /* the step's or the appended one */
    const hb_step *step; /* the latest checked step; NULL before the first, and of a failed sample */
    const char *bytes;   /* [length], what the text gains; a character may be split between events */
    size_t length;       /* 0 while bytes are held back, because a stop text may begin with them */
    hb_outcome *outcome; /* of HB_EVENT_FINISH */
} hb_event;

/* Takes an event. Any status but HB_OK ends the sample, and HB_EVENT_FINISH then has this error; what
 * HB_EVENT_FINISH itself returns is ignored. A sink may add and cancel requests. */
typedef hb_status hb_sink(void *user, const hb_event *event, hb_error *err);

/* Arrays and texts are copied by hb_scheduler_add, except what `monitor` points to. */
typedef struct hb_request {
    const int32_t *prompt; /* [n_prompt], at least one token */
    size_t n_prompt;
    const int32_t *given; /* [n_given], a continuation to measure as if the model had chosen it; NULL:
                             the model chooses */
    size_t n_given;
    hb_monitor monitor;   /* what to measure, how often, and when to halt */
    hb_sampling sampling; /* sample 0 draws from its seed, sample k from one made of the seed and k */
    int32_t n_samples;    /* continuations of the prompt; 1 where it is given */
    int32_t max_tokens;   /* of each sample */
    const char *const *stops; /* [n_stops], end before the first of these texts; none is empty */
    size_t n_stops;
    bool one_line; /* end with the first line that is not blank */
    hb_sink *sink;
    void *user; /* of the sink */
} hb_request;

/* Forgets what the session holds. It must outlive the scheduler, and nothing else may use it meanwhile.
 */
hb_status hb_scheduler_open(hb_session *session, hb_scheduler **scheduler, hb_error *err);

/* Cancels what is unfinished first, so that each sample of each request has had its HB_EVENT_FINISH. */
void hb_scheduler_close(hb_scheduler *scheduler);

/* Takes a request in; its samples begin in a later hb_scheduler_step. Its number is higher than all
 * earlier ones. HB_ERR_ARGUMENT for bad settings, HB_ERR_CONTEXT when the prompt has more tokens than
 * hb_scheduler_positions, HB_ERR_MEMORY; then there are no events. */
hb_status hb_scheduler_add(hb_scheduler *scheduler, const hb_request *request, uint64_t *number,
                           hb_error *err);

/* The next hb_scheduler_step ends the request's unfinished samples with HB_FINISH_CANCELLED. Nothing
 * happens for an unknown number or a finished request. */
void hb_scheduler_cancel(hb_scheduler *scheduler, uint64_t number);

/* Evaluates up to as many tokens as the session does at once, and takes every sample among them on by
 * what came of it. What goes wrong for one sample ends that one, with an error in its outcome. An error
 * returned here is of all of them, and the scheduler can then only be closed. */
hb_status hb_scheduler_step(hb_scheduler *scheduler, hb_error *err);

/* Whether a sample is unfinished. */
bool hb_scheduler_is_busy(const hb_scheduler *scheduler);

/* Requests with samples that have not begun. */
size_t hb_scheduler_n_waiting(const hb_scheduler *scheduler);

/* Positions that a sample can have: its prompt and all its tokens but the last. It is the context, or
 * the whole cache where that is smaller; a sample that needs more ends with HB_FINISH_CONTEXT. */
int32_t hb_scheduler_positions(const hb_scheduler *scheduler);

typedef struct hb_scheduler_work {
    uint64_t evaluated; /* tokens */
    uint64_t shared;    /* prompt tokens taken over from another sample instead */
} hb_scheduler_work;
hb_scheduler_work hb_scheduler_get_work(const hb_scheduler *scheduler);

/* Whether a token ends the first line that is not blank; *begun, false at first, becomes true when
 * something that is not white space has come. */
bool hb_ends_line(const hb_model *model, int32_t token, bool *begun);

#endif
