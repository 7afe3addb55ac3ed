/* One step as the signals see it: the outputs of the evaluation, and quantities that several signals
 * share. A shared quantity is computed when a signal first asks for it, and kept for the step. */
#ifndef HB_SIGNALS_MEASURE_H
#define HB_SIGNALS_MEASURE_H

#include "hbar.h"

/* The outputs of an evaluation at one position. */
typedef struct hb_reading {
    const float *logits;   /* [n_vocab], finite */
    const float *states;   /* [n_blocks][n_embd]: the residual stream after these blocks */
    const int32_t *blocks; /* [n_blocks], ascending, numbered from 0; NULL: every block */
    int32_t n_blocks;
    const float *lens; /* [n_blocks][n_lens], as in hb_tap */
    int32_t n_lens;
    const float *attention;      /* [n_layers][n_heads][HB_N_ATTENTION], as in hb_tap */
    int32_t n_prompt;            /* length of the prompt; set if there is attention */
    const hb_distribution *sums; /* of the logits; NULL: not gathered */
    double shift; /* Fisher length of the logits' change since the previous step; 0 if not needed */
    const float *normed; /* [n_embd], the last state after the final norm */
    const float *head;   /* [n_lens][n_embd], the output head's rows of the lens's tokens */
} hb_reading;

typedef struct hb_measuring {
    size_t n_vocab, n_layers, n_embd, n_heads;
    const hb_reading *reading;
    int32_t step;          /* number of tokens generated before this step */
    int32_t token;         /* the token chosen at this step */
    const float *previous; /* [n_embd], last block's state at the previous step; NULL at the first */
    const float
        *normed_before; /* [n_embd], the reading's `normed` at the previous step; NULL likewise */
    double alpha;       /* weight of the change between two steps in PRI */

    unsigned found; /* which of the following are known (bits, see measure.c) */
    hb_distribution distribution;
    double fisher_shift;
    double impurity, surprise, delta_sigma, delta_h;
    float ranks[HB_RANKS];
    float *lookback; /* [n_layers][n_heads]; room for hb_measured_lookback */
} hb_measuring;

/* Sums over the vocabulary, if a signal needs them. */
static inline const hb_distribution *hb_measured_distribution(const hb_measuring *m)
{
    return &m->distribution;
}

/* The Fisher length of the logits' change, from the same sums; 0 at the first step. */
static inline double hb_measured_fisher_shift(const hb_measuring *m)
{
    return m->fisher_shift;
}

double hb_measured_impurity(hb_measuring *m);
double hb_measured_surprise(hb_measuring *m); /* of the token chosen */
double hb_measured_delta_sigma(hb_measuring *m);
double hb_measured_delta_h(hb_measuring *m); /* 0 at the first step */

/* -p ln p of the HB_RANKS most probable tokens, by descending p; 0 beyond the vocabulary. */
const float *hb_measured_ranks(hb_measuring *m);

/* A head's attention [HB_N_ATTENTION] at the position before the step's token. */
static inline const float *hb_measured_attention(const hb_measuring *m, size_t layer, size_t head)
{
    return m->reading->attention + (layer * m->n_heads + head) * HB_N_ATTENTION;
}

/* The lookback ratio of every head [n_layers][n_heads]: the mean weight of a position of the prompt,
 * divided by the sum of this and of the mean weight of a generated position (Chuang et al., Lookback
 * Lens, 2024). 1 at the first step, where nothing is generated. */
const float *hb_measured_lookback(hb_measuring *m);

/* The logits of the most probable tokens [*n], in descending order, if the lens was requested; else
 * none. */
const float *hb_measured_greatest(const hb_measuring *m, size_t *n);

/* The part of the state's change that the likeliest tokens do not see; 0 at the first step. */
double hb_measured_null_ratio(const hb_measuring *m);

/* The state [n_embd] after a block; NULL if the reading does not have it. */
const float *hb_measured_state(const hb_measuring *m, size_t block);

/* A block's row of the lens [n_lens]; the last block's row is the model's own logits. Rows of
 * consecutive blocks are contiguous. NULL if the reading does not have it. */
const float *hb_measured_lens(const hb_measuring *m, size_t block);

#endif
