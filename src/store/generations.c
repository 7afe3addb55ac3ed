/* The samples that were drawn for each prompt beside its answer. */
#include <math.h>
#include <string.h>
#include "base/utf8.h"
#include "store/run.h"
#include "store/store.h"

static const char schema[] =
    "CREATE TABLE generations (idx INTEGER NOT NULL, k INTEGER NOT NULL, text TEXT NOT NULL,"
    " log_prob REAL NOT NULL, n_tokens INTEGER NOT NULL, n_measured INTEGER NOT NULL,"
    " finish TEXT NOT NULL, PRIMARY KEY (idx, k)) WITHOUT ROWID";

hb_status hb_run_create_generations(hb_run *run, hb_error *err)
{
    return hb_run_execute(run, schema, err);
}

hb_status hb_run_add_generation(hb_run *run, const hb_run_generation *g, hb_error *err)
{
    hb_status status = HB_OK;
    if (!run->add_generation)
        status = hb_run_prepare(run, "INSERT INTO generations VALUES (?,?,?,?,?,?,?)",
                                &run->add_generation, err);
    if (!status) {
        sqlite3_stmt *q = run->add_generation;
        sqlite3_bind_int64(q, 1, (int64_t)g->index);
        sqlite3_bind_int(q, 2, g->k);
        sqlite3_bind_text(q, 3, g->text, -1, SQLITE_STATIC);
        sqlite3_bind_double(q, 4, g->log_prob);
        sqlite3_bind_int(q, 5, g->n_tokens);
        sqlite3_bind_int(q, 6, g->n_measured);
        sqlite3_bind_text(q, 7, hb_finish_name(g->finish), -1, SQLITE_STATIC);
        status = sqlite3_step(q) == SQLITE_DONE ? HB_OK : hb_run_sql_error(run, err);
        sqlite3_reset(q);
        sqlite3_clear_bindings(q);
    }
    if (status) sqlite3_exec(run->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

/* Reads a row. Refuses one with invalid contents. */
static hb_status read_row(const hb_run *run, sqlite3_stmt *q, hb_run_generation *g, hb_error *err)
{
    int finish = hb_finish_number((const char *)sqlite3_column_text(q, 6));
    *g = (hb_run_generation){.index = (uint64_t)sqlite3_column_int64(q, 0),
                             .k = sqlite3_column_int(q, 1),
                             .text = (const char *)sqlite3_column_text(q, 2),
                             .log_prob = sqlite3_column_double(q, 3),
                             .n_tokens = sqlite3_column_int(q, 4),
                             .n_measured = sqlite3_column_int(q, 5),
                             .finish = (hb_finish)finish};
    if (sqlite3_errcode(run->db) == SQLITE_NOMEM) return hb_fail_memory(err);
    bool sound = finish >= 0 && g->text && hb_utf8_valid(g->text, strlen(g->text)) &&
                 isfinite(g->log_prob) && g->n_tokens >= 0 && g->n_measured >= 1;
    if (sound) return HB_OK;
    return hb_fail(err, HB_ERR_FORMAT, "%s: generation %d of sample %llu is damaged", run->path, g->k,
                   (unsigned long long)g->index);
}

typedef struct visitor {
    hb_status (*visit)(void *user, const hb_run_generation *generation);
    void *user;
} visitor;

static hb_status visit_row(hb_run *run, sqlite3_stmt *q, void *context, hb_error *err)
{
    const visitor *v = context;
    hb_run_generation g;
    hb_status status = read_row(run, q, &g, err);
    return status ? status : hb_run_visited(run, v->visit(v->user, &g), "", g.index, err);
}

hb_status hb_run_each_generation(hb_run *run,
                                 hb_status (*visit)(void *user, const hb_run_generation *generation),
                                 void *user, hb_error *err)
{
#define ALL "SELECT idx, k, text, log_prob, n_tokens, n_measured, finish FROM generations"
    sqlite3_stmt *q;
    if (run->schema < HB_RUN_WITH_GENERATIONS) return HB_OK;
    hb_status status = hb_run_prepare(
        run, run->draw ? ALL " WHERE idx IN temp.drawn ORDER BY idx, k" : ALL " ORDER BY idx, k", &q,
        err);
    return status ? status : hb_run_each_row(run, q, visit_row, &(visitor){visit, user}, err);
}
