/* Reports as text: the writers, complete output or an error, and a single read of the run. */
#include "check.h"

#include <jansson.h>
#include <math.h>
#include <sqlite3.h>
#include "allocations.h"
#include "base/json.h"
#include "base/names.h"
#include "base/rng.h"
#include "calibrate/names.h"
#include "signals/scores.h"
#include "store/run.h"

/* ---- The writers --------------------------------------------------------------------------------- */

static void test_text(void **state)
{
    (void)state;
    hb_error err;
    hb_writer w = {0};
    char *text, long_line[1000];
    memset(long_line, 'x', 999);
    long_line[999] = '\0';
    hb_write(&w, "%s %d", "a", 5);
    hb_write(&w, "%s", long_line);
    hb_write_quoted(&w, "q\"\\\n\xC3\xA9\xC2\x9B\xFF\xE2\x80\xAE", 12);
    hb_write_printable(&w, "p\033[2J\xFFq", 7);
    assert_ok(hb_writer_finish(&w, &text, &err));
    assert_memory_equal(text, "a 5xxx", 6);
    assert_string_equal(text + 3 + 999,
                        "\"q\\\"\\\\\\x0A\xC3\xA9\\xC2\\x9B\\xFF\\xE2\\x80\\xAE\"p [2J?q");
    free(text);
    assert_ok(hb_writer_finish(&w, &text, &err)); /* an empty text is a text */
    assert_string_equal(text, "");
    free(text);
}

static const char written[] =
    "{\n"
    "  \"a\\n\": \"\\u0001\\\"\\\\/\\u007f\\u0085\\u2028\xC3\xA9\xEF\xBF\xBD\",\n"
    "  \"n\": 0.10000000000000001,\n"
    "  \"none\": null,\n"
    "  \"list\": [\n"
    "    {\"x\": -9223372036854775808, \"y\": [1.0, true]},\n"
    "    null\n"
    "  ],\n"
    "  \"empty\": {},\n"
    "  \"empty too\": [],\n"
    "  \"no text\": null,\n"
    "  \"bytes\": \"a\xEF\xBF\xBD"
    "b\"\n"
    "}";

static void test_json(void **state)
{
    (void)state;
    hb_error err;
    hb_json j = {0};
    char *text;
    hb_json_object(&j, NULL);
    hb_json_text(&j, "a\n", "\x01\"\\/\x7F\xC2\x85\xE2\x80\xA8\xC3\xA9\xFF");
    hb_json_number(&j, "n", 0.1);
    hb_json_number(&j, "none", INFINITY);
    hb_json_array(&j, "list");
    hb_json_row(&j, NULL);
    hb_json_whole(&j, "x", INT64_MIN);
    hb_json_list(&j, "y");
    hb_json_number(&j, NULL, 1);
    hb_json_bool(&j, NULL, true);
    hb_json_end(&j);
    hb_json_end(&j);
    hb_json_null(&j, NULL);
    hb_json_end(&j);
    hb_json_object(&j, "empty");
    hb_json_end(&j);
    hb_json_list(&j, "empty too");
    hb_json_end(&j);
    hb_json_text(&j, "no text", NULL);
    hb_json_bytes(&j, "bytes", "a\0b", 3);
    hb_json_end(&j);
    assert_ok(hb_json_finish(&j, &text, &err));
    assert_string_equal(text, written);
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "a\n")),
                        "\x01\"\\/\x7F\xC2\x85\xE2\x80\xA8\xC3\xA9\xEF\xBF\xBD");
    json_decref(root);
    free(text);
}

static void test_json_in_ascii(void **state)
{
    (void)state;
    hb_error err;
    char *text;
    hb_json plain = {.ascii = true};
    hb_json_text(&plain, NULL, "\xC3\xA9\x7F\xF0\x9F\x99\x82");
    assert_ok(hb_json_finish(&plain, &text, &err));
    assert_string_equal(text, "\"\\u00E9\\u007f\\uD83D\\uDE42\"");
    free(text);
}

static void test_enum_names(void **state)
{
    (void)state;
    hb_map_kind map;
    hb_guarantee_kind guarantee;
    hb_direction direction;
    for (int i = 0; i <= HB_MAP_ISOTONIC; i++) {
        assert_true(hb_map_kind_find(hb_map_kind_name((hb_map_kind)i), &map));
        assert_int_equal(map, i);
    }
    for (int i = 0; i <= HB_GUARANTEE_RECALL; i++) {
        assert_true(hb_guarantee_kind_find(hb_guarantee_kind_name((hb_guarantee_kind)i), &guarantee));
        assert_int_equal(guarantee, i);
    }
    for (int i = 0; i <= HB_DIRECTION_LOW; i++) {
        assert_true(hb_direction_by_sign(hb_direction_sign((hb_direction)i), &direction));
        assert_int_equal(direction, i);
    }
    assert_string_equal(hb_direction_name(HB_DIRECTION_AUTO), "auto");
    assert_string_equal(hb_grid_name(HB_GRID_EXACT), "exact");
    assert_string_equal(hb_selection_name(HB_SELECT_GUARANTEE), "guarantee");
    assert_false(hb_map_kind_find("unknown", &map));
    assert_false(hb_direction_by_sign(">", &direction));
    assert_string_equal(hb_map_kind_name((hb_map_kind)99), "unknown");
    assert_string_equal(hb_guarantee_kind_name((hb_guarantee_kind)-1), "unknown");
    assert_string_equal(hb_direction_name((hb_direction)3), "unknown");
    assert_string_equal(hb_direction_sign(HB_DIRECTION_AUTO), "unknown");
    assert_string_equal(hb_grid_name((hb_grid)3), "unknown");
    assert_string_equal(hb_selection_name((hb_selection)3), "unknown");
}

static void test_flags(void **state)
{
    (void)state;
    assert_true(hb_is_flagged(2, 2, HB_DIRECTION_HIGH));
    assert_true(hb_is_flagged(2, 2, HB_DIRECTION_LOW));
    assert_false(hb_is_flagged(1, 2, HB_DIRECTION_HIGH));
    assert_false(hb_is_flagged(3, 2, HB_DIRECTION_LOW));
    assert_false(hb_is_flagged(NAN, 2, HB_DIRECTION_HIGH) || hb_is_flagged(NAN, 2, HB_DIRECTION_LOW));
}

/* ---- A run -------------------------------------------------------------------------------------- */

enum { SAMPLES = 60 };

/* Every third sample is hallucinated. Its first scores are higher; other scores carry little or no
 * information. */
static double score_of(uint64_t index, size_t score, hb_rng *rng)
{
    return (index % 3 == 0 && score % 2 == 0 ? 1 : 0) + hb_rng_unit(rng) * (1 + (double)(score % 5));
}

/* A hash that begins with the number. */
static const char *hash_of(uint64_t number)
{
    static char hex[65];
    snprintf(hex, sizeof hex, "%016llx%048d", (unsigned long long)number, 7);
    return hex;
}

static const hb_run_settings settings = {.model_path = "m.gguf",
                                         .model_name = "m",
                                         .model_architecture = "llama",
                                         .model_sha256 = "01",
                                         .model_size = 5,
                                         .data_path = "d.jsonl",
                                         .data_format = "generic",
                                         .data_sha256 = "02",
                                         .data_rows = SAMPLES + 1,
                                         .n_samples = SAMPLES + 1,
                                         .max_tokens = 20,
                                         .n_ctx = 512,
                                         .alpha = 0.1};

static hb_run *make_run(void **state)
{
    char path[128], id[32];
    hb_error err;
    hb_run *run;
    hb_scores *scores;
    hb_rng rng = {7};
    snprintf(path, sizeof path, "%s/run.db", (char *)*state);
    assert_ok(hb_run_create(path, &settings, &run, &err));
    assert_ok(hb_scores_of_set(NULL, &scores, &err));
    for (uint64_t i = 0; i < SAMPLES; i++) {
        for (size_t k = 0; k < hb_scores_count(scores); k++)
            hb_scores_set(scores, k, score_of(i, k, &rng));
        snprintf(id, sizeof id, "q_%llu", (unsigned long long)i);
        const hb_run_sample sample = {.index = i,
                                      .id = id,
                                      .label = i % 3 == 0,
                                      .status = HB_SAMPLE_SCORED,
                                      .scores = scores,
                                      .text = "text",
                                      .finish = HB_FINISH_MAX_TOKENS,
                                      .prompt_sha256 = hash_of(SAMPLES - i)};
        assert_ok(hb_run_add(run, &sample, &err));
    }
    const hb_run_sample skipped = {.index = SAMPLES,
                                   .id = "long",
                                   .status = HB_SAMPLE_SKIPPED,
                                   .reason = "too long",
                                   .prompt_sha256 = hash_of(0)};
    assert_ok(hb_run_add(run, &skipped, &err));
    assert_ok(hb_run_commit(run, &err));
    hb_scores_free(scores);
    return run;
}

/* Number of statements that read samples' scores, on any connection. */
static int n_reads;

static int count_statement(unsigned what, void *user, void *statement, void *sql)
{
    (void)what;
    (void)user;
    (void)statement;
    n_reads += strstr(sql, "JOIN scores") != NULL;
    return 0;
}

static int trace(sqlite3 *db, char **message, const void *routines)
{
    (void)message;
    (void)routines;
    return sqlite3_trace_v2(db, SQLITE_TRACE_STMT, count_statement, NULL);
}

static const char *const several[] = {"hbar_s", "entropy:mean", "pri", "margin:last"};

static hb_calibration_result calibrate(hb_run *run, size_t n, bool joint)
{
    hb_error err;
    hb_calibration_result r;
    hb_calibrate_options o = hb_calibrate_defaults();
    o.bootstrap.n_draws = 100;
    o.joint = joint;
    o.map = HB_MAP_PLATT;
    assert_ok(hb_calibrate_run(run, several, n, NULL, &o, &r, &err));
    return r;
}

static void test_a_run_is_read_once(void **state)
{
    hb_error err;
    hb_halting h;
    sqlite3_auto_extension((void (*)(void))trace);
    hb_run *run = make_run(state);
    n_reads = 0;
    hb_calibration_result one = calibrate(run, 1, false);
    assert_int_equal(n_reads, 1);
    hb_calibration_result best = calibrate(run, 4, false);
    assert_int_equal(n_reads, 2);
    hb_calibration_result joint = calibrate(run, 4, true);
    assert_int_equal(n_reads, 3);
    size_t n_signals = hb_signal_set_count(hb_run_get_settings(run)->signals);
    assert_int_equal(one.n_scores, n_signals);
    assert_int_equal(best.n_scores, n_signals + 2); /* hbar_s and pri are among the usual ones */
    assert_int_equal(joint.n_scores, n_signals + 1);
    assert_string_equal(one.scores[0].name, "hbar_s");
    assert_string_equal(joint.scores[0].name, "joint");
    assert_int_equal(best.comparison.n, 4);
    assert_ptr_equal(best.comparison.scores[0].name, best.scores[0].name);
    for (size_t i = 1; i < 4; i++)
        assert_true(best.comparison.scores[i].sweep.auroc <= best.scores[0].auroc);
    assert_int_equal(one.n_prompts, SAMPLES); /* without the skipped one */
    for (size_t i = 0; i < SAMPLES; i++) assert_true(one.prompts[i] == i + 1);
    assert_false(joint.has_halting);
    assert_true(one.has_halting && best.has_halting);

    hb_monitor m = hb_monitor_defaults();
    m.map = &one.map;
    assert_ok(hb_run_halting(run, &m, NULL, &h, &err));
    assert_memory_equal(&h, &one.halting, sizeof h);
    assert_int_equal(h.n[0] + h.n[1], SAMPLES);
    hb_calibration_result_free(&one);
    hb_calibration_result_free(&best);
    hb_calibration_result_free(&joint);
    hb_calibration_result_free(NULL);
    hb_run_close(run);
    sqlite3_reset_auto_extension();
}

/* A calibration equals the results of the functions it calls. */
static void test_calibration_is_its_parts(void **state)
{
    hb_error err;
    hb_run *run = make_run(state);
    hb_calibration_result r = calibrate(run, 1, false);
    hb_score_table t;
    hb_sweep_result sweep;
    hb_uncertainty u;
    hb_sweep_options o = hb_sweep_defaults();
    assert_ok(hb_run_scores(run, r.scores[0].name, NULL, &t, &err));
    assert_ok(hb_sweep(t.scores, t.labels, t.n, &o, &sweep, &err));
    assert_int_equal(r.sweep.n_points, sweep.n_points);
    assert_memory_equal(r.sweep.points, sweep.points, sweep.n_points * sizeof *sweep.points);
    assert_memory_equal(&r.sweep.best, &sweep.best, sizeof sweep.best);
    assert_ok(
        hb_find_uncertainty(t.scores, t.labels, t.n, sweep.direction, &r.options.bootstrap, &u, &err));
    assert_memory_equal(&r.uncertainty.bootstrap, &u.bootstrap, sizeof u.bootstrap);
    double squares = 0;
    for (size_t i = 0; i < t.n; i++) {
        double off = hb_map_p(&r.map, t.scores[i]) - t.labels[i];
        squares += off * off;
    }
    assert_near(r.brier, squares / (double)t.n, 1e-15);
    hb_sweep_free(&sweep);
    hb_score_table_free(&t);
    hb_calibration_result_free(&r);
    hb_run_close(run);
}

static void test_options_that_exclude_each_other(void **state)
{
    hb_error err;
    hb_calibration_result r;
    hb_run *run = make_run(state);
    hb_calibrate_options o = hb_calibrate_defaults();
    o.sweep.guarantee = (hb_guarantee){.kind = HB_GUARANTEE_RISK, .target = 0.9, .delta = 0.05};
    assert_fails(hb_calibrate_run(run, several, 2, NULL, &o, &r, &err), HB_ERR_ARGUMENT,
                 "a single score chosen in advance, not the best of 2");
    o.joint = true;
    assert_fails(hb_calibrate_run(run, several, 2, NULL, &o, &r, &err), HB_ERR_ARGUMENT, "joint model");
    o.sweep.guarantee.kind = HB_GUARANTEE_NONE;
    o.sweep.direction = HB_DIRECTION_LOW;
    assert_fails(hb_calibrate_run(run, several, 2, NULL, &o, &r, &err), HB_ERR_ARGUMENT,
                 "requires that high values are risky");
    assert_fails(hb_calibrate_run(run, several, 0, NULL, NULL, &r, &err), HB_ERR_ARGUMENT, "no score");
    assert_fails(hb_calibrate_run(run, (const char *const[]){"mood"}, 1, NULL, NULL, &r, &err),
                 HB_ERR_ARGUMENT, "no score 'mood'");
    hb_run_close(run);
}

/* ---- Validation --------------------------------------------------------------------------------- */

/* Saves a calibration's parameters and reads them. */
static hb_params *reload(void **state, const hb_run *run, const hb_calibration_result *r)
{
    hb_error err;
    hb_params *p;
    char *json, *path;
    const hb_params_source source = {.run = hb_run_get_settings(run)};
    assert_ok(hb_params_json(&source, r, &json, &err));
    assert_ok(hb_params_save(*state, "p", 1, json, &path, &err));
    assert_ok(hb_params_load(path, &p, &err));
    free(json);
    free(path);
    return p;
}

static void test_validation_of_a_run(void **state)
{
    hb_error err;
    hb_validation_result v;
    const hb_bootstrap_options none = {.n_draws = 0};
    sqlite3_auto_extension((void (*)(void))trace);
    hb_run *run = make_run(state);
    for (int joint = 0; joint < 2; joint++) {
        hb_calibration_result r = calibrate(run, 4, joint);
        hb_params *p = reload(state, run, &r);
        n_reads = 0;
        assert_ok(hb_validate_run(p, run, NULL, &none, &v, &err));
        assert_int_equal(n_reads, 1);
        assert_int_equal(v.n, SAMPLES);
        assert_int_equal(v.n_scores, r.n_scores);
        assert_int_equal(v.n_unjudged, 0);
        assert_true(v.knows_shared);
        assert_int_equal(v.n_shared, SAMPLES);
        assert_int_equal(v.has_halting, !joint);
        assert_true(v.has_quadrants);
        if (!joint) {
            assert_memory_equal(&v.halting, &r.halting, sizeof r.halting);
            assert_near(v.scores[0].validation.brier, r.brier, 1e-12);
        }
        for (size_t i = joint; i < v.n_scores; i++) { /* a joint model's were computed out of fold */
            const hb_judged_score *s = &v.scores[i];
            assert_string_equal(s->calibrated->name, r.scores[i].name);
            assert_near(s->validation.sweep.auroc, r.scores[i].auroc, 1e-12);
            assert_near(s->validation.at_tau.recall, r.scores[i].recall, 1e-12);
            assert_near(v.correlations[i * v.n_scores + i], 1, 1e-12);
            assert_int_equal(isnan(s->p_holm), i == 0);
        }
        hb_validation_result_free(&v);
        hb_params_free(p);
        hb_calibration_result_free(&r);
    }
    hb_run_close(run);
    sqlite3_reset_auto_extension();
}

/* The table has the columns pri and hbar_s, in this order. */
static void check_quadrants(const hb_validation_result *v, const hb_score_table *t)
{
    hb_quadrants q = {0};
    for (size_t i = 0; i < t->n; i++) {
        bool flagged[2];
        for (int s = 0; s < 2; s++) {
            const hb_calibrated_score *c = v->scores[0].calibrated;
            if (strcmp(c->name, s ? "pri" : "hbar_s") != 0) c = v->scores[1].calibrated;
            double value = t->scores[(size_t)(s ? 0 : 1) * t->n + i];
            flagged[s] = c->direction == HB_DIRECTION_LOW ? value <= c->tau : value >= c->tau;
        }
        q.count[flagged[0]][flagged[1]]++;
        q.hallucinated[flagged[0]][flagged[1]] += t->labels[i];
    }
    assert_true(v->has_quadrants);
    assert_memory_equal(&v->quadrants, &q, sizeof q);
}

/* Each quadrant's samples are counted one by one; missing scores and scores that cannot be validated
 * are listed; the calibrated score must be present. */
static void test_validation_of_a_table(void **state)
{
    static const char *const names[] = {"pri", "hbar_s", "entropy"};
    hb_error err;
    hb_validation_result v;
    hb_run *run = make_run(state);
    hb_calibration_result r = calibrate(run, 1, false);
    hb_params *p = reload(state, run, &r);
    hb_score_table t;
    const char **columns;
    size_t n;
    assert_ok(hb_run_table(run, names, 3, NULL, &t, &err));
    for (size_t i = 0; i < t.n; i++) t.scores[2 * t.n + i] = 5;
    const hb_bootstrap_options none = {.n_draws = 0, .min_recall = 0.5};
    assert_ok(hb_validate_scores(p, &t, names, &none, &v, &err));
    assert_int_equal(v.n_scores, 2);
    assert_near(v.scores[0].validation.sweep.min_recall, 0.5, 0);
    assert_int_equal(v.n_unjudged, p->n_scores - 2);
    size_t lacking = 0, unfit = 0;
    for (size_t i = 0; i < v.n_unjudged; i++) {
        if (!v.unjudged[i].reason) lacking++;
        else if (strstr(v.unjudged[i].reason, "all 60 scores are 5")) unfit++;
    }
    assert_int_equal(unfit, 1);
    assert_int_equal(lacking, v.n_unjudged - 1);
    check_quadrants(&v, &t);
    hb_validation_result_free(&v);
    hb_validation_result_free(NULL);

    t.n_scores = 1;
    assert_fails(hb_validate_scores(p, &t, names + 2, &none, &v, &err), HB_ERR_DATA,
                 "the score 'hbar_s' of the parameters is missing");
    assert_ok(hb_params_columns(p, names, 3, &columns, &n, &err));
    assert_int_equal(n, 3);
    assert_string_equal(columns[0], "hbar_s");
    free(columns);
    assert_ok(hb_params_columns(p, names, 1, &columns, &n, &err));
    assert_int_equal(n, 2); /* the calibrated score in any case */
    free(columns);
    t.n_scores = 3;
    hb_score_table_free(&t);
    hb_params_free(p);
    hb_calibration_result_free(&r);
    hb_run_close(run);
}

/* ---- No report is ever incomplete --------------------------------------------------------------- */

typedef struct reported {
    hb_params_source source;
    hb_calibration_result calibration;
    hb_validation_source validated;
    hb_validation_result validation;
    const char *model;
} reported;

static hb_status params_json(const reported *r, char **text, hb_error *err)
{
    return hb_params_json(&r->source, &r->calibration, text, err);
}

static hb_status params_text(const reported *r, char **text, hb_error *err)
{
    return hb_params_text(&r->source, &r->calibration, text, err);
}

static hb_status validation_json(const reported *r, char **text, hb_error *err)
{
    return hb_validation_json(&r->validated, &r->validation, text, err);
}

static hb_status validation_text(const reported *r, char **text, hb_error *err)
{
    return hb_validation_text(&r->validated, &r->validation, text, err);
}

static hb_status inspect_json(const reported *r, char **text, hb_error *err)
{
    return hb_inspect(r->model, 64, text, err);
}

static hb_status inspect_text(const reported *r, char **text, hb_error *err)
{
    return hb_inspect_text(r->model, 64, text, err);
}

static hb_status rate_text(const reported *r, char **text, hb_error *err)
{
    (void)r;
    const hb_grading g = hb_grading_defaults();
    return hb_rate_text(10, 0.25, &g, 2, text, err);
}

/* Removes the creation time, which may differ between documents. */
static void drop_time(char *json)
{
    char *created = strstr(json, "\"created\": \"");
    if (created) memset(created, '-', strlen("\"created\": \"2026-01-01T00:00:00Z"));
}

typedef hb_status report_function(const reported *r, char **text, hb_error *err);

/* The n-th allocation fails, alone or with all later ones, for every n: each report is complete or an
 * error. */
static void check_failing(const reported *r, report_function *report, bool all_after)
{
    hb_error err;
    char *whole, *text;
    long n = 0, step = 1, refused = 0;
    assert_ok(report(r, &whole, &err));
    drop_time(whole);
    for (;; n += step) {
        fail_allocations(n, all_after);
        hb_status status = report(r, &text, &err);
        stop_failing();
        if (status) {
            assert_int_equal(status, HB_ERR_MEMORY);
            assert_true(allocations.failed > 0);
            refused++;
        } else {
            drop_time(text);
            assert_string_equal(text, whole);
            free(text);
            if (!allocations.failed) break;
        }
        if (n > 300) step = 37; /* testing every number would take long and find no more */
    }
    assert_true(refused > 0);
    free(whole);
}

static void check_report(const reported *r, report_function *report)
{
    check_failing(r, report, true);
}

static void test_no_report_is_incomplete(void **state)
{
    hb_error err;
    hb_run *run = make_run(state);
    reported r = {.calibration = calibrate(run, 4, false), .model = tiny_model("f32")};
    hb_params *p = reload(state, run, &r.calibration);
    const hb_bootstrap_options draws = {.n_draws = 100, .seed = 1};
    assert_ok(hb_validate_run(p, run, NULL, &draws, &r.validation, &err));
    r.source.run = hb_run_get_settings(run);
    r.validated = (hb_validation_source){.params = "p\xC3\xA9.json", .scores = "run\n.db"};
    json_set_alloc_funcs(__wrap_malloc, free);
    check_report(&r, params_json);
    check_report(&r, params_text);
    check_report(&r, validation_json);
    check_report(&r, validation_text);
    check_report(&r, inspect_json);
    check_report(&r, inspect_text);
    check_report(&r, rate_text);
    r.model =
        tiny_model("chat"); /* its template is tried twice, so one failure must not go unnoticed */
    check_failing(&r, inspect_json, false);
    check_failing(&r, inspect_text, false);
    json_set_alloc_funcs(malloc, free);
    hb_validation_result_free(&r.validation);
    hb_calibration_result_free(&r.calibration);
    hb_params_free(p);
    hb_run_close(run);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_in_ascii),
        cmocka_unit_test(test_enum_names),
        cmocka_unit_test(test_flags),
        WITH_SCRATCH(test_a_run_is_read_once),
        WITH_SCRATCH(test_calibration_is_its_parts),
        WITH_SCRATCH(test_options_that_exclude_each_other),
        WITH_SCRATCH(test_validation_of_a_run),
        WITH_SCRATCH(test_validation_of_a_table),
        WITH_SCRATCH(test_no_report_is_incomplete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
