/* A scheduler's state, shared by its two parts. scheduler.c adds requests and evaluates; slots.c
 * decides which samples begin, in which sequences of the session, and how much of the cache they may
 * use. */
#ifndef HB_DECODE_SCHEDULER_H
#define HB_DECODE_SCHEDULER_H

#include "decode/decoder.h"
#include "decode/prompts.h"
#include "engine/engine.h"

/* A current request. It is freed when all its samples have ended and no slot keeps its prompt. */
typedef struct hb_job {
    hb_prompt prompt; /* first member, so that a pointer to it points to the job */
    hb_task task;
    int32_t *tokens; /* the prompt, then the given continuation; request.prompt and request.given point
                        here */
    char **stops;    /* [request.n_stops]; request.stops points here */
    hb_bias *biases; /* [request.adjustment.n_biases]; request.adjustment.biases points here */
    int32_t positions;   /* maximum number of positions that a sample needs in the cache */
    int32_t n_begun;     /* number of samples that have begun */
    int32_t n_ended;     /* number of samples that have ended */
    uint64_t begun_then; /* the scheduler's n_begun when the request was added; in a server, when its
                            latest sample began */
    bool cancelled;
} hb_job;

typedef enum hb_slot_state {
    HB_SLOT_EMPTY,
    HB_SLOT_RUNNING,
    HB_SLOT_KEPT, /* its sample ended; prompts with a common prefix can still be forked from it */
    HB_N_SLOT_STATES
} hb_slot_state;

/* A sequence of the session, and the sample in it. */
typedef struct hb_slot {
    hb_slot_state state;
    hb_job *job;
    hb_decoder decoder;
    int32_t past;              /* positions evaluated */
    int32_t shared;            /* those of them that were taken from another slot at its beginning */
    int32_t n_rows;            /* number of its tokens in the current batch */
    int32_t first_tap, n_taps; /* its rows of the tap */
    int64_t reserved;          /* positions of the cache that are reserved for it and not yet used */
    double prompt_seconds, decode_seconds;
    uint64_t used; /* kept slot: when it ended or was last forked; higher is later */
    bool of_use;   /* kept slot: a waiting prompt has its longest common prefix with it */
} hb_slot;

struct hb_scheduler {
    hb_session *session;
    const hb_model *model;
    int32_t positions;  /* see hb_scheduler_positions */
    int64_t capacity;   /* positions of the cache */
    hb_prompts prompts; /* prompts of all jobs */
    hb_serving serving; /* n_running 0: not a server's */
    uint64_t next_number, n_begun, n_uses;
    size_t n_waiting, n_unfinished; /* number of waiting jobs; number of samples that have not ended */
    bool any_cancelled, closing;
    hb_slot *slots; /* [n_slots] */
    int32_t n_slots, n_in[HB_N_SLOT_STATES];
    hb_candidate **candidates; /* [n_threads][n_vocab]; NULL while all requests are greedy */
    hb_scheduler_work work;

    /* The current evaluation. */
    int32_t *tokens, *sequences; /* [n_tokens], with room for the session's n_batch */
    int32_t n_tokens;
    int32_t *rows;    /* tapped rows [n_rows], with room for max_rows */
    int32_t *lengths; /* [n_rows], of their prompts */
    int32_t n_rows, max_rows;
    hb_tap room;     /* arrays of every output, for max_rows rows */
    hb_tap tap;      /* the requested outputs */
    int32_t *blocks; /* tapped blocks, with room for all */
    bool *is_wanted; /* [n_layers], whether the block is requested */
};

static inline hb_job *hb_job_at(const hb_scheduler *scheduler, size_t i)
{
    return (hb_job *)scheduler->prompts.list[i];
}

/* Begins waiting samples for which there is room and which need not wait for a longer prefix. */
void hb_begin_samples(hb_scheduler *scheduler);

/* Begins further samples of requests whose prompt was just evaluated to its end; they share the logits.
 */
void hb_begin_siblings(hb_scheduler *scheduler);

/* Ends a slot's sample with `error` or, if it is NULL, with its decoder's finish. */
void hb_end_sample(hb_scheduler *scheduler, hb_slot *slot, const hb_error *error);

/* Ends a sample that has not begun as cancelled. */
void hb_end_waiting_sample(hb_scheduler *scheduler, hb_job *job);

void hb_job_free(hb_job *job);

#endif
