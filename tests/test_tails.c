/* Pass 2 on scores with tail5, which have different values for each direction. */
#include "check.h"

enum { N = 40 };

/* Every second sample is hallucinated. The low tail of the first score separates them well, its high
 * tail hardly. The second score's high tail separates them, and its low tail is constant. */
typedef struct samples {
    double high[2 * N], low[2 * N];
    uint8_t labels[N];
    hb_score_table table;
} samples;

static const char *const names[] = {"hbar_s", "pri"};

static void fill(samples *s, size_t n_scores)
{
    for (int i = 0; i < N; i++) {
        int label = i % 2, noise = (7 * i) % 11;
        s->labels[i] = (uint8_t)label;
        s->high[i] = 10 + noise + label;
        s->low[i] = 5 - 3 * label + 0.3 * noise;
        s->high[N + i] = 4 * label + noise;
        s->low[N + i] = 1;
    }
    s->table = (hb_score_table){
        .scores = s->high, .low = s->low, .labels = s->labels, .n = N, .n_scores = n_scores};
}

static hb_calibration_result calibrate(const samples *s, hb_calibrate_options o)
{
    hb_error err;
    hb_calibration_result r;
    o.bootstrap.n_draws = 0;
    assert_ok(hb_calibrate(&s->table, names, &o, &r, &err));
    return r;
}

/* Each direction is judged by its own tail. Threshold and statistics belong to the chosen tail. */
static void test_directions(void **state)
{
    (void)state;
    hb_error err;
    samples s;
    double of_high, of_low;
    hb_calibrate_options o = hb_calibrate_defaults();
    fill(&s, 1);
    assert_ok(hb_auroc(s.high, s.labels, N, &of_high, &err));
    assert_ok(hb_auroc(s.low, s.labels, N, &of_low, &err));
    assert_true(of_high > 0.5 && 1 - of_low > of_high);
    hb_calibration_result r = calibrate(&s, o);
    assert_near(r.sweep.auroc_high, of_high, 1e-12);
    assert_near(r.sweep.auroc_low, 1 - of_low, 1e-12);
    assert_near(r.sweep.auroc, 1 - of_low, 1e-12);
    assert_int_equal(r.sweep.direction, HB_DIRECTION_LOW);
    assert_near(r.sweep.score_max, 8, 1e-12);
    assert_true(r.sweep.best.tau < 8);
    assert_string_equal(r.scores[0].name, "hbar_s");
    assert_string_equal(r.scores[0].tail, "hbar_s:bottom5");
    double auroc, se;
    assert_ok(hb_delong(s.low, s.labels, N, &auroc, &se, &err));
    assert_near(r.uncertainty.auroc_se, se, 1e-12);
    hb_calibration_result_free(&r);

    o.sweep.direction = HB_DIRECTION_HIGH;
    r = calibrate(&s, o);
    assert_near(r.sweep.auroc, of_high, 1e-12);
    assert_near(r.sweep.auroc_low, 1 - of_low, 1e-12);
    assert_near(r.sweep.score_min, 10, 0);
    assert_string_equal(r.scores[0].tail, "hbar_s:top5");
    hb_calibration_result_free(&r);
}

/* A direction with all values equal is never chosen, even if its AUROC of 0.5 is the higher one. */
static void test_constant_tail(void **state)
{
    (void)state;
    samples s;
    fill(&s, 2);
    s.table.scores += N;
    s.table.low += N;
    s.table.n_scores = 1;
    for (int i = 0; i < N; i++) s.high[N + i] = -s.high[N + i];
    hb_calibration_result r = calibrate(&s, hb_calibrate_defaults());
    assert_int_equal(r.sweep.direction, HB_DIRECTION_HIGH);
    assert_true(r.sweep.auroc < 0.2);
    assert_near(r.sweep.auroc_low, 0.5, 0);
    hb_calibration_result_free(&r);
}

static void test_ranking(void **state)
{
    (void)state;
    hb_error err;
    samples s;
    hb_auroc_difference d;
    double rho[4], turned[2 * N];
    fill(&s, 2);
    hb_calibration_result r = calibrate(&s, hb_calibrate_defaults());
    assert_int_equal(r.comparison.n, 2);
    for (int k = 0; k < 2; k++) {
        bool first = strcmp(r.comparison.scores[k].name, "hbar_s") == 0;
        assert_int_equal(r.comparison.scores[k].sweep.direction,
                         first ? HB_DIRECTION_LOW : HB_DIRECTION_HIGH);
        assert_string_equal(r.scores[k].tail, first ? "hbar_s:bottom5" : "pri:top5");
    }
    bool low_first = strcmp(r.comparison.scores[0].name, "hbar_s") == 0;
    memcpy(turned, s.low, sizeof s.low / 2);
    memcpy(turned + N, s.high + N, sizeof s.high / 2);
    assert_ok(hb_spearman(turned, 2, N, rho, &err));
    assert_near(r.comparison.correlations[1], rho[1], 1e-12);
    for (int i = 0; i < N; i++) turned[i] = -turned[i];
    assert_ok(hb_delong_compare(turned + (low_first ? N : 0), turned + (low_first ? 0 : N), s.labels, N,
                                &d, &err));
    assert_near(r.comparison.scores[1].difference.p, d.p, 1e-12);
    hb_calibration_result_free(&r);
}

/* A joint model gets both tails, so that no direction is chosen from all the labels. */
static void test_joint(void **state)
{
    (void)state;
    samples s;
    hb_calibrate_options o = hb_calibrate_defaults();
    static const char *const wanted[] = {"hbar_s:top5", "hbar_s:bottom5", "pri:top5", "pri:bottom5"};
    o.joint = true;
    fill(&s, 2);
    hb_calibration_result r = calibrate(&s, o);
    assert_int_equal(r.joint.n_features, 4);
    for (size_t j = 0; j < 4; j++) assert_string_equal(r.joint.features[j].score, wanted[j]);
    hb_calibration_result_free(&r);
    s.table.low = s.high; /* as with answers of one token */
    r = calibrate(&s, o);
    assert_int_equal(r.joint.n_features, 2);
    assert_string_equal(r.joint.features[1].score, "pri");
    hb_calibration_result_free(&r);
}

/* Parameters for hbar_s with the given direction, as after loading. */
static hb_params params_of(hb_calibrated_score *s, hb_direction direction)
{
    *s = (hb_calibrated_score){
        .name = (char *)(uintptr_t) "hbar_s",
        .tail = (char *)(uintptr_t)(direction == HB_DIRECTION_LOW ? "hbar_s:bottom5" : "hbar_s:top5"),
        .tau = 3,
        .direction = direction};
    return (hb_params){.tau = 3,
                       .lambda = 5,
                       .direction = direction,
                       .map = {.tau = 3, .lambda = 5, .direction = direction},
                       .score = s->name,
                       .min_recall = 0.9,
                       .scores = s,
                       .n_scores = 1};
}

static double validated(const hb_params *p, const hb_score_table *t, const char *name)
{
    hb_error err;
    hb_validation_result v;
    const hb_bootstrap_options none = {0};
    assert_ok(hb_validate_scores(p, t, &name, &none, &v, &err));
    double auroc = v.scores[0].validation.sweep.auroc;
    hb_validation_result_free(&v);
    return auroc;
}

/* A validation reads the tail of the calibrated direction, whether the table has both tails or only
 * this one. A column with only the signal's name is used as it is. */
static void test_validation(void **state)
{
    (void)state;
    hb_error err;
    samples s;
    hb_calibrated_score c;
    double of_low, of_high;
    fill(&s, 1);
    assert_ok(hb_auroc(s.low, s.labels, N, &of_low, &err));
    assert_ok(hb_auroc(s.high, s.labels, N, &of_high, &err));
    hb_params low = params_of(&c, HB_DIRECTION_LOW);
    assert_near(validated(&low, &s.table, "hbar_s"), 1 - of_low, 1e-12);
    hb_score_table one = {.scores = s.low, .labels = s.labels, .n = N, .n_scores = 1};
    assert_near(validated(&low, &one, "hbar_s:bottom5"), 1 - of_low, 1e-12);
    one.scores = s.high;
    assert_near(validated(&low, &one, "hbar_s"), 1 - of_high, 1e-12);
    hb_params high = params_of(&c, HB_DIRECTION_HIGH);
    assert_near(validated(&high, &s.table, "hbar_s"), of_high, 1e-12);

    static const char *const columns[] = {"hbar_s:top5", "hbar_s:bottom5", "hbar_s"};
    const char **wanted;
    size_t n;
    low = params_of(&c, HB_DIRECTION_LOW);
    assert_ok(hb_params_columns(&low, columns, 2, &wanted, &n, &err));
    assert_int_equal(n, 1);
    assert_string_equal(wanted[0], "hbar_s:bottom5");
    free(wanted);
    assert_ok(hb_params_columns(&low, columns, 3, &wanted, &n, &err));
    assert_string_equal(wanted[0], "hbar_s");
    free(wanted);
    assert_ok(hb_params_columns(&low, columns, 1, &wanted, &n, &err));
    assert_string_equal(wanted[0], "hbar_s"); /* must be missing by its name */
    free(wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_directions), cmocka_unit_test(test_constant_tail),
        cmocka_unit_test(test_ranking),    cmocka_unit_test(test_joint),
        cmocka_unit_test(test_validation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
