/* The run store when memory runs out, when a file's settings have wrong types, and when a killed
 * writer's log cannot be read. */
#include "check.h"

#include <errno.h>
#include <malloc.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "allocations.h"
#include "signals/scores.h"
#include "store/run.h"

enum { SAMPLES = 3 };

static char path[128];

static const hb_run_settings settings = {.model_path = "m.gguf",
                                         .model_name = "m",
                                         .model_architecture = "llama",
                                         .model_sha256 = "0123456789abcdef",
                                         .data_path = "d.jsonl",
                                         .data_format = "generic",
                                         .data_sha256 = "fedcba9876543210",
                                         .n_samples = SAMPLES,
                                         .max_tokens = 20,
                                         .n_ctx = 512,
                                         .alpha = 0.1};

/* ---- Allocations of SQLite ----------------------------------------------------------------------- */

static void *allocate(int size)
{
    return malloc((size_t)size);
}

static void *allocate_again(void *memory, int size)
{
    return realloc(memory, (size_t)size);
}

static int size_of(void *memory)
{
    return (int)malloc_usable_size(memory);
}

static int round_up(int size)
{
    return (size + 7) / 8 * 8;
}

static int start(void *unused)
{
    (void)unused;
    return SQLITE_OK;
}

static void stop(void *unused)
{
    (void)unused;
}

/* Makes SQLite allocate with this program's malloc, whose calls can fail. */
static int take_allocations(void **state)
{
    static const sqlite3_mem_methods methods = {.xMalloc = allocate,
                                                .xFree = free,
                                                .xRealloc = allocate_again,
                                                .xSize = size_of,
                                                .xRoundup = round_up,
                                                .xInit = start,
                                                .xShutdown = stop};
    (void)state;
    return sqlite3_shutdown() || sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
}

/* ---- A run --------------------------------------------------------------------------------------- */

static void execute(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static const char prompt_hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static hb_status add_sample(hb_run *run, uint64_t index, const hb_scores *scores, hb_error *err)
{
    const hb_run_sample sample = {.index = index,
                                  .id = "q",
                                  .label = index % 2,
                                  .status = HB_SAMPLE_SCORED,
                                  .text = "an answer",
                                  .finish = HB_FINISH_END,
                                  .n_prompt = 3,
                                  .n_tokens = 2,
                                  .scores = scores,
                                  .prompt_sha256 = prompt_hash};
    hb_status status = hb_run_add(run, &sample, err);
    return status ? status : hb_run_commit(run, err);
}

static hb_status write_run(const hb_scores *scores, hb_error *err)
{
    hb_run *run;
    hb_status status = hb_run_create(path, &settings, &run, err);
    if (status) return status;
    for (uint64_t i = 0; i < SAMPLES && !status; i++) status = add_sample(run, i, scores, err);
    hb_run_close(run);
    return status;
}

static hb_scores *make_scores(void)
{
    hb_error err;
    hb_scores *scores;
    assert_ok(hb_scores_of_set(NULL, &scores, &err));
    for (size_t i = 0; i < hb_scores_count(scores); i++) hb_scores_set(scores, i, 1);
    return scores;
}

static void make_run(void **state)
{
    hb_error err;
    hb_scores *scores = make_scores();
    snprintf(path, sizeof path, "%s/run.db", (char *)*state);
    assert_ok(write_run(scores, &err));
    hb_scores_free(scores);
}

/* ---- Memory -------------------------------------------------------------------------------------- */

static hb_status count_texts(void *user, const hb_run_sample *sample)
{
    *(size_t *)user += strcmp(sample->text, "an answer") == 0;
    return HB_OK;
}

static hb_status read_run(size_t *n_texts, hb_error *err)
{
    hb_run *run;
    hb_score_table table;
    *n_texts = 0;
    hb_status status = hb_run_open(path, &run, err);
    if (status) return status;
    status = hb_run_each(run, count_texts, n_texts, err);
    if (!status) status = hb_run_scores(run, "pri", NULL, &table, err);
    if (!status) hb_score_table_free(&table);
    hb_run_close(run);
    return status;
}

/* A reader that runs out of memory reports that, not damage, and no text is lost. Texts stored as blobs
 * are converted when they are read, which needs memory. */
static void test_reading_without_memory(void **state)
{
    make_run(state);
    execute("UPDATE samples SET text = CAST(text AS BLOB), id = CAST(id AS BLOB);"
            "UPDATE settings SET value = CAST(value AS TEXT) WHERE typeof(value) = 'text'");
    for (long n = 0;; n += ALLOCATION_STEP) {
        hb_error err;
        size_t n_texts;
        fail_allocations(n, false);
        hb_status status = read_run(&n_texts, &err);
        long failed = allocations.failed;
        stop_failing();
        if (status) assert_fails(status, HB_ERR_MEMORY, "out of memory");
        else assert_int_equal(n_texts, SAMPLES);
        if (failed) continue;
        assert_in_range(n, 100, 100000); /* the loop saw every allocation */
        return;
    }
}

/* A writer that runs out of memory reports that. It leaves a valid run or nothing. */
static void test_writing_without_memory(void **state)
{
    hb_scores *scores = make_scores();
    snprintf(path, sizeof path, "%s/run.db", (char *)*state);
    for (long n = 0;; n += ALLOCATION_STEP) {
        hb_error err;
        unlink(path);
        fail_allocations(n, false);
        hb_status status = write_run(scores, &err);
        long failed = allocations.failed;
        stop_failing();
        if (status) assert_fails(status, HB_ERR_MEMORY, "out of memory");
        size_t n_texts;
        if (!status) {
            assert_ok(read_run(&n_texts, &err));
            assert_int_equal(n_texts, SAMPLES);
        }
        if (failed) continue;
        assert_in_range(n, 100, 100000);
        hb_scores_free(scores);
        return;
    }
}

static hb_status count_set(void *user, const hb_run_sample *sample)
{
    *(size_t *)user += sample->set_by != NULL;
    return HB_OK;
}

static size_t labels_set(void)
{
    hb_error err;
    hb_run *run;
    size_t n = 0;
    assert_ok(hb_run_open(path, &run, &err));
    assert_ok(hb_run_each(run, count_set, &n, &err));
    hb_run_close(run);
    return n;
}

/* If memory runs out while labels are set, the run does not change. */
static void test_labelling_without_memory(void **state)
{
    static hb_given_label list[] = {{"0", 1, 2}, {"2", 0, 3}, {"0", 1, 4}, {"7", 0, 5}};
    const hb_labels labels = {.list = list, .n = 4};
    const hb_set_labels_options by_index = {.by_index = true};
    make_run(state);
    for (long n = 0;; n += ALLOCATION_STEP) {
        hb_error err;
        hb_set_labels_counts counts;
        uint64_t cleared;
        fail_allocations(n, false);
        hb_status status = hb_run_set_labels(path, &labels, &by_index, &counts, &err);
        long failed = allocations.failed;
        stop_failing();
        if (status) assert_fails(status, HB_ERR_MEMORY, "out of memory");
        assert_int_equal(labels_set(), status ? 0 : 2);
        if (!status) assert_int_equal(counts.n_repeated + counts.n_unknown + counts.n_missing, 3);
        assert_ok(hb_run_clear_labels(path, &cleared, &err));
        if (failed) continue;
        assert_in_range(n, 100, 100000);
        return;
    }
}

/* ---- Files that are wrong ------------------------------------------------------------------------ */

static void test_types_of_settings(void **state)
{
    static const struct {
        const char *key, *value, *why;
    } cases[] = {
        {"max_tokens", "'20'", "setting 'max_tokens' is not a whole number in its range"},
        {"max_tokens", "20.0", "setting 'max_tokens' is not a whole number in its range"},
        {"max_tokens", "4294967316", "setting 'max_tokens' is not a whole number in its range"},
        {"n_ctx", "-1", "setting 'n_ctx' is -1, not from 1 to 16777216"},
        {"seed", "x'00'", "setting 'seed' is not a whole number in its range"},
        {"n_samples", "'many'", "setting 'n_samples' is not a whole number in its range"},
        {"alpha", "'0.1'", "setting 'alpha' is not a number"},
        {"alpha", "9e999", "setting 'alpha' is not a number"},
        {"chat", "7", "setting 'chat' is not a text"},
        {"signals", "x'68626172'", "setting 'signals' is not a text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_error err;
        hb_run *run;
        char sql[160];
        make_run(state);
        snprintf(sql, sizeof sql, "UPDATE settings SET value = %s WHERE key = '%s'", cases[i].value,
                 cases[i].key);
        execute(sql);
        assert_fails(hb_run_open(path, &run, &err), HB_ERR_FORMAT, cases[i].why);
        assert_fails(hb_run_create(path, &settings, &run, &err), HB_ERR_FORMAT, cases[i].why);
        unlink(path);
    }
}

/* A score may have the name of a sample's column. */
static void test_score_named_like_a_column(void **state)
{
    hb_error err;
    hb_run *run;
    hb_score_table table;
    make_run(state);
    execute("ALTER TABLE scores ADD COLUMN label REAL; ALTER TABLE scores ADD COLUMN status REAL;"
            "UPDATE scores SET label = 0.5, status = 2.5");
    assert_ok(hb_run_open(path, &run, &err));
    static const char *const names[] = {"label", "status"};
    assert_ok(hb_run_table(run, names, 2, NULL, &table, &err));
    assert_int_equal(table.n, SAMPLES);
    for (size_t i = 0; i < SAMPLES; i++) {
        assert_near(table.scores[i], 0.5, 0);
        assert_near(table.scores[SAMPLES + i], 2.5, 0);
        assert_int_equal(table.labels[i], i % 2);
    }
    hb_score_table_free(&table);
    hb_run_close(run);
}

/* In a process of its own: SQLite is used here for the first time, and the process ends as if killed.
 */
static int write_and_be_killed(void)
{
    hb_error err;
    hb_run *run;
    hb_scores *scores = make_scores();
    if (hb_run_create(path, &settings, &run, &err) || add_sample(run, 0, scores, &err)) return 1;
    return 0;
}

/* ---- A full disk --------------------------------------------------------------------------------- */

/* SQLite writes through these. A run's file does not grow while `full`; its log does. */
static bool full;
static ssize_t (*real_write)(int, const void *, size_t, off_t);

static ssize_t write_unless_full(int fd, const void *data, size_t n, off_t at)
{
    struct stat st, ours;
    bool is_run = stat(path, &ours) == 0 && fstat(fd, &st) == 0 && st.st_ino == ours.st_ino;
    if (!full || !is_run || at + (off_t)n <= st.st_size) return real_write(fd, data, n, at);
    errno = ENOSPC;
    return -1;
}

static void fill_disk(void)
{
    static const char *const names[] = {"pwrite64", "pwrite"};
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    for (size_t i = 0; i < 2; i++) {
        sqlite3_syscall_ptr present = vfs->xGetSystemCall(vfs, names[i]);
        if (!present) continue;
        if (!full) memcpy(&real_write, &present, sizeof present);
        assert_int_equal(vfs->xSetSystemCall(vfs, names[i], (sqlite3_syscall_ptr)write_unless_full), 0);
        full = true;
    }
    assert_true(full);
}

static void free_disk(void)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    assert_int_equal(vfs->xSetSystemCall(vfs, NULL, NULL), SQLITE_OK);
    full = false;
}

static bool has_log(void)
{
    char name[160];
    snprintf(name, sizeof name, "%s-wal", path);
    return access(name, F_OK) == 0;
}

/* The disk has room for the log but not for the run's file. That is an error, nothing is lost, and the
 * run is finished when there is room. */
static void test_full_disk_at_the_end(void **state)
{
    hb_error err;
    hb_run *run;
    size_t n_texts;
    hb_scores *scores = make_scores();
    snprintf(path, sizeof path, "%s/run.db", (char *)*state);
    assert_ok(hb_run_create(path, &settings, &run, &err));
    fill_disk();
    for (uint64_t i = 0; i < SAMPLES; i++) assert_ok(add_sample(run, i, scores, &err));
    assert_fails(hb_run_finish(run, &err), HB_ERR_IO, "run.db-wal");
    hb_run_close(run);
    assert_true(has_log());
    assert_ok(read_run(&n_texts, &err));
    assert_int_equal(n_texts, SAMPLES);
    free_disk();
    assert_ok(hb_run_create(path, &settings, &run, &err));
    assert_ok(hb_run_finish(run, &err));
    hb_run_close(run);
    assert_false(has_log());
    assert_ok(read_run(&n_texts, &err));
    assert_int_equal(n_texts, SAMPLES);
    hb_scores_free(scores);
}

/* The labels are set, and the error says where they are. */
static void test_full_disk_while_labelling(void **state)
{
    static char long_source[HB_SOURCE_BYTES + 1];
    static hb_given_label list[] = {{"0", 1, 1}, {"1", 0, 2}, {"2", 0, 3}};
    const hb_labels labels = {.list = list, .n = 3};
    hb_set_labels_options by_index = {.by_index = true, .source = long_source};
    hb_set_labels_counts counts;
    hb_error err;
    memset(long_source, 'x', HB_SOURCE_BYTES);
    make_run(state);
    execute("UPDATE samples SET text = hex(zeroblob(540)); VACUUM"); /* fills the pages */
    fill_disk();
    assert_fails(hb_run_set_labels(path, &labels, &by_index, &counts, &err), HB_ERR_IO, "run.db-wal");
    assert_int_equal(labels_set(), 3);
    free_disk();
    assert_ok(hb_run_set_labels(path, &labels, &by_index, &counts, &err));
    assert_false(has_log());
    assert_int_equal(labels_set(), 3);
}

/* ---- Names ----------------------------------------------------------------------------------------
 */

/* The system message and the engine are parts of a run's identity of their own. */
static void test_identities(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},    {"llama", ""}, {"", "llama"},
                                           {"a", "bc"}, {"ab", "c"},   {"abc", ""}};
    enum { N = sizeof pairs / sizeof *pairs };
    char hex[N][65];
    hb_error err;
    for (int i = 0; i < N; i++) {
        hb_run_settings s = settings;
        s.system = pairs[i][0];
        s.engine = pairs[i][1];
        assert_ok(hb_run_identity(&s, hex[i], &err));
        for (int k = 0; k < i; k++) assert_string_not_equal(hex[i], hex[k]);
    }
}

/* ---- Logs of killed writers ---------------------------------------------------------------------- */

/* Opens the run as a user who cannot write to its folder. */
static int open_as_stranger(void)
{
    hb_error err;
    hb_run *run;
    if (geteuid() == 0 && setuid(65534) != 0) return 1;
    hb_status status = hb_run_open(path, &run, &err);
    bool plain = status == HB_ERR_IO && strstr(err.message, "the run was interrupted") &&
                 strstr(err.message, "copy both files");
    if (!plain) print_message("%s\n", status ? err.message : "it opens");
    return plain ? 0 : 2;
}

static int in_a_process(int (*something)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0) _exit(something());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* A killed writer leaves a log. Without its index it cannot be read in a read-only folder. */
static void test_log_in_a_read_only_folder(void **state)
{
    char name[160];
    snprintf(path, sizeof path, "%s/run.db", (char *)*state);
    assert_int_equal(in_a_process(write_and_be_killed), 0);
    snprintf(name, sizeof name, "%s-wal", path);
    assert_int_equal(chmod(name, 0444), 0);
    snprintf(name, sizeof name, "%s-shm", path);
    assert_int_equal(unlink(name), 0);
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(chmod(*state, 0555), 0);
    int got = in_a_process(open_as_stranger);
    assert_int_equal(chmod(*state, 0755), 0);
    assert_int_equal(got, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reading_without_memory, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_writing_without_memory, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_labelling_without_memory, make_scratch, remove_scratch),
        cmocka_unit_test(test_identities),
        cmocka_unit_test_setup_teardown(test_types_of_settings, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_score_named_like_a_column, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_full_disk_at_the_end, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_full_disk_while_labelling, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_log_in_a_read_only_folder, make_scratch, remove_scratch),
    };
    return cmocka_run_group_tests(tests, take_allocations, NULL);
}
