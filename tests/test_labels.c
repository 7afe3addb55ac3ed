/* Labels that a judge or a person gives to the samples of a run. */
#include "data_check.h"

#include <math.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>
#include "signals/scores.h"
#include "store/run.h"

static char path[128]; /* of the run */

#define SHA256 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void execute(const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static hb_run *create_run(void **state)
{
    hb_error err;
    hb_run *run;
    hb_signal_set *signals;
    assert_ok(hb_signal_set_parse("entropy", &signals, &err));
    const hb_run_settings s = {
        .data_format = "answers", .n_samples = 9, .n_ctx = 8, .signals = signals};
    snprintf(path, sizeof path, "%s/run.db", (char *)*state);
    assert_ok(hb_run_create(path, &s, &run, &err));
    hb_signal_set_free(signals);
    return run;
}

/* Samples "a" to "f" with the indices 10 to 15. "a", "b" and "c" have the labels 0, 1, 0. "d" and "e"
 * are graded right and wrong. "f" is skipped. */
static void make_run(void **state)
{
    hb_error err;
    hb_scores *scores;
    hb_run *run = create_run(state);
    assert_ok(hb_scores_of_set(hb_run_get_settings(run)->signals, &scores, &err));
    for (uint64_t i = 0; i < 6; i++) {
        const char id[] = {(char)('a' + i), '\0'};
        bool graded = i == 3 || i == 4;
        for (size_t k = 0; k < hb_scores_count(scores); k++) hb_scores_set(scores, k, (double)i);
        hb_run_sample s = {.index = 10 + i,
                           .id = id,
                           .label = graded ? HB_LABEL_BY_GRADE : i == 1,
                           .answers = graded ? "[\"x\"]" : NULL,
                           .grade = {.exact = i == 3, .number_error = NAN, .abstained = i == 4},
                           .status = i == 5 ? HB_SAMPLE_SKIPPED : HB_SAMPLE_SCORED,
                           .reason = i == 5 ? "too long" : NULL,
                           .scores = scores,
                           .text = "text",
                           .finish = HB_FINISH_END,
                           .prompt_sha256 = SHA256};
        assert_ok(hb_run_add(run, &s, &err));
    }
    assert_ok(hb_run_commit(run, &err));
    hb_scores_free(scores);
    hb_run_close(run);
}

/* "id=label/own label:who" for each sample; "-" for none. */
static hb_status spell_label(void *user, const hb_run_sample *s)
{
    char *out = user;
    const hb_grading g = {.abstain_as = HB_ABSTAIN_WRONG};
    size_t used = strlen(out);
    snprintf(out + used, 512 - used, "%s=%d/%d:%s ", s->id, hb_run_label(s, &g),
             hb_run_own_label(s, &g), s->set_by ? s->set_by : "-");
    return HB_OK;
}

static void labels_are(const char *expected)
{
    hb_error err;
    hb_run *run;
    char out[512] = "";
    assert_ok(hb_run_open(path, &run, &err));
    assert_ok(hb_run_each(run, spell_label, out, &err));
    hb_run_close(run);
    assert_string_equal(out, expected);
}

#define AS_MADE "a=0/0:- b=1/1:- c=0/0:- d=0/0:- e=1/1:- f=0/0:- "

/* Labels "ID LABEL" of this length. */
static hb_labels labels_of(const char *const (*rows)[2], size_t n)
{
    static hb_given_label list[16];
    for (size_t i = 0; i < n; i++)
        list[i] = (hb_given_label){(char *)(uintptr_t)rows[i][0], rows[i][1][0] - '0', i + 2};
    return (hb_labels){.list = list, .n = n};
}

static hb_status set_labels(const char *const (*rows)[2], size_t n, const hb_set_labels_options *o,
                            hb_set_labels_counts *counts, hb_error *err)
{
    const hb_labels labels = labels_of(rows, n);
    return hb_run_set_labels(path, &labels, o, counts, err);
}
#define SET(rows, o, counts, err) set_labels(rows, sizeof(rows) / sizeof *(rows), o, counts, err)

static void test_set_and_taken_back(void **state)
{
    hb_error err;
    hb_run *run;
    hb_run_counts c;
    hb_score_table t;
    hb_set_labels_counts n;
    uint64_t cleared;
    static const char *const rows[][2] = {{"a", "1"}, {"d", "1"}, {"e", "0"}, {"a", "1"},
                                          {"f", "1"}, {"y", "0"}, {"x", "0"}};
    const hb_set_labels_options dry = {.dry_run = true}, judge = {.source = "judge 1"};
    make_run(state);
    for (int i = 0; i < 2; i++) {
        assert_ok(SET(rows, i ? &judge : &dry, &n, &err));
        assert_int_equal(n.set[0], 1);
        assert_int_equal(n.set[1], 3);
        assert_int_equal(n.n_repeated, 1);
        assert_int_equal(n.n_unknown, 2);
        assert_int_equal(n.n_missing, 2);
        assert_string_equal(n.unknown, "x");
        labels_are(i ? "a=1/0:judge 1 b=1/1:- c=0/0:- d=1/0:judge 1 e=0/1:judge 1 f=1/0:judge 1 "
                     : AS_MADE);
    }
    assert_ok(hb_run_open(path, &run, &err));
    assert_ok(hb_run_count(run, &c, &err));
    assert_int_equal(c.scored, 5);
    assert_int_equal(c.labelled, 3);
    assert_int_equal(c.graded + c.abstained, 0);
    assert_ok(hb_run_scores(run, "entropy", NULL, &t, &err)); /* an abstention that was judged counts */
    assert_int_equal(t.n, 5);
    static const uint8_t expected[] = {1, 1, 0, 1, 0};
    assert_memory_equal(t.labels, expected, 5);
    hb_score_table_free(&t);
    hb_run_close(run);

    assert_ok(set_labels(rows, 1, NULL, &n, &err)); /* set again, by another */
    labels_are("a=1/0:label b=1/1:- c=0/0:- d=1/0:judge 1 e=0/1:judge 1 f=1/0:judge 1 ");
    assert_ok(hb_run_clear_labels(path, &cleared, &err));
    assert_int_equal(cleared, 4);
    labels_are(AS_MADE);
    assert_ok(hb_run_clear_labels(path, &cleared, &err));
    assert_int_equal(cleared, 0);
}

static void test_by_index(void **state)
{
    hb_error err;
    hb_set_labels_counts n;
    static const char *const rows[][2] = {
        {"10", "1"}, {"12", "1"}, {"a", "0"}, {"1", "0"}, {"010", "0"}};
    const hb_set_labels_options o = {.by_index = true};
    make_run(state);
    execute("UPDATE samples SET id = 'same'");
    assert_ok(SET(rows, &o, &n, &err));
    assert_int_equal(n.set[0], 0);
    assert_int_equal(n.set[1], 2);
    assert_int_equal(n.n_unknown, 3);
    labels_are("same=1/0:label same=1/1:- same=1/0:label same=0/0:- same=1/1:- same=0/0:- ");
}

/* After an error the run is as it was. */
static void test_refused(void **state)
{
    hb_error err;
    hb_set_labels_counts n = {.n_unknown = 77};
    static const char *const contrary[][2] = {{"a", "1"}, {"b", "0"}, {"a", "0"}};
    static const char *const unknown[][2] = {{"A", "1"}, {"\x1B[31m", "0"}};
    static const char *const fine[][2] = {{"a", "1"}};
    const hb_set_labels_options no_source = {.source = ""}, malformed = {.source = "\xFF"};
    char longest[HB_SOURCE_BYTES + 2];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    const hb_set_labels_options too_long = {.source = longest}, just = {.source = longest + 1};
    make_run(state);
    assert_fails(SET(contrary, NULL, &n, &err), HB_ERR_DATA, "lines 2 and 4 give 'a' different labels");
    assert_fails(SET(unknown, NULL, &n, &err), HB_ERR_DATA, "none of 2 ids is in ");
    assert_non_null(strstr(err.message, "the run begins with 'a'"));
    assert_null(strchr(err.message, '\x1B'));
    assert_fails(SET(fine, &no_source, &n, &err), HB_ERR_ARGUMENT, "source");
    assert_fails(SET(fine, &malformed, &n, &err), HB_ERR_ARGUMENT, "source");
    assert_fails(SET(fine, &too_long, &n, &err), HB_ERR_ARGUMENT, "source");
    labels_are(AS_MADE);
    execute("UPDATE samples SET id = 'b' WHERE id = 'c'");
    assert_fails(set_labels(contrary + 1, 2, NULL, &n, &err), HB_ERR_DATA, "2 samples have the id 'b'");
    execute("UPDATE samples SET id = 'c' WHERE idx = 12");
    assert_int_equal(n.n_unknown, 77);
    assert_ok(SET(fine, &just, &n, &err));

    execute("DELETE FROM samples");
    assert_fails(SET(fine, NULL, &n, &err), HB_ERR_DATA, "the run has no sample");
    const char *text = put_text(*state, "notes", "a,1\n");
    const hb_labels labels = labels_of(fine, 1);
    assert_fails(hb_run_set_labels(text, &labels, NULL, &n, &err), HB_ERR_FORMAT, "notes");
    assert_fails(hb_run_set_labels(*state, &labels, NULL, &n, &err), HB_ERR_IO, "not a regular file");
    assert_fails(hb_run_set_labels("/no/run.db", &labels, NULL, &n, &err), HB_ERR_IO, "/no/run.db");
    uint64_t cleared;
    assert_fails(hb_run_clear_labels("/no/run.db", &cleared, &err), HB_ERR_IO, "/no/run.db");
}

/* Labels are not set while another writes; a dry run only reads. Finished, the run is one file again.
 */
static void test_one_writer(void **state)
{
    hb_error err;
    hb_set_labels_counts n;
    uint64_t cleared;
    struct stat info;
    char beside[160];
    static const char *const rows[][2] = {{"a", "1"}};
    const hb_set_labels_options dry = {.dry_run = true};
    make_run(state);
    hb_run *writer = create_run(state);
    assert_fails(SET(rows, NULL, &n, &err), HB_ERR_BUSY, "is writing this run");
    assert_fails(hb_run_clear_labels(path, &cleared, &err), HB_ERR_BUSY, "is writing this run");
    assert_ok(SET(rows, &dry, &n, &err));
    hb_run_close(writer);
    assert_ok(SET(rows, NULL, &n, &err));
    static const char *const suffixes[] = {"-lock", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < 4; i++) {
        snprintf(beside, sizeof beside, "%s%s", path, suffixes[i]);
        assert_int_not_equal(stat(beside, &info), 0);
    }
    labels_are("a=1/0:label b=1/1:- c=0/0:- d=0/0:- e=1/1:- f=0/0:- ");
    execute("PRAGMA ignore_check_constraints = 1; UPDATE samples SET set_label = 2 WHERE id = 'a'");
    hb_score_table t;
    assert_ok(hb_run_open(path, &writer, &err));
    assert_fails(hb_run_scores(writer, "entropy", NULL, &t, &err), HB_ERR_FORMAT, "10 is damaged");
    hb_run_close(writer);
}

/* ---- Files of labels ----------------------------------------------------------------------------- */

static hb_label_options label_options(void)
{
    hb_label_options o = hb_label_defaults();
    o.on_broken = o.on_warning = on_message;
    o.user = hooked;
    hooked[0] = '\0';
    return o;
}

static hb_status read_labels(const char *file, const hb_label_options *o, hb_labels *labels,
                             hb_error *err)
{
    hb_table *table;
    hb_status status = hb_table_open(file, &table, err);
    if (status) return status;
    status = hb_table_labels(table, o, labels, err);
    hb_table_close(table);
    return status;
}

/* "ID=LABEL@LINE" for each label. */
static const char *spell_labels(const char *file, const hb_label_options *o, hb_labels *counts)
{
    static char out[512];
    hb_error err;
    hb_labels l;
    size_t used = 0;
    out[0] = '\0';
    assert_ok(read_labels(file, o, &l, &err));
    assert_string_equal(l.path, file);
    for (size_t i = 0; i < l.n; i++)
        used += (size_t)snprintf(out + used, sizeof out - used, "%s=%d@%d ", l.list[i].id,
                                 l.list[i].label, (int)l.list[i].line);
    if (counts) *counts = (hb_labels){.n = l.n, .n_empty = l.n_empty, .n_broken = l.n_broken};
    hb_labels_free(&l);
    hb_labels_free(NULL);
    return out;
}

static void test_files(void **state)
{
    hb_label_options o = label_options();
    hb_labels n;
    static const char *const files[][2] = {
        {"id,label\nq1,1\nq2,0\n", "q1=1@2 q2=0@3 "},
        {"who\tLabel\tID\nx\tPASS\t 7 \ny\thallucinated\tb,c\n", "7=0@2 b,c=1@3 "},
        {"{\"id\":3.0,\"label\":true,\"text\":[1]}\n{\"id\":\"03\",\"label\":0.0}\n", "3=1@1 03=0@2 "},
        {"[{\"id\":-4,\"label\":\"yes\"},\n {\"id\":true,\"label\":\"faithful\"}]", "-4=1@1 true=0@2 "},
        {"id;label\n\"a\nb\";1\nc;1\n", "a\nb=1@2 c=1@4 "},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        const char *file = put_text(*state, "l", files[i][0]);
        assert_string_equal(spell_labels(file, &o, &n), files[i][1]);
        assert_int_equal(n.n_empty + n.n_broken, 0);
        assert_string_equal(spell_labels(file, NULL, NULL), files[i][1]);
    }
    assert_string_equal(hooked, "");
}

static void test_polarity_of_labels(void **state)
{
    hb_label_options o = label_options();
    const char *file = put_text(*state, "l", "id,is_correct,verdict\na,True,bad\nb,False,good\n");
    o.label_column = "is_correct";
    assert_string_equal(spell_labels(file, &o, NULL), "a=1@2 b=0@3 ");
    assert_non_null(
        strstr(hooked, "l: 1 in 'is_correct' is read as hallucinated; does it mean right there?"));
    hooked[0] = '\0';
    o.label_is_correct = true;
    assert_string_equal(spell_labels(file, &o, NULL), "a=0@2 b=1@3 ");
    o.label_is_correct = false;
    o.label_column = "verdict";
    o.positive = "bad";
    assert_string_equal(spell_labels(file, &o, NULL), "a=1@2 b=0@3 ");
    assert_string_equal(hooked, "");
    o.label_is_correct = true;
    hb_labels l;
    hb_error err;
    assert_fails(read_labels(file, &o, &l, &err), HB_ERR_ARGUMENT, "not both");
}

static void test_rows_without_labels(void **state)
{
    hb_label_options o = label_options();
    hb_labels n, l;
    hb_error err;
    const char *file = put_text(*state, "l", "id,label\na,1\nb,\nc, \n,0\nd,maybe\n\"\",1\ne,0\n");
    assert_string_equal(spell_labels(file, &o, &n), "a=1@2 e=0@8 ");
    assert_int_equal(n.n_empty, 2);
    assert_int_equal(n.n_broken, 3);
    assert_string_equal(hooked, "l:5: id is empty\nl:6: label 'maybe' is neither 0 nor 1\n"
                                "l:7: id is empty\n");
    o.strict = true;
    assert_fails(read_labels(file, &o, &l, &err), HB_ERR_FORMAT, "l:5: id is empty");
    o = label_options();
    file =
        put_text(*state, "l",
                 "{\"id\":1,\"label\":null}\n{\"id\":2,\"label\":NaN}\n{\"id\":3}\n{\"label\":1}\n"
                 "{\"id\":null,\"label\":1}\n{\"id\":[1],\"label\":1}\n{\"id\":9,\"label\":1}\n[]\n");
    assert_string_equal(spell_labels(file, &o, &n), "9=1@7 ");
    assert_int_equal(n.n_empty, 2);
    assert_int_equal(n.n_broken, 5);
    assert_non_null(strstr(hooked, "l:3: field 'label' is missing\nl:4: field 'id' is missing\n"
                                   "l:5: id is not a text or a number\n"));
    file = put_text(*state, "l", "id,label\na,\nb,\n");
    assert_fails(read_labels(file, &o, &l, &err), HB_ERR_DATA, "no row has a label");
    file = put_text(*state, "l", "name,label\na,1\n");
    assert_fails(read_labels(file, &o, &l, &err), HB_ERR_FORMAT,
                 "no column 'id'; there are: name, label");
    o.id_column = "Name";
    o.label_column = "right";
    assert_fails(read_labels(file, &o, &l, &err), HB_ERR_FORMAT, "no column 'right'");
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, make_scratch, remove_scratch)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(test_set_and_taken_back),
        WITH_SCRATCH(test_by_index),
        WITH_SCRATCH(test_refused),
        WITH_SCRATCH(test_one_writer),
        WITH_SCRATCH(test_files),
        WITH_SCRATCH(test_polarity_of_labels),
        WITH_SCRATCH(test_rows_without_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
