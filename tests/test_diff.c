/* Comparison of two results: the paired test where labels differ, and what becomes of a failure. */
#include "check.h"

#include <math.h>
#include "base/rng.h"
#include "calibrate/metrics.h"

enum { SAMPLES = 80, REPEATS = 1000 };

/* Two scores of the same samples, which share a part of their noise. With `alike`, both have the labels
 * of the first. */
typedef struct pair {
    double a[SAMPLES], b[SAMPLES];
    uint8_t labels_a[SAMPLES], labels_b[SAMPLES];
} pair;

static double normal(hb_rng *rng)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += hb_rng_unit(rng);
    return sum - 6;
}

static void draw(hb_rng *rng, bool alike, pair *p)
{
    for (int i = 0; i < SAMPLES; i++) {
        double common = normal(rng), hard = hb_rng_unit(rng);
        p->labels_a[i] = (uint8_t)(hard + 0.3 * hb_rng_unit(rng) > 0.65);
        p->labels_b[i] = alike ? p->labels_a[i] : (uint8_t)(hard + 0.3 * hb_rng_unit(rng) > 0.65);
        p->a[i] = common + normal(rng) + p->labels_a[i];
        p->b[i] = common + normal(rng) + p->labels_b[i];
    }
}

/* With equal labels it is DeLong's test. */
static void test_equal_labels(void **state)
{
    (void)state;
    hb_rng rng = {7};
    hb_error err;
    pair p;
    hb_auroc_difference other;
    draw(&rng, true, &p);
    double both[2 * SAMPLES], p_holm[2];
    hb_auroc_difference all[2];
    memcpy(both, p.b, sizeof p.b);
    memcpy(both + SAMPLES, p.a, sizeof p.a);
    assert_ok(hb_delong_compare_all(both, 2, p.labels_a, SAMPLES, all, p_holm, &err));
    assert_ok(
        hb_delong_compare_labelled(p.a, p.labels_a, p.b, p.labels_b, NULL, SAMPLES, &other, &err));
    assert_near(other.difference, all[1].difference, 1e-12);
    assert_near(other.se, all[1].se, 1e-12);
    assert_near(other.p, all[1].p, 1e-12);
}

/* Both scores are equally good, so the test must reject in about 5 % of the cases; the standard error
 * must be that of the differences. */
static void test_level(void **state)
{
    (void)state;
    hb_rng rng = {11};
    hb_error err;
    double squares = 0, variances = 0, sum = 0;
    int rejected = 0, differing = 0;
    for (int i = 0; i < REPEATS; i++) {
        pair p;
        hb_auroc_difference d;
        draw(&rng, false, &p);
        differing += memcmp(p.labels_a, p.labels_b, SAMPLES) != 0;
        assert_ok(
            hb_delong_compare_labelled(p.a, p.labels_a, p.b, p.labels_b, NULL, SAMPLES, &d, &err));
        sum += d.difference;
        squares += d.difference * d.difference;
        variances += d.se * d.se;
        rejected += d.p < 0.05;
    }
    assert_true(differing > REPEATS * 9 / 10);
    assert_near(sum / REPEATS, 0, 0.01);
    assert_near(sqrt(variances / squares), 1, 0.1);
    assert_in_range(rejected, REPEATS * 3 / 100, REPEATS * 8 / 100);
}

/* A sample that is there twice, in one group, says no more than once. */
static void test_groups(void **state)
{
    (void)state;
    hb_rng rng = {13};
    hb_error err;
    pair p;
    hb_auroc_difference once, twice;
    double a[2 * SAMPLES], b[2 * SAMPLES];
    uint8_t labels_a[2 * SAMPLES], labels_b[2 * SAMPLES];
    uint32_t groups[2 * SAMPLES];
    draw(&rng, false, &p);
    for (uint32_t i = 0; i < 2 * SAMPLES; i++) {
        a[i] = p.a[i / 2];
        b[i] = p.b[i / 2];
        labels_a[i] = p.labels_a[i / 2];
        labels_b[i] = p.labels_b[i / 2];
        groups[i] = i / 2;
    }
    assert_ok(hb_delong_compare_labelled(p.a, p.labels_a, p.b, p.labels_b, NULL, SAMPLES, &once, &err));
    assert_ok(hb_delong_compare_labelled(a, labels_a, b, labels_b, groups, 2 * SAMPLES, &twice, &err));
    assert_near(once.difference, twice.difference, 1e-12);
    assert_near(once.se, twice.se, 1e-12);
    memset(labels_b, 1, sizeof labels_b);
    assert_fails(hb_delong_compare_labelled(a, labels_a, b, labels_b, NULL, SAMPLES, &once, &err),
                 HB_ERR_DATA, "label");
}

static void test_failures(void **state)
{
    (void)state;
    hb_error err;
    hb_diff diff;
    hb_result_list list;
    assert_fails(hb_diff_files("/dev/null/a", "/dev/null/b", &diff, &err), HB_ERR_IO, "/dev/null/a");
    assert_fails(hb_results_list("/dev/null/x", &list, &err), HB_ERR_IO, "/dev/null/x");
    hb_diff_free(NULL);
    hb_result_list_free(NULL);
    assert_string_equal(hb_result_kind_name(HB_RESULT_DAMAGED), "damaged");
    assert_string_equal(hb_result_kind_name((hb_result_kind)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_equal_labels),
                                       cmocka_unit_test(test_level), cmocka_unit_test(test_groups),
                                       cmocka_unit_test(test_failures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
