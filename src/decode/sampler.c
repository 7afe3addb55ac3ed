#include "decode/sampler.h"

#include <math.h>
#include <stdlib.h>
#include "base/greatest.h"

hb_sampling hb_sampling_defaults(void)
{
    return (hb_sampling){.temperature = 0, .top_k = 0, .top_p = 1, .seed = 42};
}

hb_status hb_sampling_check(const hb_sampling *options, hb_error *err)
{
    if (!(options->temperature >= 0 && options->temperature <= 100))
        return hb_fail(err, HB_ERR_ARGUMENT, "temperature %g is not between 0 and 100",
                       options->temperature);
    if (options->top_k < 0)
        return hb_fail(err, HB_ERR_ARGUMENT, "top-k %d is negative", options->top_k);
    if (!(options->top_p > 0 && options->top_p <= 1))
        return hb_fail(err, HB_ERR_ARGUMENT, "top-p %g is not above 0 and at most 1", options->top_p);
    return HB_OK;
}

/* Most probable first, the lowest id among equals. */
static int compare(const void *a, const void *b)
{
    const hb_candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit < y->logit ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

int32_t hb_sampler_choose(hb_sampler *sampler, const float *logits, int32_t n_vocab, hb_candidate *c)
{
    const hb_sampling *o = &sampler->options;
    int32_t n = n_vocab;
    if (o->temperature == 0) {
        int32_t best;
        hb_greatest(logits, n, &best, 1);
        return best;
    }
    for (int32_t i = 0; i < n; i++) c[i] = (hb_candidate){logits[i], i};
    qsort(c, (size_t)n, sizeof *c, compare);
    if (o->top_k > 0 && o->top_k < n) n = o->top_k;

    /* Weights are relative to the greatest. Sums all weights, then finds the shortest start of the list
     * that holds the share top_p of the sum. */
    double scale = 1 / o->temperature, total = 0, kept = 0;
    for (int32_t i = 0; i < n; i++) total += exp((c[i].logit - c[0].logit) * scale);
    int32_t end = 0;
    while (end < n && (end == 0 || kept < o->top_p * total))
        kept += exp((c[end++].logit - c[0].logit) * scale);

    double left = hb_rng_unit(&sampler->rng) * kept;
    for (int32_t i = 0; i < end; i++) {
        left -= exp((c[i].logit - c[0].logit) * scale);
        if (left < 0) return c[i].id;
    }
    return c[end - 1].id;
}
