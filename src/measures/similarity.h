/* Matrices of how alike answers are. */
#ifndef HB_MEASURES_SIMILARITY_H
#define HB_MEASURES_SIMILARITY_H

#include "measures/texts.h"

/* The similarities of n answers. */
typedef struct hb_similarities {
    size_t n;
    size_t *of_text;                   /* [n], the place of the first answer with the same text */
    double *values[HB_N_SIMILARITIES]; /* [n][n], symmetric; NULL for one that is not known */
    double *entails;                   /* [n][n], how far answer i entails answer j; NULL: not known */
} hb_similarities;

/* Compares every two different texts. `entailment` [n][n] is made symmetric: both directions count
 * half; NULL: it is not known. HB_ERR_MEMORY. Release with hb_similarities_free. */
hb_status hb_similarities_compute(const hb_sampled *answers, const hb_read_answer *read, size_t n,
                                  const double *entailment, hb_similarities *similarities,
                                  hb_error *err);
void hb_similarities_free(hb_similarities *similarities);

#endif
