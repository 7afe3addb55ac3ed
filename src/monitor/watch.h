/* Watches one sequence: measures each checked step, adds it to the sample's scores and judges it. Each
 * sequence has its own watch. A watch does not grow. */
#ifndef HB_MONITOR_WATCH_H
#define HB_MONITOR_WATCH_H

#include "base/error.h"
#include "base/pool.h"
#include "signals/features.h"

typedef struct hb_watch hb_watch;

/* Opens a watch that has measured no step. The monitor's set of signals is copied; `model` and
 * everything else that the monitor points to must outlive the watch. HB_ERR_ARGUMENT, naming the
 * setting, for a bad monitor. `check_every` is checked here, but the caller applies it. */
hb_status hb_watch_open(const hb_model *model, const hb_monitor *monitor, hb_watch **watch,
                        hb_error *err);
void hb_watch_close(hb_watch *watch);

/* Makes a watch that has measured no step collect features, too. The plan must outlive the watch.
 * HB_ERR_ARGUMENT for a block that the model lacks. */
hb_status hb_watch_keep(hb_watch *watch, const hb_feature_plan *plan, hb_error *err);
/* The features of the steps measured so far; NULL without hb_watch_keep. Valid as long as the watch. */
const hb_features *hb_watch_features(const hb_watch *watch);

/* The measured signals. Valid as long as the watch. */
const hb_signal_set *hb_watch_signals(const hb_watch *watch);

/* Sets blocks, n_blocks and n_lens of a tap to what signals and features need besides the logits. If
 * n_blocks is 0, they need no states; if n_lens is 0, no lens; the caller then leaves these outputs
 * NULL. tap->blocks is valid as long as the watch. */
void hb_watch_request(const hb_watch *watch, hb_tap *tap);
/* Whether they need the tap's attention. */
bool hb_watch_needs_attention(const hb_watch *watch);

/* Whether the signals read the outputs `normed` and `head` of a tap. They then read its lens, too. */
bool hb_watch_reads_head(const hb_watch *watch);

/* The outputs of an evaluation for one row of such a tap. */
hb_reading hb_watch_reading(const hb_watch *watch, const hb_tap *tap, int32_t row);

/* Whether a signal needs the sums of the logits. */
bool hb_watch_needs_sums(const hb_watch *watch);

/* Checks the reading's logits [n_vocab] of a step and sets its sums, which `sums` keeps; `sums` NULL:
 * only checks. If the step will be measured and a signal needs it, sets the shift from the logits of
 * the step measured before, and keeps these logits for the next one. The threads of `pool` share the
 * work; NULL: the caller does it alone, with the same result. Call this right after the evaluation,
 * before the token is chosen: the threads then still look for work, and waking them would take longer
 * than the sums. HB_ERR_NUMERIC unless all logits are finite. */
hb_status hb_watch_read_logits(hb_watch *watch, int32_t step, bool measured, hb_reading *reading,
                               hb_pool *pool, hb_distribution *sums, hb_error *err);

/* Measures the step in which `token` was chosen, adds it to the scores and judges it. `reading` has the
 * outputs from which the token was chosen, with sums if the watch needs them. *halt becomes whether the
 * step reached the threshold. *out is valid until the next step. HB_ERR_NUMERIC, with the scores
 * unchanged, when the states are not finite. */
hb_status hb_watch_step(hb_watch *watch, int32_t step, int32_t token, const hb_reading *reading,
                        hb_step *out, bool *halt, hb_error *err);

/* The scores over the steps measured so far, released with hb_scores_free. */
hb_status hb_watch_get_scores(const hb_watch *watch, hb_scores **scores, hb_error *err);

#endif
