/* Reads runs of earlier schemas as if they had today's. Temporary views with the names of the tables
 * hide the tables, so queries need not handle missing columns. */
#include <stdlib.h>
#include <string.h>
#include "store/store.h"

/* The columns of samples that earlier schemas lack. In the view they are NULL. */
static const char *const newer[] = {"grade_number", "grade_choice",  "abstained",
                                    "prompt",       "prompt_sha256", "set_label",
                                    "set_by",       "grp",           "overlap"};

hb_status hb_run_refuse_old(const hb_run *run, hb_error *err)
{
    if (run->schema == HB_RUN_SCHEMA) return HB_OK;
    return hb_fail(err, HB_ERR_MISMATCH,
                   "%s: an earlier version of hbar made this run (schema %d, now %d): it can be read, "
                   "but not changed or continued",
                   run->path, run->schema, HB_RUN_SCHEMA);
}

static bool has_column(sqlite3_stmt *q, const char *name)
{
    for (int i = 0; i < sqlite3_column_count(q); i++) {
        const char *column = sqlite3_column_name(q, i);
        if (column && strcmp(column, name) == 0) return true;
    }
    return false;
}

static bool write_samples(hb_buffer *sql, sqlite3_stmt *q)
{
    bool ok = hb_buffer_add_text(sql, "CREATE TEMP VIEW samples AS SELECT *");
    for (size_t i = 0; i < sizeof newer / sizeof *newer && ok; i++)
        if (!has_column(q, newer[i]))
            ok = hb_buffer_add_text(sql, ", NULL AS ") && hb_buffer_add_text(sql, newer[i]);
    return ok && hb_buffer_add_text(sql, " FROM main.samples");
}

/* Adds a column of scores under the name that its score has today. */
static bool write_score(hb_buffer *sql, const hb_run *run, const char *column)
{
    const hb_signal *signal = run->schema < HB_RUN_WITH_TAILS ? hb_signal_find(column) : NULL;
    bool ok = hb_run_quote(sql, column);
    if (!signal || hb_signal_usual(signal) != HB_AGGREGATION_TAIL5) return ok;
    char *name = hb_score_tail_name(column, HB_DIRECTION_HIGH);
    ok = ok && name && hb_buffer_add_text(sql, " AS ") && hb_run_quote(sql, name);
    free(name);
    return ok;
}

static bool write_scores(hb_buffer *sql, const hb_run *run, sqlite3_stmt *q)
{
    bool ok = hb_buffer_add_text(sql, "CREATE TEMP VIEW scores AS SELECT ");
    for (int i = 0; i < sqlite3_column_count(q) && ok; i++) {
        const char *column = sqlite3_column_name(q, i);
        ok = column && (i == 0 || hb_buffer_add_text(sql, ", ")) && write_score(sql, run, column);
    }
    return ok && hb_buffer_add_text(sql, " FROM main.scores");
}

/* Makes one view from the columns that `query` selects. */
static hb_status make_view(hb_run *run, const char *query, bool samples, hb_error *err)
{
    hb_buffer sql = {0};
    sqlite3_stmt *q;
    hb_status status = hb_run_prepare(run, query, &q, err);
    if (status) return status;
    bool ok = samples ? write_samples(&sql, q) : write_scores(&sql, run, q);
    sqlite3_finalize(q);
    status = ok ? hb_run_execute(run, sql.data, err) : hb_fail_memory(err);
    hb_buffer_free(&sql);
    return status;
}

hb_status hb_run_adapt(hb_run *run, hb_error *err)
{
    if (run->schema == HB_RUN_SCHEMA) return HB_OK;
    hb_status status = make_view(run, "SELECT * FROM samples", true, err);
    return status ? status : make_view(run, "SELECT * FROM scores", false, err);
}
