/* Choosing among scores without flattering the choice, and the controls beside a ranking. */
#include "check.h"

#include <math.h>
#include "base/rng.h"
#include "calibrate/controls.h"
#include "calibrate/folds.h"
#include "calibrate/nested.h"

enum { N = 120, FOLDS = 5, MANY = 40 };

typedef struct samples {
    double scores[MANY * N], low[MANY * N], controls[HB_N_CONTROLS * N];
    uint8_t labels[N];
    uint32_t groups[N];
    hb_score_table table;
} samples;

/* Scores without information about the labels. */
static samples *noise(uint64_t seed, size_t n_scores)
{
    static samples s;
    hb_rng rng = {seed};
    for (size_t i = 0; i < N; i++) s.labels[i] = (uint8_t)(hb_rng_below(&rng, 3) == 0);
    for (size_t i = 0; i < n_scores * N; i++)
        s.scores[i] = floor(50 * hb_rng_unit(&rng)); /* with ties */
    for (size_t i = 0; i < N; i++) s.groups[i] = (uint32_t)(i / 2 * 2);
    s.table = (hb_score_table){.scores = s.scores, .labels = s.labels, .n = N, .n_scores = n_scores};
    return &s;
}

static double auroc_of(const double *scores, const uint8_t *labels, const uint32_t *fold, uint32_t f,
                       bool on)
{
    double won = 0, pairs = 0;
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            if ((fold[i] == f) != on || (fold[j] == f) != on || !labels[i] || labels[j]) continue;
            won += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
            pairs++;
        }
    return won / pairs;
}

/* The same choice by the definition. */
static double choose(const samples *s, size_t winners[FOLDS])
{
    const hb_score_table *t = &s->table;
    hb_error err;
    uint32_t fold[N];
    double sum = 0, all = 0;
    size_t n;
    assert_ok(hb_deal_folds(t->labels, t->groups, N, FOLDS, 42, fold, &n, &err));
    for (uint32_t f = 0; f < FOLDS; f++) {
        double best = -1, on_fold = 0, pairs[2] = {0, 0};
        for (size_t k = 0; k < t->n_scores; k++)
            for (int low = 0; low < 2; low++) {
                const double *x = (low && t->low ? t->low : t->scores) + k * N;
                double off = auroc_of(x, t->labels, fold, f, false);
                double on = auroc_of(x, t->labels, fold, f, true);
                if (low) off = 1 - off, on = 1 - on;
                if (off <= best + 1e-12) continue;
                best = off;
                on_fold = on;
                winners[f] = k;
            }
        for (size_t i = 0; i < N; i++) pairs[t->labels[i]] += fold[i] == f;
        sum += on_fold * pairs[0] * pairs[1];
        all += pairs[0] * pairs[1];
    }
    return sum / all;
}

static void test_by_definition(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        hb_error err;
        hb_nested nested;
        size_t winners[FOLDS];
        samples *s = noise(seed, 7);
        for (size_t i = 0; i < N; i++) s->scores[4 * N + i] -= 15 * s->labels[i]; /* low is risky */
        if (seed > 2) s->table.groups = s->groups;
        if (seed > 4) {
            memcpy(s->low, s->scores, sizeof s->low);
            for (size_t i = 0; i < N; i++) s->scores[4 * N + i] = (double)(i % 7);
            for (size_t i = 0; i < N; i++) s->low[2 * N + i] -= 13 * s->labels[i];
            s->table.low = s->low;
        }
        double auroc = choose(s, winners);
        assert_ok(hb_choose_nested(&s->table, HB_DIRECTION_AUTO, &nested, &err));
        assert_int_equal(nested.n_folds, FOLDS);
        assert_near(nested.auroc, auroc, 1e-9);
        bool changes = false;
        for (size_t f = 0; f < FOLDS; f++) {
            assert_int_equal(nested.winners[f], winners[f]);
            changes = changes || winners[f] != winners[0];
        }
        assert_int_equal(nested.changes, changes);
        assert_true(nested.interval.lower < auroc && auroc < nested.interval.upper);
        hb_nested_free(&nested);
    }
}

/* The best of many scores seems to tell something where none does. The nested AUROC says 0.5, and so do
 * shuffled labels, whatever the scores are. */
static void test_noise(void **state)
{
    (void)state;
    enum { SETS = 40 };
    double naive = 0, nested = 0, shuffled = 0;
    int outside = 0;
    for (uint64_t seed = 0; seed < SETS; seed++) {
        hb_error err;
        hb_nested out;
        samples *s = noise(100 + seed, MANY);
        double best = 0;
        for (size_t k = 0; k < MANY; k++) {
            double auroc;
            assert_ok(hb_auroc(s->scores + k * N, s->labels, N, &auroc, &err));
            best = fmax(best, fmax(auroc, 1 - auroc));
        }
        assert_ok(hb_choose_nested(&s->table, HB_DIRECTION_AUTO, &out, &err));
        assert_in_range(out.n_shuffles, 10, 100);
        naive += best / SETS;
        nested += out.auroc / SETS;
        shuffled += out.shuffled_auroc / SETS;
        outside += out.auroc < out.shuffled.lower || out.auroc > out.shuffled.upper;
        hb_nested_free(&out);
    }
    assert_true(naive > 0.6);
    assert_near(nested, 0.5, 0.03);
    assert_near(shuffled, 0.5, 0.01);
    assert_in_range(outside, 0, 6); /* 2 of 40 are expected */
}

static void test_one_score(void **state)
{
    (void)state;
    hb_error err;
    hb_nested out;
    samples *s = noise(9, 1);
    for (size_t i = 0; i < N; i++) s->scores[i] += 30 * s->labels[i];
    assert_ok(hb_choose_nested(&s->table, HB_DIRECTION_HIGH, &out, &err));
    assert_false(out.changes);
    assert_true(out.auroc > 0.7);
    assert_near(out.shuffled_auroc, 0.5, 0.03);
    hb_nested_free(&out);
    assert_ok(hb_choose_nested(&s->table, HB_DIRECTION_LOW, &out, &err));
    assert_true(out.auroc < 0.3); /* as asked */
    hb_nested_free(&out);
    for (size_t i = 0; i < N; i++) s->groups[i] = (uint32_t)(i % 4);
    s->table.groups = s->groups;
    assert_ok(hb_choose_nested(&s->table, HB_DIRECTION_AUTO, &out, &err));
    assert_int_equal(out.n_folds, 0); /* four groups make no five folds */
    assert_null(out.winners);
    s->table.groups = NULL;
    for (size_t i = 0; i < N; i++) s->scores[i] = 7;
    assert_ok(hb_choose_nested(&s->table, HB_DIRECTION_AUTO, &out, &err));
    assert_int_equal(out.n_folds, 0);
}

/* ---- Controls ------------------------------------------------------------------------------------ */

static void test_controls(void **state)
{
    (void)state;
    hb_error err;
    hb_control *controls;
    size_t n;
    double auroc, p[2], columns[2 * N];
    hb_auroc_difference d[2];
    samples *s = noise(4, 1);
    hb_rng rng = {8};
    for (size_t i = 0; i < N; i++) {
        s->scores[i] -= 20 * s->labels[i]; /* low is risky */
        s->controls[i] = 5 + (double)hb_rng_below(&rng, 9) - 3 * s->labels[i];
        s->controls[N + i] = 33;
        s->controls[2 * N + i] = i % 3 ? hb_rng_unit(&rng) + s->labels[i] : NAN;
    }
    s->table.controls = s->controls;
    const hb_nested nested = {.n_shuffles = 20, .shuffled_auroc = 0.51, .shuffled = {0.4, 0.6}};
    assert_ok(
        hb_measure_controls(&s->table, s->scores, HB_DIRECTION_LOW, &nested, &controls, &n, &err));
    assert_int_equal(n, 4);
    assert_string_equal(controls[0].name, "answer_length");
    assert_int_equal(controls[0].n, N);
    assert_int_equal(controls[0].direction, HB_DIRECTION_LOW);
    for (size_t i = 0; i < N; i++) columns[i] = -s->controls[i], columns[N + i] = -s->scores[i];
    assert_ok(hb_auroc(columns, s->labels, N, &auroc, &err));
    assert_near(controls[0].auroc, auroc, 1e-12);
    assert_ok(hb_delong_compare_all(columns, 2, s->labels, N, d, p, &err));
    assert_near(controls[0].difference.difference, d[1].difference, 1e-12);
    assert_near(controls[0].difference.p, d[1].p, 1e-12);

    assert_string_equal(controls[1].name, "prompt_length"); /* the same for all */
    assert_near(controls[1].auroc, 0.5, 0);
    assert_string_equal(controls[2].name, "overlap");
    assert_int_equal(controls[2].n, N - N / 3);
    assert_int_equal(controls[2].direction, HB_DIRECTION_HIGH);
    assert_true(controls[2].auroc > 0.9);
    assert_string_equal(controls[3].name, "shuffled_labels");
    assert_int_equal(controls[3].n, 20);
    assert_near(controls[3].interval.lower, 0.4, 0);
    assert_true(isnan(controls[3].difference.p));
    free(controls);

    for (size_t i = 0; i < N; i++) s->controls[2 * N + i] = NAN;
    s->table.groups = s->groups;
    double plain = d[1].p;
    assert_ok(hb_measure_controls(&s->table, s->scores, HB_DIRECTION_LOW, NULL, &controls, &n, &err));
    assert_int_equal(n, 2);                         /* without a context there is no overlap */
    assert_true(controls[0].difference.p != plain); /* the groups count */
    free(controls);
    s->table.controls = NULL;
    assert_ok(hb_measure_controls(&s->table, s->scores, HB_DIRECTION_LOW, NULL, &controls, &n, &err));
    assert_int_equal(n, 0);
    free(controls);
}

/* A calibration has all of it, and a validation the controls. */
static void test_in_results(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "constant"};
    hb_error err;
    hb_calibration_result r;
    hb_calibrate_options o = hb_calibrate_defaults();
    samples *s = noise(21, 3);
    o.bootstrap.n_draws = 0;
    for (size_t i = 0; i < N; i++) {
        s->scores[N + i] -= 40 * s->labels[i];
        s->scores[2 * N + i] = 1;
        s->controls[i] = (double)(i % 6);
        s->controls[N + i] = s->controls[2 * N + i] = NAN;
    }
    s->table.controls = s->controls;
    assert_ok(hb_calibrate(&s->table, names, &o, &r, &err));
    assert_int_equal(r.comparison.n, 2);
    assert_string_equal(r.comparison.scores[0].name, "b");
    for (size_t f = 0; f < r.nested.n_folds; f++) assert_int_equal(r.nested.winners[f], 0);
    assert_near(r.nested.auroc, r.sweep.auroc, 0.03);
    assert_int_equal(r.n_controls, 2);
    assert_string_equal(r.controls[0].name, "answer_length");
    assert_null(r.better.name);
    hb_calibration_result_free(&r);
    o.joint = true;
    o.bootstrap.n_draws = 100;
    o.map = HB_MAP_PLATT;
    assert_ok(hb_calibrate(&s->table, names, &o, &r, &err));
    assert_int_equal(r.nested.n_folds, 0);
    assert_int_equal(r.n_controls, 2);
    assert_string_equal(r.controls[1].name, "shuffled_labels");
    assert_in_range(r.controls[1].n, 10, 100);
    assert_near(r.controls[1].auroc, 0.5, 0.05);
    assert_true(r.controls[1].interval.upper < r.sweep.auroc);
    hb_calibration_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_definition), cmocka_unit_test(test_noise),
        cmocka_unit_test(test_one_score),     cmocka_unit_test(test_controls),
        cmocka_unit_test(test_in_results),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
