#include "signals/p_yes.h"

#include <math.h>

/* The value of the first step. */
typedef struct first {
    bool known;
    double value;
} first;

static double greatest(const float *logits, const hb_word_tokens *word, double least)
{
    for (int i = 0; i < word->n; i++) least = fmax(least, logits[word->list[i]]);
    return least;
}

/* The sum of e^(logit - shift) over the tokens of a word. */
static double mass(const float *logits, const hb_word_tokens *word, double shift)
{
    double sum = 0;
    for (int i = 0; i < word->n; i++) sum += exp(logits[word->list[i]] - shift);
    return sum;
}

static double p_yes(const hb_signal *signal, hb_measuring *m, void *state)
{
    const hb_p_yes *p = signal->parameters;
    const float *logits = m->reading->logits;
    first *f = state;
    if (f->known) return f->value;
    *f = (first){true, 0.5};
    if (!p->yes.n || !p->no.n) return f->value;
    double shift = greatest(logits, &p->yes, greatest(logits, &p->no, -INFINITY));
    double yes = mass(logits, &p->yes, shift), no = mass(logits, &p->no, shift);
    f->value = yes / (yes + no);
    return f->value;
}

void hb_p_yes_init(hb_p_yes *p, const hb_word_tokens *yes, const hb_word_tokens *no)
{
    p->yes = *yes;
    p->no = *no;
    p->signal = (hb_signal){.name = HB_SCORE_P_YES,
                            .about = "P(Yes) against P(No) at the first token",
                            .unit = "",
                            .risky = HB_DIRECTION_LOW,
                            .usual = HB_AGGREGATION_FIRST,
                            .state_bytes = sizeof(first),
                            .measure = p_yes,
                            .parameters = p};
}
