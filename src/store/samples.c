/* A run's rows: a table of samples, and a table of scores with one column per score. A column has the
 * name of its score; the columns of an existing run are read from its file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"
#include "measures/asks.h"
#include "store/run.h"
#include "store/store.h"

#define TEXT_(x)            #x
#define TEXT(x)             TEXT_(x)
#define PRAGMA(name, value) "PRAGMA " name " = " TEXT(value) ";"

static const char schema[] =
    "CREATE TABLE settings (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE samples ("
    " idx INTEGER PRIMARY KEY, id TEXT NOT NULL, label INTEGER CHECK (label IN (0, 1)),"
    " answers TEXT, grade_exact INTEGER, grade_contains INTEGER, grade_f1 REAL,"
    " grade_number REAL, grade_choice INTEGER, abstained INTEGER,"
    " status TEXT NOT NULL CHECK (status IN ('scored', 'skipped', 'failed')), reason TEXT,"
    " text TEXT, finish TEXT, n_prompt INTEGER, n_tokens INTEGER,"
    " prompt_seconds REAL, decode_seconds REAL, prompt TEXT,"
    " prompt_sha256 TEXT NOT NULL CHECK (length(prompt_sha256) = 64),"
    " set_label INTEGER CHECK (set_label IN (0, 1)), set_by TEXT, grp TEXT, overlap REAL,"
    " CHECK ((set_label IS NULL) = (set_by IS NULL)),"
    " CHECK ((status = 'scored') = (reason IS NULL)),"
    " CHECK ((label IS NULL) = (answers IS NOT NULL)));" PRAGMA("application_id", HB_RUN_APPLICATION_ID)
        PRAGMA("user_version", HB_RUN_SCHEMA);

const char *hb_sample_status_name(hb_sample_status status)
{
    static const char *const names[] = {
        [HB_SAMPLE_SCORED] = "scored", [HB_SAMPLE_SKIPPED] = "skipped", [HB_SAMPLE_FAILED] = "failed"};
    return (size_t)status < sizeof names / sizeof *names ? names[status] : "unknown";
}

/* A missing text counts as valid. */
static bool is_valid(const char *text)
{
    return !text || hb_utf8_valid(text, strlen(text));
}

/* ---- The scores' columns ------------------------------------------------------------------------- */

hb_status hb_run_create_tables(hb_run *run, hb_error *err)
{
    return hb_run_execute(run, schema, err);
}

/* Whether the run has measure number i. `asks` are the run's questions. */
static bool has_measure(const hb_run *run, size_t i, unsigned asks)
{
    bool states = strstr(run->settings.features, "hidden") != NULL;
    return hb_measure_is_kept(i, run->settings.samples, asks, states);
}

hb_status hb_run_create_scores(hb_run *run, hb_error *err)
{
    hb_buffer sql = {0};
    hb_scores *scores;
    unsigned asks;
    hb_status status = hb_asks_parse(run->settings.asks, &asks, err);
    if (!status) status = hb_scores_of_set(run->settings.signals, &scores, err);
    if (status) return status;
    bool ok = hb_buffer_add_text(&sql, "CREATE TABLE scores (idx INTEGER PRIMARY KEY");
    for (size_t i = 0; i < hb_scores_count(scores) && ok; i++)
        ok = hb_buffer_add_text(&sql, ",") && hb_run_quote(&sql, hb_scores_name(scores, i)) &&
             hb_buffer_add_text(&sql, " REAL");
    if (ok && strcmp(run->settings.read_as, hb_read_as_name(HB_READ_JUDGEMENT)) == 0)
        ok = hb_buffer_add_text(&sql, ",\"" HB_SCORE_P_YES "\" REAL");
    for (size_t i = 0; ok && hb_measure_name(i); i++)
        ok = !has_measure(run, i, asks) ||
             (hb_buffer_add_text(&sql, ",") && hb_run_quote(&sql, hb_measure_name(i)) &&
              hb_buffer_add_text(&sql, " REAL"));
    ok = ok && hb_buffer_add_text(&sql, ")");
    status = ok ? hb_run_execute(run, sql.data, err) : hb_fail_memory(err);
    hb_buffer_free(&sql);
    hb_scores_free(scores);
    return status;
}

hb_status hb_run_read_columns(hb_run *run, hb_error *err)
{
    sqlite3_stmt *q;
    hb_status status = hb_run_prepare(run, "SELECT * FROM scores", &q, err);
    if (status) return status;
    size_t n = 0;
    int n_columns = sqlite3_column_count(q);
    const char **names = calloc((size_t)n_columns + 1, sizeof *names);
    bool ok = names != NULL, valid = true;
    for (int i = 0; ok && i < n_columns; i++) {
        const char *name = sqlite3_column_name(q, i);
        ok = name != NULL;
        valid = valid && is_valid(name);
        if (ok && strcmp(name, "idx") != 0) names[n++] = name;
    }
    if (!ok) status = hb_fail_memory(err);
    else if (!valid)
        status = hb_fail(err, HB_ERR_FORMAT, "%s: the name of a score is not UTF-8", run->path);
    else status = hb_scores_of_names(names, n, &run->scores, err);
    free(names);
    sqlite3_finalize(q);
    return status;
}

const char *hb_run_score_name(const hb_run *run, size_t i)
{
    return hb_scores_name(run->scores, i);
}

bool hb_run_has_score(const hb_run *run, const char *name)
{
    size_t place;
    return hb_scores_find_tail(run->scores, name, HB_DIRECTION_HIGH, &place) &&
           hb_scores_find_tail(run->scores, name, HB_DIRECTION_LOW, &place);
}

/* Appends the names of the score columns, each preceded by `before`. */
static bool add_columns(hb_buffer *sql, const hb_run *run, const char *before)
{
    bool ok = true;
    for (size_t i = 0; i < hb_scores_count(run->scores) && ok; i++)
        ok = hb_buffer_add_text(sql, before) && hb_run_quote(sql, hb_run_score_name(run, i));
    return ok;
}

/* ---- Counting ------------------------------------------------------------------------------------ */

/* The samples that are drawn now. */
#define DRAWN " WHERE samples.idx IN temp.drawn"

hb_status hb_run_count(hb_run *run, hb_run_counts *counts, hb_error *err)
{
#define COUNTS                                                                                         \
    "SELECT sum(status = 'scored'), sum(status = 'skipped'), sum(status = 'failed'),"                  \
    " sum(status = 'scored' AND label IS NULL AND set_by IS NULL), sum(abstained AND set_by IS NULL)," \
    " sum(status = 'scored' AND set_by IS NOT NULL), (SELECT count(*) FROM samples) - count(*)"        \
    " FROM samples"
    sqlite3_stmt *q;
    hb_status status = hb_run_prepare(run, run->draw ? COUNTS DRAWN : COUNTS, &q, err);
    if (status) return status;
    if (sqlite3_step(q) == SQLITE_ROW) {
        counts->total = run->settings.n_samples;
        counts->scored = (uint64_t)sqlite3_column_int64(q, 0);
        counts->skipped = (uint64_t)sqlite3_column_int64(q, 1);
        counts->failed = (uint64_t)sqlite3_column_int64(q, 2);
        counts->graded = (uint64_t)sqlite3_column_int64(q, 3);
        counts->abstained = (uint64_t)sqlite3_column_int64(q, 4);
        counts->labelled = (uint64_t)sqlite3_column_int64(q, 5);
        counts->not_drawn = (uint64_t)sqlite3_column_int64(q, 6);
    } else {
        status = hb_run_sql_error(run, err);
    }
    sqlite3_finalize(q);
    return status;
}

hb_status hb_run_has(hb_run *run, uint64_t index, bool *has, hb_error *err)
{
    sqlite3_bind_int64(run->has, 1, (int64_t)index);
    int code = sqlite3_step(run->has);
    bool known = code == SQLITE_ROW || code == SQLITE_DONE;
    hb_status status = known ? HB_OK : hb_run_sql_error(run, err);
    if (known) *has = code == SQLITE_ROW;
    sqlite3_reset(run->has);
    if (status || !run->draw) return status;
    sqlite3_bind_int64(run->draw, 1, (int64_t)index);
    status = sqlite3_step(run->draw) == SQLITE_DONE ? HB_OK : hb_run_sql_error(run, err);
    sqlite3_reset(run->draw);
    return status;
}

/* ---- Writing ------------------------------------------------------------------------------------- */

/* Checks that every measured score has a column; without one it would be lost. */
static hb_status check_columns(const hb_run *run, hb_error *err)
{
    hb_scores *measured;
    unsigned asks;
    hb_status status = hb_asks_parse(run->settings.asks, &asks, err);
    if (!status) status = hb_scores_of_set(run->settings.signals, &measured, err);
    if (status) return status;
    for (size_t i = 0; !status && i < hb_scores_count(measured); i++)
        if (!hb_run_has_score(run, hb_scores_name(measured, i)))
            status = hb_fail(err, HB_ERR_FORMAT, "%s: the run has no column for the score '%s'",
                             run->path, hb_scores_name(measured, i));
    hb_scores_free(measured);
    for (size_t i = 0; !status && hb_measure_name(i); i++)
        if (has_measure(run, i, asks) && !hb_run_has_score(run, hb_measure_name(i)))
            status = hb_fail(err, HB_ERR_FORMAT, "%s: the run has no column for the score '%s'",
                             run->path, hb_measure_name(i));
    return status;
}

hb_status hb_run_prepare_writing(hb_run *run, hb_error *err)
{
    hb_buffer sql = {0};
    hb_status status = check_columns(run, err);
    if (!status) status = hb_run_prepare(run, "SELECT 1 FROM samples WHERE idx = ?", &run->has, err);
    if (!status)
        status = hb_run_prepare(
            run,
            "INSERT INTO samples (idx, id, label, status, reason, text, finish, n_prompt,"
            " n_tokens, prompt_seconds, decode_seconds, answers, grade_exact,"
            " grade_contains, grade_f1, grade_number, grade_choice, abstained, prompt,"
            " prompt_sha256, grp, overlap)"
            " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            &run->add, err);
    bool ok = hb_buffer_add_text(&sql, "INSERT INTO scores (idx") && add_columns(&sql, run, ",") &&
              hb_buffer_add_text(&sql, ") VALUES (?");
    for (size_t i = 0; i < hb_scores_count(run->scores) && ok; i++) ok = hb_buffer_add_text(&sql, ",?");
    ok = ok && hb_buffer_add_text(&sql, ")");
    if (!status)
        status = ok ? hb_run_prepare(run, sql.data, &run->add_scores, err) : hb_fail_memory(err);
    hb_buffer_free(&sql);
    return status;
}

hb_status hb_run_restrict(hb_run *run, hb_error *err)
{
    hb_status status = hb_run_execute(run, "CREATE TEMP TABLE drawn (idx INTEGER PRIMARY KEY)", err);
    return status ? status
                  : hb_run_prepare(run, "INSERT OR IGNORE INTO drawn VALUES (?)", &run->draw, err);
}

static hb_status insert(hb_run *run, sqlite3_stmt *q, hb_error *err)
{
    hb_status status = sqlite3_step(q) == SQLITE_DONE ? HB_OK : hb_run_sql_error(run, err);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return status;
}

static hb_status add_sample(hb_run *run, const hb_run_sample *s, hb_error *err)
{
    sqlite3_stmt *q = run->add;
    bool scored = s->status == HB_SAMPLE_SCORED;
    sqlite3_bind_int64(q, 1, (int64_t)s->index);
    sqlite3_bind_text(q, 2, s->id, -1, SQLITE_STATIC);
    if (!s->answers) sqlite3_bind_int(q, 3, s->label);
    sqlite3_bind_text(q, 4, hb_sample_status_name(s->status), -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 5, s->reason, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 6, s->text, -1, SQLITE_STATIC);
    if (scored) sqlite3_bind_text(q, 7, hb_finish_name(s->finish), -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 8, s->n_prompt);
    sqlite3_bind_int(q, 9, s->n_tokens);
    sqlite3_bind_double(q, 10, s->prompt_seconds);
    sqlite3_bind_double(q, 11, s->decode_seconds);
    sqlite3_bind_text(q, 12, s->answers, -1, SQLITE_STATIC);
    if (s->answers && scored) {
        sqlite3_bind_int(q, 13, s->grade.exact);
        sqlite3_bind_int(q, 14, s->grade.contains);
        sqlite3_bind_double(q, 15, s->grade.f1);
        sqlite3_bind_double(q, 16, s->grade.number_error);
        sqlite3_bind_int(q, 17, s->grade.choice);
        sqlite3_bind_int(q, 18, s->grade.abstained);
    }
    sqlite3_bind_text(q, 19, s->prompt, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 20, s->prompt_sha256, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 21, s->group, -1, SQLITE_STATIC);
    if (scored) sqlite3_bind_double(q, 22, s->overlap);
    return insert(run, q, err);
}

/* The sample's value for a column. Scores usually have the order of the columns. */
static double value_of(const hb_run *run, const hb_scores *scores, size_t column)
{
    const char *name = hb_run_score_name(run, column), *same_place = hb_scores_name(scores, column);
    if (same_place && strcmp(name, same_place) == 0) return hb_scores_at(scores, column);
    return hb_scores_value(scores, name);
}

/* SQLite stores NaN as NULL. */
static hb_status add_scores(hb_run *run, const hb_run_sample *s, hb_error *err)
{
    sqlite3_bind_int64(run->add_scores, 1, (int64_t)s->index);
    for (size_t i = 0; i < hb_scores_count(run->scores); i++)
        sqlite3_bind_double(run->add_scores, (int)i + 2, value_of(run, s->scores, i));
    return insert(run, run->add_scores, err);
}

hb_status hb_run_add(hb_run *run, const hb_run_sample *s, hb_error *err)
{
    bool outside = sqlite3_get_autocommit(run->db);
    hb_status status = outside ? hb_run_execute(run, "BEGIN", err) : HB_OK;
    if (!status) status = add_sample(run, s, err);
    if (!status && s->status == HB_SAMPLE_SCORED) status = add_scores(run, s, err);
    if (status) sqlite3_exec(run->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

hb_status hb_run_commit(hb_run *run, hb_error *err)
{
    if (sqlite3_get_autocommit(run->db)) return HB_OK;
    hb_status status = hb_run_execute(run, "COMMIT", err);
    return status ? status : hb_run_check_place(run, err);
}

/* ---- Reading ------------------------------------------------------------------------------------- */

static const char *text_of(sqlite3_stmt *q, int column)
{
    return (const char *)sqlite3_column_text(q, column);
}

/* The number of a name. name_of() returns "unknown" beyond the last number. -1 for another name. */
static int number_of(const char *name, const char *(*name_of)(int number))
{
    int i = 0;
    while (name && strcmp(name_of(i), "unknown") != 0 && strcmp(name_of(i), name) != 0) i++;
    return name && strcmp(name_of(i), "unknown") != 0 ? i : -1;
}

/* NaN for NULL, and for a text or a blob, which SQLite would read as 0. */
static double real_or_nan(sqlite3_stmt *q, int column)
{
    int type = sqlite3_column_type(q, column);
    return type == SQLITE_FLOAT || type == SQLITE_INTEGER ? sqlite3_column_double(q, column) : NAN;
}

static const char *status_name(int number)
{
    return hb_sample_status_name((hb_sample_status)number);
}

static const char *finish_name(int number)
{
    return hb_finish_name((hb_finish)number);
}

int hb_finish_number(const char *name)
{
    return number_of(name, finish_name);
}

/* The columns of a sample in queries, before its scores. They are qualified, because a score may have
 * the name of such a column. */
#define SAMPLE_COLUMNS                                                                                 \
    "samples.idx, samples.id, samples.label, samples.status, samples.reason, samples.text, "           \
    "samples.finish, samples.n_prompt, samples.n_tokens, samples.prompt_seconds, "                     \
    "samples.decode_seconds, samples.answers, samples.grade_exact, samples.grade_contains, "           \
    "samples.grade_f1, samples.grade_number, samples.grade_choice, samples.abstained, "                \
    "samples.prompt, samples.prompt_sha256, samples.set_by, samples.set_label, "                       \
    "samples.grp, samples.overlap"
#define N_SAMPLE_COLUMNS 24

/* Reads the scores of the row into run->scores. Returns false when one is missing. */
static bool read_scores(hb_run *run, sqlite3_stmt *q)
{
    bool whole = true;
    for (size_t i = 0; i < hb_scores_count(run->scores); i++) {
        int column = N_SAMPLE_COLUMNS + (int)i;
        double value = real_or_nan(q, column);
        hb_scores_set(run->scores, i, value);
        whole = whole && isfinite(value);
    }
    return whole;
}

static bool is_sha256(const char *hex)
{
    return hex && strlen(hex) == 64 && strspn(hex, "0123456789abcdef") == 64;
}

/* Reads a row as a sample. Refuses rows with invalid contents. */
static hb_status read_sample(hb_run *run, sqlite3_stmt *q, hb_run_sample *s, hb_error *err)
{
    int status = number_of(text_of(q, 3), status_name), finish = hb_finish_number(text_of(q, 6));
    *s = (hb_run_sample){
        .index = (uint64_t)sqlite3_column_int64(q, 0),
        .id = text_of(q, 1),
        .label = sqlite3_column_int(q, 2),
        .status = (hb_sample_status)status,
        .reason = text_of(q, 4),
        .text = text_of(q, 5),
        .finish = (hb_finish)finish,
        .n_prompt = sqlite3_column_int(q, 7),
        .n_tokens = sqlite3_column_int(q, 8),
        .prompt_seconds = sqlite3_column_double(q, 9),
        .decode_seconds = sqlite3_column_double(q, 10),
        .answers = text_of(q, 11),
        .grade = {.exact = sqlite3_column_int(q, 12) != 0,
                  .contains = sqlite3_column_int(q, 13) != 0,
                  .f1 = sqlite3_column_double(q, 14),
                  .number_error = real_or_nan(q, 15),
                  .choice = sqlite3_column_int(q, 16) != 0,
                  .abstained = sqlite3_column_int(q, 17) != 0},
        .prompt = text_of(q, 18),
        .prompt_sha256 = text_of(q, 19),
        .set_by = text_of(q, 20),
        .set_label = sqlite3_column_int(q, 21),
        .group = text_of(q, 22),
        .overlap = real_or_nan(q, 23),
    };
    /* SQLite also returns NULL for a text when memory runs out. */
    if (sqlite3_errcode(run->db) == SQLITE_NOMEM) return hb_fail_memory(err);
    if (sqlite3_column_type(q, 2) == SQLITE_NULL) s->label = HB_LABEL_BY_GRADE;
    bool texts = is_valid(s->id) && is_valid(s->reason) && is_valid(s->text) && is_valid(s->answers) &&
                 is_valid(s->prompt) && is_valid(s->set_by) && is_valid(s->group);
    bool hashed = run->schema < HB_RUN_WITH_PROMPTS || is_sha256(s->prompt_sha256);
    bool sound = s->id && status >= 0 && texts && hashed &&
                 (s->label == 0 || s->label == 1 || (s->label == HB_LABEL_BY_GRADE && s->answers)) &&
                 (!s->set_by || s->set_label == 0 || s->set_label == 1);
    if (sound && s->status == HB_SAMPLE_SCORED) {
        sound = s->text && finish >= 0 && read_scores(run, q);
        s->scores = run->scores;
    } else if (sound) sound = s->reason != NULL;
    if (sound) return HB_OK;
    return hb_fail(err, HB_ERR_FORMAT, "%s: sample %llu is damaged", run->path,
                   (unsigned long long)s->index);
}

static hb_status prepare_each(hb_run *run, sqlite3_stmt **q, hb_error *err)
{
    hb_buffer sql = {0};
    bool ok = hb_buffer_add_text(&sql, "SELECT " SAMPLE_COLUMNS) &&
              add_columns(&sql, run, ",scores.") &&
              hb_buffer_add_text(&sql, " FROM samples LEFT JOIN scores USING (idx)") &&
              hb_buffer_add_text(&sql, run->draw ? DRAWN : "") &&
              hb_buffer_add_text(&sql, " ORDER BY samples.idx");
    hb_status status = ok ? hb_run_prepare(run, sql.data, q, err) : hb_fail_memory(err);
    hb_buffer_free(&sql);
    return status;
}

typedef struct visitor {
    hb_status (*visit)(void *user, const hb_run_sample *sample);
    void *user;
} visitor;

static hb_status visit_row(hb_run *run, sqlite3_stmt *q, void *context, hb_error *err)
{
    const visitor *v = context;
    hb_run_sample sample;
    hb_status status = read_sample(run, q, &sample, err);
    return status ? status : hb_run_visited(run, v->visit(v->user, &sample), "", sample.index, err);
}

hb_status hb_run_each(hb_run *run, hb_status (*visit)(void *user, const hb_run_sample *sample),
                      void *user, hb_error *err)
{
    sqlite3_stmt *q;
    hb_status status = prepare_each(run, &q, err);
    if (status) return status;
    return hb_run_each_row(run, q, visit_row, &(visitor){visit, user}, err);
}

int hb_run_label(const hb_run_sample *sample, const hb_grading *grading)
{
    return sample->set_by ? sample->set_label : hb_run_own_label(sample, grading);
}

int hb_run_own_label(const hb_run_sample *sample, const hb_grading *grading)
{
    return sample->label == HB_LABEL_BY_GRADE ? hb_grade_label(&sample->grade, grading) : sample->label;
}
