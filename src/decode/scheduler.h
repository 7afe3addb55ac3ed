/* A scheduler's state, which its parts share: scheduler.c takes requests in and evaluates, slots.c
 * decides which samples begin, in which sequences of the session, and what of the cache they may use.
 */
#ifndef HB_DECODE_SCHEDULER_H
#define HB_DECODE_SCHEDULER_H

#include "decode/decoder.h"
#include "decode/prompts.h"
#include "engine/engine.h"

/* A request in hand. It is freed when all its samples have ended and no slot keeps its prompt. */
typedef struct hb_job {
    hb_prompt prompt; /* first, so that the list of prompts is one of jobs */
    hb_task task;
    int32_t *tokens;     /* the prompt and then what is given, as the request points to them */
    char **stops;        /* [request.n_stops], as the request points to them */
    int32_t positions;   /* that a sample may need in the cache */
    int32_t n_begun;     /* samples that began, */
    int32_t n_ended;     /* and that ended */
    uint64_t begun_then; /* the scheduler's n_begun when the request came */
    bool cancelled;
} hb_job;

typedef enum hb_slot_state {
    HB_SLOT_EMPTY,
    HB_SLOT_RUNNING,
    HB_SLOT_KEPT, /* its sample ended; prompts that share its prompt may still be forked from it */
    HB_N_SLOT_STATES
} hb_slot_state;

/* A sequence of the session, and the sample in it. */
typedef struct hb_slot {
    hb_slot_state state;
    hb_job *job;
    hb_decoder decoder;
    int32_t past;              /* positions evaluated */
    int32_t n_rows;            /* its tokens in the batch in hand, */
    int32_t first_tap, n_taps; /* and which rows of the tap are its own */
    int64_t reserved;          /* positions of the cache that it may still claim */
    double prompt_seconds, decode_seconds;
    uint64_t ended; /* of a kept one: the higher, the later */
    bool of_use;    /* of a kept one: a waiting prompt shares more with it than with anything else */
} hb_slot;

struct hb_scheduler {
    hb_session *session;
    const hb_model *model;
    int32_t positions;  /* of hb_scheduler_positions */
    hb_prompts prompts; /* of all jobs */
    uint64_t next_number, n_begun, n_ended;
    size_t n_waiting, n_unfinished; /* jobs that wait; samples that have not ended */
    bool any_cancelled, closing;
    hb_slot *slots; /* [n_slots] */
    int32_t n_slots, n_in[HB_N_SLOT_STATES];
    hb_candidate **candidates; /* [n_threads][n_vocab]; NULL while all requests are greedy */
    hb_scheduler_work work;

    /* The evaluation in hand. */
    int32_t *tokens, *sequences; /* [n_tokens], with room for the session's n_batch */
    int32_t n_tokens;
    int32_t *rows; /* of the tap, [n_rows], with room for max_rows */
    int32_t n_rows, max_rows;
    hb_tap room;     /* arrays of every output, for max_rows rows */
    hb_tap tap;      /* those of them that are asked for */
    int32_t *blocks; /* of the tap, with room for all */
    bool *is_wanted; /* [n_layers], whether the block is among them */
};

static inline hb_job *hb_job_at(const hb_scheduler *scheduler, size_t i)
{
    return (hb_job *)scheduler->prompts.list[i];
}

/* Begins the waiting samples that need not wait any longer and for which there is room. */
void hb_begin_samples(hb_scheduler *scheduler);

/* Begins further samples of the requests whose prompts' last tokens were just evaluated: they share the
 * logits. */
void hb_begin_siblings(hb_scheduler *scheduler);

/* Ends a slot's sample, for `error` or by its decoder->finish where that is NULL. */
void hb_end_sample(hb_scheduler *scheduler, hb_slot *slot, const hb_error *error);

/* Ends a sample that never began as cancelled. */
void hb_end_waiting_sample(hb_scheduler *scheduler, hb_job *job);

void hb_job_free(hb_job *job);

#endif
