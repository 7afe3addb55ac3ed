/* Pass 1's state, which its two parts share: score.c turns the dataset's samples into requests, and
 * recording.c puts what comes of them into the run. */
#ifndef HB_SCORE_SCORER_H
#define HB_SCORE_SCORER_H

#include "base/buffer.h"
#include "decode/decode.h"
#include "store/run.h"

typedef struct hb_scorer {
    const hb_model *model;
    hb_dataset *dataset;
    hb_run *run;
    const hb_run_settings *settings;
    const hb_score_options *options;
    hb_scheduler *scheduler;
    hb_run_counts counts;
    uint64_t done;  /* samples that this call has recorded */
    bool exhausted; /* the dataset has no more */
    hb_buffer text;
    hb_status failed; /* what went wrong in the sink, */
    hb_error why;     /* and why */
} hb_scorer;

/* A sample of the dataset in the making; the sink frees it when it ends. */
typedef struct hb_scoring {
    hb_scorer *scorer;
    uint64_t index;
    char *id;
    int label;
    char **answers; /* [n_answers], the right ones; NULL for a sample with a label */
    size_t n_answers;
    size_t n_prompt; /* tokens */
    hb_buffer raw;   /* bytes generated */
} hb_scoring;

void hb_scoring_free(hb_scoring *sample);

/* Takes a sample's events, `user` being an hb_scoring (recording.c). */
hb_sink hb_record_event;

/* Records a sample that has no scores. */
hb_status hb_record_reason(hb_scorer *scorer, const hb_scoring *sample, hb_sample_status status,
                           const char *reason, hb_error *err);

#endif
