#include "signals/measure.h"

#include <math.h>
#include "base/greatest.h"

/* Bits of hb_measuring.found. */
enum { IMPURITY = 1, SURPRISE = 2, DELTA_SIGMA = 4, DELTA_H = 8, RANKS = 16, LOOKBACK = 32 };

/* Returns whether the quantity must be computed now, and marks it as known. */
static bool is_new(hb_measuring *m, unsigned what)
{
    bool known = m->found & what;
    m->found |= what;
    return !known;
}

double hb_measured_impurity(hb_measuring *m)
{
    if (is_new(m, IMPURITY)) m->impurity = hb_gini_impurity(&m->distribution);
    return m->impurity;
}

double hb_measured_surprise(hb_measuring *m)
{
    if (is_new(m, SURPRISE))
        m->surprise = hb_surprise(hb_probability(&m->distribution, m->reading->logits[m->token]));
    return m->surprise;
}

double hb_measured_delta_sigma(hb_measuring *m)
{
    if (is_new(m, DELTA_SIGMA))
        m->delta_sigma = hb_delta_sigma(m->reading->states, m->n_layers, m->n_embd);
    return m->delta_sigma;
}

double hb_measured_delta_h(hb_measuring *m)
{
    if (is_new(m, DELTA_H))
        m->delta_h = m->previous ? hb_cosine_distance(hb_measured_state(m, m->n_layers - 1),
                                                      m->previous, m->n_embd)
                                 : 0;
    return m->delta_h;
}

double hb_measured_null_ratio(const hb_measuring *m)
{
    double p[HB_LENS_TOKENS];
    size_t n;
    const float *logits = hb_measured_greatest(m, &n);
    if (!m->normed_before) return 0;
    for (size_t i = 0; i < n; i++) p[i] = hb_probability(&m->distribution, logits[i]);
    return hb_null_ratio(m->reading->head, p, n, m->reading->normed, m->normed_before, m->n_embd);
}

const float *hb_measured_greatest(const hb_measuring *m, size_t *n)
{
    const float *lens = m->reading->lens ? hb_measured_lens(m, m->n_layers - 1) : NULL;
    *n = lens ? (size_t)m->reading->n_lens : 0;
    return lens;
}

/* The logits of the k most probable tokens, in descending order. */
static void greatest_logits(const hb_measuring *m, int32_t k, float *out)
{
    int32_t tokens[HB_RANKS];
    size_t n;
    const float *greatest = hb_measured_greatest(m, &n);
    if ((int32_t)n < k) greatest = NULL;
    if (!greatest) hb_greatest(m->reading->logits, (int32_t)m->n_vocab, tokens, k);
    for (int32_t i = 0; i < k; i++) out[i] = greatest ? greatest[i] : m->reading->logits[tokens[i]];
}

const float *hb_measured_ranks(hb_measuring *m)
{
    if (!is_new(m, RANKS)) return m->ranks;
    float logits[HB_RANKS];
    int32_t k = m->n_vocab < HB_RANKS ? (int32_t)m->n_vocab : HB_RANKS;
    greatest_logits(m, k, logits);
    for (int32_t i = 0; i < HB_RANKS; i++) {
        double p = i < k ? hb_probability(&m->distribution, logits[i]) : 0;
        m->ranks[i] = p > 0 ? (float)(-p * log(p)) : 0;
    }
    return m->ranks;
}

const float *hb_measured_lookback(hb_measuring *m)
{
    if (!is_new(m, LOOKBACK)) return m->lookback;
    for (size_t i = 0; i < m->n_layers * m->n_heads; i++) {
        const float *a = hb_measured_attention(m, 0, i);
        float prompt = (a[HB_ATTENTION_SINK] + a[HB_ATTENTION_CONTEXT]) / (float)m->reading->n_prompt;
        float generated = m->step > 0 ? a[HB_ATTENTION_GENERATED] / (float)m->step : 0;
        m->lookback[i] = generated > 0 ? prompt / (prompt + generated) : 1;
    }
    return m->lookback;
}

/* The row of a block in the reading's states; -1 if it is not there. */
static int32_t row_of(const hb_reading *r, int32_t block)
{
    if (!r->blocks) return block < r->n_blocks ? block : -1;
    for (int32_t i = 0; i < r->n_blocks; i++)
        if (r->blocks[i] == block) return i;
    return -1;
}

const float *hb_measured_state(const hb_measuring *m, size_t block)
{
    int32_t row = row_of(m->reading, (int32_t)block);
    return row < 0 ? NULL : m->reading->states + (size_t)row * m->n_embd;
}

const float *hb_measured_lens(const hb_measuring *m, size_t block)
{
    int32_t row = row_of(m->reading, (int32_t)block);
    return row < 0 ? NULL : m->reading->lens + (size_t)row * (size_t)m->reading->n_lens;
}
