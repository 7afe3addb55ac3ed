/* Pass 2 against scikit-learn and NumPy, against brute force, and against its own contract. */
#include "check.h"

#include <jansson.h>
#include <math.h>
#include "base/rng.h"

/* One data set and the results of scikit-learn and NumPy. */
typedef struct reference {
    const char *name;
    size_t n;
    double scores[80];
    uint8_t labels[80];
    double auroc, average_precision, average_precision_low;
    double mean[2], sd[2];
    double quantiles[5]; /* 0, 0.123, 0.5, 0.6, 1 */
    double best_high[6]; /* tau, precision, recall, F1, wide grid or not, best F1 or not */
    double best_low[6];
    size_t n_curve;                                              /* number of distinct scores */
    double curve_precision[80], curve_recall[80], curve_tau[80]; /* by descending score */
} reference;
#include "reference/calibrate_reference.h"

#define N_REFERENCES (sizeof references / sizeof *references)

static hb_sweep_result sweep(const double *scores, const uint8_t *labels, size_t n, hb_sweep_options o)
{
    hb_error err;
    hb_sweep_result r;
    assert_ok(hb_sweep(scores, labels, n, &o, &r, &err));
    return r;
}

static void check_best(const reference *f, hb_direction direction, const double expected[6])
{
    hb_sweep_options o = hb_sweep_defaults();
    o.direction = direction;
    hb_sweep_result r = sweep(f->scores, f->labels, f->n, o);
    assert_near(r.best.tau, expected[0], 1e-9);
    assert_near(r.best.precision, expected[1], 1e-12);
    assert_near(r.best.recall, expected[2], 1e-12);
    assert_near(r.best.f1, expected[3], 1e-12);
    assert_int_equal(r.wide_grid, expected[4]);
    assert_int_equal(r.selection, expected[5] ? HB_SELECT_BEST_F1 : HB_SELECT_PRECISION_AT_RECALL);
    assert_int_equal(r.n_points, r.wide_grid ? 99 : 40);
    assert_near(r.auroc, direction == HB_DIRECTION_LOW ? 1 - f->auroc : f->auroc, 1e-9);
    assert_near(r.pr_auc,
                direction == HB_DIRECTION_LOW ? f->average_precision_low : f->average_precision, 1e-9);
    hb_sweep_free(&r);
}

/* The exact sweep's points are the precision-recall curve. */
static void test_curves(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_REFERENCES; k++) {
        const reference *f = &references[k];
        hb_sweep_options o = {.grid = HB_GRID_EXACT, .min_recall = 0.9, .direction = HB_DIRECTION_HIGH};
        hb_sweep_result r = sweep(f->scores, f->labels, f->n, o);
        assert_int_equal(r.n_points, f->n_curve);
        for (size_t i = 0; i < r.n_points; i++) {
            assert_near(r.points[i].tau, f->curve_tau[i], 1e-9);
            assert_near(r.points[i].precision, f->curve_precision[i], 1e-9);
            assert_near(r.points[i].recall, f->curve_recall[i], 1e-9);
        }
        hb_sweep_free(&r);
    }
}

static void test_references(void **state)
{
    (void)state;
    static const double at[] = {0, 0.123, 0.5, 0.6, 1};
    for (size_t k = 0; k < N_REFERENCES; k++) {
        const reference *f = &references[k];
        hb_error err;
        double value, sorted[80];
        print_message("%s\n", f->name);
        assert_ok(hb_auroc(f->scores, f->labels, f->n, &value, &err));
        assert_near(value, f->auroc, 1e-9);
        assert_ok(hb_average_precision(f->scores, f->labels, f->n, &value, &err));
        assert_near(value, f->average_precision, 1e-9);
        check_best(f, HB_DIRECTION_HIGH, f->best_high);
        check_best(f, HB_DIRECTION_LOW, f->best_low);

        hb_sweep_result r = sweep(f->scores, f->labels, f->n, hb_sweep_defaults());
        for (int label = 0; label < 2; label++) {
            assert_near(r.by_label[label].mean, f->mean[label], 1e-9);
            assert_near(r.by_label[label].sd, f->sd[label], 1e-9);
        }
        double n0 = (double)r.by_label[0].n, n1 = (double)r.by_label[1].n;
        double pooled =
            sqrt(((n0 - 1) * f->sd[0] * f->sd[0] + (n1 - 1) * f->sd[1] * f->sd[1]) / (n0 + n1 - 2));
        assert_near(r.cohens_d, (f->mean[1] - f->mean[0]) / pooled, 1e-9);
        assert_near(r.hallucination_rate, n1 / (n0 + n1), 1e-12);
        assert_int_equal(r.direction, f->auroc >= 0.5 ? HB_DIRECTION_HIGH : HB_DIRECTION_LOW);
        assert_near(r.auroc_high + r.auroc_low, 1, 1e-12);
        hb_sweep_free(&r);

        memcpy(sorted, f->scores, sizeof sorted);
        for (size_t i = 0; i < f->n; i++)
            for (size_t j = i + 1; j < f->n; j++)
                if (sorted[j] < sorted[i]) {
                    double swap = sorted[i];
                    sorted[i] = sorted[j];
                    sorted[j] = swap;
                }
        for (int q = 0; q < 5; q++)
            assert_near(hb_quantile(sorted, f->n, at[q]), f->quantiles[q], 1e-9);
    }
}

/* ---- Brute force on random data ------------------------------------------------------------------ */

enum { N = 200 };

typedef struct data {
    double scores[N];
    uint8_t labels[N];
} data;

/* Scores with few or many ties, and both labels. */
static data random_data(uint64_t seed, unsigned distinct)
{
    hb_rng rng = {seed};
    data d;
    for (int i = 0; i < N; i++) {
        d.labels[i] = (uint8_t)(i < 2 ? i : (int)hb_rng_below(&rng, 2));
        d.scores[i] = (double)hb_rng_below(&rng, distinct) / 7 + 0.3 * d.labels[i] * hb_rng_unit(&rng);
        if (seed % 2) d.scores[i] = floor(3 * d.scores[i]);
    }
    return d;
}

static double auroc_by_pairs(const data *d)
{
    double won = 0, pairs = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            if (d->labels[i] && !d->labels[j]) {
                won += d->scores[i] > d->scores[j] ? 1 : d->scores[i] == d->scores[j] ? 0.5 : 0;
                pairs++;
            }
    return won / pairs;
}

static void check_point(const data *d, hb_direction direction, const hb_sweep_point *p)
{
    size_t tp = 0, fp = 0, fn = 0, tn = 0;
    for (int i = 0; i < N; i++) {
        bool flagged = direction == HB_DIRECTION_LOW ? d->scores[i] <= p->tau : d->scores[i] >= p->tau;
        if (d->labels[i]) flagged ? tp++ : fn++;
        else flagged ? fp++ : tn++;
    }
    assert_int_equal(p->tp, tp);
    assert_int_equal(p->fp, fp);
    assert_int_equal(p->fn, fn);
    assert_int_equal(p->tn, tn);
    assert_near(p->precision, tp ? (double)tp / (double)(tp + fp) : 0, 1e-12);
    assert_near(p->recall, (double)tp / (double)(tp + fn), 1e-12);
    assert_near(p->f1, tp ? 2.0 * (double)tp / (double)(2 * tp + fp + fn) : 0, 1e-12);
}

static void check_sweep(const data *d, hb_grid grid, hb_direction direction)
{
    hb_sweep_options o = {.grid = grid, .min_recall = 0.75, .direction = direction};
    if (grid == HB_GRID_RANGE) o.start = -1, o.stop = 30, o.step = 0.25;
    hb_sweep_result r = sweep(d->scores, d->labels, N, o);
    double highest = -1;
    for (size_t k = 0; k < r.n_points; k++) {
        const hb_sweep_point *p = &r.points[k];
        check_point(d, direction, p);
        if (k) assert_true(p->tp + p->fp >= p[-1].tp + p[-1].fp);
        if (p->recall >= 0.75 && p->precision > highest) highest = p->precision;
    }
    assert_near(r.best.precision, highest, 0);
    assert_true(r.best.recall >= 0.75);
    assert_near(r.auroc_high, auroc_by_pairs(d), 1e-12);
    if (grid == HB_GRID_RANGE) assert_int_equal(r.n_points, 125);
    hb_sweep_free(&r);
}

static void test_brute_force(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        data d = random_data(seed, seed < 6 ? 5 : 60);
        for (int grid = HB_GRID_QUANTILES; grid <= HB_GRID_EXACT; grid++) {
            check_sweep(&d, (hb_grid)grid, HB_DIRECTION_HIGH);
            check_sweep(&d, (hb_grid)grid, HB_DIRECTION_LOW);
        }
    }
}

/* Negating the scores and reversing the direction flags the same samples. */
static void test_mirror(void **state)
{
    (void)state;
    data d = random_data(4, 40), m = d;
    for (int i = 0; i < N; i++) m.scores[i] = -d.scores[i];
    for (int grid = 0; grid < 3; grid += 2) {
        hb_sweep_options o = {.grid = (hb_grid)grid, .min_recall = 0.9, .direction = HB_DIRECTION_HIGH};
        hb_sweep_result a = sweep(d.scores, d.labels, N, o);
        o.direction = HB_DIRECTION_LOW;
        hb_sweep_result b = sweep(m.scores, m.labels, N, o);
        assert_int_equal(a.n_points, b.n_points);
        for (size_t k = 0; k < a.n_points; k++) {
            assert_near(a.points[k].tau, -b.points[k].tau, 0);
            assert_int_equal(a.points[k].tp, b.points[k].tp);
            assert_int_equal(a.points[k].fp, b.points[k].fp);
        }
        assert_near(a.auroc, b.auroc, 1e-12);
        assert_near(a.pr_auc, b.pr_auc, 1e-12);
        hb_sweep_free(&a);
        hb_sweep_free(&b);
    }
}

/* ---- The choice ---------------------------------------------------------------------------------- */

static void test_exact_grid_is_every_distinct_score(void **state)
{
    (void)state;
    const double scores[] = {1, 2, 2, 3, 4, 4, 4, 5, 6, 6};
    const uint8_t labels[] = {0, 1, 0, 0, 1, 1, 0, 1, 1, 0};
    hb_sweep_options o = {.grid = HB_GRID_EXACT, .min_recall = 1, .direction = HB_DIRECTION_HIGH};
    hb_sweep_result r = sweep(scores, labels, 10, o);
    const double expected[] = {6, 5, 4, 3, 2, 1};
    assert_int_equal(r.n_points, 6);
    for (int k = 0; k < 6; k++) assert_near(r.points[k].tau, expected[k], 0);
    assert_near(r.best.tau, 2, 0); /* the highest precision at recall 1 */
    assert_near(r.best.precision, 5.0 / 9, 1e-12);
    hb_sweep_free(&r);
}

static void test_range_that_misses_the_recall_falls_to_best_f1(void **state)
{
    (void)state;
    const double scores[] = {1, 2, 2, 3, 4, 4, 4, 5, 6, 6};
    const uint8_t labels[] = {0, 1, 0, 0, 1, 1, 0, 1, 1, 0};
    hb_sweep_options o = {HB_GRID_RANGE, 4, 6, 1, 0.9, HB_DIRECTION_HIGH, {0}};
    hb_sweep_result r = sweep(scores, labels, 10, o);
    assert_int_equal(r.n_points, 3);
    assert_int_equal(r.selection, HB_SELECT_BEST_F1);
    assert_near(r.best.tau, 4, 0);
    assert_near(r.best.f1, 2.0 * 4 / (2 * 4 + 2 + 1), 1e-12);
    assert_false(r.wide_grid);
    hb_sweep_free(&r);
}

static void test_recall_is_reached_exactly(void **state)
{
    (void)state;
    double scores[20];
    uint8_t labels[20];
    for (int i = 0; i < 20; i++) {
        scores[i] = i;
        labels[i] = i >= 11 || i == 0; /* ten, of which nine are above all others */
    }
    hb_sweep_options o = {.grid = HB_GRID_EXACT, .min_recall = 0.9, .direction = HB_DIRECTION_HIGH};
    hb_sweep_result r = sweep(scores, labels, 20, o);
    assert_near(r.best.tau, 11, 0);
    assert_near(r.best.recall, 0.9, 1e-15);
    assert_near(r.best.precision, 1, 0);
    assert_false(r.within_noise);
    hb_sweep_free(&r);
}

/* Without ties the null variance is (n1 + n0 + 1) / (12 n1 n0). */
static void test_noise(void **state)
{
    (void)state;
    double scores[40];
    uint8_t labels[40];
    for (int i = 0; i < 40; i++) {
        scores[i] = i * 0.1;
        labels[i] = i % 2;
    }
    hb_sweep_result r = sweep(scores, labels, 40, hb_sweep_defaults());
    assert_near(r.auroc_null_se, sqrt(41.0 / (12 * 20 * 20)), 1e-12);
    assert_true(r.within_noise);
    hb_sweep_free(&r);
}

/* ---- Degenerate data and options ----------------------------------------------------------------- */

static void test_degenerate_data(void **state)
{
    (void)state;
    hb_error err;
    hb_sweep_result r;
    double scores[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, value;
    uint8_t labels[12] = {0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1}, ones[12], same[1] = {1};
    memset(ones, 1, sizeof ones);
    const hb_sweep_options *o = NULL; /* the defaults */
    assert_fails(hb_sweep(scores, labels, 9, o, &r, &err), HB_ERR_DATA, "9 scored samples");
    assert_fails(hb_sweep(scores, labels, 0, o, &r, &err), HB_ERR_DATA, "0 scored samples");
    assert_fails(hb_sweep(scores, ones, 12, o, &r, &err), HB_ERR_DATA, "have label 1");
    assert_fails(hb_auroc(scores, same, 1, &value, &err), HB_ERR_DATA, "label 1");
    assert_fails(hb_auroc(scores, labels, 0, &value, &err), HB_ERR_DATA, "no samples");
    labels[3] = 2;
    assert_fails(hb_sweep(scores, labels, 12, o, &r, &err), HB_ERR_ARGUMENT, "label 2");
    labels[3] = 1;
    scores[5] = NAN;
    assert_fails(hb_sweep(scores, labels, 12, o, &r, &err), HB_ERR_DATA, "sample 5 is nan");
    scores[5] = INFINITY;
    assert_fails(hb_average_precision(scores, labels, 12, &value, &err), HB_ERR_DATA,
                 "sample 5 is inf");
    for (int i = 0; i < 12; i++) scores[i] = 2.5;
    assert_fails(hb_sweep(scores, labels, 12, o, &r, &err), HB_ERR_DATA, "all 12 scores are 2.5");
}

static void test_bad_options(void **state)
{
    (void)state;
    hb_error err;
    hb_sweep_result r;
    data d = random_data(1, 9);
    const struct {
        hb_sweep_options options;
        const char *part;
    } cases[] = {
        {{.min_recall = 0, .direction = HB_DIRECTION_AUTO}, "min-recall"},
        {{.min_recall = 1.1, .direction = HB_DIRECTION_AUTO}, "min-recall"},
        {{.min_recall = NAN, .direction = HB_DIRECTION_AUTO}, "min-recall"},
        {{HB_GRID_RANGE, 0, 1, 0, 0.9, HB_DIRECTION_AUTO, {0}}, "tau-step"},
        {{HB_GRID_RANGE, 0, 1, -1, 0.9, HB_DIRECTION_AUTO, {0}}, "tau-step"},
        {{HB_GRID_RANGE, NAN, 1, 1, 0.9, HB_DIRECTION_AUTO, {0}}, "tau-start"},
        {{HB_GRID_RANGE, 0, INFINITY, 1, 0.9, HB_DIRECTION_AUTO, {0}}, "tau-stop"},
        {{HB_GRID_RANGE, 2, 1, 1, 0.9, HB_DIRECTION_AUTO, {0}}, "below tau-start"},
        {{HB_GRID_RANGE, 0, 1, 1e-9, 0.9, HB_DIRECTION_AUTO, {0}}, "more than"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fails(hb_sweep(d.scores, d.labels, N, &cases[i].options, &r, &err), HB_ERR_ARGUMENT,
                     cases[i].part);
    hb_sweep_free(NULL);
}

/* A range of one value, and an inclusive end that must survive rounding. */
static void test_range_ends(void **state)
{
    (void)state;
    data d = random_data(2, 30);
    hb_sweep_options o = {HB_GRID_RANGE, 0, 0, 1, 0.9, HB_DIRECTION_HIGH, {0}};
    hb_sweep_result r = sweep(d.scores, d.labels, N, o);
    assert_int_equal(r.n_points, 1);
    hb_sweep_free(&r);
    o.start = 0.1, o.stop = 0.7, o.step = 0.1;
    r = sweep(d.scores, d.labels, N, o);
    assert_int_equal(r.n_points, 7);
    assert_near(r.points[0].tau, 0.7, 1e-12);
    assert_near(r.points[6].tau, 0.1, 1e-12);
    hb_sweep_free(&r);
}

static void test_a_million(void **state)
{
    (void)state;
    enum { MANY = 1000000 };
    double *scores = malloc(MANY * sizeof *scores);
    uint8_t *labels = malloc(MANY);
    hb_rng rng = {5};
    for (int i = 0; i < MANY; i++) {
        labels[i] = (uint8_t)hb_rng_below(&rng, 2);
        scores[i] = hb_rng_unit(&rng) + 0.5 * labels[i]; /* the AUROC is 1 - 0.5^2 / 2 = 0.875 */
    }
    hb_sweep_options o = {.grid = HB_GRID_EXACT, .min_recall = 0.9, .direction = HB_DIRECTION_AUTO};
    hb_sweep_result r = sweep(scores, labels, MANY, o);
    assert_true(r.n_points > MANY - 10);
    assert_near(r.auroc, 0.875, 0.002);
    assert_near(r.best.recall, 0.9, 0.001);
    hb_sweep_free(&r);
    free(scores);
    free(labels);
}

/* ---- A published run ----------------------------------------------------------------------------- */

/* The direction found for hbar_s is the published one, low. */
static void check_published(const json_t *root, const char *signal, const char *section,
                            hb_direction direction)
{
    const json_t *rows = json_object_get(root, "scores_by_sample");
    const json_t *expected = json_object_get(json_object_get(root, "auroc_and_prauc"), section);
    size_t n = json_array_size(rows);
    double *scores = calloc(n, sizeof *scores);
    uint8_t *labels = calloc(n, 1);
    assert_int_equal(n, 500);
    for (size_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(rows, i);
        scores[i] = json_number_value(json_object_get(row, signal));
        labels[i] = (uint8_t)json_integer_value(json_object_get(row, "label"));
    }
    hb_sweep_result r = sweep(scores, labels, n, hb_sweep_defaults());
    assert_int_equal(r.direction, direction);
    assert_near(r.auroc, json_number_value(json_object_get(expected, "auroc")), 1e-9);
    assert_near(r.pr_auc, json_number_value(json_object_get(expected, "pr_auc")), 1e-9);
    hb_sweep_free(&r);

    const json_t *best = json_object_get(json_object_get(root, "best_on_test_sweep"), section);
    hb_sweep_options exact = hb_sweep_defaults();
    exact.grid = HB_GRID_EXACT;
    r = sweep(scores, labels, n, exact);
    assert_near(r.best.tau, json_number_value(json_object_get(best, "best_tau_test")), 0);
    assert_near(r.best.precision, json_number_value(json_object_get(best, "best_precision_test")),
                1e-12);
    hb_sweep_free(&r);
    free(scores);
    free(labels);
}

static void test_published_run(void **state)
{
    (void)state;
    json_t *root = json_load_file(shared_file("data/reference_llama32_3b_halueval_n500.json"), 0, NULL);
    assert_non_null(root);
    check_published(root, "hbar_s", "hbar_alone", HB_DIRECTION_LOW);
    check_published(root, "pri", "pri_alone", HB_DIRECTION_HIGH);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_curves),
        cmocka_unit_test(test_brute_force),
        cmocka_unit_test(test_mirror),
        cmocka_unit_test(test_exact_grid_is_every_distinct_score),
        cmocka_unit_test(test_range_that_misses_the_recall_falls_to_best_f1),
        cmocka_unit_test(test_recall_is_reached_exactly),
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_degenerate_data),
        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_range_ends),
        cmocka_unit_test(test_a_million),
        cmocka_unit_test(test_published_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
