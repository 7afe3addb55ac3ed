/* Watching one sequence: each checked step is measured and added to the sample's scores. Every sequence
 * has a watch of its own, small and constant in size. */
#ifndef HB_MONITOR_WATCH_H
#define HB_MONITOR_WATCH_H

#include "base/error.h"

typedef struct hb_watch hb_watch;

/* What the tap of a checked step gave for one row. */
typedef struct hb_tapped_row {
    const float *logits; /* [n_vocab] */
    const float *states; /* [n_layers][n_embd] */
    const float *lens;   /* [n_layers][hb_watch_n_lens]; NULL where hb_watch_wants_lens is false */
} hb_tapped_row;

/* Tokens that the lens is read for. */
int32_t hb_watch_n_lens(const hb_model *model);

/* A watch with no step measured. `model` must outlive it. HB_ERR_ARGUMENT, naming the setting, for a
 * bad monitor; `check_every` is the caller's to heed. */
hb_status hb_watch_open(const hb_model *model, const hb_monitor *monitor, hb_watch **watch,
                        hb_error *err);
void hb_watch_close(hb_watch *watch);
void hb_watch_reset(hb_watch *watch); /* as after opening, for the next sequence */

/* Whether the signals of this watch are read from the lens, too. */
bool hb_watch_wants_lens(const hb_watch *watch);

/* Measures the step in which `token` was chosen, from what was tapped at its position, and adds it to
 * the scores. HB_ERR_NUMERIC, with the watch as it was, when logits or states are not finite. */
hb_status hb_watch_measure(hb_watch *watch, int32_t step, int32_t token, const hb_tapped_row *row,
                           hb_step *out, hb_error *err);

/* HB_ERR_NUMERIC unless all logits [n_vocab] are finite: for steps that are not measured. */
hb_status hb_check_logits(const hb_model *model, int32_t step, const float *logits, hb_error *err);

/* The scores over the steps measured so far. */
void hb_watch_get_scores(const hb_watch *watch, hb_scores *scores);

#endif
