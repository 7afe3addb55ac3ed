/* Calls SQLite and turns its errors into statuses. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/text.h"
#include "store/store.h"

/* The system's reason for SQLITE_IOERR; 0: unknown. SQLite does not pass it on when a commit fails, but
 * the log and the file have it. */
static int system_reason(const hb_run *run)
{
    sqlite3_file *log = NULL;
    int reason = sqlite3_system_errno(run->db);
    if (reason) return reason;
    sqlite3_file_control(run->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (log && log->pMethods) log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &reason);
    if (!reason) sqlite3_file_control(run->db, "main", SQLITE_FCNTL_LAST_ERRNO, &reason);
    return reason;
}

hb_status hb_run_sql_error(const hb_run *run, hb_error *err)
{
    int code = sqlite3_errcode(run->db);
    hb_status status = HB_ERR_IO;
    if (code == SQLITE_NOMEM) return hb_fail_memory(err);
    if (code == SQLITE_NOTADB || code == SQLITE_CORRUPT || code == SQLITE_ERROR) status = HB_ERR_FORMAT;
    if (code == SQLITE_BUSY) status = HB_ERR_BUSY;
    int reason = code == SQLITE_IOERR || code == SQLITE_CANTOPEN ? system_reason(run) : 0;
    if (reason == EFBIG)
        return hb_fail(err, status,
                       "%s: the file would exceed the limit for the size of files (ulimit -f)",
                       run->path);
    if (!reason) return hb_fail(err, status, "%s: %s", run->path, sqlite3_errmsg(run->db));
    return hb_fail(err, status, "%s: %s: %s", run->path, sqlite3_errmsg(run->db), strerror(reason));
}

hb_status hb_run_execute(hb_run *run, const char *sql, hb_error *err)
{
    int code = sqlite3_exec(run->db, sql, NULL, NULL, NULL);
    return code == SQLITE_OK ? HB_OK : hb_run_sql_error(run, err);
}

hb_status hb_run_prepare(hb_run *run, const char *sql, sqlite3_stmt **statement, hb_error *err)
{
    int code = sqlite3_prepare_v2(run->db, sql, -1, statement, NULL);
    return code == SQLITE_OK ? HB_OK : hb_run_sql_error(run, err);
}

hb_status hb_run_query_int(hb_run *run, const char *sql, int64_t *value, hb_error *err)
{
    sqlite3_stmt *q;
    hb_status status = hb_run_prepare(run, sql, &q, err);
    if (status) return status;
    if (sqlite3_step(q) == SQLITE_ROW) *value = sqlite3_column_int64(q, 0);
    else status = hb_run_sql_error(run, err);
    sqlite3_finalize(q);
    return status;
}

/* Expressions of a hostile file could take for ever. No run has computed columns, defaults or indexes.
 * Constraints are switched off (open.c). */
static hb_status check_column(hb_run *run, sqlite3_stmt *q, void *table, hb_error *err)
{
    enum { NAME = 1, DEFAULT = 4, HIDDEN = 6 };
    const char *name = (const char *)sqlite3_column_text(q, NAME);
    char shown[80];
    if (!name) return hb_fail_memory(err);
    if (sqlite3_column_type(q, DEFAULT) == SQLITE_NULL && !sqlite3_column_int(q, HIDDEN)) return HB_OK;
    hb_printable(shown, sizeof shown, name, strlen(name));
    return hb_fail(
        err, HB_ERR_FORMAT,
        "%s: column '%s' of table '%s' is computed or has a default; no run has such a column",
        run->path, shown, (const char *)table);
}

/* SQLite makes indexes for keys, too; "c" are those of CREATE INDEX. */
static hb_status check_index(hb_run *run, sqlite3_stmt *q, void *table, hb_error *err)
{
    enum { NAME = 1, ORIGIN = 3 };
    const char *name = (const char *)sqlite3_column_text(q, NAME);
    const char *origin = (const char *)sqlite3_column_text(q, ORIGIN);
    char shown[80];
    if (!name || !origin) return hb_fail_memory(err);
    if (strcmp(origin, "c") != 0) return HB_OK;
    hb_printable(shown, sizeof shown, name, strlen(name));
    return hb_fail(err, HB_ERR_FORMAT, "%s: table '%s' has the index '%s', which no run has; drop it",
                   run->path, (const char *)table, shown);
}

/* Calls `row` for what a PRAGMA says about a table. */
static hb_status each_of_table(hb_run *run, const char *pragma, const char *table, hb_run_row *row,
                               hb_error *err)
{
    sqlite3_stmt *q;
    char sql[128];
    snprintf(sql, sizeof sql, "PRAGMA main.%s('%s')", pragma, table);
    hb_status status = hb_run_prepare(run, sql, &q, err);
    return status ? status : hb_run_each_row(run, q, row, (void *)(uintptr_t)table, err);
}

/* Views and virtual tables have no page in the file. */
static hb_status check_table(hb_run *run, const char *name, hb_error *err)
{
    int64_t n = 0;
    char sql[128];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND rootpage > 0 AND name = '%s'",
             name);
    hb_status status = hb_run_query_int(run, sql, &n, err);
    if (!status && n != 1)
        return hb_fail(err, HB_ERR_FORMAT, "%s: the run has no table '%s'", run->path, name);
    if (!status) status = each_of_table(run, "table_xinfo", name, check_column, err);
    return status ? status : each_of_table(run, "index_list", name, check_index, err);
}

hb_status hb_run_check_tables(hb_run *run, hb_error *err)
{
    static const struct {
        const char *name;
        int since; /* schema */
    } tables[] = {{"settings", HB_RUN_OLDEST},
                  {"samples", HB_RUN_OLDEST},
                  {"scores", HB_RUN_OLDEST},
                  {"tokens", HB_RUN_WITH_TOKENS},
                  {"generations", HB_RUN_WITH_GENERATIONS},
                  {"features", HB_RUN_WITH_FEATURES}};
    hb_status status = HB_OK;
    for (size_t i = 0; i < sizeof tables / sizeof *tables && !status; i++)
        if (run->schema >= tables[i].since) status = check_table(run, tables[i].name, err);
    return status;
}

bool hb_run_quote(hb_buffer *sql, const char *name)
{
    bool ok = hb_buffer_add_text(sql, "\"");
    for (; ok && *name; name++)
        ok = hb_buffer_add(sql, name, 1) && (*name != '"' || hb_buffer_add(sql, name, 1));
    return ok && hb_buffer_add_text(sql, "\"");
}

hb_status hb_run_each_row(hb_run *run, sqlite3_stmt *q, hb_run_row *row, void *context, hb_error *err)
{
    hb_status status = HB_OK;
    int code = SQLITE_DONE;
    while (!status && (code = sqlite3_step(q)) == SQLITE_ROW) status = row(run, q, context, err);
    if (!status && code != SQLITE_DONE) status = hb_run_sql_error(run, err);
    sqlite3_finalize(q);
    return status;
}

hb_status hb_run_visited(const hb_run *run, hb_status visited, const char *part, uint64_t index,
                         hb_error *err)
{
    if (!visited) return HB_OK;
    return hb_fail(err, HB_ERR_CALLBACK,
                   "%s: reading stopped at %ssample %llu, because the caller's function failed: %s",
                   run->path, part, (unsigned long long)index, hb_status_name(visited));
}
