/* Samples that belong together: how they are found, and their effect on intervals, tests and folds. */
#include "check.h"

#include <math.h>
#include "base/rng.h"
#include "calibrate/folds.h"
#include "calibrate/metrics.h"
#include "data/groups.h"

enum { N = 60 };

/* ---- Which samples belong together --------------------------------------------------------------- */

static void test_keys(void **state)
{
    (void)state;
    static const char *const ids[] = {"qa_1_cor", "qa_2_hal", "qa_1_hal", "_cor", "x", "x", "qa_1"};
    static const uint32_t expected[] = {0, 1, 0, 3, 4, 4, 0};
    hb_error err;
    hb_texts keys = {0};
    uint32_t *groups;
    for (size_t i = 0; i < 7; i++) assert_true(hb_groups_add_id(&keys, ids[i]));
    assert_ok(hb_groups_number(&keys, &groups, &err));
    for (size_t i = 0; i < 7; i++) assert_int_equal(groups[i], expected[i]);
    free(groups);
    hb_texts_clear(&keys);
    for (int i = 0; i < 3; i++) assert_true(hb_texts_add(&keys, "", 0)); /* in no group */
    assert_true(hb_texts_add(&keys, "a", 1));
    assert_ok(hb_groups_number(&keys, &groups, &err));
    assert_null(groups);
    hb_texts_free(&keys);
    assert_ok(hb_groups_number(&keys, &groups, &err));
    assert_null(groups);
}

/* ---- Data ---------------------------------------------------------------------------------------- */

/* Two scores of samples in groups of one to four. Scores within a group are correlated. */
typedef struct samples {
    double a[N], b[N];
    uint8_t labels[N];
    uint32_t groups[N];
} samples;

static samples draw(uint64_t seed)
{
    samples s;
    hb_rng rng = {seed};
    double common = 0;
    for (uint32_t i = 0, begin = 0; i < N; i++) {
        if (i == 0 || hb_rng_below(&rng, 3) == 0) {
            begin = i;
            common = 2 * hb_rng_unit(&rng);
        }
        s.groups[i] = begin;
        s.labels[i] = (uint8_t)(hb_rng_below(&rng, 5) < 2);
        s.a[i] = common + hb_rng_unit(&rng) + 0.5 * s.labels[i];
        s.b[i] = floor(4 * (common + hb_rng_unit(&rng))); /* with ties */
    }
    return s;
}

/* Obuchowski's variance by its definition, in O(n^2). */
static double variance(const double *scores, const uint8_t *labels, const uint32_t *groups, size_t n)
{
    double theta = 0, m[2] = {0, 0}, with[2] = {0, 0}, s[2] = {0, 0}, s11 = 0, n_groups = 0;
    double *v = calloc(n, sizeof *v);
    for (size_t i = 0; i < n; i++) m[labels[i]]++;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            if (labels[i] == labels[j]) continue;
            double one = scores[labels[i] ? i : j], zero = scores[labels[i] ? j : i];
            v[i] += (one > zero ? 1 : one == zero ? 0.5 : 0) / m[labels[j]];
        }
        if (labels[i]) theta += v[i] / m[1];
    }
    for (uint32_t g = 0; g < n; g++) {
        double sum[2] = {0, 0}, count[2] = {0, 0};
        for (size_t i = 0; i < n; i++) {
            if (groups[i] != g) continue;
            sum[labels[i]] += v[i];
            count[labels[i]]++;
        }
        n_groups += count[0] + count[1] > 0;
        for (int c = 0; c < 2; c++) {
            with[c] += count[c] > 0;
            s[c] += pow(sum[c] - count[c] * theta, 2);
        }
        s11 += (sum[1] - count[1] * theta) * (sum[0] - count[0] * theta);
    }
    free(v);
    for (int c = 0; c < 2; c++) s[c] *= with[c] / ((with[c] - 1) * m[c]);
    return s[0] / m[0] + s[1] / m[1] + 2 * n_groups / (n_groups - 1) * s11 / (m[0] * m[1]);
}

static void test_standard_error(void **state)
{
    (void)state;
    hb_error err;
    double auroc, plain, se;
    uint32_t alone[N];
    for (uint32_t i = 0; i < N; i++) alone[i] = N - 1 - i; /* any numbers */
    for (uint64_t seed = 1; seed <= 20; seed++) {
        samples s = draw(seed);
        assert_ok(hb_delong_grouped(s.b, s.labels, s.groups, N, &auroc, &se, &err));
        assert_near(se, sqrt(variance(s.b, s.labels, s.groups, N)), 1e-12);
        assert_ok(hb_delong(s.b, s.labels, N, &auroc, &plain, &err));
        assert_ok(hb_delong_grouped(s.b, s.labels, alone, N, &auroc, &se, &err));
        assert_near(se, plain, 1e-12);
    }
    samples s = draw(1);
    s.groups[3] = N;
    assert_fails(hb_delong_grouped(s.a, s.labels, s.groups, N, &auroc, &se, &err), HB_ERR_ARGUMENT,
                 "group 60 of sample 3");
}

/* Every sample twice, in one group with its copy. */
typedef struct doubled {
    double a[2 * N], b[2 * N];
    uint8_t labels[2 * N];
    uint32_t groups[2 * N];
} doubled;

static doubled twice(const samples *s)
{
    doubled d;
    for (uint32_t i = 0; i < 2 * N; i++) {
        d.a[i] = s->a[i % N];
        d.b[i] = s->b[i % N];
        d.labels[i] = s->labels[i % N];
        d.groups[i] = i % N;
    }
    return d;
}

/* Copies in the group of the original add no information: intervals and tests do not change. As
 * separate samples they would make intervals narrower. */
static void test_copies_tell_nothing(void **state)
{
    (void)state;
    hb_error err;
    double of_one, of_two, of_naive, auroc, p[2], scores[4 * N];
    hb_auroc_difference one, two[2];
    samples s = draw(7);
    doubled d = twice(&s);
    uint32_t alone[N];
    for (uint32_t i = 0; i < N; i++) alone[i] = i;
    assert_ok(hb_delong(s.a, s.labels, N, &auroc, &of_one, &err));
    assert_ok(hb_delong_grouped(d.a, d.labels, d.groups, 2 * N, &auroc, &of_two, &err));
    assert_ok(hb_delong(d.a, d.labels, 2 * N, &auroc, &of_naive, &err));
    assert_near(of_two, of_one, 1e-12);
    assert_true(of_naive < 0.75 * of_one);

    assert_ok(hb_delong_compare(s.b, s.a, s.labels, N, &one, &err));
    memcpy(scores, d.a, sizeof d.a);
    memcpy(scores + 2 * N, d.b, sizeof d.b);
    assert_ok(hb_delong_compare_grouped(scores, 2, d.labels, d.groups, 2 * N, two, p, &err));
    assert_near(two[1].p, one.p, 1e-9);

    hb_bootstrap of_s, of_d;
    hb_bootstrap_options o = {.n_draws = 200, .seed = 3, .min_recall = 0.9, .groups = alone};
    assert_ok(hb_bootstrap_intervals(s.a, s.labels, N, &o, &of_s, &err));
    o.groups = d.groups;
    assert_ok(hb_bootstrap_intervals(d.a, d.labels, 2 * N, &o, &of_d, &err));
    assert_near(of_d.auroc.lower, of_s.auroc.lower, 1e-12);
    assert_near(of_d.auroc.upper, of_s.auroc.upper, 1e-12);
    assert_near(of_d.pr_auc.lower, of_s.pr_auc.lower, 1e-12);
    assert_near(of_d.precision_at_recall.upper, of_s.precision_at_recall.upper, 1e-12);
}

/* Many sets of pairs of a right and a wrong answer with correlated scores: the standard error for
 * groups equals the deviation of AUROC. DeLong's is larger. */
static void test_pairs(void **state)
{
    (void)state;
    enum { SETS = 400, PAIRS = 50 };
    double sum = 0, squares = 0, grouped = 0, plain = 0;
    hb_rng rng = {11};
    for (int set = 0; set < SETS; set++) {
        hb_error err;
        double scores[2 * PAIRS], auroc, se, of_delong;
        uint8_t labels[2 * PAIRS];
        uint32_t groups[2 * PAIRS];
        for (uint32_t i = 0; i < 2 * PAIRS; i++) {
            static double common;
            if (i % 2 == 0) common = 3 * hb_rng_unit(&rng);
            labels[i] = (uint8_t)(i % 2);
            groups[i] = i / 2;
            scores[i] = common + hb_rng_unit(&rng) + 0.3 * labels[i];
        }
        assert_ok(hb_delong_grouped(scores, labels, groups, 2 * PAIRS, &auroc, &se, &err));
        assert_ok(hb_delong(scores, labels, 2 * PAIRS, &auroc, &of_delong, &err));
        sum += auroc;
        squares += auroc * auroc;
        grouped += se / SETS;
        plain += of_delong / SETS;
    }
    double sd = sqrt(squares / SETS - pow(sum / SETS, 2));
    assert_near(grouped, sd, 0.1 * sd);
    assert_true(plain > 1.5 * sd);
}

static void test_too_few_groups(void **state)
{
    (void)state;
    hb_error err;
    hb_bootstrap out;
    samples s = draw(5);
    uint32_t one[N] = {0}; /* all samples are one group: every draw is the same */
    hb_bootstrap_options o = {.n_draws = 100, .seed = 1, .min_recall = 0.9, .groups = one};
    assert_ok(hb_bootstrap_intervals(s.a, s.labels, N, &o, &out, &err));
    assert_near(out.auroc.lower, out.auroc.upper, 0);
    for (int i = 0; i < N; i++) one[i] = (uint32_t)(i == 0); /* one sample alone has a label ... */
    for (int i = 0; i < N; i++) s.labels[i] = (uint8_t)(i == 0);
    o.n_draws = 1000;
    assert_ok(
        hb_bootstrap_intervals(s.a, s.labels, N, &o, &out, &err)); /* drawn again until both are */
    uint32_t many[N];
    for (uint32_t i = 0; i < N; i++) many[i] = i;
    many[0] = N; /* not a number below N */
    o.groups = many;
    assert_fails(hb_bootstrap_intervals(s.a, s.labels, N, &o, &out, &err), HB_ERR_ARGUMENT, "group 60");
}

/* ---- Folds --------------------------------------------------------------------------------------- */

static void test_folds(void **state)
{
    (void)state;
    enum { FOLDS = 4 };
    hb_error err;
    size_t n;
    uint32_t fold[N], again[N];
    samples s = draw(2);
    assert_ok(hb_deal_folds(s.labels, s.groups, N, FOLDS, 42, fold, &n, &err));
    assert_ok(hb_deal_folds(s.labels, s.groups, N, FOLDS, 42, again, &n, &err));
    assert_memory_equal(fold, again, sizeof fold);
    size_t heads = 0, most = 0, least = N, count[FOLDS] = {0};
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(fold[i], fold[s.groups[i]]);
        assert_true(fold[i] < FOLDS);
        heads += s.groups[i] == i;
        if (s.groups[i] == i) count[fold[i]]++;
    }
    assert_int_equal(n, heads);
    for (int f = 0; f < FOLDS; f++) {
        if (count[f] > most) most = count[f];
        if (count[f] < least) least = count[f];
    }
    assert_true(most - least <= 1);
    for (uint32_t i = 0; i < N; i++) s.groups[i] = i / 2 * 2, s.labels[i] = (uint8_t)(i % 2);
    assert_ok(hb_deal_folds(s.labels, s.groups, N, 5, 42, fold, &n, &err));
    assert_int_equal(n, N / 2);
    for (uint32_t f = 0; f < 5; f++) {
        size_t by_label[2] = {0};
        for (size_t i = 0; i < N; i++) by_label[s.labels[i]] += fold[i] == f;
        assert_int_equal(by_label[0], by_label[1]);
    }
}

/* A model can memorise random labels and recognise a copy. With all copies in one fold, the log-odds
 * out of fold contain no information. */
static void test_joint_models(void **state)
{
    (void)state;
    enum { D = 100 };
    static double x[D * 2 * N], z[2 * N];
    static const char *names[D];
    hb_error err;
    hb_joint joint;
    double leaky, honest;
    hb_rng rng = {5};
    samples s = draw(3);
    doubled d = twice(&s);
    hb_joint_options o = hb_joint_defaults();
    for (int j = 0; j < D; j++) {
        names[j] = "x";
        for (int i = 0; i < N; i++) x[j * 2 * N + i] = x[j * 2 * N + N + i] = hb_rng_unit(&rng);
    }
    assert_ok(hb_joint_fit(x, d.labels, 2 * N, D, names, &o, &joint, z, &err));
    assert_ok(hb_auroc(z, d.labels, 2 * N, &leaky, &err));
    hb_joint_free(&joint);
    o.groups = d.groups;
    assert_ok(hb_joint_fit(x, d.labels, 2 * N, D, names, &o, &joint, z, &err));
    assert_ok(hb_auroc(z, d.labels, 2 * N, &honest, &err));
    assert_null(joint.options.groups); /* they are the caller's */
    hb_joint_free(&joint);
    assert_true(leaky > 0.85);
    assert_true(honest < 0.65);

    for (uint32_t i = 0; i < 2 * N; i++) d.groups[i] = i % 4;
    assert_fails(hb_joint_fit(x, d.labels, 2 * N, D, names, &o, &joint, z, &err), HB_ERR_DATA,
                 "5 folds need as many groups of samples; there are 4");
    for (uint32_t i = 0; i < 2 * N; i++) d.groups[i] = d.labels[i] ? 0 : i + 1;
    for (uint32_t i = 0; i < 2 * N; i++) d.groups[i] %= 2 * N;
    assert_fails(hb_joint_fit(x, d.labels, 2 * N, D, names, &o, &joint, z, &err), HB_ERR_DATA,
                 "the samples of one label are in too few groups for 5 folds");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_standard_error),
        cmocka_unit_test(test_copies_tell_nothing),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_too_few_groups),
        cmocka_unit_test(test_folds),
        cmocka_unit_test(test_joint_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
