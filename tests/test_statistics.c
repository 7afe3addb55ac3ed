/* Curves, tests, intervals and probabilities against scikit-learn, SciPy and plain definitions. */
#include "check.h"

#include <float.h>
#include <math.h>

/* Two scores of the same samples, and the expected results. */
typedef struct reference {
    const char *name;
    size_t n;
    double a[60], b[60];
    uint8_t labels[60];
    double auroc, average_precision, se[1];
    double compared[3]; /* AUROC(a) - AUROC(b), its standard error, p */
    double spearman[1];
    double quantiles[7];
    size_t n_curve;
    double curve[60][3]; /* threshold, precision, recall, from the fewest flagged to the most */
    double aurc, prr, ece, brier, log_loss, precision;
    double bootstrap[6]; /* intervals of AUROC, average precision, precision at recall */
} reference;
#include "reference/statistics_reference.h"

#define N_REFERENCES (sizeof references / sizeof *references)

/* Within 1e-9 of the value's size, or both NaN. */
static void check(const char *name, const char *what, double got, double wanted)
{
    if (isnan(got) && isnan(wanted)) return;
    if (!(fabs(got - wanted) <= 1e-9 * fmax(1, fabs(wanted))))
        fail_msg("%s: %s is %.17g, not %.17g", name, what, got, wanted);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static bool is_constant(const double *values, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (values[i] != values[0]) return false;
    return true;
}

static void check_curves(const reference *f)
{
    static const double at[] = {0, 0.025, 0.25, 0.5, 0.777, 0.975, 1};
    hb_error err;
    double value, sorted[60];
    assert_ok(hb_auroc(f->a, f->labels, f->n, &value, &err));
    check(f->name, "AUROC", value, f->auroc);
    assert_ok(hb_average_precision(f->a, f->labels, f->n, &value, &err));
    check(f->name, "average precision", value, f->average_precision);
    memcpy(sorted, f->a, sizeof sorted);
    qsort(sorted, f->n, sizeof *sorted, ascending);
    for (int q = 0; q < 7; q++)
        check(f->name, "a quantile", hb_quantile(sorted, f->n, at[q]), f->quantiles[q]);
    if (is_constant(f->a, f->n)) return;
    hb_sweep_options o = {.grid = HB_GRID_EXACT, .min_recall = 0.8, .direction = HB_DIRECTION_HIGH};
    hb_sweep_result r;
    assert_ok(hb_sweep(f->a, f->labels, f->n, &o, &r, &err));
    assert_int_equal(r.n_points, f->n_curve);
    for (size_t k = 0; k < r.n_points; k++) {
        assert_true(r.points[k].tau == f->curve[k][0]);
        check(f->name, "precision", r.points[k].precision, f->curve[k][1]);
        check(f->name, "recall", r.points[k].recall, f->curve[k][2]);
    }
    hb_sweep_free(&r);
}

static void check_uncertainty(const reference *f)
{
    hb_error err;
    hb_auroc_difference d;
    hb_uncertainty u;
    const hb_bootstrap_options o = {.n_draws = 200, .seed = 42, .min_recall = 0.8};
    assert_ok(hb_delong_compare(f->a, f->b, f->labels, f->n, &d, &err));
    check(f->name, "difference", d.difference, f->compared[0]);
    check(f->name, "its standard error", d.se, f->compared[1]);
    check(f->name, "its p", d.p, f->compared[2]);
    assert_ok(hb_find_uncertainty(f->a, f->labels, f->n, HB_DIRECTION_HIGH, &o, &u, &err));
    check(f->name, "standard error", u.auroc_se, f->se[0]);
    double reach = 1.959963984540054 * f->se[0];
    bool known = !isnan(reach);
    check(f->name, "lower end", u.auroc_delong.lower, known ? fmax(0, f->auroc - reach) : NAN);
    check(f->name, "upper end", u.auroc_delong.upper, known ? fmin(1, f->auroc + reach) : NAN);
    const hb_interval *intervals[] = {&u.bootstrap.auroc, &u.bootstrap.pr_auc,
                                      &u.bootstrap.precision_at_recall};
    for (int k = 0; k < 3; k++) {
        check(f->name, "bootstrap's lower end", intervals[k]->lower, f->bootstrap[2 * k]);
        check(f->name, "bootstrap's upper end", intervals[k]->upper, f->bootstrap[2 * k + 1]);
    }
    check(f->name, "precision", u.bootstrap.precision, f->precision);
}

static void check_validation(const reference *f)
{
    hb_error err;
    hb_validation v;
    const hb_validation_options o = {
        .tau = 0.4, .lambda = 3, .direction = HB_DIRECTION_HIGH, .bootstrap = {.min_recall = 0.8}};
    if (is_constant(f->a, f->n)) {
        assert_fails(hb_validate(f->a, f->labels, f->n, &o, &v, &err), HB_ERR_DATA,
                     "all 10 scores are");
        return;
    }
    assert_ok(hb_validate(f->a, f->labels, f->n, &o, &v, &err));
    check(f->name, "AURC", v.aurc, f->aurc);
    check(f->name, "PRR", v.prr, f->prr);
    check(f->name, "ECE", v.ece, f->ece);
    check(f->name, "Brier", v.brier, f->brier);
    check(f->name, "log-loss", v.log_loss, f->log_loss);
    check(f->name, "risk at coverage 1", v.risks[HB_RISK_POINTS - 1], v.sweep.hallucination_rate);
    hb_validation_free(&v);
}

static void check_correlation(const reference *f)
{
    hb_error err;
    double both[2 * 60], r[4];
    memcpy(both, f->a, f->n * sizeof *both);
    memcpy(both + f->n, f->b, f->n * sizeof *both);
    assert_ok(hb_spearman(both, 2, f->n, r, &err));
    check(f->name, "correlation", r[1], f->spearman[0]);
    assert_true(r[2] == r[1] || isnan(r[1]));
    assert_near(r[3], 1, 0);
    if (!is_constant(f->a, f->n)) assert_near(r[0], 1, 0);
    both[3] = NAN;
    assert_fails(hb_spearman(both, 2, f->n, r, &err), HB_ERR_DATA, "sample 3 is nan");
}

static void test_references(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_REFERENCES; k++) {
        check_curves(&references[k]);
        check_uncertainty(&references[k]);
        check_validation(&references[k]);
        check_correlation(&references[k]);
    }
}

static void test_holm(void **state)
{
    (void)state;
    enum { N = sizeof holm_p / sizeof *holm_p };
    hb_error err;
    double adjusted[N], with_gap[N + 1];
    assert_ok(hb_holm(holm_p, N, adjusted, &err));
    for (int i = 0; i < N; i++) check("holm", "p", adjusted[i], holm_adjusted[i]);
    with_gap[0] = NAN; /* a missing test does not count */
    memcpy(with_gap + 1, holm_p, sizeof holm_p);
    assert_ok(hb_holm(with_gap, N + 1, with_gap, &err));
    assert_true(isnan(with_gap[0]));
    for (int i = 0; i < N; i++) check("holm", "p", with_gap[i + 1], holm_adjusted[i]);
    assert_ok(hb_holm(NULL, 0, NULL, &err));
}

/* The log-loss of a certain but wrong probability is limited by the precision of doubles. */
static void test_log_loss_of_certainty(void **state)
{
    (void)state;
    const uint8_t labels[] = {1, 0};
    assert_near(hb_log_loss((double[]){1, 0}, labels, 2), 0, 1e-15);
    assert_near(hb_log_loss((double[]){0, 1}, labels, 2), -log(DBL_EPSILON), 1e-9);
}

/* ---- The ranking --------------------------------------------------------------------------------- */

enum { MANY = 60 };

/* The scores of three references on the first one's samples, and a constant score. */
static hb_score_table table(void)
{
    static double scores[4 * MANY];
    static uint8_t labels[MANY];
    memcpy(scores, references[0].b, MANY * sizeof *scores);
    memcpy(scores + MANY, references[0].a, MANY * sizeof *scores);
    for (int i = 0; i < MANY; i++) scores[2 * MANY + i] = -references[0].a[i], scores[3 * MANY + i] = 7;
    memcpy(labels, references[0].labels, sizeof labels);
    return (hb_score_table){.scores = scores, .labels = labels, .n = MANY, .n_scores = 4};
}

static void test_ranking(void **state)
{
    (void)state;
    static const char *const names[] = {"b", "a", "-a", "constant"};
    const reference *f = &references[0];
    const hb_bootstrap_options bootstrap = {.n_draws = 200, .seed = 42, .min_recall = 0.8};
    hb_sweep_options o = {.grid = HB_GRID_EXACT, .min_recall = 0.8, .direction = HB_DIRECTION_AUTO};
    hb_score_table t = table();
    hb_comparison c;
    hb_error err;
    assert_ok(hb_compare_scores(&t, names, &o, &bootstrap, &c, &err));
    assert_int_equal(c.n, 3);
    assert_int_equal(c.n_constant, 1);
    const char *const order[] = {"a", "-a", "b"};
    for (int k = 0; k < 3; k++) assert_string_equal(c.scores[k].name, order[k]);
    assert_int_equal(c.scores[1].place, 2);
    assert_int_equal(c.scores[1].sweep.direction, HB_DIRECTION_LOW);
    check(f->name, "AUROC", c.scores[0].sweep.auroc, f->auroc);
    check(f->name, "PR-AUC's lower end", c.scores[1].uncertainty.bootstrap.pr_auc.lower,
          f->bootstrap[2]);
    assert_true(isnan(c.scores[0].p_holm));
    assert_near(c.scores[1].p_holm, 1, 0); /* the same ranking */
    check(f->name, "p", c.scores[2].difference.p, f->compared[2]);
    check(f->name, "Holm's p", c.scores[2].p_holm, fmin(1, 2 * f->compared[2]));
    assert_near(c.correlations[1], -1, 1e-12);
    check(f->name, "correlation", c.correlations[2], f->spearman[0]);
    check(f->name, "correlation", c.correlations[5], -f->spearman[0]);
    hb_comparison_free(&c);
    hb_comparison_free(NULL);
}

static void test_what_cannot_be_ranked(void **state)
{
    (void)state;
    static const char *const names[] = {"constant", "other"};
    const hb_bootstrap_options none = {.min_recall = 0.9};
    hb_sweep_options o = hb_sweep_defaults();
    hb_score_table t = table();
    hb_comparison c;
    hb_error err;
    t.scores += 3 * MANY;
    t.n_scores = 1;
    assert_fails(hb_compare_scores(&t, names, &o, &none, &c, &err), HB_ERR_DATA,
                 "none of 1 scores varies");
    t = table();
    t.n = 9;
    assert_fails(hb_compare_scores(&t, names, &o, &none, &c, &err), HB_ERR_DATA, "9 scored samples");
    o = (hb_sweep_options){HB_GRID_RANGE, 0, 1, 0.1, 0.9, HB_DIRECTION_AUTO, {0}};
    assert_fails(hb_compare_scores(&t, names, &o, &none, &c, &err), HB_ERR_ARGUMENT, "a range of tau");
    o = hb_sweep_defaults();
    t.n = MANY;
    const hb_bootstrap_options few = {.n_draws = 99, .min_recall = 0.9};
    assert_fails(hb_compare_scores(&t, names, &o, &few, &c, &err), HB_ERR_ARGUMENT, "99 draws");
}

/* A failing function leaves its outputs unchanged, even if the first scores were valid. */
static void test_outputs_stay_unset(void **state)
{
    (void)state;
    double scores[3][10], p[3] = {7, 7, 7};
    uint8_t labels[10];
    hb_auroc_difference out[3] = {{.p = 7}, {.p = 7}, {.p = 7}};
    hb_error err;
    for (int i = 0; i < 10; i++) {
        labels[i] = (uint8_t)(i % 2);
        for (int k = 0; k < 3; k++) scores[k][i] = (i * (k + 3)) % 7;
    }
    scores[2][4] = NAN;
    assert_fails(hb_delong_compare_all(&scores[0][0], 3, labels, 10, out, p, &err), HB_ERR_DATA,
                 "sample 4");
    for (int k = 0; k < 3; k++) {
        assert_near(out[k].p, 7, 0);
        assert_near(p[k], 7, 0);
    }
    scores[2][4] = 1;
    assert_ok(hb_delong_compare_all(&scores[0][0], 3, labels, 10, out, p, &err));
    assert_true(isnan(out[0].p) && isnan(p[0]) && p[1] <= 1 && p[2] <= 1);
}

/* NULL options mean the defaults. */
static void test_no_options(void **state)
{
    (void)state;
    double scores[2][20], folds[2][20];
    uint8_t labels[20];
    hb_error err;
    hb_validation v, same;
    hb_joint joint, alike;
    hb_bootstrap b, again;
    static const char *const names[] = {"a", "b"};
    const hb_validation_options vo = hb_validation_defaults();
    const hb_joint_options jo = hb_joint_defaults();
    const hb_bootstrap_options bo = hb_bootstrap_defaults();
    for (int i = 0; i < 20; i++) {
        labels[i] = (uint8_t)(i % 2);
        for (int k = 0; k < 2; k++) scores[k][i] = (i * (k + 3)) % 7;
    }
    assert_ok(hb_validate(scores[0], labels, 20, NULL, &v, &err));
    assert_ok(hb_validate(scores[0], labels, 20, &vo, &same, &err));
    assert_near(v.at_tau.tau, 2, 0);
    assert_near(v.ece, same.ece, 0);
    assert_memory_equal(&v.uncertainty, &same.uncertainty, sizeof v.uncertainty);
    hb_validation_free(&v);
    hb_validation_free(&same);
    assert_ok(hb_joint_fit(scores[0], labels, 20, 2, names, NULL, &joint, folds[0], &err));
    assert_ok(hb_joint_fit(scores[0], labels, 20, 2, names, &jo, &alike, folds[1], &err));
    assert_memory_equal(folds[0], folds[1], sizeof folds[0]);
    hb_joint_free(&joint);
    hb_joint_free(&alike);
    assert_ok(hb_bootstrap_intervals(scores[0], labels, 20, NULL, &b, &err));
    assert_ok(hb_bootstrap_intervals(scores[0], labels, 20, &bo, &again, &err));
    assert_memory_equal(&b, &again, sizeof b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs_stay_unset),
        cmocka_unit_test(test_no_options),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_holm),
        cmocka_unit_test(test_log_loss_of_certainty),
        cmocka_unit_test(test_ranking),
        cmocka_unit_test(test_what_cannot_be_ranked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
