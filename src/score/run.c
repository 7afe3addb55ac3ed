/* Runs are SQLite files in WAL mode; docs/run-store.md describes the schema. */
#include "score/run.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "base/buffer.h"

#define APPLICATION_ID 0x68626172 /* "hbar", in SQLite's file header */
#define SCHEMA_VERSION 4
#define TEXT_(x)       #x
#define TEXT(x)        TEXT_(x)

/* The table of scores is made beside these: one column for each score, named as the score. */
static const char schema[] =
    "BEGIN;"
    "CREATE TABLE settings (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE samples ("
    " idx INTEGER PRIMARY KEY, id TEXT NOT NULL, label INTEGER CHECK (label IN (0, 1)),"
    " answers TEXT, grade_exact INTEGER, grade_contains INTEGER, grade_f1 REAL,"
    " status TEXT NOT NULL CHECK (status IN ('scored', 'skipped', 'failed')), reason TEXT,"
    " text TEXT, finish TEXT, n_prompt INTEGER, n_tokens INTEGER,"
    " prompt_seconds REAL, decode_seconds REAL,"
    " CHECK ((status = 'scored') = (reason IS NULL)), CHECK ((label IS NULL) = (answers IS NOT NULL)));"
    "PRAGMA application_id = " TEXT(APPLICATION_ID) ";"
                                                    "PRAGMA user_version = " TEXT(SCHEMA_VERSION) ";";

struct hb_run {
    char *path;
    int lock; /* holds the writer's lock; -1 for a reader */
    sqlite3 *db;
    sqlite3_stmt *has, *add, *add_scores;
    hb_run_settings settings;
};

/* The settings, as rows of their table. Those of the identity must agree for a run to be continued. */
typedef enum kind { KIND_TEXT, KIND_U64, KIND_I32, KIND_REAL, KIND_SIGNALS } kind;
typedef struct field {
    const char *key;
    kind kind;
    size_t offset;
    bool identity;
} field;

#define FIELD(name, kind, identity)                                                                    \
    {                                                                                                  \
#name, kind, offsetof(hb_run_settings, name), identity                                         \
    }
static const field fields[] = {
    FIELD(model_path, KIND_TEXT, false),
    FIELD(model_name, KIND_TEXT, false),
    FIELD(model_architecture, KIND_TEXT, false),
    FIELD(model_sha256, KIND_TEXT, true),
    FIELD(model_size, KIND_U64, true),
    FIELD(data_path, KIND_TEXT, false),
    FIELD(data_format, KIND_TEXT, true),
    FIELD(data_sha256, KIND_TEXT, true),
    FIELD(data_rows, KIND_U64, false),
    FIELD(data_broken, KIND_U64, false),
    FIELD(n_samples, KIND_U64, true),
    FIELD(seed, KIND_U64, true),
    FIELD(max_tokens, KIND_I32, true),
    FIELD(n_ctx, KIND_I32, true),
    FIELD(alpha, KIND_REAL, true),
    FIELD(signals, KIND_SIGNALS, true),
    FIELD(chat, KIND_TEXT, true),
    FIELD(system, KIND_TEXT, true),
};
#undef FIELD
#define N_FIELDS (sizeof fields / sizeof *fields)

static void *at(const hb_run_settings *s, const field *f)
{
    return (char *)(uintptr_t)s + f->offset;
}

/* A text of the settings, none being an empty one. */
static const char *text_at(const void *value)
{
    const char *text = *(char *const *)value;
    return text ? text : "";
}

/* ---- SQLite ------------------------------------------------------------------------------------- */

static hb_status sql_error(const hb_run *run, hb_error *err)
{
    int code = sqlite3_errcode(run->db);
    hb_status status = HB_ERR_IO;
    if (code == SQLITE_NOMEM) return hb_fail_memory(err);
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT || code == SQLITE_ERROR) status = HB_ERR_FORMAT;
    if (code == SQLITE_BUSY) status = HB_ERR_BUSY;
    return hb_fail(err, status, "%s: %s", run->path, sqlite3_errmsg(run->db));
}

static hb_status execute(hb_run *run, const char *sql, hb_error *err)
{
    return sqlite3_exec(run->db, sql, NULL, NULL, NULL) == SQLITE_OK ? HB_OK : sql_error(run, err);
}

static hb_status prepare(hb_run *run, const char *sql, sqlite3_stmt **statement, hb_error *err)
{
    int code = sqlite3_prepare_v2(run->db, sql, -1, statement, NULL);
    return code == SQLITE_OK ? HB_OK : sql_error(run, err);
}

/* The single integer a query gives. */
static hb_status query_int(hb_run *run, const char *sql, int64_t *value, hb_error *err)
{
    sqlite3_stmt *q;
    hb_status status = prepare(run, sql, &q, err);
    if (status) return status;
    if (sqlite3_step(q) == SQLITE_ROW) *value = sqlite3_column_int64(q, 0);
    else status = sql_error(run, err);
    sqlite3_finalize(q);
    return status;
}

static hb_status open_db(hb_run *run, int flags, hb_error *err)
{
    if (sqlite3_open_v2(run->path, &run->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return run->db ? sql_error(run, err) : hb_fail_memory(err);
    sqlite3_extended_result_codes(run->db, 0);
    sqlite3_busy_timeout(run->db, 5000);
    /* A small page cache, so that memory does not grow with the run. */
    return execute(run, "PRAGMA cache_size = -256;", err);
}

/* ---- Settings ----------------------------------------------------------------------------------- */

static hb_status write_settings(hb_run *run, const hb_run_settings *s, hb_error *err)
{
    sqlite3_stmt *q;
    hb_status status = prepare(run, "INSERT INTO settings VALUES (?, ?)", &q, err);
    for (size_t i = 0; i < N_FIELDS && !status; i++) {
        const void *value = at(s, &fields[i]);
        sqlite3_bind_text(q, 1, fields[i].key, -1, SQLITE_STATIC);
        switch (fields[i].kind) {
        case KIND_TEXT:
            sqlite3_bind_text(q, 2, text_at(value), -1, SQLITE_STATIC);
            break;
        case KIND_U64:
            sqlite3_bind_int64(q, 2, (int64_t) * (const uint64_t *)value);
            break;
        case KIND_I32:
            sqlite3_bind_int(q, 2, *(const int32_t *)value);
            break;
        case KIND_REAL:
            sqlite3_bind_double(q, 2, *(const double *)value);
            break;
        case KIND_SIGNALS:
            sqlite3_bind_text(q, 2, hb_signals_list(*(const hb_signal_set *)value), -1, free);
            break;
        }
        if (sqlite3_step(q) != SQLITE_DONE) status = sql_error(run, err);
        sqlite3_reset(q);
    }
    sqlite3_finalize(q);
    return status;
}

static hb_status read_signals(hb_run *run, const char *list, hb_error *err)
{
    hb_error why;
    hb_status status = hb_signals_parse(list, &run->settings.signals, &why);
    if (status == HB_ERR_MEMORY) return hb_fail_memory(err);
    return status ? hb_fail(err, HB_ERR_FORMAT, "%s: setting 'signals': %s", run->path, why.message)
                  : HB_OK;
}

static hb_status read_setting(hb_run *run, sqlite3_stmt *q, const field *f, hb_error *err)
{
    void *value = at(&run->settings, f);
    sqlite3_bind_text(q, 1, f->key, -1, SQLITE_STATIC);
    int code = sqlite3_step(q);
    if (code != SQLITE_ROW && code != SQLITE_DONE) return sql_error(run, err);
    if (code == SQLITE_DONE)
        return hb_fail(err, HB_ERR_FORMAT, "%s: the run has no setting '%s'", run->path, f->key);
    const char *text = (const char *)sqlite3_column_text(q, 0);
    hb_status status = HB_OK;
    switch (f->kind) {
    case KIND_TEXT:
        *(char **)value = strdup(text ? text : "");
        if (!*(char **)value) status = hb_fail_memory(err);
        break;
    case KIND_U64:
        *(uint64_t *)value = (uint64_t)sqlite3_column_int64(q, 0);
        break;
    case KIND_I32:
        *(int32_t *)value = sqlite3_column_int(q, 0);
        break;
    case KIND_REAL:
        *(double *)value = sqlite3_column_double(q, 0);
        break;
    case KIND_SIGNALS:
        status = read_signals(run, text ? text : "", err);
        break;
    }
    sqlite3_reset(q);
    return status;
}

/* Checks that the file is a run of a version known here, and reads its settings. */
static hb_status read_settings(hb_run *run, hb_error *err)
{
    int64_t application = 0, version = 0;
    hb_status status = query_int(run, "PRAGMA application_id", &application, err);
    if (!status) status = query_int(run, "PRAGMA user_version", &version, err);
    if (status) return status;
    if (application != APPLICATION_ID)
        return hb_fail(err, HB_ERR_FORMAT, "%s: a database, but not a run of hbar", run->path);
    if (version != SCHEMA_VERSION)
        return hb_fail(err, HB_ERR_UNSUPPORTED, "%s: run schema %lld is not supported (%d is)",
                       run->path, (long long)version, SCHEMA_VERSION);
    sqlite3_stmt *q;
    status = prepare(run, "SELECT value FROM settings WHERE key = ?", &q, err);
    for (size_t i = 0; i < N_FIELDS && !status; i++) status = read_setting(run, q, &fields[i], err);
    sqlite3_finalize(q);
    return status;
}

/* Adds "KEY is A, not B" for a field that differs. */
static bool describe_difference(hb_buffer *out, const field *f, const hb_run_settings *have,
                                const hb_run_settings *want)
{
    const void *a = at(have, f), *b = at(want, f);
    char text[480], *lists[2];
    bool same = true;
    switch (f->kind) {
    case KIND_TEXT:
        same = strcmp(text_at(a), text_at(b)) == 0;
        snprintf(text, sizeof text, "%s is %.16s, not %.16s", f->key, *text_at(a) ? text_at(a) : "none",
                 *text_at(b) ? text_at(b) : "none");
        for (char *c = text; *c; c++)
            if ((unsigned char)*c < 0x20) *c = ' '; /* a system message may have lines */
        break;
    case KIND_U64:
        same = *(const uint64_t *)a == *(const uint64_t *)b;
        snprintf(text, sizeof text, "%s is %llu, not %llu", f->key, *(const unsigned long long *)a,
                 *(const unsigned long long *)b);
        break;
    case KIND_I32:
        same = *(const int32_t *)a == *(const int32_t *)b;
        snprintf(text, sizeof text, "%s is %d, not %d", f->key, *(const int32_t *)a,
                 *(const int32_t *)b);
        break;
    case KIND_REAL:
        same = *(const double *)a == *(const double *)b;
        snprintf(text, sizeof text, "%s is %g, not %g", f->key, *(const double *)a, *(const double *)b);
        break;
    case KIND_SIGNALS:
        same = *(const hb_signal_set *)a == *(const hb_signal_set *)b;
        lists[0] = hb_signals_list(*(const hb_signal_set *)a);
        lists[1] = hb_signals_list(*(const hb_signal_set *)b);
        snprintf(text, sizeof text, "%s is %s, not %s", f->key, lists[0] ? lists[0] : "",
                 lists[1] ? lists[1] : "");
        free(lists[0]);
        free(lists[1]);
        break;
    }
    if (same) return true;
    return (!out->length || hb_buffer_add_text(out, "; ")) && hb_buffer_add_text(out, text);
}

static hb_status compare_settings(const hb_run *run, const hb_run_settings *wanted, hb_error *err)
{
    hb_buffer differences = {0};
    bool ok = true;
    for (size_t i = 0; i < N_FIELDS && ok; i++)
        if (fields[i].identity)
            ok = describe_difference(&differences, &fields[i], &run->settings, wanted);
    hb_status status = HB_OK;
    if (!ok) status = hb_fail_memory(err);
    else if (differences.length)
        status = hb_fail(err, HB_ERR_MISMATCH, "%s: this run was made otherwise: its %s", run->path,
                         differences.data);
    hb_buffer_free(&differences);
    return status;
}

/* ---- Scores' columns ---------------------------------------------------------------------------- */

/* Whether the run has that score. */
static bool has_score(const hb_run *run, hb_score_id id)
{
    return run->settings.signals & HB_SIGNAL_BIT(id.signal);
}

/* `before`, then for each of the run's scores its name in quotes, between `prefix` and `suffix` and
 * separated by commas, then `after`. */
static hb_status each_score(const hb_run *run, const char *before, const char *prefix,
                            const char *suffix, const char *after, hb_buffer *sql, hb_error *err)
{
    bool ok = hb_buffer_add_text(sql, before), first = true;
    for (size_t i = 0; i < HB_N_SCORES && ok; i++) {
        char name[HB_SCORE_NAME_MAX];
        if (!has_score(run, hb_score_at(i))) continue;
        hb_score_name(hb_score_at(i), name);
        ok = (first || hb_buffer_add_text(sql, ",")) && hb_buffer_add_text(sql, prefix) &&
             hb_buffer_add_text(sql, "\"") && hb_buffer_add_text(sql, name) &&
             hb_buffer_add_text(sql, "\"") && hb_buffer_add_text(sql, suffix);
        first = false;
    }
    return ok && hb_buffer_add_text(sql, after) ? HB_OK : hb_fail_memory(err);
}

static hb_status create_scores(hb_run *run, hb_error *err)
{
    hb_buffer sql = {0};
    hb_status status =
        each_score(run, "CREATE TABLE scores (idx INTEGER PRIMARY KEY,", "", " REAL", ");", &sql, err);
    if (!status) status = execute(run, sql.data, err);
    hb_buffer_free(&sql);
    return status;
}

static hb_status prepare_add_scores(hb_run *run, hb_error *err)
{
    hb_buffer sql = {0};
    bool ok = true;
    hb_status status = each_score(run, "INSERT INTO scores (idx,", "", "", ") VALUES (?", &sql, err);
    for (size_t i = 0; i < HB_N_SCORES && ok; i++)
        if (has_score(run, hb_score_at(i))) ok = hb_buffer_add_text(&sql, ",?");
    if (!status && !(ok && hb_buffer_add_text(&sql, ")"))) status = hb_fail_memory(err);
    if (!status) status = prepare(run, sql.data, &run->add_scores, err);
    hb_buffer_free(&sql);
    return status;
}

/* ---- Opening and closing ------------------------------------------------------------------------ */

static hb_run *new_run(const char *path)
{
    hb_run *run = calloc(1, sizeof *run);
    if (!run) return NULL;
    run->lock = -1;
    run->path = strdup(path);
    if (run->path) return run;
    free(run);
    return NULL;
}

/* Takes the writer's lock, creating the file if needed. SQLite's own locks are of another sort (fcntl),
 * and this descriptor outlives the database's, so neither disturbs the other. */
static hb_status lock_file(hb_run *run, hb_error *err)
{
    run->lock = open(run->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (run->lock < 0) return hb_fail(err, HB_ERR_IO, "%s: %s", run->path, strerror(errno));
    if (flock(run->lock, LOCK_EX | LOCK_NB) == 0) return HB_OK;
    if (errno == EWOULDBLOCK)
        return hb_fail(err, HB_ERR_BUSY, "%s: another process is writing this run", run->path);
    return hb_fail(err, HB_ERR_IO, "%s: cannot lock: %s", run->path, strerror(errno));
}

/* Creates the tables in an empty file; in another one, checks that it may be continued. */
static hb_status enter(hb_run *run, const hb_run_settings *settings, hb_error *err)
{
    off_t size = lseek(run->lock, 0, SEEK_END);
    int64_t tables = 0;
    hb_status status = open_db(run, SQLITE_OPEN_READWRITE, err);
    if (!status) status = query_int(run, "SELECT count(*) FROM sqlite_master", &tables, err);
    if (status) return status;
    bool fresh = size == 0 || tables == 0;
    if (fresh) {
        status = execute(run, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;", err);
        if (!status) status = execute(run, schema, err);
        if (!status) status = write_settings(run, settings, err);
        if (!status) status = read_settings(run, err);
        if (!status) status = create_scores(run, err);
        if (!status) status = execute(run, "COMMIT;", err);
    } else {
        status = read_settings(run, err);
    }
    if (!status) status = compare_settings(run, settings, err);
    return status ? status : execute(run, "PRAGMA synchronous = NORMAL;", err);
}

hb_status hb_run_create(const char *path, const hb_run_settings *settings, hb_run **run, hb_error *err)
{
    hb_run *r = new_run(path);
    if (!r) return hb_fail_memory(err);
    hb_status status = lock_file(r, err);
    if (!status) status = enter(r, settings, err);
    if (!status) status = prepare(r, "SELECT 1 FROM samples WHERE idx = ?", &r->has, err);
    if (!status)
        status = prepare(r,
                         "INSERT INTO samples (idx, id, label, status, reason, text, finish, n_prompt,"
                         " n_tokens, prompt_seconds, decode_seconds, answers, grade_exact,"
                         " grade_contains, grade_f1) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                         &r->add, err);
    if (!status) status = prepare_add_scores(r, err);
    if (status) hb_run_close(r);
    else *run = r;
    return status;
}

hb_status hb_run_open(const char *path, hb_run **run, hb_error *err)
{
    if (access(path, R_OK) != 0) return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    hb_run *r = new_run(path);
    if (!r) return hb_fail_memory(err);
    hb_status status = open_db(r, SQLITE_OPEN_READONLY, err);
    if (!status) status = read_settings(r, err);
    if (status) hb_run_close(r);
    else *run = r;
    return status;
}

void hb_run_close(hb_run *run)
{
    if (!run) return;
    sqlite3_finalize(run->has);
    sqlite3_finalize(run->add);
    sqlite3_finalize(run->add_scores);
    sqlite3_close(run->db);
    if (run->lock >= 0) close(run->lock);
    for (size_t i = 0; i < N_FIELDS; i++)
        if (fields[i].kind == KIND_TEXT) free(*(char **)at(&run->settings, &fields[i]));
    free(run->path);
    free(run);
}

const hb_run_settings *hb_run_get_settings(const hb_run *run)
{
    return &run->settings;
}

/* ---- Samples ------------------------------------------------------------------------------------ */

hb_status hb_run_count(hb_run *run, hb_run_counts *counts, hb_error *err)
{
    sqlite3_stmt *q;
    hb_status status = prepare(run,
                               "SELECT sum(status = 'scored'), sum(status = 'skipped'),"
                               " sum(status = 'failed'),"
                               " sum(status = 'scored' AND label IS NULL) FROM samples",
                               &q, err);
    if (status) return status;
    if (sqlite3_step(q) == SQLITE_ROW) {
        counts->total = run->settings.n_samples;
        counts->scored = (uint64_t)sqlite3_column_int64(q, 0);
        counts->skipped = (uint64_t)sqlite3_column_int64(q, 1);
        counts->failed = (uint64_t)sqlite3_column_int64(q, 2);
        counts->graded = (uint64_t)sqlite3_column_int64(q, 3);
    } else {
        status = sql_error(run, err);
    }
    sqlite3_finalize(q);
    return status;
}

hb_status hb_run_has(hb_run *run, uint64_t index, bool *has, hb_error *err)
{
    sqlite3_bind_int64(run->has, 1, (int64_t)index);
    int code = sqlite3_step(run->has);
    hb_status status = code == SQLITE_ROW || code == SQLITE_DONE ? HB_OK : sql_error(run, err);
    *has = code == SQLITE_ROW;
    sqlite3_reset(run->has);
    return status;
}

static hb_status insert(hb_run *run, sqlite3_stmt *q, hb_error *err)
{
    hb_status status = sqlite3_step(q) == SQLITE_DONE ? HB_OK : sql_error(run, err);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return status;
}

static hb_status add_sample(hb_run *run, const hb_run_sample *s, hb_error *err)
{
    sqlite3_stmt *q = run->add;
    sqlite3_bind_int64(q, 1, (int64_t)s->index);
    sqlite3_bind_text(q, 2, s->id, -1, SQLITE_STATIC);
    if (!s->answers) sqlite3_bind_int(q, 3, s->label);
    sqlite3_bind_text(q, 4, s->status, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 5, s->reason, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 6, s->text, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 7, s->finish, -1, SQLITE_STATIC);
    sqlite3_bind_int(q, 8, s->n_prompt);
    sqlite3_bind_int(q, 9, s->n_tokens);
    sqlite3_bind_double(q, 10, s->prompt_seconds);
    sqlite3_bind_double(q, 11, s->decode_seconds);
    sqlite3_bind_text(q, 12, s->answers, -1, SQLITE_STATIC);
    if (s->answers && strcmp(s->status, "scored") == 0) {
        sqlite3_bind_int(q, 13, s->grade.exact);
        sqlite3_bind_int(q, 14, s->grade.contains);
        sqlite3_bind_double(q, 15, s->grade.f1);
    }
    return insert(run, q, err);
}

/* NaN is stored as NULL, which SQLite does by itself. */
static hb_status add_scores(hb_run *run, const hb_run_sample *s, hb_error *err)
{
    sqlite3_stmt *q = run->add_scores;
    sqlite3_bind_int64(q, 1, (int64_t)s->index);
    int column = 2;
    for (size_t i = 0; i < HB_N_SCORES; i++)
        if (has_score(run, hb_score_at(i)))
            sqlite3_bind_double(q, column++, hb_scores_get(&s->scores, hb_score_at(i)));
    return insert(run, q, err);
}

hb_status hb_run_add(hb_run *run, const hb_run_sample *s, hb_error *err)
{
    hb_status status = sqlite3_get_autocommit(run->db) ? execute(run, "BEGIN", err) : HB_OK;
    if (!status) status = add_sample(run, s, err);
    if (!status && strcmp(s->status, "scored") == 0) status = add_scores(run, s, err);
    if (status) sqlite3_exec(run->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

hb_status hb_run_commit(hb_run *run, hb_error *err)
{
    return sqlite3_get_autocommit(run->db) ? HB_OK : execute(run, "COMMIT", err);
}

static double real_or_nan(sqlite3_stmt *q, int column)
{
    return sqlite3_column_type(q, column) == SQLITE_NULL ? NAN : sqlite3_column_double(q, column);
}

static const char *text_of(sqlite3_stmt *q, int column)
{
    return (const char *)sqlite3_column_text(q, column);
}

/* The columns of a sample in queries, which its scores follow. */
#define SAMPLE_COLUMNS                                                                                 \
    "samples.idx, id, label, status, reason, text, finish, n_prompt, n_tokens, prompt_seconds,"        \
    " decode_seconds, answers, grade_exact, grade_contains, grade_f1"
#define N_SAMPLE_COLUMNS 15

/* One row as a sample; rows that another program spoiled are refused. */
static hb_status read_sample(const hb_run *run, sqlite3_stmt *q, hb_run_sample *s, hb_error *err)
{
    *s = (hb_run_sample){
        .index = (uint64_t)sqlite3_column_int64(q, 0),
        .id = text_of(q, 1),
        .label = sqlite3_column_int(q, 2),
        .status = text_of(q, 3),
        .reason = text_of(q, 4),
        .text = text_of(q, 5),
        .finish = text_of(q, 6),
        .n_prompt = sqlite3_column_int(q, 7),
        .n_tokens = sqlite3_column_int(q, 8),
        .prompt_seconds = sqlite3_column_double(q, 9),
        .decode_seconds = sqlite3_column_double(q, 10),
        .answers = text_of(q, 11),
        .grade = {sqlite3_column_int(q, 12) != 0, sqlite3_column_int(q, 13) != 0,
                  sqlite3_column_double(q, 14)},
    };
    if (sqlite3_column_type(q, 2) == SQLITE_NULL) s->label = HB_LABEL_BY_GRADE;
    int column = N_SAMPLE_COLUMNS;
    bool sound = s->id && s->status &&
                 (s->label == 0 || s->label == 1 || (s->label == HB_LABEL_BY_GRADE && s->answers));
    bool scored = sound && strcmp(s->status, "scored") == 0;
    for (size_t i = 0; i < HB_N_SCORES; i++) {
        hb_score_id id = hb_score_at(i);
        double *value = &s->scores.of[id.signal][id.aggregation];
        *value = has_score(run, id) ? real_or_nan(q, column++) : NAN;
        if (scored && has_score(run, id)) sound = sound && isfinite(*value);
    }
    if (sound) return HB_OK;
    return hb_fail(err, HB_ERR_FORMAT, "%s: sample %llu is damaged", run->path,
                   (unsigned long long)s->index);
}

static hb_status prepare_each(hb_run *run, sqlite3_stmt **q, hb_error *err)
{
    hb_buffer sql = {0};
    hb_status status =
        each_score(run, "SELECT " SAMPLE_COLUMNS ",", "scores.", "",
                   " FROM samples LEFT JOIN scores USING (idx) ORDER BY samples.idx", &sql, err);
    if (!status) status = prepare(run, sql.data, q, err);
    hb_buffer_free(&sql);
    return status;
}

hb_status hb_run_each(hb_run *run, hb_status (*visit)(void *user, const hb_run_sample *sample),
                      void *user, hb_error *err)
{
    sqlite3_stmt *q;
    hb_status status = prepare_each(run, &q, err);
    if (status) return status;
    int code = SQLITE_DONE;
    while (!status && (code = sqlite3_step(q)) == SQLITE_ROW) {
        hb_run_sample sample;
        status = read_sample(run, q, &sample, err);
        if (!status) status = visit(user, &sample);
    }
    if (!status && code != SQLITE_DONE) status = sql_error(run, err);
    sqlite3_finalize(q);
    return status;
}

/* ---- Scores for pass 2 -------------------------------------------------------------------------- */

typedef struct gathering {
    hb_score_table *table;
    size_t room;
    hb_score_id *scores; /* [table->n_scores] */
    hb_grading grading;
} gathering;

int hb_run_label(const hb_run_sample *sample, const hb_grading *grading)
{
    return sample->label == HB_LABEL_BY_GRADE ? hb_grade_label(&sample->grade, grading) : sample->label;
}

static hb_status gather(void *user, const hb_run_sample *sample)
{
    gathering *g = user;
    hb_score_table *t = g->table;
    if (strcmp(sample->status, "scored") != 0 || t->n == g->room) return HB_OK;
    for (size_t k = 0; k < t->n_scores; k++)
        t->scores[k * g->room + t->n] = hb_scores_get(&sample->scores, g->scores[k]);
    t->labels[t->n++] = (uint8_t)hb_run_label(sample, &g->grading);
    return HB_OK;
}

static hb_status no_score(const hb_run *run, const char *name, hb_error *err)
{
    char *known = hb_signals_list(run->settings.signals);
    hb_status status =
        hb_fail(err, HB_ERR_ARGUMENT,
                "%s: no score '%s'; there are %s, each alone or with :top5, :mean, :max, :min, :last,"
                " :first or :sum",
                run->path, name, known ? known : "others");
    free(known);
    return status;
}

/* Room for every scored sample, which a run that is still being written may get more of. */
static hb_status make_table(hb_run *run, size_t n_scores, gathering *g, hb_error *err)
{
    hb_run_counts counts;
    hb_status status = hb_run_count(run, &counts, err);
    if (status) return status;
    g->room = (size_t)counts.scored;
    *g->table = (hb_score_table){.scores = calloc(g->room * n_scores + 1, sizeof(double)),
                                 .labels = calloc(g->room + 1, 1),
                                 .n_scores = n_scores};
    return g->table->scores && g->table->labels ? HB_OK : hb_fail_memory(err);
}

hb_status hb_run_table(hb_run *run, const char *const *scores, size_t n_scores,
                       const hb_grading *grading, hb_score_table *table, hb_error *err)
{
    hb_score_table t = {0};
    gathering g = {.table = &t, .grading = grading ? *grading : hb_grading_defaults()};
    hb_status status = HB_OK;
    g.scores = calloc(n_scores + 1, sizeof *g.scores);
    if (!g.scores) return hb_fail_memory(err);
    for (size_t k = 0; k < n_scores && !status; k++)
        if (!hb_score_find(scores[k], &g.scores[k]) || !has_score(run, g.scores[k]))
            status = no_score(run, scores[k], err);
    if (!status) status = make_table(run, n_scores, &g, err);
    if (!status) status = hb_run_each(run, gather, &g, err);
    free(g.scores);
    if (status) hb_score_table_free(&t);
    else *table = t;
    return status;
}

hb_status hb_run_scores(hb_run *run, const char *score, const hb_grading *grading,
                        hb_score_table *table, hb_error *err)
{
    return hb_run_table(run, &score, 1, grading, table, err);
}
