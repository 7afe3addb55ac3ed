/* Signals against values computed independently by NumPy and SciPy, and their limits. */
#include "check.h"

#include <math.h>
#include "reference/signals_reference.h"
#include "base/greatest.h"
#include "base/rng.h"
#include "signals/aggregate.h"
#include "signals/distribution.h"
#include "signals/p_yes.h"
#include "signals/scores.h"
#include "signals/set.h"
#include "signals/signal.h"

enum { N_LOGITS = 4, VOCAB = 17, N_STATES = 3, LAYERS = 5, WIDTH = 11 };

typedef struct distribution_case {
    const double *entropy, *renyi, *tsallis, *fisher_rao, *rainproof_renyi, *rainproof_fisher_rao,
        *max_prob, *margin, *self_certainty;
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
    /* Near the uniform distribution the arc cosine amplifies rounding errors to their square root, so
     * this compares cosines. */
    assert_near(cos(acos(0) * hb_fisher_rao_distance(&d)), cos(acos(0) * c->fisher_rao[i]), 1e-6);
    assert_near(cos(acos(0) * hb_rainproof_fisher_rao(&d)), cos(acos(0) * c->rainproof_fisher_rao[i]),
                1e-6);
    assert_near(hb_rainproof_renyi(&d), c->rainproof_renyi[i], 2e-6);
}

/* The sums over n logits, in doubles and in one loop. */
static hb_distribution plain_sums(const float *logits, size_t n, double max)
{
    hb_distribution d = {.n = n, .max = max};
    for (size_t i = 0; i < n; i++) {
        double x = fmax(logits[i] - max, HB_DISTRIBUTION_FLOOR);
        d.exps += exp(x);
        d.x += x;
        d.x_exps += x * exp(x);
        d.roots += exp(x / 2);
        d.quarters += exp(x / 4);
        d.three_halves += exp(1.5 * x);
        d.squares += exp(2 * x);
    }
    return d;
}

static void check_sums(const hb_distribution *d, const hb_distribution *plain)
{
    const double got[] = {d->exps, d->x, d->x_exps, d->roots, d->quarters, d->three_halves, d->squares};
    const double want[] = {plain->exps,   plain->x,        plain->x_exps,
                           plain->roots,  plain->quarters, plain->three_halves,
                           plain->squares};
    for (size_t i = 0; i < sizeof got / sizeof *got; i++) assert_near(got[i] / want[i], 1, 2e-6);
}

/* Large vocabularies are summed in parts, which threads share. Every logit is counted once, and the
 * sums do not depend on the number of threads. */
static void test_large_vocabularies(void **state)
{
    const size_t sizes[] = {255, 256, 257, 4095, 4096, 4097, 16383, 16384, 16385, 49152, 128256};
    enum { MOST = 128256 };
    (void)state;
    float *logits = calloc(MOST, sizeof *logits), *before = calloc(MOST, sizeof *before);
    float *copy = calloc(MOST, sizeof *copy), *other = calloc(MOST, sizeof *other);
    hb_pool *pools[3];
    hb_error err;
    hb_rng rng = {5};
    for (int t = 0; t < 3; t++) assert_ok(hb_pool_open(&pools[t], t + 1, &err));
    for (size_t i = 0; i < MOST; i++) logits[i] = (float)(12 * hb_rng_unit(&rng) - 9);
    for (size_t i = 0; i < MOST; i++) before[i] = (float)(12 * hb_rng_unit(&rng) - 9);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        hb_distribution alone, shared;
        double shift, expected = hb_fisher_shift(logits, before, sizes[s]);
        assert_true(hb_distribution_gather(logits, sizes[s], &alone));
        hb_distribution plain = plain_sums(logits, sizes[s], alone.max);
        check_sums(&alone, &plain);
        for (int t = 0; t < 3; t++) {
            float *kept = t == 0 ? copy : other;
            memcpy(copy, before, sizes[s] * sizeof *copy);
            assert_true(hb_distribution_gather_shared(pools[t], logits, t == 0 ? copy : before, kept,
                                                      sizes[s], &shared, &shift));
            assert_memory_equal(&shared, &alone, sizeof alone);
            assert_near(shift, expected, 0);
            assert_memory_equal(kept, logits, sizes[s] * sizeof *kept);
        }
    }
    for (int t = 0; t < 3; t++) hb_pool_close(pools[t]);
    free(logits);
    free(before);
    free(copy);
    free(other);
}

static void test_distribution_signals(void **state)
{
    (void)state;
    const distribution_case small = {
        ref_small_entropy,    ref_small_renyi,           ref_small_tsallis,
        ref_small_fisher_rao, ref_small_rainproof_renyi, ref_small_rainproof_fisher_rao,
        ref_small_max_prob,   ref_small_margin,          ref_small_self_certainty};
    const distribution_case big = {
        ref_big_entropy,    ref_big_renyi,           ref_big_tsallis,
        ref_big_fisher_rao, ref_big_rainproof_renyi, ref_big_rainproof_fisher_rao,
        ref_big_max_prob,   ref_big_margin,          ref_big_self_certainty};
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
    assert_near(hb_rainproof_fisher_rao(&d), acos(sqrt(1.0 / 3)) / acos(0), 1e-8);
    assert_near(hb_rainproof_renyi(&d), log(3), 1e-7);
    assert_near(hb_max_probability(&d), 1, 1e-15);
    assert_near(hb_margin(&d), 1, 1e-15);
    assert_near(hb_self_certainty(&d), -2 * HB_DISTRIBUTION_MASKED / 3 - log(3), 1e-9);
    assert_true(hb_distribution_gather(even, 4, &d));
    assert_near(hb_gini_impurity(&d), 0.75, 1e-15);
    assert_near(hb_entropy(&d), log(4), 1e-15);
    assert_near(hb_renyi_divergence(&d), 0, 1e-15);
    assert_near(hb_tsallis_divergence(&d), 0, 1e-15);
    assert_near(hb_fisher_rao_distance(&d), 0, 1e-15);
    assert_near(hb_rainproof_fisher_rao(&d), 0, 1e-15);
    assert_near(hb_rainproof_renyi(&d), 0, 1e-15);
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
    assert_true(isnan(hb_delta_sigma((const float[]){1, NAN, 0, 1}, 2, 2)));
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
    assert_true(isnan(hb_cosine_distance(a, (const float[]){NAN, 1}, 2)));
}

/* Compares every prefix of a sequence with sorting it. */
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
    hb_aggregate a = {0};
    hb_aggregation found;
    assert_int_equal(hb_aggregation_count(), 9);
    for (size_t i = 0; i < 9; i++) assert_true(isnan(hb_aggregate_value(&a, (hb_aggregation)i)));
    hb_aggregate_add(&a, values[0]);
    for (size_t i = 0; i < 9; i++)
        if (hb_aggregation_is_measured((hb_aggregation)i))
            assert_near(hb_aggregate_value(&a, (hb_aggregation)i), 3, 0);
    for (int i = 1; i < 7; i++) hb_aggregate_add(&a, values[i]);
    assert_near(hb_aggregate_value(&a, HB_AGGREGATION_TOP5), 19.0 / 5, 1e-15);
    assert_near(hb_aggregate_value(&a, HB_AGGREGATION_BOTTOM5), 0, 1e-15); /* -5 -1 1 2 3 */
    assert_false(hb_aggregation_is_measured(HB_AGGREGATION_TAIL5));
    assert_false(hb_aggregation_is_measured((hb_aggregation)9));
    assert_true(isnan(hb_aggregate_value(&a, HB_AGGREGATION_TAIL5)));
    assert_near(hb_aggregate_value(&a, HB_AGGREGATION_MEAN), 13.0 / 7, 1e-15);
    assert_near(hb_aggregate_value(&a, HB_AGGREGATION_MAX), 9, 0);
    assert_near(hb_aggregate_value(&a, HB_AGGREGATION_MIN), -5, 0);
    assert_near(hb_aggregate_value(&a, HB_AGGREGATION_LAST), 2, 0);
    assert_near(hb_aggregate_value(&a, HB_AGGREGATION_FIRST), 3, 0);
    assert_near(hb_aggregate_value(&a, HB_AGGREGATION_SUM), 13, 0);
    assert_true(isnan(hb_aggregate_value(&a, (hb_aggregation)99)));
    assert_true(hb_aggregation_find("last", &found));
    assert_int_equal(found, HB_AGGREGATION_LAST);
    assert_false(hb_aggregation_find("las", &found));
}

static void test_names_of_what_is_not_there(void **state)
{
    (void)state;
    assert_string_equal(hb_aggregation_name((hb_aggregation)99), "unknown");
    assert_string_equal(hb_aggregation_name((hb_aggregation)-1), "unknown");
    assert_string_equal(hb_map_kind_name((hb_map_kind)99), "unknown");
    assert_string_equal(hb_finish_name((hb_finish)99), "unknown");
    assert_string_equal(hb_finish_name((hb_finish)-1), "unknown");
    assert_string_equal(hb_status_name((hb_status)99), "unknown");
    assert_string_equal(hb_sample_status_name((hb_sample_status)99), "unknown");
    assert_string_equal(hb_grade_rule_name((hb_grade_rule)99), "unknown");
    assert_string_equal(hb_status_name(HB_OK), "ok");
    assert_string_equal(hb_status_name(HB_ERR_CALLBACK), "callback failed");
    assert_null(hb_signal_at(99));
    assert_null(hb_signal_find("pr"));
    assert_null(hb_signal_set_at(NULL, 99));
    assert_null(hb_scores_name(NULL, 0));
    assert_true(isnan(hb_scores_at(NULL, 0)));
    assert_true(isnan(hb_scores_value(NULL, "pri")));
}

static void test_registry(void **state)
{
    (void)state;
    const hb_signal *signal;
    size_t n = 0;
    for (; (signal = hb_signal_at(n)) != NULL; n++) {
        assert_ptr_equal(hb_signal_find(hb_signal_name(signal)), signal);
        assert_true(*hb_signal_about(signal) && hb_signal_unit(signal));
    }
    assert_int_equal(n, 28);
    assert_string_equal(hb_signal_unit(hb_signal_find("entropy")), "nats");
    assert_int_equal(hb_signal_usual(hb_signal_find("perplexity")), HB_AGGREGATION_LAST);
    assert_int_equal(hb_signal_risky(hb_signal_find("entropy")), HB_DIRECTION_HIGH);
    assert_int_equal(hb_signal_risky(hb_signal_find("max_prob")), HB_DIRECTION_LOW);
    assert_int_equal(hb_signal_risky(hb_signal_find("hbar_s")), HB_DIRECTION_AUTO);
}

/* Each signal's definition says which values are risky: those of a flat distribution. */
static void test_risky_values(void **state)
{
    (void)state;
    float flat[64], sharp[64];
    for (int i = 0; i < 64; i++) flat[i] = i % 2 ? 0.0F : 0.1F, sharp[i] = i == 5 ? 12.0F : 0.0F;
    static const struct {
        const char *name;
        double (*function)(const hb_distribution *distribution);
    } cases[] = {
        {"entropy", hb_entropy},
        {"renyi", hb_renyi_divergence},
        {"tsallis", hb_tsallis_divergence},
        {"fisher_rao", hb_fisher_rao_distance},
        {"rainproof_renyi", hb_rainproof_renyi},
        {"rainproof_fisher_rao", hb_rainproof_fisher_rao},
        {"max_prob", hb_max_probability},
        {"margin", hb_margin},
        {"self_certainty", hb_self_certainty},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_distribution unsure, sure;
        assert_true(hb_distribution_gather(flat, 64, &unsure));
        assert_true(hb_distribution_gather(sharp, 64, &sure));
        hb_direction risky = cases[i].function(&unsure) > cases[i].function(&sure) ? HB_DIRECTION_HIGH
                                                                                   : HB_DIRECTION_LOW;
        assert_int_equal(hb_signal_risky(hb_signal_find(cases[i].name)), risky);
    }
}

static void test_score_names(void **state)
{
    (void)state;
    hb_score_id id, found;
    char *seen[300];
    size_t n = 0;
    for (; hb_score_at(NULL, n, &id); n++) {
        seen[n] = hb_score_name(id);
        assert_true(hb_score_find(seen[n], &found));
        assert_ptr_equal(found.signal, id.signal);
        assert_int_equal(found.aggregation, id.aggregation);
        for (size_t j = 0; j < n; j++) assert_string_not_equal(seen[n], seen[j]);
    }
    assert_int_equal(n, 28 * 9);
    for (size_t i = 0; i < n; i++) free(seen[i]);
    assert_true(hb_score_find("pri", &id));
    assert_int_equal(id.aggregation, HB_AGGREGATION_TAIL5);
    assert_true(hb_score_find("pri:tail5", &id)); /* the long form of the same */
    char *name = hb_score_name(id);
    assert_string_equal(name, "pri");
    free(name);
    assert_true(hb_score_find("delta_h:last", &id));
    assert_ptr_equal(id.signal, hb_signal_find("delta_h"));
    assert_int_equal(id.aggregation, HB_AGGREGATION_LAST);
    assert_true(hb_score_find("perplexity", &id));
    assert_int_equal(id.aggregation, HB_AGGREGATION_LAST); /* its usual aggregation */
    const char *const bad[] = {"",     ":",         ":mean",   "pr",       "prix",
                               "pri:", "pri:means", "pri:mea", "pri:mean:"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(hb_score_find(bad[i], &id));
}

/* A tail5 is the score of the riskiest five values in each direction; other scores have no tails. */
static void test_tails(void **state)
{
    (void)state;
    static const struct {
        const char *score;
        hb_direction direction;
        const char *tail;
    } cases[] = {{"hbar_s", HB_DIRECTION_HIGH, "hbar_s:top5"},
                 {"hbar_s", HB_DIRECTION_LOW, "hbar_s:bottom5"},
                 {"hbar_s:tail5", HB_DIRECTION_LOW, "hbar_s:bottom5"},
                 {"hbar_s:top5", HB_DIRECTION_LOW, "hbar_s:top5"},
                 {"perplexity", HB_DIRECTION_LOW, "perplexity"},
                 {"perplexity:tail5", HB_DIRECTION_LOW, "perplexity:bottom5"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_score_id id;
        assert_true(hb_score_find(cases[i].score, &id));
        char *name = hb_score_name(hb_score_tail(id, cases[i].direction));
        char *same = hb_score_tail_name(cases[i].score, cases[i].direction);
        assert_string_equal(name, cases[i].tail);
        assert_string_equal(same, cases[i].tail);
        free(name);
        free(same);
    }
    char *other = hb_score_tail_name("mood", HB_DIRECTION_LOW); /* not a score of hbar */
    assert_string_equal(other, "mood");
    free(other);
}

static void check_names(const hb_signal_set *set, const char *names)
{
    char *list = hb_signal_set_names(set);
    assert_string_equal(list, names);
    free(list);
}

static void test_signal_sets(void **state)
{
    (void)state;
    hb_error err;
    hb_signal_set *set, *again;
    assert_ok(hb_signal_set_parse("all", &set, &err));
    assert_int_equal(hb_signal_set_count(set), hb_signal_set_count(NULL));
    char *list = hb_signal_set_names(NULL);
    check_names(set, list);
    assert_ok(hb_signal_set_parse(list, &again, &err));
    check_names(again, list);
    free(list);
    hb_signal_set_free(set);
    hb_signal_set_free(again);
    hb_signal_set_free(NULL);

    assert_ok(hb_signal_set_parse("entropy,hbar_s,entropy", &set, &err));
    check_names(set, "hbar_s,entropy");
    assert_true(hb_signal_set_has(set, hb_signal_find("entropy")));
    assert_false(hb_signal_set_has(set, hb_signal_find("pri")));
    assert_true(hb_signal_set_has(NULL, hb_signal_find("pri")));
    assert_ok(hb_signal_set_add(set, hb_signal_find("pri"), &err));
    check_names(set, "hbar_s,pri,entropy");
    hb_signal_set_free(set);
    assert_ok(hb_signal_set_new(&set, &err));
    check_names(set, "");
    hb_signal_set_free(set);
    assert_fails(hb_signal_set_parse("", &set, &err), HB_ERR_ARGUMENT, "no signal ''");
    assert_fails(hb_signal_set_parse("pri,entrop", &set, &err), HB_ERR_ARGUMENT, "no signal 'entrop'");
    assert_fails(hb_signal_set_parse("pri:mean", &set, &err), HB_ERR_ARGUMENT, "there are hbar_s,pri,");
}

static double twice(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)state;
    return *(const double *)signal->parameters * hb_measured_surprise(m);
}

/* Signals that are not built in are instances with their own parameters. A set can hold any number of
 * them. */
static void test_instances(void **state)
{
    (void)state;
    enum { N = 500 };
    static hb_signal many[N];
    hb_error err;
    hb_signal_set *set;
    const double two = 2;
    assert_ok(hb_signal_set_parse("surprise", &set, &err));
    for (int i = 0; i < N; i++) {
        many[i] = (hb_signal){.name = "probe", .measure = twice, .parameters = &two};
        assert_ok(hb_signal_set_add(set, &many[i], &err));
    }
    assert_ok(hb_signal_set_add(set, hb_signal_find("hbar_s"), &err));
    assert_int_equal(hb_signal_set_count(set), N + 2);
    assert_ptr_equal(hb_signal_set_at(set, 0), hb_signal_find("hbar_s"));
    assert_ptr_equal(hb_signal_set_at(set, N + 1), &many[N - 1]);
    const float logits[] = {0, 1, 2};
    const hb_reading reading = {.logits = logits};
    hb_measuring m = {.n_vocab = 3, .reading = &reading, .token = 1};
    assert_true(hb_distribution_gather(logits, 3, &m.distribution));
    assert_near(many[7].measure(&many[7], &m, NULL), 2 * hb_measured_surprise(&m), 0);
    hb_signal_set_free(set);
}

/* "0,1,4" */
static void check_blocks(const int32_t *blocks, int32_t n, const char *expected)
{
    char text[64] = "";
    for (int32_t i = 0; i < n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%d", i ? "," : "", blocks[i]);
    assert_string_equal(text, expected);
}

/* A set needs only those outputs of an evaluation that its signals read. */
static void test_needs(void **state)
{
    (void)state;
    static const struct {
        const char *list, *blocks;
        bool distribution, previous, lens, logits_before, head;
    } cases[] = {
        {"entropy", "", true, false, false, false, false},
        {"entropy,perplexity,max_prob,epr,boosted_prob", "", true, false, false, false, false},
        {"delta_h", "4", false, true, false, false, false},
        {"pri", "4", true, true, false, false, false},
        {"delta_sigma", "0,1,2,3,4", false, false, false, false, false},
        {"hbar_s", "0,1,2,3,4", true, false, false, false, false},
        {"lens_jsd", "2,4", false, false, true, false, false},
        {"lens_depth", "0,1,2,3,4", false, false, true, false, false},
        {"entropy,lens_jsd,delta_h", "2,4", true, true, true, false, false},
        {"fisher_shift", "", true, false, false, true, false},
        {"pri_fisher", "", true, false, false, true, false},
        {"null_ratio", "4", true, false, true, false, true},
        {"all", "0,1,2,3,4", true, true, true, true, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_error err;
        hb_signal_set *set;
        hb_needs n;
        assert_ok(hb_signal_set_parse(cases[i].list, &set, &err));
        assert_ok(hb_signal_set_needs(set, 5, &n, &err));
        check_blocks(n.blocks, n.n_blocks, cases[i].blocks);
        assert_int_equal(n.lens, cases[i].lens);
        assert_int_equal(n.distribution, cases[i].distribution);
        assert_int_equal(n.previous, cases[i].previous);
        assert_int_equal(n.logits_before, cases[i].logits_before);
        assert_int_equal(n.head, cases[i].head);
        hb_needs_free(&n);
        hb_signal_set_free(set);
    }
}

/* Scores are values by name, with any names. */
static void test_scores(void **state)
{
    (void)state;
    hb_error err;
    hb_signal_set *set;
    hb_scores *scores;
    size_t place;
    assert_ok(hb_signal_set_parse("pri,entropy", &set, &err));
    assert_ok(hb_scores_of_set(set, &scores, &err));
    assert_int_equal(hb_scores_count(scores), 16);
    assert_string_equal(hb_scores_name(scores, 10), "entropy:mean");
    assert_true(isnan(hb_scores_at(scores, 10)));
    hb_scores_set(scores, 10, 0.5);
    hb_scores_set(scores, 0, 3);
    hb_scores_set(scores, 1, 2);
    assert_near(hb_scores_value(scores, "entropy:mean"), 0.5, 0);
    assert_near(hb_scores_value(scores, "pri:top5"), 3, 0);
    assert_near(hb_scores_get(scores, (hb_score_id){hb_signal_find("pri"), HB_AGGREGATION_TOP5}), 3, 0);
    assert_near(hb_scores_value(scores, "pri:bottom5"), 2, 0);
    assert_true(isnan(hb_scores_value(scores, "pri"))); /* which tail? */
    assert_true(isnan(hb_scores_value(scores, "margin")));
    assert_true(isnan(hb_scores_value(scores, "what else")));
    assert_null(hb_scores_name(scores, 16));
    hb_scores_free(scores);
    hb_signal_set_free(set);

    static const char *const names[] = {"perplexity", "semantic_entropy"};
    assert_ok(hb_scores_of_names(names, 2, &scores, &err));
    hb_scores_set(scores, 1, 7);
    assert_near(hb_scores_value(scores, "semantic_entropy"), 7, 0);
    assert_true(hb_scores_find(scores, "perplexity:last", &place));
    assert_int_equal(place, 0);
    assert_false(hb_scores_find(scores, "perplexity:mean", &place));
    hb_scores_free(scores);
    hb_scores_free(NULL);
}

/* With the greatest logits at hand, few or many, the boosted probability is the same. */
static void check_boosted_from(const hb_distribution *d, const float *logits, int32_t n)
{
    int32_t tokens[HB_LENS_TOKENS];
    float greatest[HB_LENS_TOKENS];
    hb_greatest(logits, n, tokens, HB_LENS_TOKENS);
    for (int k = 0; k < HB_LENS_TOKENS; k++) greatest[k] = logits[tokens[k]];
    for (int32_t t = 0; t < n; t++)
        for (size_t k = 1; k <= HB_LENS_TOKENS; k += 31)
            assert_near(hb_boosted_probability_from(d, logits, t, greatest, k),
                        hb_boosted_probability(d, logits, t), 0);
}

static void test_boosted_probability(void **state)
{
    enum { CASES = 6, TOKENS = 60 };
    (void)state;
    hb_distribution d;
    for (int i = 0; i < CASES; i++) {
        const float *logits = ref_clusters + i * TOKENS;
        assert_true(hb_distribution_gather(logits, TOKENS, &d));
        for (int t = 0; t < TOKENS; t++)
            assert_near(hb_boosted_probability(&d, logits, t), ref_boosted[i * TOKENS + t], 1e-6);
        check_boosted_from(&d, logits, TOKENS);
    }
    const float alone = 3, two[] = {1, 0};
    assert_true(hb_distribution_gather(&alone, 1, &d));
    assert_near(hb_boosted_probability(&d, &alone, 0), 1, 1e-6);
    assert_true(hb_distribution_gather(two, 2, &d));
    assert_near(hb_boosted_probability(&d, two, 1), 0.26894142, 1e-6);
    /* Beyond the dominant tokens, many equal ones: 180 have 0.0052 each, and none of them stands out.
     */
    float many[4000];
    for (int i = 0; i < 4000; i++) many[i] = i % 22 == 3 ? 0 : -8;
    assert_true(hb_distribution_gather(many, 4000, &d));
    assert_near(hb_boosted_probability(&d, many, 3), 1, 0.01);
    assert_near(hb_boosted_probability(&d, many, 4), hb_probability(&d, -8), 1e-9);
}

static void test_fisher_shift(void **state)
{
    enum { CASES = 4, TOKENS = 270 };
    (void)state;
    for (int i = 0; i < CASES; i++) {
        const float *logits = ref_after + i * TOKENS, *before = ref_before + i * TOKENS;
        assert_near(hb_fisher_shift(logits, before, TOKENS) / ref_fisher_shift[i], 1, 3e-6);
        assert_near(hb_fisher_shift(logits, logits, TOKENS), 0, 0);
    }
    /* A change by the same number changes nothing, and a token without probability does not count. */
    const float now[] = {5, 7, -3e38f, 4}, then[] = {4, 6, 3e38f, 3}, bad[] = {1, NAN};
    assert_true(isnan(hb_fisher_shift(bad, now, 2)));
    assert_near(hb_fisher_shift(now, then, 4), 0, 1e-9);
}

static void test_null_ratio(void **state)
{
    enum { CASES = 4, TOKENS = 12, WIDE = 21 };
    (void)state;
    for (int i = 0; i < CASES; i++) {
        const float *head = ref_head + i * TOKENS * WIDE, *states = ref_changed + i * 2 * WIDE;
        const double *p = ref_weights + i * TOKENS;
        double ratio = hb_null_ratio(head, p, TOKENS, states, states + WIDE, WIDE);
        assert_near(ratio * ratio, ref_null_ratio[i] * ref_null_ratio[i], 1e-6);
        assert_near(hb_null_ratio(head, p, TOKENS, states, states, WIDE), 0, 0);
        assert_true(isnan(hb_null_ratio(head, p, 0, states, states + WIDE, WIDE)));
        assert_true(isnan(hb_null_ratio(head, p, HB_LENS_TOKENS + 1, states, states + WIDE, WIDE)));
    }
    assert_true(ref_null_ratio[3] < 1e-3); /* the change is that of the likeliest token's row */
    const float head[] = {0, 0, 0, 0}, now[] = {1, 2}, then[] = {0, 0};
    const double p[] = {0.5, 0.5};
    assert_near(hb_null_ratio(head, p, 2, now, then, 2), 1, 0);
}

/* P(Yes) is that of the first step, by the tokens of two words. */
static void test_p_yes(void **state)
{
    (void)state;
    const float first[] = {1, -700, 0.5f, 3, -699}, second[] = {0, 0, 0, 0, 0};
    static const struct {
        hb_word_tokens yes, no;
        double value;
    } cases[] = {
        {{{0, 2}, 2}, {{3}, 1}, 0},
        {{{3}, 1}, {{0, 2}, 2}, 0},
        {{{1}, 1}, {{4}, 1}, 0.26894142136999510}, /* 1 / (1 + e), far below the other tokens */
        {{{3}, 1}, {{1}, 1}, 1},
        {{{3}, 1}, {{0}, 0}, 0.5},
        {{{0}, 0}, {{3}, 1}, 0.5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_p_yes p;
        char memory[64] = {0};
        hb_p_yes_init(&p, &cases[i].yes, &cases[i].no);
        assert_string_equal(hb_signal_name(&p.signal), "p_yes");
        assert_int_equal(hb_signal_risky(&p.signal), HB_DIRECTION_LOW);
        assert_in_range(p.signal.state_bytes, 1, sizeof memory);
        hb_reading reading = {.logits = first};
        hb_measuring m = {.n_vocab = 5, .reading = &reading};
        double value = p.signal.measure(&p.signal, &m, memory), yes = 0, no = 0;
        for (int k = 0; k < cases[i].yes.n; k++) yes += exp(first[cases[i].yes.list[k]]);
        for (int k = 0; k < cases[i].no.n; k++) no += exp(first[cases[i].no.list[k]]);
        assert_near(value, i < 2 ? yes / (yes + no) : cases[i].value, 1e-12);
        reading.logits = second;
        assert_near(p.signal.measure(&p.signal, &m, memory), value, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distribution_signals),
        cmocka_unit_test(test_large_vocabularies),
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
        cmocka_unit_test(test_tails),
        cmocka_unit_test(test_signal_sets),
        cmocka_unit_test(test_names_of_what_is_not_there),
        cmocka_unit_test(test_registry),
        cmocka_unit_test(test_risky_values),
        cmocka_unit_test(test_instances),
        cmocka_unit_test(test_needs),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_boosted_probability),
        cmocka_unit_test(test_fisher_shift),
        cmocka_unit_test(test_null_ratio),
        cmocka_unit_test(test_p_yes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
