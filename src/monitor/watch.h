/* Watching one sequence: each checked step is measured, added to the sample's scores and judged. Every
 * sequence has a watch of its own, whose size does not grow. */
#ifndef HB_MONITOR_WATCH_H
#define HB_MONITOR_WATCH_H

#include "base/error.h"
#include "signals/measure.h"

typedef struct hb_watch hb_watch;

/* A watch with no step measured. `model` and what the monitor points to must outlive it, but for the
 * monitor's set of signals, which is copied. HB_ERR_ARGUMENT, naming the setting, for a bad monitor;
 * the caller heeds `check_every`. */
hb_status hb_watch_open(const hb_model *model, const hb_monitor *monitor, hb_watch **watch,
                        hb_error *err);
void hb_watch_close(hb_watch *watch);
void hb_watch_reset(hb_watch *watch); /* as after opening, for the next sequence */

/* The signals measured. Valid as long as the watch. */
const hb_signal_set *hb_watch_signals(const hb_watch *watch);

/* Sets in a tap what the signals need beside the logits: blocks, n_blocks and n_lens. Where n_blocks is
 * 0 they read no states, where n_lens is 0 no lens: then the caller leaves these outputs NULL. The
 * blocks are valid as long as the watch. */
void hb_watch_request(const hb_watch *watch, hb_tap *tap);

/* What an evaluation with such a tap gave for one of its rows. */
hb_reading hb_watch_reading(const hb_watch *watch, const hb_tap *tap, int32_t row);

/* Measures the step in which `token` was chosen, from what was read at its position, adds it to the
 * scores and judges it: *halt says whether P_fail reached the cutoff. *out is valid until the next call
 * on the watch. HB_ERR_NUMERIC, with the scores as they were, when logits or states are not finite. */
hb_status hb_watch_step(hb_watch *watch, int32_t step, int32_t token, const hb_reading *reading,
                        hb_step *out, bool *halt, hb_error *err);

/* HB_ERR_NUMERIC unless all logits [n_vocab] are finite: for steps that are not measured. */
hb_status hb_check_logits(const hb_model *model, int32_t step, const float *logits, hb_error *err);

/* The scores over the steps measured so far, released with hb_scores_free. */
hb_status hb_watch_get_scores(const hb_watch *watch, hb_scores **scores, hb_error *err);

#endif
