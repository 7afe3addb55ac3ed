/* Makes one run of the runs of shards. Each is opened as any run from outside, checked and read whole,
 * and its rows are copied as they are. The new run has another name until it is complete. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/file.h"
#include "store/run.h"
#include "store/store.h"

typedef struct merge {
    const hb_merge_options *options;
    const char *const *paths; /* [n] */
    size_t n;
    hb_run *first;  /* the run that the others are compared with */
    hb_run *out;    /* the new run */
    uint8_t *given; /* [shards + 1], whether a shard is there */
    hb_merge_counts counts;
} merge;

hb_merge_options hb_merge_defaults(void)
{
    return (hb_merge_options){0};
}

/* ---- Checks -------------------------------------------------------------------------------------- */

static hb_status check_settings(const merge *m, const hb_run *run, hb_error *err)
{
    const hb_run_settings *s = &run->settings, *first = &m->first->settings;
    hb_run_settings same_shard = *first;
    hb_status status = hb_run_refuse_old(run, err);
    if (status) return status;
    if (!s->shard && !s->shards)
        return hb_fail(err, HB_ERR_MISMATCH, "%s: is the run of all samples, not of a shard",
                       run->path);
    same_shard.shard = s->shard;
    status = hb_run_compare_settings(run, &same_shard, err);
    if (status || s->n_drawn == first->n_drawn) return status;
    return hb_fail(err, HB_ERR_MISMATCH,
                   "%s: the shard belongs to %llu samples drawn, but that of %s to %llu", run->path,
                   (unsigned long long)s->n_drawn, m->first->path, (unsigned long long)first->n_drawn);
}

/* Checks that the shard has all its samples and was not given before, unless that is accepted. */
static hb_status check_whole(merge *m, hb_run *run, hb_error *err)
{
    const hb_run_settings *s = &run->settings;
    hb_run_counts c;
    hb_status status = hb_run_count(run, &c, err);
    if (status || m->options->partial) return status;
    uint64_t done = c.scored + c.skipped + c.failed;
    if (m->given[s->shard])
        return hb_fail(err, HB_ERR_MISMATCH, "%s: shard %d/%d is given twice", run->path, s->shard,
                       s->shards);
    m->given[s->shard] = 1;
    if (done == s->n_samples) return HB_OK;
    return hb_fail(err, HB_ERR_DATA, "%s: shard %d/%d is unfinished: it has %llu of its %llu samples",
                   run->path, s->shard, s->shards, (unsigned long long)done,
                   (unsigned long long)s->n_samples);
}

static hb_status see_sample(void *unused, const hb_run_sample *sample)
{
    (void)unused, (void)sample;
    return HB_OK;
}

static hb_status see_tokens(void *unused, const hb_run_tokens *tokens)
{
    (void)unused, (void)tokens;
    return HB_OK;
}

static hb_status see_generation(void *unused, const hb_run_generation *generation)
{
    (void)unused, (void)generation;
    return HB_OK;
}

static hb_status see_features(void *unused, const hb_run_features *features)
{
    (void)unused, (void)features;
    return HB_OK;
}

/* Reads everything in the run, so that damage is found in it and not in the new run. */
static hb_status read_all(hb_run *run, hb_error *err)
{
    const unsigned all = (1u << HB_N_FEATURES) - 1;
    hb_status status = hb_run_each(run, see_sample, NULL, err);
    if (!status) status = hb_run_each_steps(run, see_tokens, NULL, err);
    if (!status) status = hb_run_each_tokens(run, see_tokens, NULL, err);
    if (!status) status = hb_run_each_generation(run, see_generation, NULL, err);
    return status ? status : hb_run_each_features(run, all, see_features, NULL, err);
}

/* ---- Copying ------------------------------------------------------------------------------------- */

/* A table that is copied. */
typedef struct copying {
    merge *m;
    sqlite3_stmt *insert;
    int n_columns;
    bool of_samples; /* whether it is the table of samples */
} copying;

static bool is_cancelled(const merge *m)
{
    return m->options->cancelled && m->options->cancelled(m->options->user);
}

/* Copies a row, of which the first column is the sample's index. */
static hb_status copy_row(hb_run *from, sqlite3_stmt *q, void *context, hb_error *err)
{
    copying *c = context;
    merge *m = c->m;
    uint64_t index = (uint64_t)sqlite3_column_int64(q, 0);
    bool has;
    if (is_cancelled(m)) return hb_fail(err, HB_ERR_CANCELLED, "interrupted");
    hb_status status = hb_run_has(m->out, index, &has, err);
    if (status) return status;
    if (has && !m->options->partial)
        return hb_fail(err, HB_ERR_DATA, "%s: sample %llu is in another of these runs, too", from->path,
                       (unsigned long long)index);
    m->counts.n_repeated += has && c->of_samples;
    if (has) return HB_OK;
    for (int i = 0; i < c->n_columns; i++)
        if (sqlite3_bind_value(c->insert, i + 1, sqlite3_column_value(q, i)) != SQLITE_OK)
            return hb_run_sql_error(m->out, err);
    if (sqlite3_step(c->insert) != SQLITE_DONE) status = hb_run_sql_error(m->out, err);
    sqlite3_reset(c->insert);
    m->counts.n_samples += !status && c->of_samples;
    return status;
}

/* Writes the query of a table's rows and the statement that adds one, with the columns of the new run.
 * Names are qualified: SQLite reads a quoted name of no column as a text. */
static bool write_statements(sqlite3_stmt *columns, const char *table, hb_buffer *select,
                             hb_buffer *insert)
{
    int n = sqlite3_column_count(columns);
    bool ok = hb_buffer_add_text(select, "SELECT ") && hb_buffer_add_text(insert, "INSERT INTO ") &&
              hb_buffer_add_text(insert, table) && hb_buffer_add_text(insert, " VALUES (");
    for (int i = 0; ok && i < n; i++) {
        const char *name = sqlite3_column_name(columns, i), *comma = i ? "," : "";
        ok = name && hb_buffer_add_text(select, comma) && hb_buffer_add_text(select, table) &&
             hb_buffer_add_text(select, ".") && hb_run_quote(select, name) &&
             hb_buffer_add_text(insert, comma) && hb_buffer_add_text(insert, "?");
    }
    return ok && hb_buffer_add_text(select, " FROM ") && hb_buffer_add_text(select, table) &&
           hb_buffer_add_text(select, " WHERE idx IN (SELECT idx FROM samples) ORDER BY idx") &&
           hb_buffer_add_text(insert, ")");
}

/* Prepares a query of all columns of a table. */
static hb_status read_columns(hb_run *run, const char *table, sqlite3_stmt **columns, hb_error *err)
{
    char sql[64];
    snprintf(sql, sizeof sql, "SELECT * FROM %s", table);
    return hb_run_prepare(run, sql, columns, err);
}

static hb_status copy_prepared(merge *m, hb_run *from, const char *table, sqlite3_stmt *columns,
                               hb_error *err)
{
    copying c = {.m = m,
                 .n_columns = sqlite3_column_count(columns),
                 .of_samples = strcmp(table, "samples") == 0};
    hb_buffer select = {0}, insert = {0};
    sqlite3_stmt *q = NULL;
    hb_status status = HB_OK;
    if (!write_statements(columns, table, &select, &insert)) status = hb_fail_memory(err);
    if (!status) status = hb_run_prepare(m->out, insert.data, &c.insert, err);
    if (!status) status = hb_run_prepare(from, select.data, &q, err);
    if (!status) status = hb_run_each_row(from, q, copy_row, &c, err);
    sqlite3_finalize(c.insert);
    hb_buffer_free(&select);
    hb_buffer_free(&insert);
    return status;
}

static hb_status copy_table(merge *m, hb_run *from, const char *table, hb_error *err)
{
    sqlite3_stmt *ours = NULL, *theirs = NULL;
    hb_status status = read_columns(m->out, table, &ours, err);
    if (!status) status = read_columns(from, table, &theirs, err);
    if (!status && sqlite3_column_count(ours) != sqlite3_column_count(theirs))
        status = hb_fail(err, HB_ERR_FORMAT, "%s: the table '%s' has %d columns instead of %d",
                         from->path, table, sqlite3_column_count(theirs), sqlite3_column_count(ours));
    if (!status) status = copy_prepared(m, from, table, ours, err);
    sqlite3_finalize(ours);
    sqlite3_finalize(theirs);
    return status;
}

/* Copies a run. The samples come last, because they tell which rows an earlier run has. */
static hb_status copy_run(merge *m, hb_run *from, hb_error *err)
{
    static const char *const tables[] = {"scores", "tokens", "generations", "features", "samples"};
    hb_status status = hb_run_execute(m->out, "BEGIN", err);
    for (size_t i = 0; i < sizeof tables / sizeof *tables && !status; i++)
        status = copy_table(m, from, tables[i], err);
    return status ? status : hb_run_commit(m->out, err);
}

/* ---- All runs ------------------------------------------------------------------------------------ */

typedef hb_status step(merge *m, hb_run *run, hb_error *err);

/* Opens each run in turn, so that their number is not limited, and takes a step with it. The run is
 * read as it is at this moment, even if another process writes it. */
static hb_status each_run(merge *m, step *take, hb_error *err)
{
    hb_status status = HB_OK;
    for (size_t i = 0; i < m->n && !status; i++) {
        hb_run *run;
        if (is_cancelled(m)) return hb_fail(err, HB_ERR_CANCELLED, "interrupted");
        status = hb_run_open(m->paths[i], &run, err);
        if (status) return status;
        status = hb_run_execute(run, "BEGIN", err);
        if (!status) status = check_settings(m, run, err);
        if (!status) status = take(m, run, err);
        hb_run_close(run);
    }
    return status;
}

static hb_status check_run(merge *m, hb_run *run, hb_error *err)
{
    if (strcmp(run->settings.grading, m->first->settings.grading) != 0) m->counts.grades_differ = true;
    hb_status status = check_whole(m, run, err);
    return status ? status : read_all(run, err);
}

/* Checks that every shard is there. */
static hb_status check_shards(const merge *m, hb_error *err)
{
    int32_t shards = m->first->settings.shards, missing = 0, lowest = 0;
    for (int32_t i = shards; i >= 1; i--) {
        if (m->given[i]) continue;
        missing++;
        lowest = i;
    }
    if (!missing || m->options->partial) return HB_OK;
    if (missing == 1)
        return hb_fail(err, HB_ERR_MISMATCH, "the run of shard %d/%d is missing", lowest, shards);
    return hb_fail(err, HB_ERR_MISMATCH, "the runs of %d shards are missing, the first is %d/%d",
                   missing, lowest, shards);
}

static hb_status check_all(merge *m, hb_error *err)
{
    hb_status status = hb_run_open(m->paths[0], &m->first, err);
    if (!status) status = check_settings(m, m->first, err);
    if (status) return status;
    m->given = calloc((size_t)m->first->settings.shards + 1, 1);
    if (!m->given) return hb_fail_memory(err);
    status = each_run(m, check_run, err);
    return status ? status : check_shards(m, err);
}

/* Writes the new run to `path`. */
static hb_status write_run(merge *m, const char *path, hb_error *err)
{
    hb_run_settings s = m->first->settings;
    uint64_t drawn = s.n_drawn;
    s.n_samples = drawn;
    s.shard = s.shards = 0;
    s.n_drawn = 0;
    if (m->counts.grades_differ) s.grading = NULL;
    hb_status status = hb_run_create(path, &s, &m->out, err);
    if (status) return status;
    status = each_run(m, copy_run, err);
    if (!status && m->counts.n_samples > drawn)
        status = hb_fail(err, HB_ERR_FORMAT, "the runs have %llu samples together, but %llu were drawn",
                         (unsigned long long)m->counts.n_samples, (unsigned long long)drawn);
    if (!status) m->counts.n_missing = drawn - m->counts.n_samples;
    if (!status && m->counts.n_missing && !m->options->partial)
        status = hb_fail(err, HB_ERR_DATA, "the runs have only %llu of the %llu samples drawn",
                         (unsigned long long)m->counts.n_samples, (unsigned long long)drawn);
    if (!status) status = hb_run_finish(m->out, err);
    hb_run_close(m->out);
    m->out = NULL;
    return status;
}

/* ---- The output ---------------------------------------------------------------------------------- */

/* The output must not exist, and its folder must let files be made. */
static hb_status check_output(const char *path, hb_error *err)
{
    struct stat info;
    if (!*path) return hb_fail(err, HB_ERR_ARGUMENT, "the path of the new run is empty");
    if (lstat(path, &info) == 0)
        return hb_fail(err, HB_ERR_IO, "%s: exists already; a merged run does not replace a file",
                       path);
    if (errno != ENOENT) return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    if (hb_folder_takes_files(path)) return HB_OK;
    if (errno == ENOMEM) return hb_fail_memory(err);
    return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
}

/* ---- What killed merges left --------------------------------------------------------------------- */

#define STALE_AFTER 60 /* seconds without a change */

/* Whether no process writes this part any longer: it would hold the lock of a run. A part that has just
 * been created or is about to be renamed has no lock. */
static bool is_stale(const char *part, const char *lock)
{
    struct stat info;
    if (lstat(part, &info) != 0 || !S_ISREG(info.st_mode) || time(NULL) - info.st_mtime < STALE_AFTER)
        return false;
    int fd = hb_open(lock, O_RDWR | O_NOFOLLOW, 0);
    if (fd < 0) return errno == ENOENT;
    bool stale = flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    return stale;
}

static void remove_if_stale(const char *part)
{
    static const char *const suffixes[] = {"-wal", "-shm", "-lock", ""};
    char name[2 * PATH_MAX + 16];
    if ((size_t)snprintf(name, sizeof name, "%s-lock", part) >= sizeof name || !is_stale(part, name))
        return;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        snprintf(name, sizeof name, "%s%s", part, suffixes[i]);
        unlink(name);
    }
}

/* Removes the unfinished files of merges to `output` that were killed. */
static void remove_stale(const char *output)
{
    char folder[PATH_MAX], part[2 * PATH_MAX];
    const char *slash = strrchr(output, '/'), *base = slash ? slash + 1 : output;
    size_t length = strlen(base), before = slash ? (size_t)(slash - output) + 1 : 0;
    if (before >= sizeof folder) return;
    snprintf(folder, sizeof folder, "%.*s", (int)before, output);
    DIR *dir = opendir(before ? folder : ".");
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)) != NULL) {
        const char *rest = entry->d_name + length;
        if (strncmp(entry->d_name, base, length) != 0 || strncmp(rest, ".part", 5) != 0 || !rest[5] ||
            rest[5 + strspn(rest + 5, "0123456789")])
            continue;
        snprintf(part, sizeof part, "%s%s", folder, entry->d_name);
        remove_if_stale(part);
    }
    if (dir) closedir(dir);
}

/* Checks the runs, and writes the new run under another name first. */
static hb_status make_run(merge *m, const char *output, hb_error *err)
{
    char *part;
    hb_status status = check_output(output, err);
    if (!status) status = check_all(m, err);
    if (status) return status;
    remove_stale(output);
    if (asprintf(&part, "%s.part%ld", output, (long)getpid()) < 0) return hb_fail_memory(err);
    status = check_output(part, err);
    if (!status) {
        status = write_run(m, part, err);
        if (!status && !hb_rename_new(part, output))
            status = hb_fail(err, HB_ERR_IO, "%s: %s", output, strerror(errno));
        if (status) unlink(part);
    }
    free(part);
    return status;
}

hb_status hb_run_merge(const char *const *paths, size_t n, const char *output,
                       const hb_merge_options *options, hb_merge_counts *counts, hb_error *err)
{
    const hb_merge_options defaults = hb_merge_defaults();
    merge m = {.options = options ? options : &defaults, .paths = paths, .n = n};
    if (n == 0) return hb_fail(err, HB_ERR_ARGUMENT, "no run is given");
    hb_status status = make_run(&m, output, err);
    if (!status && counts) *counts = m.counts;
    hb_run_close(m.first);
    free(m.given);
    return status;
}
