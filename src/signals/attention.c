#include "signals/attention.h"

#include <assert.h>
#include <math.h>

/* ---- Means over the heads ------------------------------------------------------------------------ */

static double mean(const hb_measuring *m, hb_attention_value value)
{
    size_t heads = m->n_layers * m->n_heads;
    double sum = 0;
    for (size_t i = 0; i < heads; i++) sum += hb_measured_attention(m, 0, i)[value];
    return sum / (double)heads;
}

double hb_measure_attention_entropy(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)signal, (void)state;
    return mean(m, HB_ATTENTION_ENTROPY);
}

double hb_measure_attention_sink(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)signal, (void)state;
    return mean(m, HB_ATTENTION_SINK);
}

double hb_measure_attention_self(const hb_signal *signal, hb_measuring *m, void *state)
{
    size_t heads = m->n_layers * m->n_heads;
    double sum = 0;
    (void)signal, (void)state;
    for (size_t i = 0; i < heads; i++) {
        double weight = hb_measured_attention(m, 0, i)[HB_ATTENTION_SELF];
        sum += log(weight < HB_ATTENTION_LEAST ? HB_ATTENTION_LEAST : weight);
    }
    return sum / (double)heads;
}

/* ---- RAUQ ---------------------------------------------------------------------------------------- */

/* c_i = ALPHA p_i + (1 - ALPHA) a_i,i-1 c_i-1, where a_i,i-1 is the weight with which token i attends
 * to the token before it. It is found when token i has been evaluated, in the step that chooses token
 * i + 1. So this step completes c_i, and the confidence in the newest token takes the weight of the one
 * before. */
#define ALPHA 0.2

typedef struct rauq {
    double p; /* of the newest token */
    size_t n; /* tokens so far */
} rauq;
static_assert(sizeof(rauq) <= HB_RAUQ_BYTES, "room for the tokens");

typedef struct rauq_head {
    double confidence; /* c of the last complete token */
    double logs;       /* sum of ln c over the complete tokens */
    double weights;    /* sum of a_i,i-1 over the tokens from the second one on */
} rauq_head;
static_assert(sizeof(rauq_head) <= HB_RAUQ_HEAD_BYTES, "room for a head");

/* Adds a step to a head: `weight` is that of the token before the step's token. */
static void add_step(rauq_head *h, const rauq *so_far, double p, double weight)
{
    if (so_far->n == 0) h->confidence = p;
    else if (so_far->n > 1) h->confidence = ALPHA * so_far->p + (1 - ALPHA) * weight * h->confidence;
    if (so_far->n != 1) h->logs += log(h->confidence);
    h->weights = so_far->n > 2 ? h->weights + weight : weight;
}

/* The uncertainty of one block: that of the head with the greatest mean weight. */
static double block_uncertainty(rauq_head *heads, const hb_measuring *m, size_t layer,
                                const rauq *so_far, double p)
{
    size_t best = 0;
    for (size_t i = 0; i < m->n_heads; i++) {
        add_step(&heads[i], so_far, p, hb_measured_attention(m, layer, i)[HB_ATTENTION_PREVIOUS]);
        if (heads[i].weights > heads[best].weights) best = i;
    }
    if (so_far->n == 0) return -heads[best].logs;
    double weight = hb_measured_attention(m, layer, best)[HB_ATTENTION_PREVIOUS];
    double newest = log(ALPHA * p + (1 - ALPHA) * weight * heads[best].confidence);
    return -(heads[best].logs + newest) / (double)(so_far->n + 1);
}

double hb_measure_rauq(const hb_signal *signal, hb_measuring *m, void *state)
{
    rauq *so_far = state;
    rauq_head *heads = (rauq_head *)(void *)((char *)state + HB_RAUQ_BYTES);
    double p = exp(-hb_measured_surprise(m)), greatest = -INFINITY;
    size_t last = (2 * m->n_layers + 2) / 3;
    (void)signal;
    for (size_t layer = m->n_layers / 3; layer <= last && layer < m->n_layers; layer++)
        greatest = fmax(greatest, block_uncertainty(heads + layer * m->n_heads, m, layer, so_far, p));
    so_far->p = p;
    so_far->n++;
    return greatest;
}
