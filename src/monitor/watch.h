/* Watching one sequence: each checked step is measured and added to the sample's scores. Every sequence
 * has a watch of its own, small and constant in size; what measuring needs only for a moment is in a
 * scratch, which one thread may share among all its watches. */
#ifndef HB_MONITOR_WATCH_H
#define HB_MONITOR_WATCH_H

#include "base/error.h"

typedef struct hb_watch hb_watch;
typedef struct hb_watch_scratch hb_watch_scratch;

hb_status hb_watch_scratch_open(const hb_model *model, hb_watch_scratch **scratch, hb_error *err);
void hb_watch_scratch_close(hb_watch_scratch *scratch);

/* A watch with no step measured. `model` must outlive it. HB_ERR_ARGUMENT, naming the setting, for a
 * bad monitor; `check_every` is the caller's to heed. */
hb_status hb_watch_open(const hb_model *model, const hb_monitor *monitor, hb_watch **watch,
                        hb_error *err);
void hb_watch_close(hb_watch *watch);
void hb_watch_reset(hb_watch *watch); /* as after opening, for the next sequence */

/* Measures the step in which `token` was chosen from logits [n_vocab], with the blocks' states
 * [n_layers][n_embd] at the same position, and adds it to the scores. HB_ERR_NUMERIC, with the watch as
 * it was, when either is not finite. */
hb_status hb_watch_measure(hb_watch *watch, hb_watch_scratch *scratch, int32_t step, int32_t token,
                           const float *logits, const float *states, hb_step *out, hb_error *err);

/* HB_ERR_NUMERIC unless all logits [n_vocab] are finite: for steps that are not measured. */
hb_status hb_check_logits(const hb_model *model, int32_t step, const float *logits, hb_error *err);

/* The scores over the steps measured so far. */
void hb_watch_get_scores(const hb_watch *watch, hb_scores *scores);

#endif
