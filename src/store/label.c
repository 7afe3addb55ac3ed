/* Sets labels from a judge or a person in an existing run. The labels become a temporary table, and SQL
 * does the rest. So memory does not grow with the run, and one transaction changes everything or
 * nothing. */
#include <inttypes.h>
#include <string.h>
#include "base/text.h"
#include "base/utf8.h"
#include "store/run.h"
#include "store/store.h"

/* How the labels name a sample. */
#define BY_ID    "samples.id"
#define BY_INDEX "CAST(samples.idx AS TEXT)"

typedef struct setting {
    hb_run *run;
    const hb_labels *labels;
    hb_set_labels_options options;
    hb_set_labels_counts counts;
} setting;

hb_set_labels_options hb_set_labels_defaults(void)
{
    return (hb_set_labels_options){.source = "label"};
}

/* Runs a query, chosen by how samples are named, whose result is at most one row. *found says whether
 * there is one; the caller finalizes *q. */
static hb_status ask(const setting *s, const char *by_id, const char *by_index, sqlite3_stmt **q,
                     bool *found, hb_error *err)
{
    hb_status status = hb_run_prepare(s->run, s->options.by_index ? by_index : by_id, q, err);
    if (status) return status;
    int code = sqlite3_step(*q);
    *found = code == SQLITE_ROW;
    if (code == SQLITE_ROW || code == SQLITE_DONE) return HB_OK;
    status = hb_run_sql_error(s->run, err);
    sqlite3_finalize(*q);
    return status;
}
#define ASK(s, before, after, q, found, err)                                                           \
    ask(s, before BY_ID after, before BY_INDEX after, q, found, err)

/* A text of a row, for a message. */
static const char *show(sqlite3_stmt *q, int column, char *out, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(q, column);
    return hb_printable(out, size, text ? text : "", text ? strlen(text) : 0);
}

/* ---- The labels as a table ----------------------------------------------------------------------- */

/* Counts a repeated id, or refuses one with another label. */
static hb_status check_repeated(setting *s, sqlite3_stmt *known, const hb_given_label *label,
                                hb_error *err)
{
    char id[64];
    hb_status status = HB_OK;
    sqlite3_bind_text(known, 1, label->id, -1, SQLITE_STATIC);
    if (sqlite3_step(known) != SQLITE_ROW) {
        status = hb_run_sql_error(s->run, err);
    } else if (sqlite3_column_int(known, 0) != label->label) {
        const char *path = s->labels->path ? s->labels->path : "labels";
        status = hb_fail(err, HB_ERR_DATA,
                         "%s: lines %" PRId64 " and %" PRIu64 " give '%s' different labels", path,
                         (int64_t)sqlite3_column_int64(known, 1), label->line,
                         hb_printable(id, sizeof id, label->id, strlen(label->id)));
    } else {
        s->counts.n_repeated++;
    }
    sqlite3_reset(known);
    return status;
}

static hb_status add_label(setting *s, sqlite3_stmt *add, sqlite3_stmt *known,
                           const hb_given_label *label, hb_error *err)
{
    sqlite3_bind_text(add, 1, label->id, -1, SQLITE_STATIC);
    sqlite3_bind_int(add, 2, label->label != 0);
    sqlite3_bind_int64(add, 3, (int64_t)label->line);
    int code = sqlite3_step(add);
    hb_status status = code == SQLITE_DONE ? HB_OK : hb_run_sql_error(s->run, err);
    bool added = sqlite3_changes(s->run->db) > 0;
    sqlite3_reset(add);
    return status || added ? status : check_repeated(s, known, label, err);
}

static hb_status add_labels(setting *s, hb_error *err)
{
    sqlite3_stmt *add = NULL, *known = NULL;
    hb_status status = hb_run_execute(s->run,
                                      "CREATE TEMP TABLE given (id TEXT PRIMARY KEY, label INTEGER,"
                                      " line INTEGER) WITHOUT ROWID",
                                      err);
    if (!status)
        status = hb_run_prepare(s->run, "INSERT OR IGNORE INTO given VALUES (?, ?, ?)", &add, err);
    if (!status)
        status = hb_run_prepare(s->run, "SELECT label, line FROM given WHERE id = ?", &known, err);
    for (size_t i = 0; i < s->labels->n && !status; i++)
        status = add_label(s, add, known, &s->labels->list[i], err);
    sqlite3_finalize(add);
    sqlite3_finalize(known);
    return status;
}

/* ---- Checks and counts --------------------------------------------------------------------------- */

/* An id of several samples does not identify any of them. */
static hb_status check_ambiguous(const setting *s, hb_error *err)
{
    sqlite3_stmt *q;
    bool found;
    char id[64];
    hb_status status =
        ASK(s, "SELECT count(*), id FROM samples WHERE ",
            " IN (SELECT id FROM given) GROUP BY 2 HAVING count(*) > 1 LIMIT 1", &q, &found, err);
    if (status) return status;
    if (found && !s->options.by_index)
        status =
            hb_fail(err, HB_ERR_DATA, "%s: %d samples have the id '%s'; their indices can name them",
                    s->run->path, sqlite3_column_int(q, 0), show(q, 1, id, sizeof id));
    sqlite3_finalize(q);
    return status;
}

static hb_status count_set(setting *s, hb_error *err)
{
    sqlite3_stmt *q;
    bool found;
    hb_status status = ASK(s,
                           "SELECT sum(given.label = 0), sum(given.label = 1) FROM samples"
                           " JOIN given ON given.id = ",
                           "", &q, &found, err);
    if (status) return status;
    for (int i = 0; i < 2; i++) s->counts.set[i] = (size_t)sqlite3_column_int64(q, i);
    sqlite3_finalize(q);
    return HB_OK;
}

static hb_status count_unknown(setting *s, hb_error *err)
{
    sqlite3_stmt *q;
    bool found;
    hb_status status = ASK(s, "SELECT count(*), min(id) FROM given WHERE id NOT IN (SELECT ",
                           " FROM samples)", &q, &found, err);
    if (status) return status;
    s->counts.n_unknown = (size_t)sqlite3_column_int64(q, 0);
    show(q, 1, s->counts.unknown, sizeof s->counts.unknown);
    sqlite3_finalize(q);
    return HB_OK;
}

static hb_status count_missing(setting *s, hb_error *err)
{
    sqlite3_stmt *q;
    bool found;
    hb_status status = ASK(s, "SELECT count(*) FROM samples WHERE status = 'scored' AND ",
                           " NOT IN (SELECT id FROM given)", &q, &found, err);
    if (status) return status;
    s->counts.n_missing = (size_t)sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return HB_OK;
}

/* If no id has a sample, the labels probably belong to another run. */
static hb_status check_any(const setting *s, hb_error *err)
{
    sqlite3_stmt *q;
    bool found;
    char id[64];
    if (s->counts.set[0] + s->counts.set[1]) return HB_OK;
    hb_status status = ASK(s, "SELECT ", " FROM samples ORDER BY idx LIMIT 1", &q, &found, err);
    if (status) return status;
    const char *path = s->labels->path ? s->labels->path : "labels";
    if (found)
        status = hb_fail(
            err, HB_ERR_DATA, "%s: none of %zu ids is in %s: '%s' is not, and the run begins with '%s'",
            path, s->counts.n_unknown, s->run->path, s->counts.unknown, show(q, 0, id, sizeof id));
    else status = hb_fail(err, HB_ERR_DATA, "%s: the run has no sample", s->run->path);
    sqlite3_finalize(q);
    return status;
}

/* ---- Changing ------------------------------------------------------------------------------------ */

#define UPDATE(key)                                                                                    \
    "UPDATE samples SET set_by = ?, set_label = (SELECT label FROM given WHERE given.id = " key ")"    \
    " WHERE " key " IN (SELECT id FROM given)"

static hb_status update(const setting *s, hb_error *err)
{
    sqlite3_stmt *q;
    hb_status status =
        hb_run_prepare(s->run, s->options.by_index ? UPDATE(BY_INDEX) : UPDATE(BY_ID), &q, err);
    if (status) return status;
    sqlite3_bind_text(q, 1, s->options.source, -1, SQLITE_STATIC);
    if (sqlite3_step(q) != SQLITE_DONE) status = hb_run_sql_error(s->run, err);
    sqlite3_finalize(q);
    return status;
}

/* The change is made. An error that closing the run may still mend, such as too little memory, is none.
 */
static hb_status finish(hb_run *run, hb_error *err)
{
    hb_error why;
    hb_status status = hb_run_finish(run, &why);
    return status == HB_ERR_IO ? hb_fail(err, status, "%s", why.message) : HB_OK;
}

/* Makes the whole change in a transaction. If it fails, the caller's hb_run_close rolls it back. */
static hb_status set_all(setting *s, hb_error *err)
{
    bool dry = s->options.dry_run;
    hb_status status = hb_run_execute(s->run, dry ? "BEGIN" : "BEGIN IMMEDIATE", err);
    if (!status) status = add_labels(s, err);
    if (!status) status = check_ambiguous(s, err);
    if (!status) status = count_set(s, err);
    if (!status) status = count_unknown(s, err);
    if (!status) status = count_missing(s, err);
    if (!status) status = check_any(s, err);
    if (!status && !dry) status = update(s, err);
    if (!status) status = hb_run_execute(s->run, "COMMIT", err);
    return status || dry ? status : finish(s->run, err);
}

static hb_status check_source(const char *source, hb_error *err)
{
    size_t length = strlen(source);
    if (length >= 1 && length <= HB_SOURCE_BYTES && hb_utf8_valid(source, length)) return HB_OK;
    return hb_fail(err, HB_ERR_ARGUMENT, "the source of the labels must be 1 to %d bytes of UTF-8",
                   HB_SOURCE_BYTES);
}

hb_status hb_run_set_labels(const char *path, const hb_labels *labels,
                            const hb_set_labels_options *options, hb_set_labels_counts *counts,
                            hb_error *err)
{
    setting s = {.labels = labels, .options = options ? *options : hb_set_labels_defaults()};
    if (!s.options.source) s.options.source = hb_set_labels_defaults().source;
    hb_status status = check_source(s.options.source, err);
    if (!status)
        status = s.options.dry_run ? hb_run_open(path, &s.run, err) : hb_run_edit(path, &s.run, err);
    if (status) return status;
    status = set_all(&s, err);
    hb_run_close(s.run);
    if (!status) *counts = s.counts;
    return status;
}

hb_status hb_run_clear_labels(const char *path, uint64_t *n, hb_error *err)
{
    hb_run *run;
    hb_status status = hb_run_edit(path, &run, err);
    if (status) return status;
    status = hb_run_execute(
        run, "UPDATE samples SET set_label = NULL, set_by = NULL WHERE set_by IS NOT NULL", err);
    uint64_t changed = (uint64_t)sqlite3_changes(run->db);
    if (!status) status = finish(run, err);
    if (!status) *n = changed;
    hb_run_close(run);
    return status;
}
