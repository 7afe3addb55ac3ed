/* The state machine that generates one sample. From the logits and states of each evaluation it chooses
 * a token, measures the step and decides whether to continue. It does not know about other samples. */
#ifndef HB_DECODE_DECODER_H
#define HB_DECODE_DECODER_H

#include "base/answer.h"
#include "decode/decode.h"
#include "decode/sampler.h"
#include "decode/stops.h"
#include "monitor/watch.h"

/* A request, shared by its samples. */
typedef struct hb_task {
    const hb_model *model;
    hb_request request;
    uint64_t number;
    int32_t limit;      /* maximum number of tokens of a sample */
    hb_finish at_limit; /* why a sample ends at this limit */
    bool keeps_tokens;  /* whether decoders keep the tokens that they append */
} hb_task;

typedef struct hb_decoder {
    const hb_task *task;
    int32_t sample;
    hb_sampler sampler;
    hb_adjuster adjuster;
    hb_watch *watch;
    hb_stops stops;
    hb_answer_scan answer; /* looks for the end of the answer, if that ends the sample */
    int32_t n_tokens;      /* number of appended tokens */
    int32_t *tokens;       /* [n_tokens] if the task keeps them, else NULL */
    size_t token_room;
    int32_t token;    /* the token chosen last */
    bool checked;     /* whether that step was checked */
    bool halts;       /* whether it reached the cutoff */
    hb_status failed; /* status of checking it */
    hb_error why;     /* set if `failed` */
    hb_step step;     /* the latest checked step */
    double logprob;   /* of the token chosen last, if the request asks for it */
    hb_logprob top[HB_MAX_LOGPROBS];
    size_t n_steps; /* number of checked steps */
    bool ended;
    hb_finish finish; /* set if `ended` */
} hb_decoder;

/* Fills in a decoder for sample number `sample` of a task, which must outlive it. Call hb_decoder_close
 * also after a failure. */
hb_status hb_decoder_open(hb_decoder *decoder, const hb_task *task, int32_t sample, hb_error *err);
void hb_decoder_close(hb_decoder *decoder);

/* Chooses the next token from row `row` of the tap, and checks the step if a check is due; the tap then
 * has at least what hb_watch_request asks for. `candidates` is as for hb_sampler_choose, and `pool` as
 * for hb_watch_step. Several threads may call this at once, each for another decoder, without a pool.
 */
void hb_decoder_choose(hb_decoder *decoder, hb_candidate *candidates, const hb_tap *tap, int32_t row,
                       hb_pool *pool);

/* Whether a check is due at one of the next n steps. */
bool hb_decoder_checks(const hb_decoder *decoder, int32_t n);

/* Appends the chosen token or ends the sample, and notifies the sink. After an error the sample has
 * ended, too. */
hb_status hb_decoder_advance(hb_decoder *decoder, hb_error *err);

/* Sends HB_EVENT_FINISH with `error` or, if it is NULL, with decoder->finish. */
void hb_decoder_finish(hb_decoder *decoder, const hb_error *error, int32_t n_shared,
                       double prompt_seconds, double decode_seconds);

#endif
