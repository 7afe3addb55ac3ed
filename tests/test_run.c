/* The run store and pass 1. */
#include "check.h"

#include <jansson.h>
#include <math.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "kernel_sets.h"
#include "signals/scores.h"
#include "store/run.h"

enum { MEASURED = 8, N_SCORES = 28 * MEASURED }; /* scores of a signal, and of all */

static char path[128];

#define SHA256 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const char *run_path(void **state)
{
    snprintf(path, sizeof path, "%s/run.db", (char *)*state);
    return path;
}

static hb_run_settings settings(void)
{
    return (hb_run_settings){.model_path = "m.gguf",
                             .model_name = "m",
                             .model_architecture = "llama",
                             .model_sha256 = "0123456789abcdef0123456789abcdef",
                             .model_size = 5000000000u,
                             .data_path = "d.jsonl",
                             .data_format = "generic",
                             .data_sha256 = "fedcba9876543210fedcba9876543210",
                             .data_rows = 30,
                             .data_broken = 1,
                             .n_samples = 20,
                             .seed = UINT64_MAX - 5,
                             .max_tokens = 20,
                             .n_ctx = 512,
                             .alpha = 0.1};
}

/* A value for every sample and score, all different. */
static double score_of(uint64_t index, size_t score)
{
    return (double)index + 0.001 * (double)score;
}

/* The scores of a sample for all signals. Returns one of a few objects by turns. */
static const hb_scores *scores_of(uint64_t index)
{
    static hb_scores *few[4];
    static int next;
    hb_error err;
    hb_scores **s = &few[next++ % 4];
    if (!*s) assert_ok(hb_scores_of_set(NULL, s, &err));
    for (size_t i = 0; i < hb_scores_count(*s); i++) hb_scores_set(*s, i, score_of(index, i));
    return *s;
}

static hb_run_sample scored(uint64_t index)
{
    hb_run_sample sample = {.index = index,
                            .id = "qa_7_hal",
                            .label = (int)(index % 2),
                            .status = HB_SAMPLE_SCORED,
                            .scores = scores_of(index),
                            .text = "caf\xC3\xA9 \"quoted\"\n",
                            .finish = HB_FINISH_MAX_TOKENS,
                            .n_prompt = 33,
                            .n_tokens = 20,
                            .prompt_seconds = 0.25,
                            .decode_seconds = 0.5,
                            .prompt = "Who?\nAnswer:",
                            .prompt_sha256 = SHA256};
    return sample;
}

static hb_run_sample left_out(uint64_t index, hb_sample_status status)
{
    return (hb_run_sample){.index = index,
                           .id = "qa_8_cor",
                           .status = status,
                           .reason = "because",
                           .prompt_sha256 = SHA256};
}

static hb_run *create(void **state)
{
    hb_error err;
    hb_run *run;
    hb_run_settings s = settings();
    assert_ok(hb_run_create(run_path(state), &s, &run, &err));
    return run;
}

static void add(hb_run *run, hb_run_sample sample)
{
    hb_error err;
    assert_ok(hb_run_add(run, &sample, &err));
    assert_ok(hb_run_commit(run, &err));
}

static hb_status check_rows(void *user, const hb_run_sample *s)
{
    int *seen = user;
    hb_run_sample expected =
        *seen < 2 ? scored((uint64_t)(2 * *seen + 1)) : left_out(9, HB_SAMPLE_SKIPPED);
    assert_true(s->index == expected.index);
    assert_string_equal(s->id, expected.id);
    assert_int_equal(s->label, expected.label);
    assert_int_equal(s->status, expected.status);
    if (*seen < 2) {
        assert_int_equal(hb_scores_count(s->scores), N_SCORES);
        for (size_t i = 0; i < N_SCORES; i++)
            assert_near(hb_scores_at(s->scores, i), hb_scores_at(expected.scores, i), 0);
        assert_string_equal(s->text, expected.text);
        assert_int_equal(s->finish, expected.finish);
        assert_null(s->reason);
        assert_int_equal(s->n_prompt, 33);
        assert_int_equal(s->n_tokens, 20);
        assert_near(s->prompt_seconds, 0.25, 0);
        assert_near(s->decode_seconds, 0.5, 0);
        assert_string_equal(s->prompt, expected.prompt);
    } else {
        assert_string_equal(s->reason, "because");
        assert_null(s->scores);
        assert_null(s->text);
        assert_null(s->prompt);
    }
    assert_string_equal(s->prompt_sha256, SHA256);
    ++*seen;
    return HB_OK;
}

static void test_what_goes_in_comes_out(void **state)
{
    hb_error err;
    bool has;
    hb_run *run = create(state);
    add(run, scored(3));
    add(run, left_out(9, HB_SAMPLE_SKIPPED));
    add(run, scored(1));
    assert_ok(hb_run_has(run, 3, &has, &err));
    assert_true(has);
    assert_ok(hb_run_has(run, 9, &has, &err));
    assert_true(has);
    assert_ok(hb_run_has(run, 2, &has, &err));
    assert_false(has);
    hb_run_sample again = scored(3);
    assert_fails(hb_run_add(run, &again, &err), HB_ERR_IO, run_path(state)); /* never overwritten */
    hb_run_close(run);

    assert_ok(hb_run_open(run_path(state), &run, &err));
    int seen = 0;
    assert_ok(hb_run_each(run, check_rows, &seen, &err));
    assert_int_equal(seen, 3);
    hb_run_counts c;
    assert_ok(hb_run_count(run, &c, &err));
    assert_int_equal(c.total, 20);
    assert_int_equal(c.scored, 2);
    assert_int_equal(c.skipped, 1);
    assert_int_equal(c.failed, 0);
    const hb_run_settings *got = hb_run_get_settings(run);
    assert_string_equal(got->model_sha256, settings().model_sha256);
    assert_true(got->seed == UINT64_MAX - 5);
    assert_true(got->model_size == 5000000000u);
    assert_near(got->alpha, 0.1, 0);
    hb_run_close(run);
    hb_run_close(NULL);
}

static uint64_t count_scored(void **state)
{
    hb_error err;
    hb_run *run;
    hb_run_counts c;
    assert_ok(hb_run_open(run_path(state), &run, &err));
    assert_ok(hb_run_count(run, &c, &err));
    hb_run_close(run);
    return c.scored;
}

/* A commit keeps all samples added since the last commit. Without it, none of them is kept. */
static void test_kept_by_commit(void **state)
{
    hb_error err;
    bool has;
    hb_run *run = create(state);
    hb_run_sample second = scored(2), third = scored(3);
    add(run, scored(1));
    assert_ok(hb_run_add(run, &second, &err));
    assert_ok(hb_run_has(run, 2, &has, &err));
    assert_true(has);
    assert_int_equal(count_scored(state), 1);
    assert_ok(hb_run_add(run, &third, &err));
    assert_ok(hb_run_commit(run, &err));
    assert_ok(hb_run_commit(run, &err)); /* an empty commit is no error */
    assert_int_equal(count_scored(state), 3);

    hb_run_sample fourth = scored(4), fifth = scored(5);
    assert_ok(hb_run_add(run, &fourth, &err));
    assert_fails(hb_run_add(run, &second, &err), HB_ERR_IO, run_path(state));
    assert_ok(hb_run_has(run, 4, &has, &err));
    assert_false(has);
    assert_ok(hb_run_add(run, &fifth, &err));
    hb_run_close(run); /* without a commit, as when a process is killed */
    assert_int_equal(count_scored(state), 3);
}

static void test_scores_by_name(void **state)
{
    hb_error err;
    hb_score_table t;
    hb_run *run = create(state);
    for (uint64_t i = 0; i < 12; i++) add(run, i == 5 ? left_out(i, HB_SAMPLE_FAILED) : scored(i));
    const char *name;
    for (size_t k = 0; (name = hb_run_score_name(run, k)) != NULL; k++) {
        assert_ok(hb_run_scores(run, name, NULL, &t, &err));
        assert_int_equal(t.n, 11); /* unscored samples are left out instead of being 0 */
        for (size_t i = 0; i < t.n; i++) {
            size_t index = i < 5 ? i : i + 1;
            assert_near(t.scores[i], score_of(index, k), 0);
            assert_int_equal(t.labels[i], index % 2);
        }
        hb_score_table_free(&t);
    }
    static const char *const names[] = {"pri:mean", "hbar_s"};
    assert_ok(hb_run_table(run, names, 2, NULL, &t, &err));
    assert_int_equal(t.n_scores, 2);
    assert_int_equal(t.n, 11);
    for (size_t k = 0; k < 2; k++) {
        hb_score_table one;
        assert_ok(hb_run_scores(run, names[k], NULL, &one, &err));
        assert_memory_equal(t.scores + k * t.n, one.scores, one.n * sizeof *one.scores);
        assert_memory_equal(t.labels, one.labels, one.n);
        hb_score_table_free(&one);
    }
    for (size_t i = 0; i < t.n; i++) { /* both tails of a tail5; of other scores the same value twice */
        size_t index = i < 5 ? i : i + 1;
        assert_near(t.low[i], score_of(index, MEASURED + 2), 0);
        assert_near(t.scores[t.n + i], score_of(index, 0), 0);
        assert_near(t.low[t.n + i], score_of(index, 1), 0);
    }
    hb_score_table_free(&t);
    assert_fails(hb_run_scores(run, "entrapy", NULL, &t, &err), HB_ERR_ARGUMENT, "no score 'entrapy'");
    assert_fails(hb_run_scores(run, "pri:median", NULL, &t, &err), HB_ERR_ARGUMENT,
                 "no score 'pri:median'");
    hb_run_close(run);
}

static void execute(const char *name, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(name, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* A run keeps the signals that it was created with, and no others. */
static void test_chosen_signals(void **state)
{
    hb_error err;
    hb_run *run;
    hb_score_table t;
    hb_run_settings s = settings();
    hb_signal_set *signals;
    assert_ok(hb_signal_set_parse("entropy,pri", &signals, &err));
    s.signals = signals;
    assert_ok(hb_run_create(run_path(state), &s, &run, &err));
    hb_signal_set_free(signals); /* the run has its own */
    for (uint64_t i = 0; i < 3; i++) add(run, scored(i));
    hb_run_close(run);
    assert_ok(hb_run_open(path, &run, &err));
    char *list = hb_signal_set_names(hb_run_get_settings(run)->signals);
    assert_string_equal(list, "pri,entropy");
    free(list);
    assert_string_equal(hb_run_score_name(run, MEASURED), "entropy:top5");
    assert_null(hb_run_score_name(run, 2 * MEASURED));
    assert_true(hb_run_has_score(run, "entropy:top5"));
    assert_true(hb_run_has_score(run, "entropy"));
    assert_false(hb_run_has_score(run, "hbar_s"));
    assert_ok(hb_run_scores(run, "entropy:min", NULL, &t, &err));
    const size_t place = 6 * MEASURED + HB_AGGREGATION_MIN - 1; /* among the scores of all signals */
    for (size_t i = 0; i < 3; i++) assert_near(t.scores[i], score_of(i, place), 0);
    hb_score_table_free(&t);
    assert_fails(hb_run_scores(run, "hbar_s", NULL, &t, &err), HB_ERR_ARGUMENT,
                 "no score 'hbar_s'; there are pri,entropy,");
    hb_run_close(run);
    execute(path, "UPDATE settings SET value = 'pri,shoe' WHERE key = 'signals'");
    assert_fails(hb_run_open(path, &run, &err), HB_ERR_FORMAT, "no signal 'shoe'");
}

/* Samples are grouped by the data's field or, without one, by their ids. */
static void test_groups_of_samples(void **state)
{
    static const struct {
        const char *id, *group;
        double overlap;
    } rows[] = {{"qa_1_cor", NULL, 0.25},
                {"qa_1_hal", NULL, NAN},
                {"a", "Peru", 1},
                {"qa_2_cor", "Peru", 0},
                {"qa_3_cor", NULL, 0.5}};
    static const uint32_t expected[] = {0, 0, 2, 2, 4};
    hb_error err;
    hb_score_table t;
    hb_run *run = create(state);
    for (uint64_t i = 0; i < 5; i++) {
        hb_run_sample sample = scored(i);
        sample.id = rows[i].id;
        sample.group = rows[i].group;
        sample.overlap = rows[i].overlap;
        add(run, sample);
    }
    assert_ok(hb_run_scores(run, "pri:mean", NULL, &t, &err));
    for (size_t i = 0; i < 5; i++) assert_int_equal(t.groups[i], expected[i]);
    hb_score_table_free(&t);
    assert_null(t.groups);
    hb_run_close(run);
    execute(path, "DELETE FROM samples WHERE idx IN (1, 3)");
    assert_ok(hb_run_open(path, &run, &err));
    assert_ok(hb_run_scores(run, "pri:mean", NULL, &t, &err));
    assert_null(t.groups); /* no two samples share one */
    hb_score_table_free(&t);
    hb_run_close(run);
}

/* Turns a run into one of schema 4, in which columns with the signals' names alone held the top5. */
static void make_old(void)
{
    const hb_signal *signal;
    for (size_t i = 0; (signal = hb_signal_at(i)) != NULL; i++) {
        char sql[256];
        const char *name = hb_signal_name(signal);
        if (hb_signal_usual(signal) == HB_AGGREGATION_TAIL5) {
            snprintf(sql, sizeof sql, "ALTER TABLE scores RENAME COLUMN \"%s:top5\" TO \"%s\"", name,
                     name);
            execute(path, sql);
        }
        snprintf(sql, sizeof sql, "ALTER TABLE scores DROP COLUMN \"%s:bottom5\"", name);
        execute(path, sql);
    }
    execute(path, "CREATE TABLE old AS SELECT idx, id, label, answers, grade_exact, grade_contains,"
                  " grade_f1, status, reason, text, finish, n_prompt, n_tokens, prompt_seconds,"
                  " decode_seconds FROM samples;"
                  "DROP TABLE samples; ALTER TABLE old RENAME TO samples;"
                  "DELETE FROM settings WHERE key IN ('answer_lines', 'abstain_sha256', 'no_prompts',"
                  " 'read_as', 'exact'); DROP TABLE tokens;"
                  "PRAGMA user_version = 4");
}

/* Runs of earlier versions are read, not written. They have no bottom5. */
static void test_old_runs(void **state)
{
    hb_error err;
    hb_score_table t;
    hb_run_counts c;
    hb_calibration_result r;
    hb_run *run = create(state);
    for (uint64_t i = 0; i < 12; i++) add(run, scored(i));
    hb_run_close(run);
    make_old();
    assert_ok(hb_run_open(path, &run, &err));
    assert_ok(hb_run_count(run, &c, &err));
    assert_int_equal(c.scored, 12);
    assert_int_equal(c.abstained, 0);
    assert_string_equal(hb_run_get_settings(run)->abstain_sha256, "");
    assert_string_equal(hb_run_score_name(run, 0), "hbar_s:top5");
    assert_true(hb_run_has_score(run, "perplexity"));
    assert_false(hb_run_has_score(run, "hbar_s"));
    assert_ok(hb_run_scores(run, "pri:top5", NULL, &t, &err));
    assert_null(t.low);
    for (size_t i = 0; i < 12; i++) assert_near(t.scores[i], score_of(i, MEASURED), 0);
    assert_null(t.prompts); /* which did not exist then */
    hb_score_table_free(&t);
    assert_fails(
        hb_run_scores(run, "pri", NULL, &t, &err), HB_ERR_ARGUMENT,
        "made this run (schema 4), without the five smallest values that 'pri' needs where low "
        "ones are risky; it has 'pri:top5'");
    static const char *const names[] = {"pri"};
    hb_calibrate_options o = hb_calibrate_defaults();
    assert_fails(hb_calibrate_run(run, names, 1, NULL, &o, &r, &err), HB_ERR_ARGUMENT,
                 "it has 'pri:top5'");
    o.sweep.direction = HB_DIRECTION_HIGH; /* the low side is not needed */
    assert_ok(hb_calibrate_run(run, names, 1, NULL, &o, &r, &err));
    assert_string_equal(r.scores[0].name, "pri:top5");
    assert_int_equal(r.n_scores, 28);
    assert_int_equal(r.n_prompts, 0);
    hb_calibration_result_free(&r);
    hb_run_close(run);
}

static void test_old_runs_are_not_changed(void **state)
{
    hb_error err;
    hb_run *run = create(state);
    hb_run_settings s = settings();
    for (uint64_t i = 0; i < 12; i++) add(run, scored(i));
    hb_run_close(run);
    make_old();
    assert_fails(hb_run_create(path, &s, &run, &err), HB_ERR_MISMATCH,
                 "an earlier version of hbar made this run (schema 4, now ");
    char id[] = "qa_7_hal";
    hb_given_label given = {.id = id, .label = 1};
    const hb_labels labels = {.list = &given, .n = 1};
    hb_set_labels_counts n;
    assert_fails(hb_run_set_labels(path, &labels, NULL, &n, &err), HB_ERR_MISMATCH,
                 "it can be read, but not changed or continued");
    execute(path, "PRAGMA user_version = 3");
    assert_fails(hb_run_open(path, &run, &err), HB_ERR_UNSUPPORTED, "schema 3 is not supported");
}

static hb_status stop_at_second(void *user, const hb_run_sample *sample)
{
    (void)sample;
    return ++*(int *)user == 2 ? HB_ERR_CANCELLED : HB_OK;
}

static void test_each_stops_when_asked(void **state)
{
    hb_error err;
    int seen = 0;
    hb_run *run = create(state);
    for (uint64_t i = 0; i < 5; i++) add(run, scored(i));
    assert_fails(hb_run_each(run, stop_at_second, &seen, &err), HB_ERR_CALLBACK,
                 "reading stopped at sample 1, because the caller's function failed: cancelled");
    assert_int_equal(seen, 2);
    hb_run_close(run);
}

/* A change of any setting that must agree is refused, naming the setting. Paths may change. */
static void test_other_settings_are_refused(void **state)
{
    hb_error err;
    hb_run *run = create(state);
    add(run, scored(0));
    hb_run_close(run);
    hb_run_settings s = settings();
    s.model_path = "elsewhere/m.gguf";
    s.data_path = "elsewhere/d.jsonl";
    assert_ok(hb_run_create(run_path(state), &s, &run, &err));
    hb_run_close(run);
    s = settings(), s.model_sha256 = "other";
    assert_fails(hb_run_create(run_path(state), &s, &run, &err), HB_ERR_MISMATCH,
                 "model_sha256 is \"0123");
    s = settings(), s.data_sha256 = "other";
    assert_fails(hb_run_create(run_path(state), &s, &run, &err), HB_ERR_MISMATCH, "data_sha256");
    s = settings(), s.data_format = "halueval_qa";
    assert_fails(hb_run_create(run_path(state), &s, &run, &err), HB_ERR_MISMATCH,
                 "data_format is \"generic\", not \"halueval_qa\"");
    s = settings(), s.no_prompts = 1;
    assert_fails(hb_run_create(run_path(state), &s, &run, &err), HB_ERR_MISMATCH,
                 "no_prompts is 0, not 1");
    s = settings(), s.exact = 1;
    assert_fails(hb_run_create(run_path(state), &s, &run, &err), HB_ERR_MISMATCH, "exact is 0, not 1");
    s = settings(), s.kv_type = "q8_0";
    assert_fails(hb_run_create(run_path(state), &s, &run, &err), HB_ERR_MISMATCH,
                 "kv_type is none, not \"q8_0\"");
    s = settings(), s.engine = "llama";
    assert_fails(hb_run_create(run_path(state), &s, &run, &err), HB_ERR_MISMATCH,
                 "engine is \"native\", not \"llama\"");
    s = settings(), s.engine = "native"; /* the same as no name */
    assert_ok(hb_run_create(run_path(state), &s, &run, &err));
    assert_string_equal(hb_run_get_settings(run)->engine, "");
    hb_run_close(run);
}

static void test_other_numbers_and_texts_are_refused(void **state)
{
    hb_error err;
    hb_run *run = create(state);
    add(run, scored(0));
    hb_run_close(run);
    hb_run_settings s = settings();
    s.seed = 1, s.max_tokens = 21;
    assert_fails(hb_run_create(run_path(state), &s, &run, &err), HB_ERR_MISMATCH,
                 "max_tokens is 20, not 21");
    assert_non_null(strstr(err.message, "seed is"));
    s = settings(), s.n_ctx = 1;
    assert_fails(hb_run_create(run_path(state), &s, &run, &err), HB_ERR_MISMATCH, "n_ctx");
    hb_signal_set *signals;
    assert_ok(hb_signal_set_parse("pri", &signals, &err));
    s = settings(), s.signals = signals;
    assert_fails(hb_run_create(run_path(state), &s, &run, &err), HB_ERR_MISMATCH,
                 "signals is \"hbar_s,pri,delta_mu,delta_sigma,delta_h,...\", not \"pri\"");
    hb_signal_set_free(signals);
    s = settings(), s.chat = "";
    assert_ok(hb_run_create(run_path(state), &s, &run, &err)); /* same as none */
    hb_run_close(run);
    s = settings(), s.chat = "chatml", s.system = "Be\nbrief";
    assert_fails(hb_run_create(run_path(state), &s, &run, &err), HB_ERR_MISMATCH,
                 "created with different settings: chat is none, not \"chatml\"; system is none, not "
                 "\"Be\\nbrief\"");
    s = settings(), s.alpha = 0.2;
    assert_fails(hb_run_create(run_path(state), &s, &run, &err), HB_ERR_MISMATCH,
                 "alpha is 0.1, not 0.2");
}

#define EURO "\xE2\x82\xAC\xE2\x82\xAC" /* two of them */

/* Long texts are shown around their difference, cut between characters and on one line. */
static void test_long_settings(void **state)
{
    static const char *const cases[][3] = {
        {"You are a helpful assistant.", "You are a helpful assistant who is brief.",
         "system is \"You are a helpful assistant.\", not \"You are a helpful assistant who is "
         "brief...\""},
        {"You are a very very helpful assistant, who answers each question in one word.",
         "You are a very very helpful assistant, who answers every question in one word.",
         "system is \"...t, who answers each question in one word...\", not \"...t, who answers every "
         "question in one wor...\""},
        {"Be brief.", "Be brief.\n", "system is \"Be brief.\", not \"Be brief.\\n\""},
        {"a \x1b[31m\xC2\x9B\xFF\"\\", "b",
         "system is \"a \\x1B[31m\\xC2\\x9B\\xFF\\\"\\\\\", not \"b\""},
        {"a\xE2\x80\xAE"
         "b",
         "c", "system is \"a\\xE2\\x80\\xAEb\", not \"c\""}, /* a direction override */
        {EURO EURO EURO EURO EURO EURO "-and more", EURO EURO EURO EURO EURO EURO "_and more",
         "system is \"..." EURO EURO EURO "-and more\", not \"..." EURO EURO EURO "_and more\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_error err;
        hb_run *run;
        hb_run_settings s = settings();
        s.chat = "chatml", s.system = cases[i][0];
        assert_ok(hb_run_create(run_path(state), &s, &run, &err));
        hb_run_close(run);
        s.system = cases[i][1];
        assert_fails(hb_run_create(path, &s, &run, &err), HB_ERR_MISMATCH, cases[i][2]);
        unlink(path);
    }
}

static hb_status gather_index(void *user, const hb_run_sample *s)
{
    char *all = user;
    snprintf(all + strlen(all), 256 - strlen(all), "%llu ", (unsigned long long)s->index);
    return HB_OK;
}

static void rows_are(hb_run *run, const char *expected)
{
    hb_error err;
    char all[256] = "";
    assert_ok(hb_run_each(run, gather_index, all, &err));
    assert_string_equal(all, expected);
}

static hb_run *create_of(void **state, uint64_t n_samples)
{
    hb_error err;
    hb_run *run;
    hb_run_settings s = settings();
    s.n_samples = n_samples;
    assert_ok(hb_run_create(run_path(state), &s, &run, &err));
    assert_true(hb_run_get_settings(run)->n_samples == n_samples);
    return run;
}

/* With more samples a run is extended. With fewer, the run has only the requested samples, and the file
 * keeps the others. */
static void test_other_numbers_of_samples(void **state)
{
    hb_error err;
    hb_run_counts c;
    hb_score_table t;
    bool has;
    hb_run *run = create_of(state, 2);
    add(run, scored(3));
    add(run, scored(8));
    hb_run_close(run);
    run = create_of(state, 5);
    for (uint64_t i = 1; i < 10; i += 3) add(run, i == 7 ? left_out(7, HB_SAMPLE_FAILED) : scored(i));
    rows_are(run, "1 3 4 7 8 ");
    hb_run_close(run);

    run = create_of(state, 3);
    rows_are(run, "");
    for (uint64_t i = 7; i <= 9; i++) {
        assert_ok(hb_run_has(run, i, &has, &err));
        assert_int_equal(has, i != 9);
        assert_ok(hb_run_has(run, i, &has, &err)); /* a second time is no error */
    }
    rows_are(run, "7 8 ");
    add(run, scored(9));
    rows_are(run, "7 8 9 ");
    assert_ok(hb_run_count(run, &c, &err));
    assert_int_equal(c.total, 3);
    assert_int_equal(c.scored, 2);
    assert_int_equal(c.failed, 1);
    assert_int_equal(c.not_drawn, 3);
    assert_ok(hb_run_scores(run, "hbar_s", NULL, &t, &err));
    assert_int_equal(t.n, 2);
    assert_near(t.scores[0], score_of(8, 0), 0);
    hb_score_table_free(&t);
    hb_run_close(run);

    assert_ok(hb_run_open(path, &run, &err));
    assert_true(hb_run_get_settings(run)->n_samples == 5);
    assert_ok(hb_run_count(run, &c, &err));
    assert_int_equal(c.not_drawn, 0);
    rows_are(run, "1 3 4 7 8 9 ");
    hb_run_close(run);
}

/* A run may have scores without a signal, in columns with other names. */
static void test_scores_of_whole_samples(void **state)
{
    hb_error err;
    hb_score_table t;
    hb_run *run = create(state);
    hb_run_settings s = settings();
    for (uint64_t i = 0; i < 3; i++) add(run, scored(i));
    hb_run_close(run);
    execute(path, "ALTER TABLE scores ADD COLUMN \"semantic_entropy\" REAL;"
                  "ALTER TABLE scores ADD COLUMN \"how \"\"long\"\"\" REAL;"
                  "UPDATE scores SET semantic_entropy = idx + 0.5, \"how \"\"long\"\"\" = 7");
    assert_ok(hb_run_create(path, &s, &run, &err));
    assert_string_equal(hb_run_score_name(run, N_SCORES), "semantic_entropy");
    assert_true(hb_run_has_score(run, "how \"long\""));
    static const char *const names[] = {"semantic_entropy", "pri"};
    assert_ok(hb_run_table(run, names, 2, NULL, &t, &err));
    for (size_t i = 0; i < 3; i++) assert_near(t.scores[i], (double)i + 0.5, 0);
    for (size_t i = 0; i < 3; i++) assert_near(t.scores[3 + i], score_of(i, MEASURED), 0);
    hb_score_table_free(&t);
    assert_fails(hb_run_scores(run, "entrapy", NULL, &t, &err), HB_ERR_ARGUMENT,
                 "first or :sum; semantic_entropy; how");

    static const char *const more[] = {"semantic_entropy", "how \"long\""};
    hb_scores *scores;
    assert_ok(hb_scores_of_names(more, 2, &scores, &err));
    hb_scores_set(scores, 0, 8);
    hb_run_sample sample = scored(9);
    sample.scores = scores;
    assert_ok(hb_run_add(run, &sample, &err));
    hb_scores_free(scores);
    hb_run_close(run);
}

/* A run that is continued must have a column for each measured score. */
static void test_columns_that_are_missing(void **state)
{
    hb_error err;
    hb_run *run = create(state);
    hb_run_settings s = settings();
    hb_run_close(run);
    execute(path, "ALTER TABLE scores DROP COLUMN \"pri:last\"");
    assert_fails(hb_run_create(path, &s, &run, &err), HB_ERR_FORMAT,
                 "no column for the score 'pri:last'");
    assert_ok(hb_run_open(path, &run, &err));
    assert_false(hb_run_has_score(run, "pri:last"));
    hb_run_close(run);
    execute(path, "DROP TABLE scores");
    assert_fails(hb_run_open(path, &run, &err), HB_ERR_FORMAT, "no table 'scores'");
}

static void write_file(const char *name, const char *text, size_t n)
{
    FILE *file = fopen(name, "wb");
    assert_int_equal(fwrite(text, 1, n, file), n);
    fclose(file);
}

static void test_files_that_are_no_runs(void **state)
{
    hb_error err;
    hb_run *run;
    hb_run_settings s = settings();
    const char *name = run_path(state);
    static const char text[] =
        "these are notes, long enough to be looked at, and no database at all ....\n";
    assert_fails(hb_run_open(name, &run, &err), HB_ERR_IO, name);
    write_file(name, text, sizeof text);
    assert_fails(hb_run_open(name, &run, &err), HB_ERR_FORMAT, name);
    assert_fails(hb_run_create(name, &s, &run, &err), HB_ERR_FORMAT, name);
    char kept[sizeof text];
    FILE *file = fopen(name, "rb");
    assert_int_equal(fread(kept, 1, sizeof kept, file), sizeof kept);
    fclose(file);
    assert_memory_equal(kept, text, sizeof text); /* the user's file is unchanged */

    unlink(name);
    execute(name, "CREATE TABLE other (x)");
    assert_fails(hb_run_create(name, &s, &run, &err), HB_ERR_FORMAT, "not a run of hbar");
    assert_fails(hb_run_open(name, &run, &err), HB_ERR_FORMAT, "not a run of hbar");
    assert_fails(hb_run_create("/no/such/dir/run.db", &s, &run, &err), HB_ERR_IO, "/no/such/dir");
}

static void test_damaged_runs(void **state)
{
    hb_error err;
    hb_run *run = create(state);
    hb_run_settings s = settings();
    hb_score_table t;
    add(run, scored(0));
    add(run, scored(1));
    hb_run_close(run);
    execute(path, "PRAGMA ignore_check_constraints = 1; UPDATE samples SET label = 7 WHERE idx = 1");
    assert_ok(hb_run_open(path, &run, &err));
    assert_fails(hb_run_scores(run, "hbar_s", NULL, &t, &err), HB_ERR_FORMAT, "sample 1 is damaged");
    hb_run_close(run);
    execute(path, "UPDATE samples SET label = 1; UPDATE samples SET prompt_sha256 ="
                  " replace(prompt_sha256, 'f', 'F') WHERE idx = 0");
    assert_ok(hb_run_open(path, &run, &err));
    assert_fails(hb_run_scores(run, "hbar_s", NULL, &t, &err), HB_ERR_FORMAT, "sample 0 is damaged");
    hb_run_close(run);
    execute(path, "DELETE FROM settings WHERE key = 'seed'");
    assert_fails(hb_run_create(path, &s, &run, &err), HB_ERR_FORMAT, "no setting 'seed'");
    execute(path, "PRAGMA user_version = 99");
    assert_fails(hb_run_open(path, &run, &err), HB_ERR_UNSUPPORTED, "schema 99");
}

/* Runs a function in another process, which ends without closing anything, as if killed. Returns its
 * result, 0 to 255. */
static int in_a_process(int (*something)(const char *name), const char *name)
{
    int status;
    pid_t child = fork();
    if (child == 0) _exit(something(name));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Acts as another program that opens the database for writing, reads and closes it. If it considers the
 * database unused, it removes the log. */
static int visit_database(const char *name)
{
    sqlite3 *db;
    if (sqlite3_open(name, &db) != SQLITE_OK) return 1;
    if (sqlite3_exec(db, "SELECT count(*) FROM samples", NULL, NULL, NULL) != SQLITE_OK) return 2;
    return sqlite3_close(db) == SQLITE_OK ? 0 : 3;
}

/* As above in a new program, because a forked process would inherit SQLite's state. The link is read
 * first, because the program that it opens under Valgrind is Valgrind. */
static int run_visitor(const char *name)
{
    char program[512] = "";
    if (readlink("/proc/self/exe", program, sizeof program - 1) > 0)
        execl(program, "test_run", "--visit", name, (char *)NULL);
    return 4;
}

static int write_five(const char *name, void (*between)(const char *name))
{
    hb_run *run;
    hb_run_settings s = settings();
    if (hb_run_create(name, &s, &run, NULL)) return 1;
    for (uint64_t i = 0; i < 5; i++) {
        hb_run_sample sample = scored(i);
        if (hb_run_add(run, &sample, NULL) || hb_run_commit(run, NULL)) return 2;
        if (i == 0) between(name);
        if (i == 0 && in_a_process(run_visitor, name)) return 3;
    }
    return 0;
}

static void create_again(const char *name)
{
    hb_run *again;
    hb_run_settings s = settings();
    hb_error err;
    assert_fails(hb_run_create(name, &s, &again, &err), HB_ERR_BUSY, "this or another process");
}

static int write_and_create_again(const char *name)
{
    return write_five(name, create_again);
}

static void hash(const char *name)
{
    char hex[65];
    hb_error err;
    assert_ok(hb_file_sha256(name, hex, &err));
}

static int write_and_hash(const char *name)
{
    return write_five(name, hash);
}

/* A second writer in the same process is refused. Neither it nor other code that opens and closes the
 * run's file drops the locks that protect committed samples. */
static void test_locks_stay(void **state)
{
    assert_int_equal(in_a_process(write_and_create_again, run_path(state)), 0);
    assert_int_equal(count_scored(state), 5);
    unlink(path);
    assert_int_equal(in_a_process(write_and_hash, path), 0);
    assert_int_equal(count_scored(state), 5);
}

/* Begins to change the run outside the log, as SQLite does when it switches to the log or from it. */
static int be_killed_with_a_journal(const char *name)
{
    sqlite3 *db;
    if (sqlite3_open(name, &db) != SQLITE_OK) return 1;
    return sqlite3_exec(db,
                        "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN;"
                        "CREATE TABLE large AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1"
                        " FROM c LIMIT 1000) SELECT x, randomblob(500) AS bytes FROM c;"
                        "DELETE FROM samples; DELETE FROM scores",
                        NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : 2;
}

/* A reader, too, takes back what a killed process left in a journal. */
static void test_journal_of_a_killed_process(void **state)
{
    for (int continues = 0; continues < 2; continues++) {
        hb_error err;
        hb_run *run;
        char journal[160];
        hb_run_settings s = settings();
        assert_int_equal(in_a_process(write_and_hash, run_path(state)), 0);
        assert_int_equal(in_a_process(be_killed_with_a_journal, path), 0);
        snprintf(journal, sizeof journal, "%s-journal", path);
        assert_int_equal(access(journal, F_OK), 0);
        if (continues) {
            assert_ok(hb_run_try(path, &err));
            assert_ok(hb_run_create(path, &s, &run, &err));
            hb_run_close(run);
        }
        assert_int_equal(count_scored(state), 5);
        assert_int_not_equal(access(journal, F_OK), 0);
        unlink(path);
    }
}

/* In a process without standard streams: a run that is written takes none of their descriptors. */
static int write_without_streams(const char *name)
{
    hb_run *run;
    hb_run_settings s = settings();
    for (int fd = 0; fd < 3; fd++) close(fd);
    if (hb_run_create(name, &s, &run, NULL)) return 1;
    hb_run_sample sample = scored(0);
    if (hb_run_add(run, &sample, NULL) || hb_run_commit(run, NULL)) return 2;
    for (int fd = 0; fd < 3; fd++) {
        struct stat st; /* SQLite puts /dev/null there */
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) return 3 + fd;
    }
    return 0;
}

static void test_standard_descriptors_stay_closed(void **state)
{
    assert_int_equal(in_a_process(write_without_streams, run_path(state)), 0);
}

static bool is_there(const char *suffix)
{
    char name[160];
    snprintf(name, sizeof name, "%s%s", path, suffix);
    return access(name, F_OK) == 0;
}

/* A lock file left by a killed writer is reused. A writer that closes leaves only the run behind. */
static void test_files_beside_the_run(void **state)
{
    hb_error err;
    hb_run *run;
    hb_run_settings s = settings();
    assert_int_equal(in_a_process(write_and_hash, run_path(state)), 0);
    assert_true(is_there("-lock") && is_there("-wal"));
    assert_ok(hb_run_create(path, &s, &run, &err));
    assert_true(is_there("-lock"));
    hb_run_close(run);
    assert_false(is_there("-lock") || is_there("-wal") || is_there("-shm"));
    assert_int_equal(count_scored(state), 5);
    assert_false(is_there("-wal") || is_there("-shm")); /* a reader leaves nothing either */

    char name[160];
    snprintf(name, sizeof name, "%s-lock", path);
    write_file(name, "mine", 4);
    assert_ok(hb_run_create(path, &s, &run, &err));
    hb_run_close(run);
    assert_true(is_there("-lock")); /* somebody else's file */
    unlink(name);
    assert_int_equal(symlink("/no/such/file", name), 0);
    assert_fails(hb_run_create(path, &s, &run, &err), HB_ERR_IO, "-lock: ");
}

/* All names of a run's file share one lock. */
static void test_links_to_a_run(void **state)
{
    hb_error err;
    hb_run *run = create(state), *other;
    hb_run_settings s = settings();
    char link[160];
    snprintf(link, sizeof link, "%s/link.db", (char *)*state);
    assert_int_equal(symlink(path, link), 0);
    assert_fails(hb_run_create(link, &s, &other, &err), HB_ERR_BUSY, link);
    add(run, scored(0));
    assert_ok(hb_run_open(link, &other, &err));
    hb_run_close(other);
    hb_run_close(run);
}

/* Reads a run as a user who cannot write to its folder. */
static int read_as_stranger(const char *name)
{
    hb_run *run;
    hb_run_counts c;
    hb_score_table t;
    hb_error err;
    if (geteuid() == 0 && setuid(65534) != 0) return 1;
    if (hb_run_open(name, &run, &err) || hb_run_count(run, &c, &err) ||
        hb_run_scores(run, "pri:mean", NULL, &t, &err)) {
        print_message("%s\n", err.message);
        return 2;
    }
    int n = (int)t.n;
    hb_score_table_free(&t);
    hb_run_close(run);
    return n == (int)c.scored ? 10 + n : 3;
}

/* A finished run can be read in a read-only folder: as a writer leaves it, and also in WAL mode without
 * a log. */
static void test_folder_that_cannot_be_written(void **state)
{
    static const char *const names[] = {"run.db", "50%25 a?b#c.db"};
    for (size_t i = 0; i < 4; i++) {
        hb_error err;
        hb_run *run;
        hb_run_settings s = settings();
        snprintf(path, sizeof path, "%s/%s", (char *)*state, names[i / 2]);
        assert_ok(hb_run_create(path, &s, &run, &err));
        for (uint64_t k = 0; k < 3; k++) add(run, scored(3 * i + k));
        hb_run_close(run);
        if (i % 2) execute(path, "PRAGMA journal_mode = WAL");
        assert_false(is_there("-wal"));
        assert_int_equal(chmod(path, 0444), 0);
        assert_int_equal(chmod(*state, 0555), 0);
        int got = in_a_process(read_as_stranger, path);
        assert_int_equal(chmod(*state, 0755), 0);
        assert_int_equal(chmod(path, 0644), 0);
        assert_int_equal(got, 10 + 3 * (i % 2 ? 2 : 1));
    }
}

/* Anything but a regular file is refused at once. Opening a FIFO would wait for a writer. */
static void test_no_regular_file(void **state)
{
    hb_error err;
    hb_run *run;
    assert_int_equal(mkfifo(run_path(state), 0600), 0);
    assert_fails(hb_run_open(path, &run, &err), HB_ERR_IO, "not a regular file");
    assert_fails(hb_run_open(*state, &run, &err), HB_ERR_IO, "not a regular file");
}

/* While one process writes, another can read but not write. */
static void test_one_writer(void **state)
{
    hb_error err;
    hb_run *run = create(state), *reader;
    hb_run_counts c;
    add(run, scored(0));
    pid_t child = fork();
    if (child == 0) {
        hb_run *other;
        hb_run_settings s = settings();
        _exit(hb_run_create(path, &s, &other, NULL) == HB_ERR_BUSY ? 0 : 1);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_ok(hb_run_open(path, &reader, &err));
    assert_ok(hb_run_count(reader, &c, &err));
    assert_int_equal(c.scored, 1);
    add(run, scored(1));
    assert_ok(hb_run_count(reader, &c, &err));
    assert_int_equal(c.scored, 2);
    hb_run_close(reader);
    hb_run_close(run);
}

/* ---- Pass 1 -------------------------------------------------------------------------------------- */

typedef struct job {
    hb_model *model;
    hb_session *session;
    hb_dataset *dataset;
    hb_run *run;
    uint64_t progressed;
    uint64_t limit; /* samples after which it is cancelled; 0: never */
    bool graded;    /* all its samples are */
} job;

/* Sixteen short prompts and one that is too long for the context. */
static void write_data(const char *name)
{
    FILE *file = fopen(name, "wb");
    for (int i = 0; i < 16; i++)
        fprintf(file, "{\"id\":\"s%d\",\"prompt\":\"What is number %d?\",\"label\":%d}\n", i, i * i,
                i % 2);
    fprintf(file, "{\"id\":\"long\",\"prompt\":\"");
    for (int i = 0; i < 100; i++) fprintf(file, "xyz ");
    fprintf(file, "\",\"label\":1}\n");
    fclose(file);
}

static job open_job_with(void **state, int32_t n_sequences, int64_t n_positions)
{
    hb_error err;
    job j = {0};
    char data[128];
    const hb_session_options so = {
        .n_ctx = 64, .n_threads = 1, .n_sequences = n_sequences, .n_positions = n_positions};
    const hb_dataset_options d = {.seed = 1};
    snprintf(data, sizeof data, "%s/data.jsonl", (char *)*state);
    write_data(data);
    assert_ok(hb_model_open(tiny_model("f32"), &j.model, &err));
    assert_ok(hb_session_open(j.model, &so, &j.session, &err));
    assert_ok(hb_dataset_open(data, &d, &j.dataset, &err));
    hb_run_settings s = settings();
    s.n_samples = 17;
    s.max_tokens = 6;
    s.n_ctx = 64;
    assert_ok(hb_run_create(run_path(state), &s, &j.run, &err));
    return j;
}

static job open_job(void **state)
{
    return open_job_with(state, 1, 0);
}

static void close_job(job *j)
{
    hb_run_close(j->run);
    hb_dataset_close(j->dataset);
    hb_session_close(j->session);
    hb_model_close(j->model);
}

static bool cancelled(void *user)
{
    const job *j = user;
    return j->limit && j->progressed >= j->limit;
}

static void on_progress(void *user, const hb_run_counts *counts, uint64_t done_now)
{
    job *j = user;
    assert_int_equal(done_now, ++j->progressed);
    assert_int_equal(counts->total, hb_run_get_settings(j->run)->n_samples);
    assert_int_equal(counts->graded, j->graded ? counts->scored : 0);
}

static hb_status score(job *j, hb_error *err)
{
    const hb_score_options o = {.on_progress = on_progress, .cancelled = cancelled, .user = j};
    return hb_score(j->session, j->dataset, j->run, &o, err);
}

static hb_status compare_text(void *user, const hb_run_sample *s)
{
    char *all = user;
    snprintf(all + strlen(all), 8192 - strlen(all), "%s %d %s %.17g %.17g %d|", s->id, s->label,
             s->text ? s->text : s->reason, hb_scores_value(s->scores, "hbar_s:bottom5"),
             hb_scores_value(s->scores, "pri:mean"), s->n_tokens);
    return HB_OK;
}

static void test_pass_1(void **state)
{
    hb_error err;
    hb_run_counts c;
    char all[8192] = "";
    job j = open_job(state);
    assert_ok(score(&j, &err));
    assert_int_equal(j.progressed, 17);
    assert_ok(hb_run_count(j.run, &c, &err));
    assert_int_equal(c.scored, 16);
    assert_int_equal(c.skipped, 1);
    assert_ok(hb_run_each(j.run, compare_text, all, &err));
    assert_non_null(strstr(all, "tokens and 6 more do not fit the context of 64"));

    /* A sample's scores equal those of generating it alone. */
    hb_generate_options o = hb_generate_defaults();
    hb_generation g;
    char expected[512];
    o.monitor.cutoff = 1.1;
    o.max_tokens = 6;
    assert_ok(hb_generate(j.session, "What is number 9?", 17, &o, &g, &err));
    snprintf(expected, sizeof expected, "s3 1 %s %.17g %.17g %d|", g.text,
             hb_scores_value(g.scores, "hbar_s:bottom5"), hb_scores_value(g.scores, "pri:mean"),
             g.n_tokens);
    assert_non_null(strstr(all, expected));
    hb_generation_free(&g);
    close_job(&j);
}

/* The number of prompts with this label that the monitor halts. */
static size_t halted(hb_session *session, const hb_monitor *monitor, int label)
{
    size_t n = 0;
    for (int i = label; i < 16; i += 2) {
        hb_error err;
        hb_generation g;
        char prompt[32];
        hb_generate_options o = hb_generate_defaults();
        o.monitor = *monitor;
        o.max_tokens = 6;
        snprintf(prompt, sizeof prompt, "What is number %d?", i * i);
        assert_ok(hb_generate(session, prompt, strlen(prompt), &o, &g, &err));
        n += g.finish == HB_FINISH_HALTED;
        hb_generation_free(&g);
    }
    return n;
}

static int compare_doubles(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* Halting has the effect that the run predicts. */
static void test_halting(void **state)
{
    static const char *const watched[] = {"hbar_s", "pri", "entropy"};
    hb_error err;
    size_t some = 0;
    job j = open_job(state);
    assert_ok(score(&j, &err));
    for (size_t k = 0; k < 6; k++) {
        hb_halting h;
        hb_score_table t;
        hb_monitor m = hb_generate_defaults().monitor;
        m.watched = hb_signal_find(watched[k / 2]);
        m.direction = k % 2 ? HB_DIRECTION_LOW : HB_DIRECTION_HIGH;
        char name[32];
        snprintf(name, sizeof name, "%s:%s", watched[k / 2], k % 2 ? "min" : "max");
        assert_ok(hb_run_scores(j.run, name, NULL, &t, &err));
        qsort(t.scores, t.n, sizeof *t.scores, compare_doubles);
        m.tau = (t.scores[7] + t.scores[8]) / 2; /* between the two middle samples */
        m.lambda = 1e6;
        hb_score_table_free(&t);
        assert_ok(hb_run_halting(j.run, &m, NULL, &h, &err));
        assert_near(h.cutoff, 0.85, 0);
        for (int label = 0; label < 2; label++) {
            assert_int_equal(h.n[label], 8);
            assert_int_equal(h.halted[label], halted(j.session, &m, label));
            some += h.halted[label] > 0 && h.halted[label] < 8;
        }
    }
    assert_true(some > 2);
    close_job(&j);
}

/* ---- Answers ------------------------------------------------------------------------------------- */

/* The first line of the model's answer to a prompt; release it with free(). */
static char *answer_to(hb_session *session, const char *prompt)
{
    hb_error err;
    hb_generation g;
    hb_generate_options o = hb_generate_defaults();
    o.monitor.cutoff = 1.1;
    o.max_tokens = 6;
    o.one_line = true;
    assert_ok(hb_generate(session, prompt, strlen(prompt), &o, &g, &err));
    char *text = strdup(g.text);
    hb_generation_free(&g);
    return text;
}

/* Sixteen prompts. Of every four, the first has the model's output as its answer, the second has it
 * with words in front, and the others have other answers. */
static void write_answers(const char *name, hb_session *session)
{
    FILE *file = fopen(name, "wb");
    for (int i = 0; i < 16; i++) {
        char prompt[32], right[600] = "no such answer";
        snprintf(prompt, sizeof prompt, "What is number %d?", i * i);
        char *text = answer_to(session, prompt);
        if (i % 4 < 2) snprintf(right, sizeof right, "%s%s", i % 4 ? "x y z " : "", text);
        json_t *row = json_pack("{s:s, s:[s, s]}", "prompt", prompt, "answers", "never this", right);
        assert_int_equal(json_dumpf(row, file, JSON_COMPACT), 0);
        fputc('\n', file);
        json_decref(row);
        free(text);
    }
    fclose(file);
}

/* Grading the stored text again gives the stored grade. */
static hb_status check_grade(void *user, const hb_run_sample *s)
{
    hb_error err;
    hb_grade g;
    json_t *array = json_loads(s->answers, 0, NULL);
    const char *answers[2];
    assert_int_equal(json_array_size(array), 2);
    for (size_t i = 0; i < 2; i++) answers[i] = json_string_value(json_array_get(array, i));
    assert_string_equal(answers[0], "never this");
    assert_ok(hb_grade_answer(s->text, answers, 2, NULL, &g, &err));
    assert_int_equal(s->label, HB_LABEL_BY_GRADE);
    assert_int_equal(s->grade.exact, g.exact);
    assert_int_equal(s->grade.contains, g.contains);
    assert_near(s->grade.f1, g.f1, 0);
    ++*(int *)user;
    json_decref(array);
    return HB_OK;
}

/* Counts hallucinated samples by a grading rule; every label must follow this rule. */
static int hallucinated(hb_run *run, hb_grading grading)
{
    hb_error err;
    hb_score_table t;
    int n = 0;
    assert_ok(hb_run_scores(run, "hbar_s", &grading, &t, &err));
    assert_int_equal(t.n, 16);
    for (size_t i = 0; i < t.n; i++) n += t.labels[i];
    hb_score_table_free(&t);
    return n;
}

static void test_grades_are_stored(void **state)
{
    hb_error err;
    hb_run_counts c;
    int seen = 0;
    job j = {0};
    char data[128];
    const hb_session_options so = {.n_ctx = 64, .n_threads = 1, .n_sequences = 4};
    snprintf(data, sizeof data, "%s/answers.jsonl", (char *)*state);
    assert_ok(hb_model_open(tiny_model("f32"), &j.model, &err));
    assert_ok(hb_session_open(j.model, &so, &j.session, &err));
    write_answers(data, j.session);
    assert_ok(hb_dataset_open(data, NULL, &j.dataset, &err));
    assert_int_equal(hb_dataset_get_info(j.dataset)->n_broken, 0);
    hb_run_settings s = settings();
    s.n_samples = 16;
    s.max_tokens = 6;
    s.n_ctx = 64;
    s.grading = "f1,out,9";
    assert_fails(hb_run_create(run_path(state), &s, &j.run, &err), HB_ERR_ARGUMENT,
                 "'grading': 'f1,out,9' is not a grading");
    s.grading = "f1,wrong,0.01";
    assert_ok(hb_run_create(run_path(state), &s, &j.run, &err));
    j.graded = true;
    assert_ok(score(&j, &err));
    assert_int_equal(j.progressed, 16);
    close_job(&j);

    assert_ok(hb_run_open(run_path(state), &j.run, &err));
    assert_ok(hb_run_count(j.run, &c, &err));
    assert_int_equal(c.graded, 16);
    assert_ok(hb_run_each(j.run, check_grade, &seen, &err));
    assert_int_equal(seen, 16);
    assert_int_equal(hallucinated(j.run, hb_grading_defaults()), 12);
    assert_int_equal(hallucinated(j.run, (hb_grading){.rule = HB_GRADE_CONTAINS, .min_f1 = 0}), 12);
    assert_int_equal(hallucinated(j.run, (hb_grading){.rule = HB_GRADE_F1, .min_f1 = 0.01}), 8);
    assert_int_equal(hallucinated(j.run, (hb_grading){.rule = HB_GRADE_F1, .min_f1 = 1}), 12);
    hb_grading own = hb_run_grading(j.run);
    assert_true(own.rule == HB_GRADE_F1 && own.min_f1 == 0.01 && own.abstain_as == HB_ABSTAIN_WRONG);
    hb_score_table t;
    assert_ok(hb_run_scores(j.run, "hbar_s", NULL, &t, &err));
    int n = 0;
    for (size_t i = 0; i < t.n; i++) n += t.labels[i];
    assert_int_equal(n, 8);
    hb_score_table_free(&t);
    hb_run_close(j.run);
}

/* Runs that grade their answers by different rules are compared by one that the caller names. */
static void test_runs_graded_differently(void **state)
{
    hb_error err;
    hb_diff diff;
    hb_run *runs[2];
    char command[300], copy[140];
    const hb_grading grading = hb_grading_defaults();
    test_grades_are_stored(state);
    snprintf(copy, sizeof copy, "%s.copy", run_path(state));
    snprintf(command, sizeof command, "cp %s %s", run_path(state), copy);
    assert_int_equal(system(command), 0);
    assert_ok(hb_run_open(run_path(state), &runs[0], &err));
    for (int changed = 0; changed < 2; changed++) {
        if (changed) execute(copy, "UPDATE settings SET value = 'f1,out,0.01' WHERE key = 'grading'");
        assert_ok(hb_run_open(copy, &runs[1], &err));
        if (changed)
            assert_fails(hb_diff_runs(runs[0], runs[1], NULL, &diff, &err), HB_ERR_MISMATCH,
                         "by f1,wrong,0.01, the second by f1,out,0.01");
        else {
            assert_ok(hb_diff_runs(runs[0], runs[1], NULL, &diff, &err));
            hb_diff_free(&diff);
        }
        assert_ok(hb_diff_runs(runs[0], runs[1], &grading, &diff, &err));
        hb_diff_free(&diff);
        hb_run_close(runs[1]);
    }
    hb_run_close(runs[0]);
}

/* The parts of a run's samples that depend on arithmetic. */
typedef struct outcome {
    double hbar_s[17], pri[17];
    int n_tokens[17], n;
} outcome;

static hb_status gather_outcome(void *user, const hb_run_sample *s)
{
    outcome *o = user;
    o->hbar_s[o->n] = hb_scores_value(s->scores, "hbar_s:bottom5");
    o->pri[o->n] = hb_scores_value(s->scores, "pri:mean");
    o->n_tokens[o->n++] = s->n_tokens;
    return HB_OK;
}

/* Rows do not depend on the number of samples evaluated together or on the size of the cache:
 * bit-identical with portable kernels, within rounding with others. Shared prefixes are evaluated once.
 */
static void check_together(void **state, double tolerance)
{
    static const struct {
        int32_t n_sequences;
        int64_t n_positions;
    } cases[] = {{1, 0}, {2, 64}, {2, 0}, {3, 128}, {5, 0}, {32, 256}, {32, 0}};
    hb_error err;
    outcome first = {0};
    uint64_t evaluated = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job j = open_job_with(state, cases[i].n_sequences, cases[i].n_positions);
        hb_score_work work;
        const hb_score_options o = {
            .on_progress = on_progress, .cancelled = cancelled, .user = &j, .work = &work};
        outcome got = {0};
        assert_ok(hb_score(j.session, j.dataset, j.run, &o, &err));
        assert_int_equal(j.progressed, 17);
        assert_ok(hb_run_each(j.run, gather_outcome, &got, &err));
        assert_int_equal(got.n, 17);
        if (!i) {
            first = got;
            evaluated = work.tokens_evaluated;
        }
        for (int k = 0; k < 16; k++) { /* the last one is skipped */
            assert_near(got.hbar_s[k], first.hbar_s[k], tolerance);
            assert_near(got.pri[k], first.pri[k], tolerance);
            assert_int_equal(got.n_tokens[k], first.n_tokens[k]);
        }
        assert_int_equal(work.tokens_evaluated + work.tokens_shared, evaluated);
        /* All prompts begin with "What is number ". With one sequence, or room for one, nothing can be
         * shared. */
        if (i < 2) assert_int_equal(work.tokens_shared, 0);
        else assert_true(work.tokens_shared >= 15 * 9);
        close_job(&j);
        unlink(run_path(state));
    }
}

static void test_together_as_alone(void **state)
{
    for (int set = 0; set < N_KERNEL_SETS; set++)
        if (choose_kernels(set)) check_together(state, set ? 1e-4 : 0);
    setenv("HBAR_KERNELS", "portable", 1);
}

/* Cancelling after every few samples and continuing gives the same rows as one call. */
static void test_interrupted_runs_continue(void **state)
{
    hb_error err;
    char whole[8192] = "", parts[8192] = "";
    job j = open_job(state);
    assert_ok(score(&j, &err));
    assert_ok(hb_run_each(j.run, compare_text, whole, &err));
    close_job(&j);
    unlink(run_path(state));

    int interruptions = 0;
    uint64_t finished = 0;
    for (;;) {
        j = open_job(state);
        j.limit = 3;
        hb_status status = score(&j, &err);
        finished += j.progressed;
        if (status == HB_OK) break;
        assert_int_equal(status, HB_ERR_CANCELLED);
        assert_true(++interruptions < 17);
        close_job(&j);
    }
    assert_true(interruptions >= 3);
    assert_int_equal(finished, 17); /* nothing was generated twice */
    assert_ok(hb_run_each(j.run, compare_text, parts, &err));
    assert_string_equal(parts, whole);
    close_job(&j);
}

/* The number of committed samples that another process sees. */
static uint64_t committed(const char *path)
{
    hb_error err;
    hb_run *run;
    hb_run_counts c;
    assert_ok(hb_run_open(path, &run, &err));
    assert_ok(hb_run_count(run, &c, &err));
    hb_run_close(run);
    return c.scored + c.skipped + c.failed;
}

static void watch_commits(void *user, const hb_run_counts *counts, uint64_t done_now)
{
    const char *path = user;
    if (done_now == 300) assert_true(committed(path) >= 200);
    assert_int_equal(counts->skipped, done_now);
    assert_true(done_now <= 400);
}

static bool cancelled_at_400(void *user)
{
    return committed(user) >= 384;
}

/* While samples are skipped, recorded samples are committed and cancelling works. */
static void test_skipping_can_be_interrupted(void **state)
{
    hb_error err;
    char data[128];
    job j = {0};
    const hb_session_options so = {.n_ctx = 64, .n_threads = 1};
    snprintf(data, sizeof data, "%s/long.jsonl", (char *)*state);
    FILE *file = fopen(data, "wb");
    for (int i = 0; i < 1000; i++)
        fprintf(file, "{\"prompt\":\"%d%0300d\",\"label\":%d}\n", i, 0, i % 2);
    fclose(file);
    assert_ok(hb_model_open(tiny_model("f32"), &j.model, &err));
    assert_ok(hb_session_open(j.model, &so, &j.session, &err));
    assert_ok(hb_dataset_open(data, NULL, &j.dataset, &err));
    hb_run_settings s = settings();
    s.n_samples = 1000;
    s.n_ctx = 64;
    char *path = strdup(run_path(state));
    assert_ok(hb_run_create(path, &s, &j.run, &err));
    const hb_score_options o = {
        .on_progress = watch_commits, .cancelled = cancelled_at_400, .user = path};
    assert_fails(hb_score(j.session, j.dataset, j.run, &o, &err), HB_ERR_CANCELLED, "interrupted");
    assert_in_range(committed(path), 384, 400);
    free(path);
    close_job(&j);
}

static void test_wrong_session(void **state)
{
    hb_error err;
    job j = open_job(state);
    const hb_session_options so[] = {{.n_ctx = 65, .n_threads = 1},
                                     {.n_ctx = 64, .n_threads = 1, .exact = true},
                                     {.n_ctx = 64, .n_threads = 1, .kv_type = HB_KV_F32}};
    for (int i = 0; i < 3; i++) {
        hb_session_close(j.session);
        assert_ok(hb_session_open(j.model, &so[i], &j.session, &err));
        assert_int_equal(hb_session_is_exact(j.session), i == 1);
        assert_fails(score(&j, &err), HB_ERR_ARGUMENT, "differs from the run's settings");
    }
    close_job(&j);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--visit") == 0) return visit_database(argv[2]);
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(test_what_goes_in_comes_out),
        WITH_SCRATCH(test_kept_by_commit),
        WITH_SCRATCH(test_scores_by_name),
        WITH_SCRATCH(test_chosen_signals),
        WITH_SCRATCH(test_old_runs),
        WITH_SCRATCH(test_old_runs_are_not_changed),
        WITH_SCRATCH(test_groups_of_samples),
        WITH_SCRATCH(test_each_stops_when_asked),
        WITH_SCRATCH(test_other_settings_are_refused),
        WITH_SCRATCH(test_other_numbers_and_texts_are_refused),
        WITH_SCRATCH(test_files_that_are_no_runs),
        WITH_SCRATCH(test_damaged_runs),
        WITH_SCRATCH(test_one_writer),
        WITH_SCRATCH(test_locks_stay),
        WITH_SCRATCH(test_journal_of_a_killed_process),
        WITH_SCRATCH(test_standard_descriptors_stay_closed),
        WITH_SCRATCH(test_files_beside_the_run),
        WITH_SCRATCH(test_links_to_a_run),
        WITH_SCRATCH(test_folder_that_cannot_be_written),
        WITH_SCRATCH(test_no_regular_file),
        WITH_SCRATCH(test_long_settings),
        WITH_SCRATCH(test_other_numbers_of_samples),
        WITH_SCRATCH(test_scores_of_whole_samples),
        WITH_SCRATCH(test_columns_that_are_missing),
        WITH_SCRATCH(test_pass_1),
        WITH_SCRATCH(test_halting),
        WITH_SCRATCH(test_grades_are_stored),
        WITH_SCRATCH(test_runs_graded_differently),
        WITH_SCRATCH(test_together_as_alone),
        WITH_SCRATCH(test_interrupted_runs_continue),
        WITH_SCRATCH(test_skipping_can_be_interrupted),
        WITH_SCRATCH(test_wrong_session),
    };
    setenv("HBAR_KERNELS", "portable",
           1); /* results are bit-identical, whatever other tokens are evaluated */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
