/* Trained models that halt: simulated runs show whether the guarantee holds although the model is
 * fitted to answers of the same run. */
#include "check.h"

#include <math.h>
#include "base/rng.h"
#include "calibrate/binomial.h"
#include "calibrate/halt_model.h"
#include "calibrate/halts.h"
#include "calibrate/trained.h"
#include "signals/probe.h"
#include "signals/running.h"
#include "signals/scores.h"
#include "store/run.h"

enum {
    D = 40,
    STEPS = 4,
    ANSWERS = 160, /* of one calibration */
    TIMES = 20,    /* calibrations on one run */
    RUNS = 2,
    FRESH = 1000
};
#define TARGET 0.2
#define SHIFT  1.2 /* between the labels, of the states' first numbers and of the entropy */

static double normal(hb_rng *rng)
{
    double u = 1 - hb_rng_unit(rng);
    return sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * hb_rng_unit(rng));
}

/* States and entropies at the steps of one answer. An answer's steps have much in common. */
static void draw_answer(hb_rng *rng, int label, float *states, float *entropy)
{
    double common[D + 1];
    for (int j = 0; j <= D; j++) common[j] = normal(rng) + (j < 4 || j == D ? SHIFT * label : 0);
    for (int t = 0; t < STEPS; t++) {
        for (int j = 0; j < D; j++) states[t * D + j] = (float)(common[j] + 0.5 * normal(rng));
        entropy[t] = (float)(common[D] + 0.5 * normal(rng));
    }
}

static void add_answer(hb_run *run, hb_scores *scores, uint64_t index, hb_rng *rng)
{
    float states[STEPS * D], entropy[STEPS];
    char id[24], sha256[65];
    hb_error err;
    size_t place;
    int label = index % 2;
    draw_answer(rng, label, states, entropy);
    for (size_t k = 0; k < hb_scores_count(scores); k++) hb_scores_set(scores, k, 0);
    assert_true(hb_scores_find(scores, "entropy:mean", &place));
    hb_scores_set(scores, place, (double)(entropy[0] + entropy[1] + entropy[2] + entropy[3]) / STEPS);
    snprintf(id, sizeof id, "%llu", (unsigned long long)index);
    snprintf(sha256, sizeof sha256, "%064llx", (unsigned long long)index);
    const hb_run_sample sample = {.index = index,
                                  .id = id,
                                  .label = label,
                                  .status = HB_SAMPLE_SCORED,
                                  .scores = scores,
                                  .text = "text",
                                  .finish = HB_FINISH_MAX_TOKENS,
                                  .prompt_sha256 = sha256};
    const hb_run_tokens steps = {.index = index, .n = STEPS, .values = entropy};
    hb_run_features features = {.index = index};
    features.n[HB_FEATURE_STATES] = STEPS * D;
    features.values[HB_FEATURE_STATES] = states;
    assert_ok(hb_run_add(run, &sample, &err));
    assert_ok(hb_run_add_tokens(run, &steps, &err));
    assert_ok(hb_run_add_features(run, &features, &err));
}

/* A run of n answers, half of them hallucinated. */
static hb_run *make_run(void **state, const char *features, uint64_t n, hb_rng *rng)
{
    char path[128];
    hb_error err;
    hb_run *run;
    hb_scores *scores;
    hb_signal_set *set;
    assert_ok(hb_signal_set_parse("entropy", &set, &err));
    const hb_run_settings settings = {.model_path = "m.gguf",
                                      .model_name = "m",
                                      .model_architecture = "llama",
                                      .model_sha256 = "01",
                                      .model_size = 5,
                                      .data_path = "d.jsonl",
                                      .data_format = "generic",
                                      .data_sha256 = "02",
                                      .data_rows = n,
                                      .n_samples = n,
                                      .max_tokens = 20,
                                      .n_ctx = 512,
                                      .alpha = 0.1,
                                      .signals = set,
                                      .features = features};
    snprintf(path, sizeof path, "%s/run.db", (char *)*state);
    unlink(path);
    assert_ok(hb_run_create(path, &settings, &run, &err));
    assert_ok(hb_scores_of_set(set, &scores, &err));
    for (uint64_t i = 0; i < n; i++) add_answer(run, scores, i, rng);
    assert_ok(hb_run_commit(run, &err));
    hb_scores_free(scores);
    hb_signal_set_free(set);
    return run;
}

/* The share of fresh right answers that a halt stops. */
static double false_halts(const hb_halt_model *model, const hb_halt *halt, hb_rng *rng)
{
    hb_running r;
    hb_error err;
    int stopped = 0;
    assert_ok(hb_running_open(&r, &halt->rule, &err));
    for (int i = 0; i < FRESH; i++) {
        float states[STEPS * D], entropy[STEPS];
        bool stops = false;
        draw_answer(rng, 0, states, entropy);
        hb_running_reset(&r);
        for (int t = 0; t < STEPS; t++) {
            double values[2] = {hb_halt_probe_value(model->probe, states + t * D), (double)entropy[t]};
            double x = hb_halt_model_value(model, values);
            stops = hb_running_add(&r, x) >= halt->tau || stops;
        }
        stopped += stops;
    }
    hb_running_close(&r);
    return (double)stopped / FRESH;
}

/* The calibrations with delta 0.05, each on other answers of the run, whose true rate is above the
 * target. With `same`, the threshold is chosen on the answers that the probe was fitted to. */
static int count_broken(hb_run *run, const hb_score_table *all, const char *rule, bool joint, bool same,
                        hb_rng *rng)
{
    static const char *const names[2] = {"probe", "entropy:mean"};
    int broken = 0;
    for (size_t k = 0; k < TIMES; k++) {
        const double *const columns[2] = {NULL, all->scores + k * ANSWERS};
        const hb_score_table part = {
            .indices = all->indices + k * ANSWERS, .labels = all->labels + k * ANSWERS, .n = ANSWERS};
        const hb_halt_fit fit = {&part, names, columns, joint ? 2 : 0, 42};
        hb_error err;
        hb_halt_model *model, naive = {0};
        hb_halt_calibration c;
        hb_series series, steps;
        double odds[ANSWERS];
        size_t n_fitted;
        hb_halt_options o = hb_halt_defaults();
        o.guarantee.target = TARGET;
        assert_true(hb_halt_rule_parse(rule, &o.rule));
        assert_ok(hb_fit_halt_model(run, &fit, &o.rule, &model, &series, &n_fitted, &err));
        assert_int_equal(series.n + n_fitted, ANSWERS);
        if (same) {
            hb_series_free(&series);
            assert_ok(hb_read_steps(run, NULL, &part, &steps, &err));
            assert_ok(hb_train_halt_probe(run, &part, &steps, 42, &naive.probe, odds, &err));
            assert_ok(hb_halt_model_series(run, &naive, &part, &series, &err));
            hb_series_free(&steps);
        }
        assert_ok(hb_calibrate_halt(&series, &o, &c, &err));
        broken += false_halts(same ? &naive : model, &c.halt, rng) > TARGET;
        hb_series_free(&series);
        hb_probe_free(naive.probe);
        hb_halt_model_free(model);
    }
    return broken;
}

static void test_guarantee_is_kept(void **state)
{
    static const struct {
        const char *rule;
        bool joint, same;
    } cases[] = {{"token", false, false},
                 {"window:2", true, false},
                 {"cusum", false, false},
                 {"token", false, true}};
    static const char *const columns[] = {"entropy:mean"};
    int broken[4] = {0}, most = 0;
    hb_rng rng = {5};
    for (int i = 0; i < RUNS; i++) {
        hb_error err;
        hb_score_table table;
        hb_run *run = make_run(state, "states:1", TIMES * ANSWERS, &rng);
        assert_ok(hb_run_table(run, columns, 1, NULL, &table, &err));
        for (size_t k = 0; k < 4; k++)
            broken[k] += count_broken(run, &table, cases[k].rule, cases[k].joint, cases[k].same, &rng);
        hb_score_table_free(&table);
        hb_run_close(run);
    }
    while (hb_binomial_at_least((size_t)most, RUNS * TIMES, 0.05) > 0.001) most++;
    for (size_t k = 0; k < 4; k++) {
        print_message("%s%s%s: broken %d of %d\n", cases[k].rule, cases[k].joint ? ", joint model" : "",
                      cases[k].same ? ", fitted to the same answers" : "", broken[k], RUNS * TIMES);
        if (cases[k].same) assert_true(broken[k] > most);
        else assert_in_range(broken[k], 0, most);
    }
}

/* Groups are not divided between the halves. */
static void test_groups(void **state)
{
    enum { N = 240 };
    hb_error err;
    hb_rng rng = {6};
    hb_score_table table;
    hb_halt_model *model;
    hb_series series;
    size_t n_fitted;
    uint32_t groups[N];
    bool seen[N / 4] = {0};
    hb_run *run = make_run(state, "states:1", N, &rng);
    assert_ok(hb_run_scores(run, "entropy:mean", NULL, &table, &err));
    for (uint32_t i = 0; i < N; i++) groups[i] = i / 4;
    table.groups = groups;
    hb_halt_rule rule = {.kind = HB_HALT_TOKEN};
    assert_ok(hb_fit_halt_model(run, &(hb_halt_fit){.table = &table, .seed = 1}, &rule, &model, &series,
                                &n_fitted, &err));
    assert_int_equal(series.n + n_fitted, N);
    size_t n_groups = 0;
    for (size_t i = 0; i < series.n; i++) {
        assert_in_range(series.groups[i], 0, series.n - 1);
        if (!seen[series.groups[i]]) n_groups++;
        seen[series.groups[i]] = true;
    }
    assert_int_equal(n_groups, series.n / 4);
    table.groups = NULL;
    hb_series_free(&series);
    hb_halt_model_free(model);
    hb_score_table_free(&table);
    hb_run_close(run);
}

static void test_refusals(void **state)
{
    hb_error err;
    hb_rng rng = {7};
    hb_score_table table;
    hb_halt_model *model;
    hb_series series;
    size_t n_fitted;
    hb_halt_rule rule = {.kind = HB_HALT_TOKEN};
    hb_run *run = make_run(state, "topk", 80, &rng);
    assert_ok(hb_run_scores(run, "entropy:mean", NULL, &table, &err));
    const hb_halt_fit fit = {.table = &table};
    assert_fails(hb_fit_halt_model(run, &fit, &rule, &model, &series, &n_fitted, &err), HB_ERR_ARGUMENT,
                 "--features states");
    hb_run_close(run);
    run = make_run(state, "states:1", 80, &rng);
    size_t n = table.n;
    table.n = 8;
    assert_fails(hb_fit_halt_model(run, &fit, &rule, &model, &series, &n_fitted, &err), HB_ERR_DATA,
                 "fitted to half of the answers: a probe cannot be trained on 4");
    table.n = n; /* so that all rows are freed */
    hb_score_table_free(&table);
    hb_run_close(run);
    assert_true(hb_score_can_halt("entropy:mean", true) && hb_score_can_halt("probe", true));
    assert_true(hb_score_can_halt("entropy", false) && hb_score_can_halt("probe", false));
    assert_false(hb_score_can_halt("entropy", true) || hb_score_can_halt("wepr", true));
    assert_false(hb_score_can_halt("probe_last", false) || hb_score_can_halt("p_yes", false));
}

/* A probe of another model has no values at the steps of a run. */
static void test_other_width(void **state)
{
    hb_error err;
    hb_rng rng = {8};
    hb_score_table table;
    hb_series series;
    hb_halt_model model = {0};
    hb_run *run = make_run(state, "states:1", 20, &rng);
    assert_ok(hb_run_scores(run, "entropy:mean", NULL, &table, &err));
    assert_ok(hb_probe_new(hb_probe_kind_find("probe"), 0, D - 1, 0, &model.probe, &err));
    assert_fails(hb_halt_model_series(run, &model, &table, &series, &err), HB_ERR_MISMATCH,
                 "the halt's probe reads 39 numbers, and the run's states have 40");
    hb_probe_free(model.probe);
    hb_score_table_free(&table);
    hb_run_close(run);
}

int main(void)
{
#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(test_guarantee_is_kept),
        WITH_SCRATCH(test_groups),
        WITH_SCRATCH(test_refusals),
        WITH_SCRATCH(test_other_width),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
