/* Sampling: the probabilities of tokens, and the choice itself against sorting the whole vocabulary. */
#include "check.h"

#include <math.h>
#include "base/rng.h"
#include "decode/sampler.h"
#include "signals/distribution.h"

static const float logits[] = {1, 3, 2, 3, -5};

static void sample_counts(hb_sampling options, int counts[5], int draws)
{
    hb_error err;
    hb_sampler s = {options, {options.seed}};
    hb_candidate candidates[5];
    assert_ok(hb_sampling_check(&options, &err));
    memset(counts, 0, 5 * sizeof *counts);
    for (int i = 0; i < draws; i++) counts[hb_sampler_choose(&s, logits, 5, candidates)]++;
}

static void test_sampler(void **state)
{
    (void)state;
    enum { DRAWS = 40000 };
    int counts[5], again[5];
    sample_counts((hb_sampling){.temperature = 0, .top_p = 1}, counts, 10);
    assert_int_equal(counts[1], 10); /* the lowest id of two equals */

    hb_sampling o = {.temperature = 2, .top_p = 1, .seed = 9};
    sample_counts(o, counts, DRAWS);
    double total = 0;
    for (int i = 0; i < 5; i++) total += exp((double)logits[i] / 2);
    for (int i = 0; i < 5; i++) {
        double p = exp((double)logits[i] / 2) / total;
        assert_near(counts[i] / (double)DRAWS, p, 5 * sqrt(p / DRAWS));
    }
    sample_counts(o, again, DRAWS);
    assert_memory_equal(counts, again, sizeof counts);
    o.seed = 10;
    sample_counts(o, again, DRAWS);
    assert_memory_not_equal(counts, again, sizeof counts);

    o.top_k = 3;
    sample_counts(o, counts, DRAWS);
    assert_true(counts[1] > 0 && counts[2] > 0 && counts[3] > 0);
    assert_int_equal(counts[0] + counts[4], 0);
    /* At temperature 1 the two best hold 2 e^3 / (2 e^3 + e^2 + e + e^-5) = 0.80 of the probability. */
    sample_counts((hb_sampling){.temperature = 1, .top_p = 0.79, .seed = 1}, counts, DRAWS);
    assert_int_equal(counts[1] + counts[3], DRAWS);
    assert_true(counts[3] > 0);
    sample_counts((hb_sampling){.temperature = 1, .top_p = 0.81, .seed = 1}, counts, DRAWS);
    assert_true(counts[2] > 0);
    assert_int_equal(counts[0] + counts[4], 0);
}

/* ---- Against the plain way ----------------------------------------------------------------------- */

enum { N = 3000 };

static int by_logit(const void *a, const void *b)
{
    const hb_candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit < y->logit ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Sorts the whole vocabulary, and adds the weights in that order. */
static int32_t choose_plainly(hb_sampler *s, const float *values, hb_candidate *c)
{
    const hb_sampling *o = &s->options;
    int32_t n = N, end = 0;
    double scale = 1 / o->temperature, total = 0, kept = 0;
    for (int32_t i = 0; i < n; i++) c[i] = (hb_candidate){.logit = values[i], .id = i};
    qsort(c, (size_t)n, sizeof *c, by_logit);
    if (o->top_k > 0 && o->top_k < n) n = o->top_k;
    for (int32_t i = 0; i < n; i++) total += exp((c[i].logit - c[0].logit) * scale);
    while (end < n && (end == 0 || kept < o->top_p * total))
        kept += exp((c[end++].logit - c[0].logit) * scale);
    double left = hb_rng_unit(&s->rng) * kept;
    for (int32_t i = 0; i < end; i++) {
        left -= exp((c[i].logit - c[0].logit) * scale);
        if (left < 0) return c[i].id;
    }
    return c[end - 1].id;
}

/* Fills in logits of one kind: spread, with many equal ones, flat, all equal, or one far above all. */
static void fill(float *values, int kind, hb_rng *rng)
{
    for (int32_t i = 0; i < N; i++) {
        double x = hb_rng_unit(rng) * 30;
        if (kind == 1) x = floor(x / 3);
        if (kind == 2) x /= 1000;
        if (kind == 3) x = 1;
        values[i] = (float)x;
    }
    if (kind == 4) values[hb_rng_below(rng, N)] = 200;
}

/* The same tokens as by sorting everything, for every kind of logits and options. */
static void test_same_choice_as_sorting(void **state)
{
    static const double temperatures[] = {1e-9, 0.1, 0.7, 1, 3, 100},
                        shares[] = {1e-9, 0.1, 0.5, 0.9, 0.999, 1};
    static const int32_t firsts[] = {0, 1, 2, 40, 400, N - 1, N};
    static float values[N];
    static hb_candidate c[N], plain[N];
    hb_rng rng = {3};
    (void)state;
    for (int i = 0; i < 5 * 6 * 6 * 7; i++) {
        hb_sampling o = {.temperature = temperatures[i / 5 % 6],
                         .top_p = shares[i / 30 % 6],
                         .top_k = firsts[i / 180],
                         .seed = (uint64_t)i};
        hb_sampler s = {o, {o.seed}}, again = s;
        fill(values, i % 5, &rng);
        for (int k = 0; k < 5; k++)
            assert_int_equal(hb_sampler_choose(&s, values, N, c),
                             choose_plainly(&again, values, plain));
    }
}

/* A share that is reached exactly: with n equal logits the first k hold k/n of the sum. There, the
 * sums' order decides, so the whole ranking is needed. */
static void test_shares_on_the_edge(void **state)
{
    static float values[N];
    static hb_candidate c[N], plain[N];
    (void)state;
    for (int32_t k = 1; k < N; k += 7) {
        hb_sampling o = {.temperature = 1, .top_p = (double)k / N, .seed = (uint64_t)k};
        hb_sampler s = {o, {o.seed}}, again = s;
        assert_int_equal(hb_sampler_choose(&s, values, N, c), choose_plainly(&again, values, plain));
    }
}

/* The quick sum of all weights, of whole and partial stretches. */
static void test_sum(void **state)
{
    static float values[N];
    hb_rng rng = {4};
    (void)state;
    for (int i = 0; i < 5 * 40; i++) {
        double scale = exp((hb_rng_unit(&rng) - 0.5) * 8), sum = 0;
        int32_t n = N - (int32_t)hb_rng_below(&rng, 300), best = 0;
        fill(values, i % 5, &rng);
        for (int32_t k = 1; k < n; k++) best = values[k] > values[best] ? k : best;
        for (int32_t k = 0; k < n; k++) sum += exp(((double)values[k] - values[best]) * scale);
        assert_near(hb_distribution_sum(values, (size_t)n, values[best], scale), sum,
                    HB_SUM_ERROR * sum);
    }
    values[1] = NAN;
    assert_false(isfinite(hb_distribution_sum(values, N, values[0], 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sampler),
        cmocka_unit_test(test_same_choice_as_sorting),
        cmocka_unit_test(test_shares_on_the_edge),
        cmocka_unit_test(test_sum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
