#include "decode/adjust.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"

static hb_status check_penalty(const char *name, double penalty, hb_error *err)
{
    if (penalty >= -2 && penalty <= 2) return HB_OK;
    return hb_fail(err, HB_ERR_ARGUMENT, "%s %g is not between -2 and 2", name, penalty);
}

hb_status hb_adjustment_check(const hb_adjustment *a, int32_t n_vocab, hb_error *err)
{
    for (size_t i = 0; i < a->n_biases; i++) {
        const hb_bias *b = &a->biases[i];
        if (b->token < 0 || b->token >= n_vocab)
            return hb_fail(err, HB_ERR_ARGUMENT, "logit_bias: token %d is not in the vocabulary of %d",
                           b->token, n_vocab);
        if (!(b->bias >= -100 && b->bias <= 100))
            return hb_fail(err, HB_ERR_ARGUMENT, "logit_bias: %g is not between -100 and 100",
                           (double)b->bias);
    }
    hb_status status = check_penalty("frequency_penalty", a->frequency_penalty, err);
    return status ? status : check_penalty("presence_penalty", a->presence_penalty, err);
}

static bool has_penalties(const hb_adjustment *a)
{
    return a->frequency_penalty != 0 || a->presence_penalty != 0;
}

hb_status hb_adjuster_open(hb_adjuster *s, const hb_adjustment *a, int32_t n_vocab, hb_error *err)
{
    *s = (hb_adjuster){.adjustment = a, .n_vocab = (size_t)n_vocab};
    if (!a->n_biases && !has_penalties(a)) return HB_OK;
    s->logits = malloc(s->n_vocab * sizeof *s->logits);
    if (s->logits && has_penalties(a)) s->counts = calloc(s->n_vocab, sizeof *s->counts);
    return s->logits && (s->counts || !has_penalties(a)) ? HB_OK : hb_fail_memory(err);
}

void hb_adjuster_close(hb_adjuster *s)
{
    free(s->logits);
    free(s->counts);
    free(s->distinct);
    *s = (hb_adjuster){0};
}

const float *hb_adjuster_apply(hb_adjuster *s, const float *logits)
{
    const hb_adjustment *a = s->adjustment;
    if (!s->logits) return logits;
    memcpy(s->logits, logits, s->n_vocab * sizeof *logits);
    for (size_t i = 0; i < a->n_biases; i++) s->logits[a->biases[i].token] += a->biases[i].bias;
    for (size_t i = 0; i < s->n_distinct; i++) {
        int32_t t = s->distinct[i];
        s->logits[t] -= (float)(s->counts[t] * a->frequency_penalty + a->presence_penalty);
    }
    return s->logits;
}

hb_status hb_adjuster_count(hb_adjuster *s, int32_t token, hb_error *err)
{
    if (!s->counts || s->counts[token]++ > 0) return HB_OK;
    int32_t *distinct = hb_grown(s->distinct, s->n_distinct, sizeof *distinct, &s->room);
    if (!distinct) return hb_fail_memory(err);
    s->distinct = distinct;
    distinct[s->n_distinct++] = token;
    return HB_OK;
}
