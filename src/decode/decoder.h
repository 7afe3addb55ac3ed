/* One sample's generation, as a state machine: each evaluation gives it logits and states, from which
 * it chooses a token, measures the step and decides how to go on. It knows nothing of other samples. */
#ifndef HB_DECODE_DECODER_H
#define HB_DECODE_DECODER_H

#include "decode/decode.h"
#include "decode/stops.h"
#include "decode/sampler.h"
#include "monitor/watch.h"

/* A request as its samples share it. */
typedef struct hb_task {
    const hb_model *model;
    hb_request request;
    uint64_t number;
    int32_t limit;      /* tokens that a sample may append, */
    hb_finish at_limit; /* and why it ends there */
} hb_task;

typedef struct hb_decoder {
    const hb_task *task;
    int32_t sample;
    hb_sampler sampler;
    hb_watch *watch;
    hb_stops stops;
    bool line_begun;  /* of hb_ends_line */
    int32_t n_tokens; /* appended */
    int32_t token;    /* chosen last */
    bool checked;     /* whether the step of that choice was checked, */
    bool halts;       /* and whether it was too risky */
    hb_status failed; /* what came of checking it, */
    hb_error why;     /* and why it failed */
    hb_step step;     /* the latest checked one */
    size_t n_steps;   /* checked */
    bool ended;
    hb_finish finish; /* why it ended */
} hb_decoder;

/* Fills in a decoder for sample number `sample` of a task, which must outlive it. */
hb_status hb_decoder_open(hb_decoder *decoder, const hb_task *task, int32_t sample, hb_error *err);
void hb_decoder_close(hb_decoder *decoder);

/* Chooses the next token from row `row` of the tap, and checks the step where it is due. The tap then
 * has what hb_watch_request says, or more. `candidates` is as hb_sampler_choose takes them. Threads may
 * do this for different decoders at once. */
void hb_decoder_choose(hb_decoder *decoder, hb_candidate *candidates, const hb_tap *tap, int32_t row);

/* Whether one of the next n steps is to be checked. */
bool hb_decoder_checks(const hb_decoder *decoder, int32_t n);

/* Appends the chosen token or ends the sample, and tells the sink. An error is why the sample fails;
 * then too it has ended. */
hb_status hb_decoder_advance(hb_decoder *decoder, hb_error *err);

/* Tells the sink that the sample has ended, for `error` or by decoder->finish where that is NULL. */
void hb_decoder_finish(hb_decoder *decoder, const hb_error *error, double prompt_seconds,
                       double decode_seconds);

#endif
