/* A sample's scores: values by name. */
#ifndef HB_SIGNALS_SCORES_H
#define HB_SIGNALS_SCORES_H

#include "base/error.h"

/* The name of the measured score that a score is in a direction: for a tail5 the one with top5 or
 * bottom5, else the same name. Release with free(). NULL when memory runs out. */
char *hb_score_tail_name(const char *score, hb_direction direction);

/* Makes scores for every signal of a set with every measured aggregation, in the order of hb_score_at.
 * All values are NaN. */
hb_status hb_scores_of_set(const hb_signal_set *set, hb_scores **scores, hb_error *err);

/* Makes scores with these names [n], which are copied. All values are NaN. */
hb_status hb_scores_of_names(const char *const *names, size_t n, hb_scores **scores, hb_error *err);

/* Makes scores with the names and values of both. */
hb_status hb_scores_join(const hb_scores *a, const hb_scores *b, hb_scores **both, hb_error *err);

void hb_scores_set(hb_scores *scores, size_t i, double value);

/* Finds the index of a score by its name; the long form ("perplexity:last") works, too. False if it is
 * not there, as a score with tail5 never is. */
bool hb_scores_find(const hb_scores *scores, const char *name, size_t *place);
/* The same, but finds a score with tail5 by its tail in a direction. */
bool hb_scores_find_tail(const hb_scores *scores, const char *name, hb_direction direction,
                         size_t *place);

#endif
