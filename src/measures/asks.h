/* The questions that a run may ask a model about an answer and its samples. */
#ifndef HB_MEASURES_ASKS_H
#define HB_MEASURES_ASKS_H

#include "base/error.h"

typedef enum hb_asks {
    HB_ASKS_ENTAILMENT = 1,
    HB_ASKS_P_TRUE = 2,
    HB_ASKS_VERBALISED = 4,
    HB_ASKS_SELF_ASSESSMENT = 8,
    HB_ASKS_SELFCHECK = 16
} hb_asks;

/* Parses a list of questions, separated by commas; "all" means all but entailment. NULL and "" mean
 * none. HB_ERR_ARGUMENT for an unknown one; the message lists the known ones. */
hb_status hb_asks_parse(const char *list, unsigned *asks, hb_error *err);

/* Appends the canonical list of a set. Release with free(). NULL when memory runs out. */
char *hb_asks_text(unsigned asks);

/* The questions that need samples. */
#define HB_ASKS_OF_SAMPLES (HB_ASKS_ENTAILMENT | HB_ASKS_SELF_ASSESSMENT | HB_ASKS_SELFCHECK)

/* Whether a run with so many samples and these questions has measure number i. `states`: the run keeps
 * states. */
bool hb_measure_is_kept(size_t i, int32_t samples, unsigned asks, bool states);

#endif
