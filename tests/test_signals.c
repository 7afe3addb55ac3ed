/* Signals against values computed independently by NumPy and SciPy, and their limits. */
#include "check.h"

#include <math.h>
#include "reference/signals_reference.h"
#include "signals/scores.h"

enum { N_LOGITS = 4, VOCAB = 17, N_STATES = 3, LAYERS = 5, WIDTH = 11 };

typedef struct distribution_case {
    const double *entropy, *renyi, *tsallis, *fisher_rao, *max_prob, *margin, *self_certainty;
} distribution_case;

static void check_distribution(const float *logits, size_t n, const distribution_case *c, int i)
{
    hb_distribution d;
    assert_true(hb_distribution_gather(logits, n, &d));
    assert_near(hb_entropy(&d), c->entropy[i], 2e-6);
    assert_near(hb_renyi_divergence(&d), c->renyi[i], 2e-6);
    assert_near(hb_tsallis_divergence(&d), c->tsallis[i], 1e-6 * (1 + c->tsallis[i]) + 2e-6);
    assert_near(hb_max_probability(&d), c->max_prob[i], 1e-6);
    assert_near(hb_margin(&d), c->margin[i], 1e-6);
    assert_near(hb_self_certainty(&d), c->self_certainty[i], 1e-6 * (1 + c->self_certainty[i]));
    /* Near the uniform distribution the arc cosine turns a rounding into its root: compare cosines. */
    assert_near(cos(acos(0) * hb_fisher_rao_distance(&d)), cos(acos(0) * c->fisher_rao[i]), 1e-6);
}

static void test_distribution_signals(void **state)
{
    (void)state;
    const distribution_case small = {ref_small_entropy,       ref_small_renyi,    ref_small_tsallis,
                                     ref_small_fisher_rao,    ref_small_max_prob, ref_small_margin,
                                     ref_small_self_certainty};
    const distribution_case big = {ref_big_entropy,       ref_big_renyi,    ref_big_tsallis,
                                   ref_big_fisher_rao,    ref_big_max_prob, ref_big_margin,
                                   ref_big_self_certainty};
    for (int i = 0; i < N_LOGITS; i++) {
        const float *logits = ref_logits + i * VOCAB;
        float p[VOCAB];
        hb_distribution d;
        hb_softmax(logits, VOCAB, p);
        assert_true(hb_distribution_gather(logits, VOCAB, &d));
        for (int j = 0; j < VOCAB; j++) {
            assert_near(p[j], ref_p[i * VOCAB + j], 1e-6);
            assert_near(hb_probability(&d, logits[j]), ref_p[i * VOCAB + j], 1e-6);
        }
        assert_near(hb_gini_impurity(&d), ref_impurity[i], 1e-6);
        assert_near(hb_delta_mu(ref_impurity[i]), ref_delta_mu[i], 1e-12);
        assert_near(hb_surprise(hb_probability(&d, logits[3])), ref_surprise[i], 1e-6);
        check_distribution(logits, VOCAB, &small, i);
    }
    for (int i = 0; i < 2; i++) {
        enum { BIG = 5003 };
        static float logits[BIG];
        for (uint32_t j = 0; j < BIG; j++)
            logits[j] = (float)((i ? 30 : 1) * ((double)(j * 2654435761u) / 4294967296.0 - 0.5));
        check_distribution(logits, BIG, &big, i);
    }
}

static void test_lens_signals(void **state)
{
    (void)state;
    enum { BLOCKS = 6, TOKENS = 9 };
    for (int i = 0; i < 2; i++) {
        const float *lens = ref_lens + i * BLOCKS * TOKENS, *last = lens + (BLOCKS - 1) * TOKENS;
        assert_near(hb_jensen_shannon(last, lens + 2 * TOKENS, TOKENS), ref_lens_jsd[i], 1e-12);
        assert_near(hb_jensen_shannon(lens + 2 * TOKENS, last, TOKENS), ref_lens_jsd[i], 1e-12);
        assert_near(hb_jensen_shannon(last, last, TOKENS), 0, 1e-15);
        assert_near(hb_prediction_depth(lens, BLOCKS, TOKENS), ref_lens_depth[i], 1e-15);
    }
    const float far[] = {200, 0}, other[] = {0, 200}; /* nothing in common */
    assert_near(hb_jensen_shannon(far, other, 2), log(2), 1e-12);
    assert_near(hb_prediction_depth(far, 1, 2), 1, 0);
    assert_near(hb_prediction_depth((float[]){3, 1, 3, 1, 4, 1}, 3, 2), 1.0 / 3, 0);
}

static void test_state_signals(void **state)
{
    (void)state;
    for (int i = 0; i < N_STATES; i++) {
        const float *h = ref_states + i * LAYERS * WIDTH;
        assert_near(hb_delta_sigma(h, LAYERS, WIDTH), ref_delta_sigma[i], 1e-12);
        assert_near(hb_hbar_s(ref_delta_mu[i], ref_delta_sigma[i]), ref_hbar_s[i], 1e-12);
        assert_near(hb_p_fail(ref_hbar_s[i], 1.2, 5, HB_DIRECTION_HIGH), ref_p_fail_high[i], 1e-12);
        assert_near(hb_p_fail(ref_hbar_s[i], 1.2, 5, HB_DIRECTION_LOW), ref_p_fail_low[i], 1e-12);
    }
    for (int i = 0; i < 4; i++) {
        const float *a = ref_states + i * WIDTH;
        assert_near(hb_cosine_distance(a, a + WIDTH, WIDTH), ref_delta_h[i], 1e-12);
        assert_near(hb_pri(ref_surprise[i], ref_delta_h[i], 0.1), ref_pri[i], 1e-12);
    }
}

static void test_softmax_in_place_and_extreme(void **state)
{
    (void)state;
    float x[] = {1000, 1000, -1000};
    hb_softmax(x, 3, x);
    assert_near(x[0], 0.5, 1e-7);
    assert_near(x[1], 0.5, 1e-7);
    assert_near(x[2], 0, 0);
}

static void test_distribution_limits(void **state)
{
    (void)state;
    hb_distribution d;
    const float certain[] = {-1e30f, 1000, -1e30f}, even[] = {7, 7, 7, 7}, one[] = {-3};
    const float broken[][3] = {{0, NAN, 1}, {0, INFINITY, 1}, {-INFINITY, 0, 1}};
    assert_true(hb_distribution_gather(certain, 3, &d));
    assert_near(hb_gini_impurity(&d), 0, 1e-15);
    assert_near(hb_entropy(&d), 0, 1e-15);
    assert_near(hb_renyi_divergence(&d), log(3), 1e-15);
    assert_near(hb_tsallis_divergence(&d), 2 * (sqrt(3) - 1), 1e-15);
    assert_near(hb_fisher_rao_distance(&d), acos(sqrt(1.0 / 3)) / acos(0), 1e-15);
    assert_near(hb_max_probability(&d), 1, 1e-15);
    assert_near(hb_margin(&d), 1, 1e-15);
    assert_near(hb_self_certainty(&d), -2 * HB_DISTRIBUTION_MASKED / 3 - log(3), 1e-9);
    assert_true(hb_distribution_gather(even, 4, &d));
    assert_near(hb_gini_impurity(&d), 0.75, 1e-15);
    assert_near(hb_entropy(&d), log(4), 1e-15);
    assert_near(hb_renyi_divergence(&d), 0, 1e-15);
    assert_near(hb_tsallis_divergence(&d), 0, 1e-15);
    assert_near(hb_fisher_rao_distance(&d), 0, 1e-15);
    assert_near(hb_max_probability(&d), 0.25, 1e-15);
    assert_near(hb_margin(&d), 0, 1e-15);
    assert_near(hb_self_certainty(&d), 0, 1e-15);
    assert_true(hb_distribution_gather(one, 1, &d));
    assert_near(hb_max_probability(&d), 1, 0);
    assert_near(hb_margin(&d), 1, 1e-15);
    for (int i = 0; i < 3; i++) assert_false(hb_distribution_gather(broken[i], 3, &d));
    assert_near(hb_delta_mu(0), 10, 1e-12);
    assert_true(hb_delta_mu(1 - 1e-9) > 0.99);
    assert_near(hb_surprise(1), 0, 0);
    assert_false(signbit(hb_surprise(1)));
    assert_near(hb_surprise(2), 0, 0);
    assert_near(hb_surprise(0), 10 * log(10), 1e-12);
    assert_near(hb_surprise(1e-30), 10 * log(10), 1e-12);
}

static void test_sigma_limits(void **state)
{
    (void)state;
    const float same[] = {1, 2, 2, 1, 2, 2}, opposite[] = {1, 2, 2, -1, -2, -2}, zero[6] = {0};
    assert_near(hb_delta_sigma(same, 2, 3), 0, 1e-12);
    assert_near(hb_delta_sigma(opposite, 2, 3), 1, 1e-8);
    assert_near(hb_delta_sigma(zero, 2, 3), 0, 0);
    assert_near(hb_delta_sigma(same, 1, 6), 0, 1e-12); /* one block is its own centroid */
    assert_true(isnan(hb_delta_sigma(same, 0, 3)));
    assert_true(isnan(hb_delta_sigma(same, HB_MAX_LAYERS + 1, 0)));
}

static void test_p_fail_limits(void **state)
{
    (void)state;
    assert_near(hb_p_fail(2, 2, 5, HB_DIRECTION_HIGH), 0.5, 0);
    double low = hb_p_fail(-1e9, 0, 5, HB_DIRECTION_HIGH),
           high = hb_p_fail(1e9, 0, 5, HB_DIRECTION_HIGH);
    assert_near(low, 1 / (1 + exp(50)), 1e-30);
    assert_true(low > 0 && high <= 1);
    assert_near(hb_p_fail(1e9, 0, 5, HB_DIRECTION_LOW), low, 0);
    assert_near(hb_p_fail(-1e9, 0, 5, HB_DIRECTION_LOW), high, 0);
}

static void test_cosine_limits(void **state)
{
    (void)state;
    const float a[] = {3, 4}, b[] = {-6, -8}, c[] = {-4, 3}, zero[] = {0, 0};
    assert_near(hb_cosine_distance(a, a, 2), 0, 1e-15);
    assert_near(hb_cosine_distance(a, b, 2), 2, 1e-15);
    assert_near(hb_cosine_distance(a, c, 2), 1, 1e-15);
    assert_near(hb_cosine_distance(a, zero, 2), 0, 0);
}

/* Every prefix of a sequence against sorting it. */
static void test_top5(void **state)
{
    (void)state;
    const double values[] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, -8, 9, 7};
    hb_top5 top = {0};
    assert_true(isnan(hb_top5_mean(&top)));
    for (int n = 1; n <= 14; n++) {
        double sorted[14], sum = 0;
        memcpy(sorted, values, sizeof sorted);
        for (int i = 0; i < n; i++)
            for (int j = i + 1; j < n; j++)
                if (sorted[j] > sorted[i]) {
                    double swap = sorted[i];
                    sorted[i] = sorted[j];
                    sorted[j] = swap;
                }
        int kept = n < 5 ? n : 5;
        for (int i = 0; i < kept; i++) sum += sorted[i];
        hb_top5_add(&top, values[n - 1]);
        assert_near(hb_top5_mean(&top), sum / kept, 1e-12);
        for (int i = 0; i < kept; i++) assert_near(top.largest[i], sorted[i], 0);
    }
}

static void test_aggregations(void **state)
{
    (void)state;
    const double values[] = {3, -1, 4, 1, -5, 9, 2};
    double got[HB_N_AGGREGATIONS];
    hb_aggregate a = {0};
    hb_aggregate_get(&a, got);
    for (int i = 0; i < HB_N_AGGREGATIONS; i++) assert_true(isnan(got[i]));
    hb_aggregate_add(&a, values[0]);
    hb_aggregate_get(&a, got);
    for (int i = 0; i < HB_N_AGGREGATIONS; i++) assert_near(got[i], 3, 0);
    for (int i = 1; i < 7; i++) hb_aggregate_add(&a, values[i]);
    hb_aggregate_get(&a, got);
    assert_near(got[HB_AGGREGATION_TOP5], 19.0 / 5, 1e-15);
    assert_near(got[HB_AGGREGATION_MEAN], 13.0 / 7, 1e-15);
    assert_near(got[HB_AGGREGATION_MAX], 9, 0);
    assert_near(got[HB_AGGREGATION_MIN], -5, 0);
    assert_near(got[HB_AGGREGATION_LAST], 2, 0);
    assert_near(got[HB_AGGREGATION_FIRST], 3, 0);
    assert_near(got[HB_AGGREGATION_SUM], 13, 0);
}

static void test_score_names(void **state)
{
    (void)state;
    hb_score_id id;
    char name[HB_SCORE_NAME_MAX], seen[HB_N_SCORES][HB_SCORE_NAME_MAX];
    for (size_t i = 0; i < HB_N_SCORES; i++) {
        hb_score_name(hb_score_at(i), seen[i]);
        assert_true(hb_score_find(seen[i], &id));
        assert_int_equal(id.signal * HB_N_AGGREGATIONS + id.aggregation, i);
        for (size_t j = 0; j < i; j++) assert_string_not_equal(seen[i], seen[j]);
    }
    assert_true(hb_score_find("pri", &id));
    assert_int_equal(id.aggregation, HB_AGGREGATION_TOP5);
    assert_true(hb_score_find("pri:top5", &id)); /* the long form of the same */
    hb_score_name(id, name);
    assert_string_equal(name, "pri");
    assert_true(hb_score_find("delta_h:last", &id));
    assert_int_equal(id.signal, HB_SIGNAL_DELTA_H);
    assert_int_equal(id.aggregation, HB_AGGREGATION_LAST);
    assert_true(hb_score_find("perplexity", &id));
    assert_int_equal(id.aggregation, HB_AGGREGATION_LAST); /* its usual one */
    const char *const bad[] = {"",     ":",         ":mean",   "pr",       "prix",
                               "pri:", "pri:means", "pri:mea", "pri:mean:"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(hb_score_find(bad[i], &id));
}

static void test_signal_sets(void **state)
{
    (void)state;
    hb_error err;
    hb_signal_set set;
    assert_ok(hb_signals_parse("all", &set, &err));
    assert_true(set == HB_SIGNALS_ALL);
    char *list = hb_signals_list(set);
    assert_ok(hb_signals_parse(list, &set, &err));
    assert_true(set == HB_SIGNALS_ALL);
    free(list);
    assert_ok(hb_signals_parse("entropy,hbar_s,entropy", &set, &err));
    assert_true(set == (HB_SIGNAL_BIT(HB_SIGNAL_HBAR_S) | HB_SIGNAL_BIT(HB_SIGNAL_ENTROPY)));
    list = hb_signals_list(set);
    assert_string_equal(list, "hbar_s,entropy");
    free(list);
    assert_fails(hb_signals_parse("", &set, &err), HB_ERR_ARGUMENT, "no signal ''");
    assert_fails(hb_signals_parse("pri,entrop", &set, &err), HB_ERR_ARGUMENT, "no signal 'entrop'");
    assert_fails(hb_signals_parse("pri:mean", &set, &err), HB_ERR_ARGUMENT, "there are hbar_s,pri,");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distribution_signals),
        cmocka_unit_test(test_lens_signals),
        cmocka_unit_test(test_state_signals),
        cmocka_unit_test(test_softmax_in_place_and_extreme),
        cmocka_unit_test(test_distribution_limits),
        cmocka_unit_test(test_sigma_limits),
        cmocka_unit_test(test_p_fail_limits),
        cmocka_unit_test(test_cosine_limits),
        cmocka_unit_test(test_top5),
        cmocka_unit_test(test_aggregations),
        cmocka_unit_test(test_score_names),
        cmocka_unit_test(test_signal_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
