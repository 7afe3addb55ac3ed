/* Declarations shared by the files of the run store: open.c opens, locks and closes a run, settings.c
 * handles its settings, old.c earlier schemas, samples.c its rows, tokens.c the tokens of responses,
 * generations.c samples drawn beside the answers, features.c the samples' features, label.c sets
 * labels, merge.c joins runs, table.c reads columns of scores for pass 2, and sql.c calls SQLite.
 * docs/run-store.md describes the schema. */
#ifndef HB_STORE_STORE_H
#define HB_STORE_STORE_H

#include <sqlite3.h>
#include "base/buffer.h"
#include "base/error.h"
#include "signals/scores.h"

#define HB_RUN_APPLICATION_ID 0x68626172 /* "hbar", in SQLite's file header */
/* Runs of earlier versions can be read, from this one on, but not written (old.c). */
#define HB_RUN_OLDEST 4
/* From this version on, a run knows the prompts' hashes. */
#define HB_RUN_WITH_PROMPTS 7
/* From this version on, a run has the scores with bottom5. Before, the column with the name of a signal
 * alone held the score with top5. */
#define HB_RUN_WITH_TAILS 8
/* From this version on, a run has the table of tokens. */
#define HB_RUN_WITH_TOKENS 10
/* From this version on, a run has the table of generations. */
#define HB_RUN_WITH_GENERATIONS 13
/* From this version on, a run has the table of features. */
#define HB_RUN_WITH_FEATURES 14
/* From this version on, it has the features of attention. */
#define HB_RUN_WITH_ATTENTION 15
/* From this version on, a run can have HB_FEATURE_STATES. */
#define HB_RUN_WITH_STATES 16

struct hb_run {
    char *path;
    int schema; /* version of the file's schema */
    sqlite3 *db;
    bool writing;
    char *lock_path; /* path of the writer's lock file; NULL for a reader */
    int lock;        /* descriptor of the lock file; -1 for a reader */
    int guard;       /* descriptor that keeps other programs from removing the log (open.c); -1: none */
    sqlite3_stmt *has, *add, *add_scores;
    sqlite3_stmt *add_tokens, *add_generation; /* prepared when they are first needed */
    sqlite3_stmt *add_features;                /* likewise (features.c) */
    /* Adds a sample to the table temp.drawn. NULL: the run has no such table. With it, only the samples
     * in it are counted and read: the run was made with more samples than are drawn now. */
    sqlite3_stmt *draw;
    hb_run_settings settings;
    hb_scores *scores; /* the score columns, with the values of the last row read */
};

/* Fails with SQLite's last error and the run's path (sql.c). */
hb_status hb_run_sql_error(const hb_run *run, hb_error *err);
hb_status hb_run_execute(hb_run *run, const char *sql, hb_error *err);
hb_status hb_run_prepare(hb_run *run, const char *sql, sqlite3_stmt **statement, hb_error *err);
/* Runs a query whose result is a single integer. */
hb_status hb_run_query_int(hb_run *run, const char *sql, int64_t *value, hb_error *err);
/* Fails unless the run has the tables of its schema, without computed columns, defaults and indexes. */
hb_status hb_run_check_tables(hb_run *run, hb_error *err);
/* Appends `name` as a quoted SQL identifier. False when memory runs out. */
bool hb_run_quote(hb_buffer *sql, const char *name);

/* Opens an existing run for changes, as its only writer (open.c). */
hb_status hb_run_edit(const char *path, hb_run **run, hb_error *err);

/* Reads one row of a query. A status other than HB_OK ends the query. */
typedef hb_status hb_run_row(hb_run *run, sqlite3_stmt *query, void *context, hb_error *err);
/* Calls `row` for each row of a prepared query, and finalizes the query. */
hb_status hb_run_each_row(hb_run *run, sqlite3_stmt *query, hb_run_row *row, void *context,
                          hb_error *err);
/* Turns a visitor's status into HB_ERR_CALLBACK, with a message that names the sample, or HB_OK. `part`
 * names what was visited, such as "the tokens of "; "" for the sample itself. */
hb_status hb_run_visited(const hb_run *run, hb_status visited, const char *part, uint64_t index,
                         hb_error *err);

/* The settings of a run (settings.c). */
hb_status hb_run_write_settings(hb_run *run, const hb_run_settings *settings, hb_error *err);
/* Reads them from a run that is being created. */
hb_status hb_run_read_settings(hb_run *run, hb_error *err);
/* Reads them from an existing file, after checking that it is a run with a supported schema and its
 * tables. */
hb_status hb_run_check_and_read_settings(hb_run *run, hb_error *err);
void hb_run_free_settings(hb_run_settings *settings);
/* Returns the status `as`, naming the file and the setting, if a number is out of range or `grading` is
 * no grading. */
hb_status hb_run_check_settings(const char *path, const hb_run_settings *settings, hb_status as,
                                hb_error *err);
/* Returns HB_ERR_MISMATCH, naming the differences, unless the run may be continued with these settings.
 */
hb_status hb_run_compare_settings(const hb_run *run, const hb_run_settings *wanted, hb_error *err);

/* Create the tables of settings and samples, and the table of scores for run->settings.signals
 * (samples.c). */
hb_status hb_run_create_tables(hb_run *run, hb_error *err);
hb_status hb_run_create_scores(hb_run *run, hb_error *err);
/* The number of a finish's name; -1 for another name. */
int hb_finish_number(const char *name);
/* Creates the table of tokens (tokens.c). */
hb_status hb_run_create_tokens(hb_run *run, hb_error *err);
/* Creates the table of generations (generations.c). */
hb_status hb_run_create_generations(hb_run *run, hb_error *err);
/* Creates the table of features (features.c). */
hb_status hb_run_create_features(hb_run *run, hb_error *err);
/* Makes a run of an earlier schema readable like one of today's (old.c). */
hb_status hb_run_adapt(hb_run *run, hb_error *err);
/* Returns HB_ERR_MISMATCH for a run of an earlier schema. */
hb_status hb_run_refuse_old(const hb_run *run, hb_error *err);
/* Reads the names of the run's scores into run->scores. */
hb_status hb_run_read_columns(hb_run *run, hb_error *err);
/* Fails when the file that is written is no longer there (open.c). */
hb_status hb_run_check_place(const hb_run *run, hb_error *err);
/* Prepares run->has, run->add and run->add_scores. */
hb_status hb_run_prepare_writing(hb_run *run, hb_error *err);
/* Makes temp.drawn and run->draw. */
hb_status hb_run_restrict(hb_run *run, hb_error *err);

#endif
