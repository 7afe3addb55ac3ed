/* A sample's scores: values by name. */
#ifndef HB_SIGNALS_SCORES_H
#define HB_SIGNALS_SCORES_H

#include "base/error.h"

/* The scores of a set of signals by every aggregation, all NaN. */
hb_status hb_scores_of_set(const hb_signal_set *set, hb_scores **scores, hb_error *err);

/* Scores of these names [n], all NaN. The names are copied. */
hb_status hb_scores_of_names(const char *const *names, size_t n, hb_scores **scores, hb_error *err);

void hb_scores_free(hb_scores *scores);
void hb_scores_set(hb_scores *scores, size_t i, double value);

/* The place of a score by its name, also by the long form of it ("entropy:top5"); false when it is not
 * there. */
bool hb_scores_find(const hb_scores *scores, const char *name, size_t *place);

#endif
