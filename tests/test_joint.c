/* Joint models against scikit-learn: single fits, and a whole cross-validation with the same folds. */
#include "check.h"

#include <math.h>
#include "base/rng.h"

typedef struct fit_reference {
    const char *name;
    size_t n, d;
    double x[320]; /* [d][n] */
    uint8_t labels[80];
    double c, weights[4], intercept;
} fit_reference;

typedef struct joint_reference {
    size_t n, d;
    double x[180]; /* [d][n] */
    uint8_t labels[60];
    double log_loss[9], auroc[9];
    size_t best;
    double mean[3], sd[3], weights[3], intercept, out_of_fold[60];
} joint_reference;
#include "reference/joint_reference.h"

static const char *const names[] = {"a", "b:mean", "c", "d"};

/* Fails unless a and b agree to 1e-4, relative for values above 1. */
static void check_close(double a, double b)
{
    assert_near(a, b, 1e-4 * fmax(1, fabs(b)));
}

static void test_fits(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof fit_references / sizeof *fit_references; k++) {
        const fit_reference *f = &fit_references[k];
        hb_error err;
        double weights[4], intercept;
        print_message("%s\n", f->name);
        assert_ok(hb_logistic_fit(f->x, f->labels, f->n, f->d, f->c, weights, &intercept, &err));
        for (size_t j = 0; j < f->d; j++) check_close(weights[j], f->weights[j]);
        check_close(intercept, f->intercept);
    }
}

static void test_cross_validation(void **state)
{
    (void)state;
    const joint_reference *f = &joint_cv;
    hb_error err;
    hb_joint joint;
    double z[60], auroc, values[3];
    hb_joint_options o = hb_joint_defaults();
    assert_ok(hb_joint_fit(f->x, f->labels, f->n, f->d, names, &o, &joint, z, &err));
    assert_int_equal(joint.n_trials, 9);
    for (size_t t = 0; t < joint.n_trials; t++) {
        assert_near(joint.trials[t].c, pow(10, (double)t - 4), 1e-12);
        check_close(joint.trials[t].log_loss, f->log_loss[t]);
        check_close(joint.trials[t].auroc, f->auroc[t]);
    }
    assert_int_equal(joint.best, f->best);
    assert_int_equal(joint.n_features, 3);
    for (size_t j = 0; j < f->d; j++) {
        assert_string_equal(joint.features[j].score, names[j]);
        assert_near(joint.features[j].mean, f->mean[j], 1e-9);
        assert_near(joint.features[j].sd, f->sd[j], 1e-9);
        check_close(joint.features[j].weight, f->weights[j]);
    }
    check_close(joint.intercept, f->intercept);
    for (size_t i = 0; i < f->n; i++) check_close(z[i], f->out_of_fold[i]);
    assert_ok(hb_auroc(z, f->labels, f->n, &auroc, &err));
    assert_near(auroc, joint.trials[joint.best].auroc, 1e-12);

    double expected = f->intercept;
    for (size_t j = 0; j < f->d; j++) {
        values[j] = f->x[j * f->n + 5];
        expected += f->weights[j] * (values[j] - f->mean[j]) / f->sd[j];
    }
    check_close(hb_joint_log_odds(&joint, values), expected);
    hb_joint_free(&joint);
    hb_joint_free(NULL);
}

/* The same seed gives the same folds, another seed gives others. The units and the order of scores do
 * not matter. */
static void test_determinism(void **state)
{
    (void)state;
    const joint_reference *f = &joint_cv;
    hb_error err;
    hb_joint a, b;
    double z[60], again[60], x[180];
    hb_joint_options o = {.n_folds = 4, .seed = 7};
    assert_ok(hb_joint_fit(f->x, f->labels, f->n, f->d, names, &o, &a, z, &err));
    assert_ok(hb_joint_fit(f->x, f->labels, f->n, f->d, names, &o, &b, again, &err));
    assert_memory_equal(z, again, sizeof z);
    assert_memory_equal(a.trials, b.trials, a.n_trials * sizeof *a.trials);
    for (size_t j = 0; j < f->d; j++) {
        assert_string_equal(a.features[j].score, b.features[j].score);
        assert_near(a.features[j].weight, b.features[j].weight, 0);
    }
    assert_near(a.intercept, b.intercept, 0);
    hb_joint_free(&b);
    for (size_t i = 0; i < f->n; i++)
        for (size_t j = 0; j < f->d; j++) x[(f->d - 1 - j) * f->n + i] = 1e3 * f->x[j * f->n + i] - 5;
    assert_ok(hb_joint_fit(x, f->labels, f->n, f->d, names, &o, &b, again, &err));
    for (size_t j = 0; j < f->d; j++) assert_near(a.features[j].weight, b.features[2 - j].weight, 1e-6);
    for (size_t i = 0; i < f->n; i++) assert_near(z[i], again[i], 1e-5);
    hb_joint_free(&a);
    hb_joint_free(&b);
    o.seed = 8;
    assert_ok(hb_joint_fit(f->x, f->labels, f->n, f->d, names, &o, &b, again, &err));
    assert_memory_not_equal(z, again, sizeof z);
    hb_joint_free(&b);
}

/* With uninformative scores the fit looks good, but the out-of-fold AUROC does not. */
static void test_noise_is_found_out(void **state)
{
    (void)state;
    enum { N = 200, D = 60 };
    static double x[D * N], z[N];
    static uint8_t labels[N];
    const char *many[D];
    hb_rng rng = {3};
    hb_error err;
    hb_joint joint;
    double auroc, fitted[N];
    for (int i = 0; i < D * N; i++) x[i] = hb_rng_unit(&rng);
    for (int i = 0; i < N; i++) labels[i] = (uint8_t)(i % 2);
    for (int j = 0; j < D; j++) many[j] = "noise";
    hb_joint_options o = hb_joint_defaults();
    assert_ok(hb_joint_fit(x, labels, N, D, many, &o, &joint, z, &err));
    assert_ok(hb_auroc(z, labels, N, &auroc, &err));
    assert_in_range(auroc * 100, 38, 62);
    hb_joint_free(&joint);
    double weights[D], intercept;
    assert_ok(hb_logistic_fit(x, labels, N, D, 100, weights, &intercept, &err));
    for (int i = 0; i < N; i++) {
        fitted[i] = intercept;
        for (int j = 0; j < D; j++) fitted[i] += weights[j] * x[j * N + i];
    }
    assert_ok(hb_auroc(fitted, labels, N, &auroc, &err));
    assert_true(auroc > 0.75);
}

/* A joint model accepts any number of scores, with names of any length. */
static void test_many_scores(void **state)
{
    (void)state;
    enum { N = 60, D = 300 };
    static double x[D * N], z[N];
    static uint8_t labels[N];
    static char text[D][100];
    const char *many[D];
    hb_rng rng = {3};
    hb_error err;
    hb_joint joint;
    for (int i = 0; i < D * N; i++) x[i] = hb_rng_unit(&rng);
    for (int i = 0; i < N; i++) labels[i] = (uint8_t)(i % 2);
    for (int j = 0; j < D; j++) {
        snprintf(text[j], sizeof text[j], "%090d", j);
        many[j] = text[j];
    }
    assert_ok(hb_joint_fit(x, labels, N, D, many, &(hb_joint_options){2, 1, NULL}, &joint, z, &err));
    assert_int_equal(joint.n_features, D);
    assert_string_equal(joint.features[D - 1].score, text[D - 1]);
    hb_joint_free(&joint);
}

static void test_refusals(void **state)
{
    (void)state;
    const joint_reference *f = &joint_cv;
    hb_error err;
    hb_joint joint;
    double z[60], x[180], weights[3], intercept;
    uint8_t labels[60] = {1, 1, 1};
    hb_joint_options o = hb_joint_defaults();
    assert_fails(
        hb_joint_fit(f->x, labels, 60, 3, names, &o, &joint, z, &err), HB_ERR_DATA,
        "5 folds need as many samples of either label; 57 are faithful (0), 3 hallucinated (1)");
    memcpy(x, f->x, sizeof x);
    x[60 + 8] = INFINITY;
    assert_fails(hb_joint_fit(x, f->labels, 60, 3, names, &o, &joint, z, &err), HB_ERR_DATA,
                 "b:mean: the score of sample 8 is inf");
    assert_fails(hb_logistic_fit(x, f->labels, 60, 3, 1, weights, &intercept, &err), HB_ERR_DATA,
                 "score 1: the score of sample 8");
    x[60 + 8] = 1e200;
    assert_fails(hb_joint_fit(x, f->labels, 60, 3, names, &o, &joint, z, &err), HB_ERR_DATA,
                 "b:mean: the score of sample 8 is 1e+200, too large");
    assert_fails(hb_joint_fit(f->x, f->labels, 60, 0, names, &o, &joint, z, &err), HB_ERR_ARGUMENT,
                 "cannot take 0 scores");
    o.n_folds = 1;
    assert_fails(hb_joint_fit(f->x, f->labels, 60, 3, names, &o, &joint, z, &err), HB_ERR_ARGUMENT,
                 "1 folds");
    assert_fails(hb_logistic_fit(f->x, f->labels, 60, 3, 0, weights, &intercept, &err), HB_ERR_ARGUMENT,
                 "c 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fits),        cmocka_unit_test(test_cross_validation),
        cmocka_unit_test(test_determinism), cmocka_unit_test(test_noise_is_found_out),
        cmocka_unit_test(test_refusals),    cmocka_unit_test(test_many_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
