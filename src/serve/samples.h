/* Further samples of a chat's answer, drawn at temperature 1 after the answer: an answer that the model
 * knows is the same in all of them. */
#ifndef HB_SERVE_SAMPLES_H
#define HB_SERVE_SAMPLES_H

#include "base/json.h"
#include "decode/decode.h"

enum { HB_MAX_DRAWN = 64 };

typedef struct hb_drawn {
    hb_buffer bytes; /* as generated; when all have ended, valid UTF-8 */
    double log_prob;
    int32_t n_tokens; /* in log_prob */
} hb_drawn;

typedef struct hb_samples {
    hb_drawn *list; /* [1 + n], of which the first is the answer; NULL: none are wanted */
    size_t n, n_ended;
    size_t *cluster; /* [1 + n], as hb_cluster_samples has it */
    size_t n_clusters;
    hb_scores *measures;
} hb_samples;

/* Makes room for an answer and n samples. False when memory runs out. */
bool hb_samples_open(hb_samples *samples, size_t n);
void hb_samples_close(hb_samples *samples);

/* Adds an event of the answer (0) or of sample i. False when memory runs out. */
bool hb_samples_add(hb_samples *samples, size_t i, const hb_event *event);

/* Measures the samples when all have ended. */
hb_status hb_samples_measure(hb_samples *samples, hb_error *err);

/* The clusters, the largest first, and the measures, as the member "samples". */
void hb_samples_write(hb_json *json, const hb_samples *samples);

#endif
