/* What the parts of the run store share: open.c opens, locks and closes, settings.c keeps what a run
 * was made with, samples.c its rows, table.c reads columns of scores for pass 2, sql.c talks to SQLite.
 * docs/run-store.md describes the schema. */
#ifndef HB_STORE_STORE_H
#define HB_STORE_STORE_H

#include <sqlite3.h>
#include "base/buffer.h"
#include "base/error.h"
#include "signals/scores.h"

#define HB_RUN_APPLICATION_ID 0x68626172 /* "hbar", in SQLite's file header */
#define HB_RUN_SCHEMA         4

struct hb_run {
    char *path;
    sqlite3 *db;
    bool writing;
    char *lock_path; /* of a writer */
    int lock;        /* holds the writer's lock; -1 for a reader */
    int guard;       /* keeps other programs from removing the database's log (open.c); -1: none */
    sqlite3_stmt *has, *add, *add_scores;
    hb_run_settings settings;
    hb_scores *scores; /* the columns of the table of scores, with the values of the row read last */
};

/* The last error of SQLite, with the run's path (sql.c). */
hb_status hb_run_sql_error(const hb_run *run, hb_error *err);
hb_status hb_run_execute(hb_run *run, const char *sql, hb_error *err);
hb_status hb_run_prepare(hb_run *run, const char *sql, sqlite3_stmt **statement, hb_error *err);
/* The single integer a query gives. */
hb_status hb_run_query_int(hb_run *run, const char *sql, int64_t *value, hb_error *err);
/* `name` in quotes, as SQL writes a column. */
bool hb_run_quote(hb_buffer *sql, const char *name);

/* What a run was made with (settings.c). */
hb_status hb_run_write_settings(hb_run *run, const hb_run_settings *settings, hb_error *err);
hb_status hb_run_read_settings(hb_run *run, hb_error *err);
void hb_run_free_settings(hb_run_settings *settings);
/* HB_ERR_MISMATCH, saying what differs, unless the run may be continued with these. */
hb_status hb_run_compare_settings(const hb_run *run, const hb_run_settings *wanted, hb_error *err);

/* The tables of settings and samples, and the one of the scores of run->settings.signals (samples.c).
 */
hb_status hb_run_create_tables(hb_run *run, hb_error *err);
hb_status hb_run_create_scores(hb_run *run, hb_error *err);
/* Reads which scores the run has into run->scores. */
hb_status hb_run_read_columns(hb_run *run, hb_error *err);
/* Makes run->has, add and add_scores. */
hb_status hb_run_prepare_writing(hb_run *run, hb_error *err);

#endif
