/* Hostile runs, and paths that SQLite does not read as a file. */
#include "check.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "store/run.h"

static char path[160];

static hb_run *create_at(const char *at)
{
    hb_error err;
    hb_run *run;
    hb_run_settings s = {.model_path = "m.gguf",
                         .model_name = "m",
                         .model_architecture = "llama",
                         .model_sha256 = "0a",
                         .model_size = 1,
                         .data_path = "d.jsonl",
                         .data_format = "generic",
                         .data_sha256 = "0b",
                         .data_rows = 2,
                         .n_samples = 2,
                         .max_tokens = 2,
                         .n_ctx = 8};
    hb_signal_set *signals;
    assert_ok(hb_signal_set_parse("entropy", &signals, &err));
    s.signals = signals;
    assert_ok(hb_run_create(at, &s, &run, &err));
    hb_signal_set_free(signals);
    return run;
}

static void add_skipped(hb_run *run, uint64_t index)
{
    hb_error err;
    const hb_run_sample s = {.index = index,
                             .id = "i",
                             .status = HB_SAMPLE_SKIPPED,
                             .reason = "r",
                             .prompt_sha256 =
                                 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
    assert_ok(hb_run_add(run, &s, &err));
}

/* Makes a run of one skipped sample and changes it with these statements. */
static void make_run(void **state, const char *sql)
{
    hb_error err;
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/run.db", (char *)*state);
    unlink(path);
    hb_run *run = create_at(path);
    add_skipped(run, 0);
    assert_ok(hb_run_commit(run, &err));
    hb_run_close(run);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) fail_msg("%s", sqlite3_errmsg(db));
    sqlite3_close(db);
}

static hb_status ignore(void *user, const hb_run_sample *sample)
{
    (void)user, (void)sample;
    return HB_OK;
}

/* Opens and reads the run. One of the two must fail. */
static hb_status read_run(hb_error *err)
{
    hb_run *run;
    hb_run_counts counts;
    hb_status status = hb_run_open(path, &run, err);
    if (status) return status;
    status = hb_run_count(run, &counts, err);
    if (!status) status = hb_run_each(run, ignore, NULL, err);
    hb_run_close(run);
    return status;
}

/* A view instead of a table could run forever or fill the memory. */
static void test_views(void **state)
{
    hb_error err;
    static const char endless[] =
        "ALTER TABLE samples RENAME TO other; CREATE VIEW samples AS WITH RECURSIVE c(x) AS (SELECT 0"
        " UNION ALL SELECT x + 1 FROM c) SELECT x AS idx, '' AS id, 0 AS label, 'skipped' AS status,"
        " '' AS reason, '' AS text, '' AS finish, 0 AS n_prompt, 0 AS n_tokens, 0 AS prompt_seconds,"
        " 0 AS decode_seconds, '' AS answers, 0 AS grade_exact, 0 AS grade_contains, 0 AS grade_f1"
        " FROM c";
    make_run(state, endless);
    assert_fails(read_run(&err), HB_ERR_FORMAT, "no table 'samples'");
    make_run(state, "ALTER TABLE settings RENAME TO other; CREATE VIEW settings AS"
                    " SELECT key, hex(zeroblob(400000000)) AS value FROM other");
    assert_fails(read_run(&err), HB_ERR_FORMAT, "no table 'settings'");
    make_run(state, "ALTER TABLE scores RENAME TO other; CREATE VIEW scores AS SELECT * FROM other");
    assert_fails(read_run(&err), HB_ERR_FORMAT, "no table 'scores'");
    make_run(state, "ALTER TABLE scores RENAME TO other; CREATE VIRTUAL TABLE scores USING fts5(idx)");
    assert_fails(read_run(&err), HB_ERR_FORMAT, "no table 'scores'");
}

/* Other views beside the tables are ignored. */
static void test_own_views(void **state)
{
    hb_error err;
    make_run(state, "CREATE VIEW mine AS SELECT * FROM samples");
    assert_ok(read_run(&err));
}

/* Neither reads nor continues the run. */
static void expect_damaged(const char *why)
{
    hb_error err;
    hb_run *run;
    const hb_run_settings s = {.n_ctx = 8};
    assert_fails(read_run(&err), HB_ERR_FORMAT, why);
    assert_fails(hb_run_create(path, &s, &run, &err), HB_ERR_FORMAT, why);
    assert_fails(hb_run_try(path, &err), HB_ERR_FORMAT, why);
}

/* A computed column can have values of any size, and take any time. */
static void test_computed_columns(void **state)
{
    static const char *const tables[] = {"settings", "samples",     "scores",
                                         "tokens",   "generations", "features"};
    make_run(state, "ALTER TABLE samples RENAME COLUMN reason TO other;"
                    "ALTER TABLE samples ADD COLUMN reason AS (hex(zeroblob(400000000)))");
    expect_damaged("column 'reason' of table 'samples' is computed or has a default");
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        char sql[160], why[80];
        snprintf(sql, sizeof sql,
                 "ALTER TABLE %s ADD COLUMN slow AS"
                 " (instr(zeroblob(20000000), zeroblob(10000000) || x'01'))",
                 tables[i]);
        make_run(state, sql);
        snprintf(why, sizeof why, "column 'slow' of table '%s' is computed", tables[i]);
        expect_damaged(why);
    }
}

/* Other expressions of the file do not run either: defaults, indexes and constraints. */
static void test_expressions(void **state)
{
    hb_error err;
    make_run(state, "ALTER TABLE samples ADD COLUMN more DEFAULT 5");
    expect_damaged("column 'more' of table 'samples' is computed or has a default");
    make_run(state, "CREATE INDEX slow ON scores (abs(idx))");
    expect_damaged("table 'scores' has the index 'slow'");
    make_run(state, "ALTER TABLE samples ADD COLUMN more CHECK (idx < 1)");
    hb_run *run = create_at(path);
    add_skipped(run, 1);
    assert_ok(hb_run_commit(run, &err));
    hb_run_close(run);
}

/* SQLite would wait for the writer of a pipe with the name of its journal. */
static void test_pipes_beside(void **state)
{
    static const char *const suffixes[] = {"-journal", "-wal", "-shm"};
    for (size_t i = 0; i < 3; i++) {
        hb_error err;
        hb_run *run;
        char name[160], why[80];
        const hb_run_settings s = {.n_ctx = 8};
        make_run(state, "SELECT 1");
        snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
        snprintf(why, sizeof why, "run.db%s: is a pipe, not a regular file", suffixes[i]);
        assert_int_equal(mkfifo(name, 0600), 0);
        assert_fails(hb_run_open(path, &run, &err), HB_ERR_IO, why);
        assert_fails(hb_run_create(path, &s, &run, &err), HB_ERR_IO, why);
        assert_fails(hb_run_try(path, &err), HB_ERR_IO, why);
        unlink(name);
    }
}

/* A journal can name another one, which SQLite would remove after it rolled back, or wait for. */
static void test_journal_that_names_a_file(void **state)
{
    static const uint8_t mark[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};
    hb_error err;
    hb_run *run;
    uint64_t cleared;
    char journal[sizeof path + 10];
    const hb_run_settings s = {.n_ctx = 8};
    make_run(state, "SELECT 1");
    snprintf(journal, sizeof journal, "%s-journal", path);
    FILE *file = fopen(journal, "wb");
    assert_non_null(file);
    fprintf(file, "%0600d/etc/nothing", 0);
    assert_int_equal(fwrite(mark, 1, sizeof mark, file), sizeof mark);
    fclose(file);
    assert_fails(hb_run_open(path, &run, &err), HB_ERR_FORMAT, "-journal: names another journal");
    assert_fails(hb_run_create(path, &s, &run, &err), HB_ERR_FORMAT, "names another journal");
    assert_fails(hb_run_try(path, &err), HB_ERR_FORMAT, "names another journal");
    assert_fails(hb_run_clear_labels(path, &cleared, &err), HB_ERR_FORMAT, "names another journal");
    assert_int_equal(access(journal, F_OK), 0);
}

/* A trigger in the file does not run when the run is continued. */
static void test_triggers(void **state)
{
    hb_error err;
    hb_run_counts counts;
    make_run(state, "CREATE TRIGGER t AFTER INSERT ON samples BEGIN DELETE FROM samples; END");
    hb_run *run = create_at(path);
    add_skipped(run, 1);
    assert_ok(hb_run_commit(run, &err));
    assert_ok(hb_run_count(run, &counts, &err));
    assert_int_equal(counts.skipped, 2);
    hb_run_close(run);
}

static void test_malformed_texts(void **state)
{
    hb_error err;
    static const char *const columns[] = {"id", "reason", "text", "answers"};
    for (size_t i = 0; i < 4; i++) {
        char sql[160];
        snprintf(sql, sizeof sql,
                 "PRAGMA ignore_check_constraints = 1; UPDATE samples SET %s = CAST(x'61ff' AS TEXT)",
                 columns[i]);
        make_run(state, sql);
        assert_fails(read_run(&err), HB_ERR_FORMAT, "sample 0 is damaged");
    }
    make_run(state, "PRAGMA ignore_check_constraints = 1; UPDATE samples SET reason = NULL");
    assert_fails(read_run(&err), HB_ERR_FORMAT, "sample 0 is damaged");
    make_run(state, "UPDATE samples SET reason = 'caf\xC3\xA9'");
    assert_ok(read_run(&err));
    make_run(state, "ALTER TABLE scores ADD COLUMN \"a\xFF\" REAL");
    assert_fails(read_run(&err), HB_ERR_FORMAT, "name of a score is not UTF-8");
}

/* A score that is a text or a blob is not read as 0. */
static void test_scores_that_are_no_numbers(void **state)
{
    hb_error err;
    static const char *const scores[] = {"2.5", "3", "'x'", "''", "x'00'", "'1.5 '||'x'", "NULL"};
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
        char sql[300];
        snprintf(
            sql, sizeof sql,
            "UPDATE samples SET status = 'scored', reason = NULL, text = 'a', finish = 'end of text';"
            "INSERT INTO scores VALUES (0, 1, 1, 1, 1, 1, 1, 1, %s)",
            scores[i]);
        make_run(state, sql);
        if (i < 2) assert_ok(read_run(&err));
        else assert_fails(read_run(&err), HB_ERR_FORMAT, "sample 0 is damaged");
    }
}

/* As an unprivileged user, tries to write a run. Ends the process with 0 if it is refused with this
 * message. */
static void create_as_stranger(const char *at)
{
    hb_error err;
    hb_run *run;
    hb_run_settings s = {.n_ctx = 8};
    if (geteuid() == 0 && setuid(65534) != 0) _exit(2);
    hb_status status = hb_run_create(at, &s, &run, &err);
    _exit(status == HB_ERR_IO && strstr(err.message, "run.db: Permission denied") ? 0 : 1);
}

static void expect_refused(const char *at)
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) create_as_stranger(at);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* If a run cannot be written, the message gives the reason. */
static void test_places(void **state)
{
    hb_error err;
    hb_run *run;
    hb_run_settings s = {.n_ctx = 8};
    const char *dir = *state;
    char other[400];
    snprintf(path, sizeof path, "%s/run.db", dir);
    chmod(dir, 0555);
    expect_refused(path); /* a folder that cannot be written */
    chmod(dir, 0755);
    hb_run_close(create_at(path));
    chmod(path, 0444);
    chmod(dir, 0777);
    expect_refused(path); /* a run that cannot be written */
    snprintf(other, sizeof other, "%s/below", path);
    assert_fails(hb_run_create(other, &s, &run, &err), HB_ERR_IO, "below: Not a directory");
    snprintf(other, sizeof other, "%s/%0300d", dir, 0);
    assert_fails(hb_run_create(other, &s, &run, &err), HB_ERR_IO, "0: File name too long");
    snprintf(other, sizeof other, "%s/no/run.db", dir);
    assert_fails(hb_run_create(other, &s, &run, &err), HB_ERR_IO, "no/run.db: No such file");
    snprintf(path, sizeof path, "%s/link.db", dir);
    assert_int_equal(symlink(other, path), 0); /* a link to a folder that does not exist */
    assert_fails(hb_run_create(path, &s, &run, &err), HB_ERR_IO,
                 "link.db: unable to open database file: No such file");
}

/* Names that SQLite reads as memory or a URI are paths like others. */
static void test_names_of_sqlite(void **state)
{
    hb_error err;
    hb_run *run;
    struct stat st;
    static const char *const names[] = {":memory:", "file:run.db?mode=memory", "file::memory:"};
    char before[1024];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(*state), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        run = create_at(names[i]);
        add_skipped(run, 0);
        assert_ok(hb_run_commit(run, &err));
        hb_run_close(run);
        assert_int_equal(stat(names[i], &st), 0);
        snprintf(path, sizeof path, "%s", names[i]);
        assert_ok(read_run(&err));
    }
    assert_int_equal(chdir(before), 0);
    hb_run_settings s = {.n_ctx = 8};
    assert_fails(hb_run_create("", &s, &run, &err), HB_ERR_ARGUMENT, "path of a run is empty");
    assert_fails(hb_run_create(*state, &s, &run, &err), HB_ERR_IO, "is a directory, not a regular");
    assert_fails(hb_run_create("/dev/null", &s, &run, &err), HB_ERR_IO, "is a device, not a regular");
}

/* What hb_run_create would refuse is refused before there are settings. */
static void test_tried_places(void **state)
{
    hb_error err;
    char other[160];
    snprintf(other, sizeof other, "%s/none/run.db", (char *)*state);
    assert_fails(hb_run_try("", &err), HB_ERR_ARGUMENT, "path of a run is empty");
    assert_fails(hb_run_try(*state, &err), HB_ERR_IO, "is a directory");
    assert_fails(hb_run_try("/dev/null", &err), HB_ERR_IO, "is a device");
    assert_fails(hb_run_try(other, &err), HB_ERR_IO, "No such file");
    make_run(state, "PRAGMA user_version = 16");
    assert_fails(hb_run_try(path, &err), HB_ERR_MISMATCH, "an earlier version of hbar made this run");
    make_run(state, "PRAGMA application_id = 1");
    assert_fails(hb_run_try(path, &err), HB_ERR_FORMAT, "not a run of hbar");
    make_run(state, "SELECT 1");
    assert_ok(hb_run_try(path, &err));
    fclose(fopen(path, "wb")); /* as the start of an interrupted pass 1 leaves it */
    assert_ok(hb_run_try(path, &err));
    unlink(path);
    assert_ok(hb_run_try(path, &err));
    assert_int_equal(access(path, F_OK), -1);
}

/* Each of these settings would be used in arithmetic, or must have a known name. The message names file
 * and setting. */
static void test_settings_out_of_range(void **state)
{
    static const struct {
        const char *key, *value;
    } cases[] = {{"max_tokens", "-5"},
                 {"max_tokens", "16777217"},
                 {"max_tokens", "1000000000000000000"},
                 {"n_ctx", "-5"},
                 {"n_ctx", "0"},
                 {"n_ctx", "99999999"},
                 {"n_samples", "-5"},
                 {"n_samples", "1000000000000000000"},
                 {"model_size", "-1"},
                 {"data_rows", "-1"},
                 {"alpha", "-0.5"},
                 {"alpha", "1e300"},
                 {"answer_lines", "-2"},
                 {"no_prompts", "2"},
                 {"exact", "-1"},
                 {"samples", "1001"},
                 {"sample_temperature", "1e18"},
                 {"sample_top_p", "1.5"},
                 {"sample_max_tokens", "-5"},
                 {"grading", "'luck'"},
                 {"grading", "'f1,out,9'"},
                 {"read_as", "'zz'"},
                 {"kv_type", "'q99'"},
                 {"kv_type", "'auto'"},
                 {"engine", "'foo'"},
                 {"engine", "'auto'"},
                 {"asks", "'zz'"},
                 {"features", "'zz'"},
                 {"features", "'hidden:999999999999'"},
                 {"shard", "5"}};
    hb_error err;
    char sql[160], says[240];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO settings VALUES ('%s', %s)", cases[i].key,
                 cases[i].value);
        make_run(state, sql);
        snprintf(says, sizeof says, "%s: setting '%s'", path, cases[i].key);
        assert_fails(read_run(&err), HB_ERR_FORMAT, says);
    }
    make_run(state, "UPDATE settings SET value = -3 WHERE key = 'seed'");
    assert_ok(read_run(&err));
    hb_run *run;
    const struct {
        hb_run_settings settings;
        const char *says;
    } made[] = {{{.max_tokens = -5}, "'max_tokens' is -5, not from 0"},
                {{.n_ctx = 0}, "'n_ctx' is 0, not from 1"},
                {{.n_ctx = 8, .kv_type = "q99"}, "'kv_type': 'q99' is not f16, f32 or q8_0"},
                {{.n_ctx = 8, .engine = "foo"}, "'engine': 'foo' is not native or llama"},
                {{.n_ctx = 8, .features = "zz"}, "'features': no features 'zz'"},
                {{.n_ctx = 8, .shard = 5}, "'shard': there is no shard 5 of 0"},
                {{.n_ctx = 8, .shards = 5}, "'shard': there is no shard 0 of 5"}};
    unlink(path);
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        assert_fails(hb_run_create(path, &made[i].settings, &run, &err), HB_ERR_ARGUMENT, made[i].says);
        assert_int_equal(access(path, F_OK), -1);
    }
}

/* A reader may open the run before the writer has made the tables. */
static void test_empty(void **state)
{
    hb_error err;
    snprintf(path, sizeof path, "%s/run.db", (char *)*state);
    fclose(fopen(path, "wb"));
    assert_fails(read_run(&err), HB_ERR_FORMAT, "is empty: the run is just being created");
}

/* Samples are not written to a deleted file. */
static void test_removed(void **state)
{
    hb_error err;
    snprintf(path, sizeof path, "%s/run.db", (char *)*state);
    hb_run *run = create_at(path);
    add_skipped(run, 0);
    assert_ok(hb_run_commit(run, &err));
    unlink(path);
    add_skipped(run, 1);
    assert_fails(hb_run_commit(run, &err), HB_ERR_IO, "removed or replaced");
    hb_run_close(run);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(test_views),
        WITH_SCRATCH(test_own_views),
        WITH_SCRATCH(test_computed_columns),
        WITH_SCRATCH(test_expressions),
        WITH_SCRATCH(test_pipes_beside),
        WITH_SCRATCH(test_journal_that_names_a_file),
        WITH_SCRATCH(test_triggers),
        WITH_SCRATCH(test_malformed_texts),
        WITH_SCRATCH(test_scores_that_are_no_numbers),
        WITH_SCRATCH(test_names_of_sqlite),
        WITH_SCRATCH(test_places),
        WITH_SCRATCH(test_tried_places),
        WITH_SCRATCH(test_settings_out_of_range),
        WITH_SCRATCH(test_empty),
        WITH_SCRATCH(test_removed),
    };
    return cmocka_run_group_tests_name("run_hostile", tests, NULL, NULL);
}
