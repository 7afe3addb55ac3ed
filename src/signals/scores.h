/* A sample's scores: values by name. */
#ifndef HB_SIGNALS_SCORES_H
#define HB_SIGNALS_SCORES_H

#include "base/error.h"

/* Makes scores for every signal of a set with every aggregation. All values are NaN. */
hb_status hb_scores_of_set(const hb_signal_set *set, hb_scores **scores, hb_error *err);

/* Makes scores with these names [n], which are copied. All values are NaN. */
hb_status hb_scores_of_names(const char *const *names, size_t n, hb_scores **scores, hb_error *err);

void hb_scores_free(hb_scores *scores);
void hb_scores_set(hb_scores *scores, size_t i, double value);

/* Finds the index of a score by its name; the long form ("entropy:top5") works, too. False if it is not
 * there. */
bool hb_scores_find(const hb_scores *scores, const char *name, size_t *place);

#endif
