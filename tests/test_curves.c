/* The curves for figures, against the metrics that they are drawn from. */
#include "check.h"

#include <math.h>
#include "base/rng.h"

enum { N = 400 };

typedef struct samples {
    double scores[N];
    uint8_t labels[N];
    uint32_t groups[N];
} samples;

/* Scores with ties; label 1 scores higher. Two samples share a group. */
static samples draw(bool turned)
{
    samples s;
    hb_rng rng = {7};
    for (size_t i = 0; i < N; i++) {
        s.labels[i] = hb_rng_below(&rng, 3) == 0;
        double score = (double)(hb_rng_below(&rng, 20) + 6 * s.labels[i]);
        s.scores[i] = turned ? -score : score;
        s.groups[i] = (uint32_t)(i / 2);
    }
    return s;
}

static hb_validation_options options(bool turned)
{
    hb_validation_options o = hb_validation_defaults();
    o.tau = turned ? -15 : 15;
    o.lambda = 0.2;
    o.direction = turned ? HB_DIRECTION_LOW : HB_DIRECTION_HIGH;
    o.bootstrap.n_draws = 200;
    return o;
}

/* The true positive rate at a false positive rate, on the polyline through all thresholds. */
static double rate_at(const samples *s, double at)
{
    double best = 0, last[2] = {0, 0}, count[2] = {0, 0};
    for (size_t i = 0; i < N; i++) count[s->labels[i]]++;
    for (int k = 40; k >= -1; k--) {
        double now[2] = {0, 0};
        for (size_t i = 0; i < N; i++) now[s->labels[i]] += s->scores[i] >= k;
        now[0] /= count[0];
        now[1] /= count[1];
        if (now[0] <= at + 1e-12) best = now[1];
        else if (last[0] <= at)
            return last[1] + (now[1] - last[1]) * (at - last[0]) / (now[0] - last[0]);
        last[0] = now[0];
        last[1] = now[1];
    }
    return best;
}

static void test_roc(void **state)
{
    (void)state;
    hb_error err;
    samples s = draw(false);
    hb_curves *c;
    double auroc, area = 0;
    const hb_validation_options o = options(false);
    assert_ok(hb_find_curves(s.scores, s.labels, N, &o, &c, &err));
    assert_ok(hb_auroc(s.scores, s.labels, N, &auroc, &err));
    for (size_t k = 0; k < c->roc.n; k++) {
        assert_near(c->roc.y[k], rate_at(&s, c->roc.x[k]), 1e-9);
        if (k) area += (c->roc.x[k] - c->roc.x[k - 1]) * (c->roc.y[k] + c->roc.y[k - 1]) / 2;
    }
    assert_near(area, auroc, 0.01);
    assert_near(c->roc.y[c->roc.n - 1], 1, 0);
    hb_curves_free(c);
}

static void test_precision(void **state)
{
    (void)state;
    hb_error err;
    samples s = draw(false);
    hb_curves *c;
    double ap, area = 0;
    const hb_validation_options o = options(false);
    assert_ok(hb_find_curves(s.scores, s.labels, N, &o, &c, &err));
    assert_ok(hb_average_precision(s.scores, s.labels, N, &ap, &err));
    for (size_t k = 0; k < c->precision_recall.n; k++)
        area += c->precision_recall.y[k] / (double)c->precision_recall.n;
    assert_near(area, ap, 0.02);
    hb_curves_free(c);
}

/* What a validation computes, too, is the same. */
static void test_as_validation(void **state)
{
    (void)state;
    hb_error err;
    samples s = draw(false);
    hb_curves *c;
    hb_validation v;
    const hb_validation_options o = options(false);
    assert_ok(hb_find_curves(s.scores, s.labels, N, &o, &c, &err));
    assert_ok(hb_validate(s.scores, s.labels, N, &o, &v, &err));
    assert_int_equal(c->risk_coverage.n, HB_RISK_POINTS);
    for (int k = 0; k < HB_RISK_POINTS; k++) assert_near(c->risk_coverage.y[k], v.risks[k], 1e-12);
    assert_near(c->aurc, v.aurc, 1e-12);
    assert_near(c->ece, v.ece, 1e-12);
    size_t bars[2] = {0, 0}, binned = 0;
    for (size_t b = 0; b < c->n_bars; b++)
        for (int label = 0; label < 2; label++) bars[label] += c->bars[label][b];
    for (size_t b = 0; b < c->reliability.n; b++) binned += c->n_in_bin[b];
    assert_int_equal(bars[0], v.sweep.by_label[0].n);
    assert_int_equal(bars[1], v.sweep.by_label[1].n);
    assert_int_equal(binned, N);
    hb_validation_free(&v);
    hb_curves_free(c);
}

static void check_bands(const hb_curve *curve, double *width)
{
    *width = 0;
    for (size_t k = 0; k < curve->n; k++) {
        assert_true(curve->lower[k] <= curve->y[k] + 0.02 && curve->y[k] <= curve->upper[k] + 0.02);
        *width += (curve->upper[k] - curve->lower[k]) / (double)curve->n;
    }
}

/* Bands surround their curves. Groups of samples with the same label and score count once, so that
 * their bands are wider. */
static void test_bands(void **state)
{
    (void)state;
    hb_error err;
    samples s = draw(false);
    hb_curves *alone, *grouped, *without;
    double widths[2];
    hb_validation_options o = options(false);
    for (size_t i = 0; i < N; i += 2) {
        s.labels[i + 1] = s.labels[i];
        s.scores[i + 1] = s.scores[i];
    }
    assert_ok(hb_find_curves(s.scores, s.labels, N, &o, &alone, &err));
    o.bootstrap.groups = s.groups;
    assert_ok(hb_find_curves(s.scores, s.labels, N, &o, &grouped, &err));
    check_bands(&alone->roc, &widths[0]);
    check_bands(&grouped->roc, &widths[1]);
    assert_true(widths[0] > 0.02 && widths[1] > 1.2 * widths[0]);
    check_bands(&alone->precision_recall, &widths[0]);
    check_bands(&alone->risk_coverage, &widths[0]);
    check_bands(&alone->reliability, &widths[0]);
    o.bootstrap.n_draws = 0;
    assert_ok(hb_find_curves(s.scores, s.labels, N, &o, &without, &err));
    assert_true(isnan(without->roc.lower[10]) && isnan(without->risk_coverage.upper[3]));
    assert_near(without->roc.y[10], alone->roc.y[10], 0);
    hb_curves_free(alone);
    hb_curves_free(grouped);
    hb_curves_free(without);
}

/* Scores of the other sign, where low ones are risky, give the same curves. */
static void test_turned(void **state)
{
    (void)state;
    hb_error err;
    samples s = draw(false), t = draw(true);
    hb_curves *a, *b;
    hb_validation_options o = options(false), p = options(true);
    assert_ok(hb_find_curves(s.scores, s.labels, N, &o, &a, &err));
    assert_ok(hb_find_curves(t.scores, t.labels, N, &p, &b, &err));
    for (size_t k = 0; k < a->roc.n; k++) {
        assert_near(a->roc.y[k], b->roc.y[k], 1e-12);
        assert_near(a->roc.lower[k], b->roc.lower[k], 1e-12);
    }
    assert_near(a->lower, -b->upper, 1e-12);
    assert_near(a->aurc, b->aurc, 1e-12);
    hb_curves_free(a);
    hb_curves_free(b);
}

static void test_refused(void **state)
{
    (void)state;
    hb_error err;
    samples s = draw(false);
    hb_curves *c;
    s.scores[3] = NAN;
    assert_fails(hb_find_curves(s.scores, s.labels, N, NULL, &c, &err), HB_ERR_DATA, "sample 3");
    hb_curves_free(NULL);
}

/* Equal scores have a histogram without width. */
static void test_constant(void **state)
{
    (void)state;
    hb_error err;
    samples s = draw(false);
    hb_curves *c;
    const hb_validation_options o = options(false);
    for (size_t i = 0; i < N; i++) s.scores[i] = 3;
    assert_ok(hb_find_curves(s.scores, s.labels, N, &o, &c, &err));
    assert_int_equal(c->bars[0][0] + c->bars[1][0], N);
    for (size_t k = 0; k < c->roc.n; k++) assert_near(c->roc.y[k], c->roc.x[k], 1e-12);
    hb_curves_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roc),           cmocka_unit_test(test_precision),
        cmocka_unit_test(test_as_validation), cmocka_unit_test(test_bands),
        cmocka_unit_test(test_turned),        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_constant)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
