/* Generation: requests go in, events come out. A scheduler owns a session and evaluates the tokens of
 * all its requests together; a prefix that prompts share is evaluated once. Only one thread may use a
 * scheduler.
 *
 * A sample's results are the same as when it is generated alone: bit for bit with the portable kernels,
 * within rounding with others (see hb_eval). */
#ifndef HB_DECODE_DECODE_H
#define HB_DECODE_DECODE_H

#include "decode/adjust.h"
#include "signals/features.h"

typedef struct hb_scheduler hb_scheduler;

typedef enum hb_event_kind {
    HB_EVENT_STEP, /* a step was checked; its token follows, unless the step halts or ends the sample */
    HB_EVENT_TOKEN, /* a token was appended */
    HB_EVENT_FINISH /* the sample ended; this is its last event */
} hb_event_kind;

/* A token and its log-probability. */
typedef struct hb_logprob {
    int32_t token;
    double logprob;
} hb_logprob;

#define HB_MAX_LOGPROBS 20 /* maximum number of tokens that an event lists */

/* The signal that sums the log-probabilities of tokens. */
#define HB_LOG_PROB "sequence_logprob"

/* How a sample ended. */
typedef struct hb_outcome {
    const hb_error *error;        /* why it failed; NULL if it did not */
    hb_finish finish;             /* why it ended; this and the next two are set if it did not fail */
    const hb_signal_set *signals; /* measured signals */
    hb_scores *scores; /* scores over the checked steps; all NaN when no step was checked. A sink that
                          keeps them sets this to NULL and frees them itself. */
    const hb_features *features; /* of the checked steps; NULL if the request asks for none */
    int32_t n_prompt, n_tokens;
    int32_t n_shared; /* tokens of the prompt that were taken from another sample */
    size_t n_steps;   /* checked */
    /* The time of an evaluation is divided evenly among its tokens. */
    double prompt_seconds, decode_seconds;
} hb_outcome;

/* Pointers are valid only during the call of the sink. */
typedef struct hb_event {
    hb_event_kind kind;
    uint64_t request;      /* number from hb_scheduler_add */
    int32_t sample;        /* 0 to n_samples - 1 */
    int32_t token;         /* token of the step, or the appended token */
    const hb_step *step;   /* HB_EVENT_STEP, _TOKEN: the latest checked step; _FINISH: the same, or NULL
                              if the sample failed or no step was checked */
    double logprob;        /* HB_EVENT_STEP, _TOKEN: the token's log-probability, set if the request's
                              `logprobs` is true */
    const hb_logprob *top; /* [n_top] as in the request, the most probable tokens in descending order */
    const char *bytes;     /* [length], text to append; a character may be split between events */
    size_t length;       /* may be 0: bytes are held back while they may be the start of a stop text */
    hb_outcome *outcome; /* HB_EVENT_FINISH only */
} hb_event;

/* Receives an event. If it fails, the sample ends, and its HB_EVENT_FINISH has this error; a failure at
 * HB_EVENT_FINISH itself is ignored. A sink may add and cancel requests. */
typedef hb_status hb_sink(void *user, const hb_event *event, hb_error *err);

/* What a request is for: its time is counted there. */
typedef enum hb_purpose {
    HB_PURPOSE_ANSWER,
    HB_PURPOSE_SAMPLES, /* drawn beside an answer */
    HB_PURPOSE_QUESTION,
    HB_N_PURPOSES
} hb_purpose;

/* hb_scheduler_add copies arrays and texts, except what `monitor` points to. */
typedef struct hb_request {
    const int32_t *prompt; /* [n_prompt], at least one token */
    size_t n_prompt;
    const int32_t *given; /* [n_given], a given continuation, measured as if the model had chosen it;
                             NULL: the model chooses */
    size_t n_given;
    hb_monitor monitor;       /* a step that reaches its threshold halts; its check_every is used */
    bool goes_on;             /* such a step does not end the sample */
    hb_adjustment adjustment; /* of the logits that tokens are chosen from */
    bool logprobs;            /* whether events have log-probabilities, at temperature 1 */
    int32_t n_top;            /* number of tokens in an event's `top`, at most HB_MAX_LOGPROBS */
    const hb_feature_plan *features; /* features to collect; must outlive the request; NULL: none */
    hb_sampling sampling;     /* sample 0 uses `seed`, sample k a seed derived from `seed` and k */
    int32_t n_samples;        /* number of samples for the prompt; 1 for a given continuation */
    int32_t max_tokens;       /* maximum for each sample */
    const char *const *stops; /* [n_stops], the text ends before the first of these; none is empty */
    size_t n_stops;
    hb_purpose purpose;
    int32_t answer_lines; /* end with the answer of at most so many lines (hb_answer_length);
                             HB_ALL_LINES: where a marker ends it; 0: do not look for it */
    hb_sink *sink;
    void *user; /* passed to the sink */
} hb_request;

/* Opens a scheduler and resets the session. The session must outlive the scheduler, and nothing else
 * may use it in the meantime. */
hb_status hb_scheduler_open(hb_session *session, hb_scheduler **scheduler, hb_error *err);

/* How a server's scheduler differs from the usual one, which serves a fixed list of requests. */
typedef struct hb_serving {
    int32_t n_running; /* maximum number of samples that run at once; further sequences of the session
                          keep what finished samples have evaluated, with their answers, for prompts
                          that continue it. The sequence that was used least recently is dropped first
                          (LRU). */
    int32_t
        prefill; /* maximum number of prompt tokens in an evaluation in which other samples decode */
} hb_serving;

/* To be called before the first request. Both numbers are at least 1. */
void hb_scheduler_serve(hb_scheduler *scheduler, hb_serving serving);

/* Cancels unfinished samples first, so every sample has had its HB_EVENT_FINISH. */
void hb_scheduler_close(hb_scheduler *scheduler);

/* Adds a request; its samples begin in a later hb_scheduler_step. *number is higher than the numbers of
 * all earlier requests. HB_ERR_ARGUMENT for bad settings, HB_ERR_CONTEXT when the prompt has more
 * tokens than hb_scheduler_positions. After a failure there are no events. */
hb_status hb_scheduler_add(hb_scheduler *scheduler, const hb_request *request, uint64_t *number,
                           hb_error *err);

/* Makes the next hb_scheduler_step end the request's unfinished samples with HB_FINISH_CANCELLED.
 * Ignores unknown numbers and finished requests. */
void hb_scheduler_cancel(hb_scheduler *scheduler, uint64_t number);

/* Evaluates one batch of tokens and advances every sample that has tokens in it. An error of one sample
 * ends only that sample; its outcome has the error. After an error returned here, the scheduler can
 * only be closed. */
hb_status hb_scheduler_step(hb_scheduler *scheduler, hb_error *err);

/* Whether any sample is unfinished. */
bool hb_scheduler_is_busy(const hb_scheduler *scheduler);

/* The number of requests with samples that have not begun. */
size_t hb_scheduler_n_waiting(const hb_scheduler *scheduler);

/* The number of samples that are running. */
int32_t hb_scheduler_n_running(const hb_scheduler *scheduler);

/* The maximum number of positions of a sample: its prompt and all its tokens except the last. It is the
 * context or, if smaller, the whole cache. A sample that needs more ends with HB_FINISH_CONTEXT. */
int32_t hb_scheduler_positions(const hb_scheduler *scheduler);

typedef struct hb_scheduler_work {
    uint64_t evaluated;  /* evaluated tokens */
    uint64_t unfinished; /* those of them that belong to running samples */
    double prompt_seconds[HB_N_PURPOSES], decode_seconds[HB_N_PURPOSES]; /* as in hb_outcome */
    uint64_t shared; /* prompt tokens taken from another sample instead of being evaluated */
} hb_scheduler_work;
hb_scheduler_work hb_scheduler_get_work(const hb_scheduler *scheduler);

/* The marker of the reasoning block that a prompt opens at its end; NULL for none. The answer is then
 * looked for as if the generated text began with it. */
const char *hb_prompt_opened_block(const hb_model *model, const int32_t *prompt, size_t n_prompt);

#endif
