/* Merging the runs of shards. */
#include "check.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include "signals/scores.h"
#include "store/run.h"

enum { SAMPLES = 8, SHARDS = 3 };

#define SHA256 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* The paths of the runs of three shards, and of the merged one. */
static char shard_paths[SHARDS][128], output[128];
static const char *paths[SHARDS + 1];

static hb_run_settings settings(int shard)
{
    /* Sample i is in shard i % SHARDS + 1. */
    uint64_t n = shard ? (uint64_t)(SAMPLES - shard) / SHARDS + 1 : SAMPLES;
    return (hb_run_settings){.model_path = "m.gguf",
                             .model_name = "m",
                             .model_architecture = "llama",
                             .model_sha256 = "0123456789abcdef",
                             .data_path = "d.jsonl",
                             .data_format = "generic",
                             .data_sha256 = "fedcba9876543210",
                             .n_samples = n,
                             .seed = 7,
                             .max_tokens = 20,
                             .n_ctx = 512,
                             .alpha = 0.1,
                             .samples = 2,
                             .sample_temperature = 1,
                             .sample_top_p = 1,
                             .sample_max_tokens = 4,
                             .features = "topk",
                             .shard = shard,
                             .shards = shard ? SHARDS : 0,
                             .n_drawn = shard ? SAMPLES : 0};
}

static void add_parts(hb_run *run, uint64_t index)
{
    hb_error err;
    static const float zeros[HB_N_FEATURES * 64];
    float values[2 * 32] = {(float)index + 0.5f};
    const hb_run_tokens tokens = {.index = index, .n = 2, .values = values};
    hb_run_features features = {.index = index};
    features.n[HB_FEATURE_TOPK] = 30;
    features.values[HB_FEATURE_TOPK] = zeros;
    assert_ok(hb_run_add_tokens(run, &tokens, &err));
    assert_ok(hb_run_add_features(run, &features, &err));
    for (int32_t k = 0; k < 2; k++) {
        const hb_run_generation g = {
            .index = index, .k = k, .text = "another", .log_prob = -1, .n_tokens = 2, .n_measured = 3};
        assert_ok(hb_run_add_generation(run, &g, &err));
    }
}

static void add_sample(hb_run *run, uint64_t index, const hb_scores *scores)
{
    hb_error err;
    bool scored = index != 4;
    const hb_run_sample s = {.index = index,
                             .id = "q",
                             .label = (int)(index % 2),
                             .status = scored ? HB_SAMPLE_SCORED : HB_SAMPLE_SKIPPED,
                             .reason = scored ? NULL : "too long",
                             .text = scored ? "an answer" : NULL,
                             .finish = HB_FINISH_END,
                             .n_prompt = 3,
                             .n_tokens = 2,
                             .scores = scores,
                             .prompt = "Who?",
                             .prompt_sha256 = SHA256};
    assert_ok(hb_run_add(run, &s, &err));
    if (scored) add_parts(run, index);
    assert_ok(hb_run_commit(run, &err));
}

/* Scores for all columns of the run. */
static hb_scores *make_scores(const hb_run *run)
{
    hb_error err;
    hb_scores *scores;
    const char *names[512];
    size_t n = 0;
    while (n < 512 && (names[n] = hb_run_score_name(run, n)) != NULL) n++;
    assert_ok(hb_scores_of_names(names, n, &scores, &err));
    return scores;
}

/* Writes the samples of `step` from `begin` on, `n` at most. */
static void write_run(const char *path, const hb_run_settings *s, uint64_t begin, uint64_t step, int n)
{
    hb_error err;
    hb_run *run;
    hb_scores *scores;
    assert_ok(hb_run_create(path, s, &run, &err));
    scores = make_scores(run);
    for (uint64_t i = begin; i < SAMPLES && n > 0; i += step, n--) {
        for (size_t k = 0; k < hb_scores_count(scores); k++)
            hb_scores_set(scores, k, (double)i + 0.001 * (double)k);
        add_sample(run, i, scores);
    }
    hb_run_close(run);
    hb_scores_free(scores);
}

static void write_shard(int shard, int n)
{
    hb_run_settings s = settings(shard);
    remove(shard_paths[shard - 1]);
    write_run(shard_paths[shard - 1], &s, (uint64_t)shard - 1, SHARDS, n);
}

static int make_shards(void **state)
{
    if (make_scratch(state)) return 1;
    snprintf(output, sizeof output, "%s/all.db", (char *)*state);
    for (int i = 0; i < SHARDS; i++) {
        snprintf(shard_paths[i], sizeof shard_paths[i], "%s/%d.db", (char *)*state, i + 1);
        paths[i] = shard_paths[i];
        write_shard(i + 1, SAMPLES);
    }
    return 0;
}

static void execute(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* Whether a query gives the same rows in two databases. The rows are shown as one text. */
static char *rows_of(const char *path, const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *q;
    char *text = sqlite3_mprintf("");
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    while (sqlite3_step(q) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count(q); i++)
            text = sqlite3_mprintf("%z%s|", text, sqlite3_column_text(q, i));
    sqlite3_finalize(q);
    sqlite3_close(db);
    return text;
}

static void assert_same_rows(const char *a, const char *b, const char *sql)
{
    char *left = rows_of(a, sql), *right = rows_of(b, sql);
    assert_true(strlen(left) > 0);
    assert_string_equal(left, right);
    sqlite3_free(left);
    sqlite3_free(right);
}

static void assert_no_output(void)
{
    char pattern[160];
    snprintf(pattern, sizeof pattern, "ls %s* >/dev/null 2>&1", output);
    assert_int_not_equal(system(pattern), 0);
}

/* Merges the three runs, and expects this failure, which leaves no file. */
#define assert_refused(expected, part)                                                                 \
    do {                                                                                               \
        assert_fails(hb_run_merge(paths, SHARDS, output, NULL, NULL, &err), expected, part);           \
        assert_no_output();                                                                            \
    } while (0)

/* ---- What is merged ------------------------------------------------------------------------------ */

static void test_equals_the_whole(void **state)
{
    hb_error err;
    hb_merge_counts counts;
    char whole[128];
    const char *const reversed[] = {paths[2], paths[0], paths[1]};
    const hb_run_settings s = settings(0);
    snprintf(whole, sizeof whole, "%s/whole.db", (char *)*state);
    write_run(whole, &s, 0, 1, SAMPLES);
    execute(whole, "UPDATE samples SET set_label = 1, set_by = 'me' WHERE idx = 1");
    execute(paths[1], "UPDATE samples SET set_label = 1, set_by = 'me' WHERE idx = 1");
    assert_ok(hb_run_merge(reversed, SHARDS, output, NULL, &counts, &err));
    assert_true(counts.n_samples == SAMPLES && counts.n_missing == 0 && counts.n_repeated == 0);
    assert_same_rows(whole, output, "SELECT * FROM settings ORDER BY key");
    assert_same_rows(whole, output, "SELECT * FROM samples ORDER BY idx");
    assert_same_rows(whole, output, "SELECT * FROM scores ORDER BY idx");
    assert_same_rows(whole, output, "SELECT idx, hex(measured) FROM tokens ORDER BY idx");
    assert_same_rows(whole, output, "SELECT * FROM generations ORDER BY idx, k");
    assert_same_rows(whole, output, "SELECT idx, hex(topk) FROM features ORDER BY idx");
    assert_same_rows(whole, output, "SELECT sql FROM sqlite_master ORDER BY name");
}

static void test_partial(void **state)
{
    hb_error err;
    hb_run *run;
    hb_merge_counts counts;
    hb_merge_options o = hb_merge_defaults();
    hb_run_settings whole = settings(0);
    const char *const twice[] = {paths[0], paths[2], paths[0]};
    (void)state;
    o.partial = true;
    write_shard(3, 1);
    assert_ok(hb_run_merge(twice, 3, output, &o, &counts, &err));
    assert_true(counts.n_samples == 4 && counts.n_missing == SAMPLES - 4 && counts.n_repeated == 3);
    assert_ok(hb_run_create(output, &whole, &run, &err)); /* a run without shards continues it */
    hb_run_close(run);
}

/* Of a sample in two runs, everything comes from the first of them. */
static void test_first_run_counts(void **state)
{
    hb_error err;
    hb_merge_counts counts;
    hb_merge_options o = hb_merge_defaults();
    (void)state;
    o.partial = true;
    execute(paths[1],
            "UPDATE samples SET idx = 0 WHERE idx = 1; UPDATE scores SET idx = 0 WHERE idx = 1;"
            "UPDATE samples SET status = 'failed', reason = 'because', text = NULL, finish = NULL"
            " WHERE idx = 0; DELETE FROM scores WHERE idx = 0;"
            "DELETE FROM tokens WHERE idx = 1; DELETE FROM generations WHERE idx = 1;"
            "DELETE FROM features WHERE idx = 1");
    const char *const order[] = {paths[1], paths[0], paths[2]};
    assert_ok(hb_run_merge(order, 3, output, &o, &counts, &err));
    assert_true(counts.n_repeated == 1 && counts.n_samples == SAMPLES - 1);
    char *status = rows_of(output, "SELECT status, (SELECT count(*) FROM scores WHERE idx = 0),"
                                   " (SELECT count(*) FROM generations WHERE idx = 0)"
                                   " FROM samples WHERE idx = 0");
    assert_string_equal(status, "failed|0|0|");
    sqlite3_free(status);
    remove(output);
    assert_refused(HB_ERR_DATA, "sample 0 is in another of these runs");
}

/* ---- Refusals ------------------------------------------------------------------------------------ */

static void test_other_settings(void **state)
{
    hb_error err;
    hb_run_settings s = settings(2);
    (void)state;
    s.seed = 8;
    remove(paths[1]);
    write_run(paths[1], &s, 1, SHARDS, SAMPLES);
    assert_refused(HB_ERR_MISMATCH, "seed is 8, not 7");
    s = settings(2);
    s.model_sha256 = "other";
    remove(paths[1]);
    write_run(paths[1], &s, 1, SHARDS, SAMPLES);
    assert_refused(HB_ERR_MISMATCH, "model_sha256 is \"other\"");
    s = settings(2);
    s.shards = 4;
    remove(paths[1]);
    write_run(paths[1], &s, 1, SHARDS, SAMPLES);
    assert_refused(HB_ERR_MISMATCH, "shards is 4, not 3");
    s = settings(2);
    s.n_drawn = 60;
    remove(paths[1]);
    write_run(paths[1], &s, 1, SHARDS, SAMPLES);
    assert_refused(HB_ERR_MISMATCH, "belongs to 60 samples drawn");
    s = settings(0);
    remove(paths[1]);
    write_run(paths[1], &s, 1, SHARDS, SAMPLES);
    assert_refused(HB_ERR_MISMATCH, "not of a shard");
}

static void test_gaps_and_doubles(void **state)
{
    hb_error err;
    (void)state;
    assert_fails(hb_run_merge(paths, 2, output, NULL, NULL, &err), HB_ERR_MISMATCH,
                 "the run of shard 3/3 is missing");
    assert_fails(hb_run_merge(paths, 1, output, NULL, NULL, &err), HB_ERR_MISMATCH,
                 "the runs of 2 shards are missing, the first is 2/3");
    assert_fails(hb_run_merge(paths, 0, output, NULL, NULL, &err), HB_ERR_ARGUMENT, "no run");
    write_shard(2, 1);
    assert_refused(HB_ERR_DATA, "shard 2/3 is unfinished: it has 1 of its 3 samples");
    write_shard(2, SAMPLES);
    paths[1] = paths[0];
    assert_refused(HB_ERR_MISMATCH, "shard 1/3 is given twice");
    paths[1] = shard_paths[1];
    execute(paths[1], "UPDATE settings SET value = 2 WHERE key = 'n_samples';"
                      "DELETE FROM samples WHERE idx = 1");
    assert_refused(HB_ERR_DATA, "the runs have only 7 of the 8 samples drawn");
}

static void test_damaged(void **state)
{
    hb_error err;
    FILE *file;
    (void)state;
    execute(paths[1], "UPDATE generations SET log_prob = 'x', n_measured = 0 WHERE idx = 1");
    assert_refused(HB_ERR_FORMAT, "2.db: generation 0 of sample 1 is damaged");
    write_shard(2, SAMPLES);
    execute(paths[1], "ALTER TABLE scores RENAME COLUMN \"entropy:mean\" TO other");
    assert_refused(HB_ERR_FORMAT, "2.db: no such column");
    write_shard(2, SAMPLES);
    execute(paths[1], "ALTER TABLE scores ADD COLUMN more REAL; UPDATE scores SET more = 1");
    assert_refused(HB_ERR_FORMAT, "2.db: the table 'scores' has");
    write_shard(2, SAMPLES);
    execute(paths[1],
            "ALTER TABLE features RENAME TO kept; CREATE VIEW features AS SELECT * FROM kept");
    assert_refused(HB_ERR_FORMAT, "2.db: the run has no table 'features'");
    write_shard(2, SAMPLES);
    execute(paths[1], "UPDATE settings SET value = 9 WHERE key = 'shard'");
    assert_refused(HB_ERR_FORMAT, "2.db: setting 'shard': there is no shard 9 of 3");
    write_shard(2, SAMPLES);
    execute(paths[1], "INSERT OR REPLACE INTO settings VALUES ('grading', 'luck')");
    assert_refused(HB_ERR_FORMAT, "2.db: setting 'grading': 'luck' is not a grading");
    write_shard(2, SAMPLES);
    execute(paths[1], "PRAGMA user_version = 15");
    assert_refused(HB_ERR_MISMATCH, "2.db: an earlier version of hbar made this run");
    assert_non_null(file = fopen(paths[1], "w"));
    fputs("a text, not a run\n", file);
    fclose(file);
    assert_refused(HB_ERR_FORMAT, "2.db");
    remove(paths[1]);
    assert_refused(HB_ERR_IO, "2.db: No such file");
}

static void test_outputs(void **state)
{
    hb_error err;
    char path[160];
    char *before = rows_of(paths[0], "SELECT * FROM samples"), *after_it;
    assert_fails(hb_run_merge(paths, SHARDS, paths[0], NULL, NULL, &err), HB_ERR_IO, "exists already");
    after_it = rows_of(paths[0], "SELECT * FROM samples");
    assert_string_equal(before, after_it);
    sqlite3_free(before);
    sqlite3_free(after_it);
    snprintf(path, sizeof path, "%s/none/all.db", (char *)*state);
    assert_fails(hb_run_merge(paths, SHARDS, path, NULL, NULL, &err), HB_ERR_IO, "No such file");
    snprintf(path, sizeof path, "%s/1.db/all.db", (char *)*state);
    assert_fails(hb_run_merge(paths, SHARDS, path, NULL, NULL, &err), HB_ERR_IO, "Not a directory");
    assert_fails(hb_run_merge(paths, SHARDS, "", NULL, NULL, &err), HB_ERR_ARGUMENT, "empty");
    if (geteuid() == 0) return; /* root may write anywhere */
    snprintf(path, sizeof path, "%s/fixed", (char *)*state);
    assert_int_equal(mkdir(path, 0555), 0);
    strcat(path, "/all.db");
    assert_fails(hb_run_merge(paths, SHARDS, path, NULL, NULL, &err), HB_ERR_IO, "Permission denied");
}

static bool after_some_calls(void *user)
{
    return ++*(int *)user > 20;
}

static void test_cancelled(void **state)
{
    hb_error err;
    int calls = 0;
    hb_merge_options o = hb_merge_defaults();
    (void)state;
    o.cancelled = after_some_calls;
    o.user = &calls;
    assert_fails(hb_run_merge(paths, SHARDS, output, &o, NULL, &err), HB_ERR_CANCELLED, "interrupted");
    assert_no_output();
}

/* A shard is continued only as the same shard, and grows with the draw. */
static void test_shards_are_continued(void **state)
{
    hb_error err;
    hb_run *run;
    hb_run_settings s = settings(1);
    (void)state;
    s.shard = 2;
    assert_fails(hb_run_create(paths[0], &s, &run, &err), HB_ERR_MISMATCH, "shard is 1, not 2");
    s = settings(0);
    assert_fails(hb_run_create(paths[0], &s, &run, &err), HB_ERR_MISMATCH, "shards is 3, not 0");
    s = settings(1);
    s.shard = 4;
    assert_fails(hb_run_create(paths[0], &s, &run, &err), HB_ERR_ARGUMENT, "no shard 4 of 3");
    s = settings(1);
    s.n_drawn = 100; /* none of the new samples is in this shard */
    assert_ok(hb_run_create(paths[0], &s, &run, &err));
    hb_run_close(run);
    assert_ok(hb_run_open(paths[0], &run, &err));
    assert_true(hb_run_get_settings(run)->n_drawn == 100 && hb_run_get_settings(run)->n_samples == 3);
    hb_run_close(run);
}

#define WITH_SHARDS(test) cmocka_unit_test_setup_teardown(test, make_shards, remove_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SHARDS(test_equals_the_whole),
        WITH_SHARDS(test_partial),
        WITH_SHARDS(test_first_run_counts),
        WITH_SHARDS(test_other_settings),
        WITH_SHARDS(test_gaps_and_doubles),
        WITH_SHARDS(test_damaged),
        WITH_SHARDS(test_outputs),
        WITH_SHARDS(test_cancelled),
        WITH_SHARDS(test_shards_are_continued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
