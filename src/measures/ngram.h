/* SelfCheckGPT with n-grams of one word (Manakul, Liusie and Gales, SelfCheckGPT, 2023). */
#ifndef HB_MEASURES_NGRAM_H
#define HB_MEASURES_NGRAM_H

#include "measures/texts.h"

typedef struct hb_self_check {
    double mean; /* of -ln P(word) over the answer's words */
    double max;  /* the largest -ln P(word) of each sentence, averaged over the sentences */
} hb_self_check;

/* Measures an answer. P(word) is the word's share of all words of the answer and its samples: `answers`
 * [1 + n] begins with the answer itself, whose text is `text`. An answer without words gives 0.
 * HB_ERR_MEMORY. */
hb_status hb_self_check_measure(const char *text, const hb_read_answer *answers, size_t n,
                                hb_self_check *check, hb_error *err);

#endif
