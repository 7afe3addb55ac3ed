/* Compares maps from score to probability with scikit-learn, and tests the functions that use maps. */
#include "check.h"

#include <math.h>
#include "base/rng.h"

typedef struct map_reference {
    const char *name;
    size_t n;
    double scores[80];
    uint8_t labels[80];
    size_t n_points;
    double points[8], platt[8], rising[8],
        falling[8]; /* scores, and the expected probabilities of each map */
    double tau;
    double lambdas[2]; /* maximum-likelihood lambda for tau, for high and low; NaN: none */
} map_reference;
#include "reference/maps_reference.h"

#define N_REFERENCES (sizeof map_references / sizeof *map_references)

static hb_map fit(const map_reference *f, hb_map_kind kind, hb_direction direction)
{
    hb_error err;
    hb_map map;
    assert_ok(hb_map_fit(f->scores, f->labels, f->n, kind, f->tau, direction, &map, &err));
    return map;
}

static void check_map(const map_reference *f, hb_map_kind kind, hb_direction direction,
                      const double *expected, double tolerance)
{
    hb_map map = fit(f, kind, direction);
    for (size_t i = 0; i < f->n_points; i++)
        assert_near(hb_map_p(&map, f->points[i]), expected[i], tolerance);
    hb_map_free(&map);
}

static void check_lambda(const map_reference *f, hb_direction direction)
{
    hb_error err;
    hb_map map;
    double expected = f->lambdas[direction];
    hb_status status =
        hb_map_fit(f->scores, f->labels, f->n, HB_MAP_FIT_LAMBDA, f->tau, direction, &map, &err);
    assert_int_equal(status, isnan(expected) ? HB_ERR_DATA : HB_OK);
    if (status) return;
    assert_near(map.lambda / expected, 1, 1e-4);
    assert_near(hb_map_p(&map, f->points[0]), hb_p_fail(f->points[0], f->tau, map.lambda, direction),
                0);
}

static void test_references(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_REFERENCES; k++) {
        const map_reference *f = &map_references[k];
        print_message("%s\n", f->name);
        check_map(f, HB_MAP_PLATT, HB_DIRECTION_HIGH, f->platt, 1e-4);
        check_map(f, HB_MAP_PLATT, HB_DIRECTION_LOW, f->platt, 1e-4);
        check_map(f, HB_MAP_ISOTONIC, HB_DIRECTION_HIGH, f->rising, 1e-9);
        check_map(f, HB_MAP_ISOTONIC, HB_DIRECTION_LOW, f->falling, 1e-9);
        check_lambda(f, HB_DIRECTION_HIGH);
        check_lambda(f, HB_DIRECTION_LOW);
    }
}

/* A slope of zero is a minimum: the gradient of Platt's loss is 0 there, in any units. */
static void test_platt_is_a_minimum(void **state)
{
    (void)state;
    static const double units[] = {1e-6, 1, 1e6};
    hb_rng rng = {4};
    for (int u = 0; u < 3; u++) {
        enum { N = 500 };
        double scores[N], gradient[2] = {0}, ones = 0;
        uint8_t labels[N];
        hb_error err;
        hb_map map;
        for (int i = 0; i < N; i++) {
            labels[i] = (uint8_t)hb_rng_below(&rng, 2);
            scores[i] = units[u] * (5 + hb_rng_unit(&rng) + 0.3 * labels[i]);
            ones += labels[i];
        }
        assert_ok(hb_map_fit(scores, labels, N, HB_MAP_PLATT, 0, HB_DIRECTION_HIGH, &map, &err));
        for (int i = 0; i < N; i++) {
            double target = labels[i] ? (ones + 1) / (ones + 2) : 1 / (N - ones + 2);
            double off = target - hb_map_p(&map, scores[i]);
            gradient[0] += off * scores[i] / units[u];
            gradient[1] += off;
        }
        assert_near(gradient[0], 0, 1e-6);
        assert_near(gradient[1], 0, 1e-6);
    }
}

/* Pools computed by hand: 0 1 | 0 0 1 1 1 becomes 0, then 1/3 three times, then 1. */
static void test_isotonic_by_hand(void **state)
{
    (void)state;
    const double scores[] = {1, 2, 3, 4, 5, 6, 6};
    const uint8_t labels[] = {0, 1, 0, 0, 1, 1, 1};
    hb_error err;
    hb_map map;
    assert_ok(hb_map_fit(scores, labels, 7, HB_MAP_ISOTONIC, 0, HB_DIRECTION_HIGH, &map, &err));
    assert_int_equal(map.n_knots, 5);
    const double knots[] = {1, 2, 4, 5, 6}, p[] = {0, 1.0 / 3, 1.0 / 3, 1, 1};
    for (size_t i = 0; i < 5; i++) {
        assert_near(map.scores[i], knots[i], 0);
        assert_near(map.p[i], p[i], 1e-15);
    }
    assert_near(hb_map_p(&map, -INFINITY), 0, 0);
    assert_near(hb_map_p(&map, 1.5), 1.0 / 6, 1e-15);
    assert_near(hb_map_p(&map, 4.5), 2.0 / 3, 1e-15);
    assert_near(hb_map_p(&map, 1e300), 1, 0);
    hb_map_free(&map);
    assert_int_equal(map.n_knots, 0);
    hb_map_free(NULL);
}

static void test_refusals(void **state)
{
    (void)state;
    const double apart[] = {1, 2, 3, 4};
    const uint8_t labels[] = {0, 0, 1, 1}, ones[] = {1, 1, 1, 1};
    hb_error err;
    hb_map map;
    assert_fails(hb_map_fit(apart, labels, 4, HB_MAP_FIT_LAMBDA, 2.5, HB_DIRECTION_HIGH, &map, &err),
                 HB_ERR_DATA, "tau 2.5 makes no error");
    assert_fails(hb_map_fit(apart, labels, 4, HB_MAP_FIT_LAMBDA, 2.5, HB_DIRECTION_LOW, &map, &err),
                 HB_ERR_DATA, "not above 0");
    assert_fails(hb_map_fit(apart, ones, 4, HB_MAP_ISOTONIC, 2.5, HB_DIRECTION_HIGH, &map, &err),
                 HB_ERR_DATA, "have label 1");
    assert_fails(hb_map_fit(apart, labels, 4, HB_MAP_PLATT, NAN, HB_DIRECTION_HIGH, &map, &err),
                 HB_ERR_ARGUMENT, "tau nan");
    assert_fails(hb_map_fit(apart, labels, 4, HB_MAP_PLATT, 0, HB_DIRECTION_AUTO, &map, &err),
                 HB_ERR_ARGUMENT, "neither high nor low");
    assert_fails(hb_map_fit(apart, labels, 4, (hb_map_kind)9, 0, HB_DIRECTION_HIGH, &map, &err),
                 HB_ERR_ARGUMENT, "unknown kind of map");
}

/* Validation uses the probabilities of the map. */
static void test_validated(void **state)
{
    (void)state;
    const map_reference *f = &map_references[1];
    hb_error err;
    hb_validation v;
    hb_map map = fit(f, HB_MAP_ISOTONIC, HB_DIRECTION_HIGH);
    hb_validation_options o = {.tau = f->tau, .lambda = 5, .direction = HB_DIRECTION_HIGH, .map = &map};
    o.bootstrap.min_recall = 0.9;
    assert_ok(hb_validate(f->scores, f->labels, f->n, &o, &v, &err));
    double squares = 0;
    for (size_t i = 0; i < f->n; i++) {
        double off = hb_map_p(&map, f->scores[i]) - f->labels[i];
        squares += off * off;
    }
    assert_near(v.brier, squares / (double)f->n, 1e-12);
    hb_validation_free(&v);
    o.map = NULL;
    assert_ok(hb_validate(f->scores, f->labels, f->n, &o, &v, &err));
    assert_true(v.brier > squares / (double)f->n);
    hb_validation_free(&v);
    hb_map_free(&map);
}

static void test_a_million(void **state)
{
    (void)state;
    enum { MANY = 1000000 };
    double *scores = malloc(MANY * sizeof *scores);
    uint8_t *labels = malloc(MANY);
    hb_rng rng = {5};
    for (int i = 0; i < MANY; i++) {
        scores[i] = hb_rng_unit(&rng);
        labels[i] = hb_rng_unit(&rng) < scores[i];
    }
    for (int kind = HB_MAP_FIT_LAMBDA; kind <= HB_MAP_ISOTONIC; kind++) {
        hb_error err;
        hb_map map;
        assert_ok(
            hb_map_fit(scores, labels, MANY, (hb_map_kind)kind, 0.5, HB_DIRECTION_HIGH, &map, &err));
        for (double s = 0.25; s < 0.8; s += 0.25) assert_near(hb_map_p(&map, s), s, 0.05);
        hb_map_free(&map);
    }
    free(scores);
    free(labels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),       cmocka_unit_test(test_platt_is_a_minimum),
        cmocka_unit_test(test_isotonic_by_hand), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_validated),        cmocka_unit_test(test_a_million),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
