/* The samples' features. Each vector is a blob of floats of 16 bits, little-endian. */
#include <math.h>
#include <stdlib.h>
#include "base/half.h"
#include "signals/features.h"
#include "signals/probe.h"
#include "store/run.h"
#include "store/store.h"

enum { NUMBER = 2 }; /* bytes */

/* Appends the features' columns, each with these texts around it. */
static bool add_columns(hb_buffer *sql, const char *before, const char *after)
{
    bool ok = true;
    for (int f = 0; f < HB_N_FEATURES && ok; f++)
        ok = hb_buffer_add_text(sql, before) && hb_run_quote(sql, hb_feature_name((hb_feature)f)) &&
             hb_buffer_add_text(sql, after);
    return ok;
}

hb_status hb_run_create_features(hb_run *run, hb_error *err)
{
    hb_buffer sql = {0};
    bool ok = hb_buffer_add_text(&sql, "CREATE TABLE features (idx INTEGER PRIMARY KEY") &&
              add_columns(&sql, ",", " BLOB") && hb_buffer_add_text(&sql, ")");
    hb_status status = ok ? hb_run_execute(run, sql.data, err) : hb_fail_memory(err);
    hb_buffer_free(&sql);
    return status;
}

/* ---- Writing ------------------------------------------------------------------------------------- */

static bool write_halves(hb_buffer *out, const float *values, size_t n)
{
    bool ok = hb_buffer_add(out, "", 0);
    for (size_t i = 0; i < n && ok; i++) {
        uint16_t half = hb_half(values[i]);
        const uint8_t bytes[NUMBER] = {(uint8_t)half, (uint8_t)(half >> 8)};
        ok = hb_buffer_add(out, bytes, NUMBER);
    }
    return ok;
}

static hb_status prepare_adding(hb_run *run, hb_error *err)
{
    hb_buffer sql = {0};
    if (run->add_features) return HB_OK;
    bool ok = hb_buffer_add_text(&sql, "INSERT INTO features VALUES (?");
    for (int f = 0; f < HB_N_FEATURES && ok; f++) ok = hb_buffer_add_text(&sql, ",?");
    ok = ok && hb_buffer_add_text(&sql, ")");
    hb_status status =
        ok ? hb_run_prepare(run, sql.data, &run->add_features, err) : hb_fail_memory(err);
    hb_buffer_free(&sql);
    return status;
}

static hb_status insert(hb_run *run, const hb_run_features *features, hb_buffer *blob, hb_error *err)
{
    sqlite3_stmt *q = run->add_features;
    int code = sqlite3_bind_int64(q, 1, (int64_t)features->index);
    for (int f = 0; f < HB_N_FEATURES && code == SQLITE_OK; f++) {
        hb_buffer_clear(blob);
        if (!features->n[f]) continue;
        if (!write_halves(blob, features->values[f], features->n[f])) code = SQLITE_NOMEM;
        else code = sqlite3_bind_blob64(q, f + 2, blob->data, blob->length, SQLITE_TRANSIENT);
    }
    hb_status status = HB_OK;
    if (code == SQLITE_NOMEM) status = hb_fail_memory(err);
    else if (code != SQLITE_OK || sqlite3_step(q) != SQLITE_DONE) status = hb_run_sql_error(run, err);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return status;
}

hb_status hb_run_add_features(hb_run *run, const hb_run_features *features, hb_error *err)
{
    hb_buffer blob = {0};
    hb_status status = prepare_adding(run, err);
    if (!status) status = insert(run, features, &blob, err);
    hb_buffer_free(&blob);
    if (status) sqlite3_exec(run->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

/* ---- Reading ------------------------------------------------------------------------------------- */

/* The vectors of the current row, which keep their room for the next one. */
typedef struct row {
    float *values[HB_N_FEATURES];
    size_t room[HB_N_FEATURES];
    hb_run_features features; /* points to them */
} row;

static bool make_room(row *r, int f, size_t n)
{
    if (n <= r->room[f]) return true;
    float *values = reallocarray(r->values[f], n, sizeof *values);
    if (!values) return false;
    r->values[f] = values;
    r->room[f] = n;
    return true;
}

/* Reads a blob. False for one that is not a vector of finite numbers. */
static bool read_halves(const uint8_t *bytes, size_t n, float *values)
{
    bool sound = true;
    for (size_t i = 0; i < n && sound; i++) {
        values[i] = hb_half_value((uint16_t)(bytes[NUMBER * i] | bytes[NUMBER * i + 1] << 8));
        sound = isfinite(values[i]);
    }
    return sound;
}

static hb_status read_row(const hb_run *run, sqlite3_stmt *q, row *r, hb_error *err)
{
    bool sound = true;
    r->features.index = (uint64_t)sqlite3_column_int64(q, 0);
    for (int f = 0; f < HB_N_FEATURES && sound; f++) {
        const uint8_t *bytes = sqlite3_column_blob(q, f + 1);
        size_t length = bytes ? (size_t)sqlite3_column_bytes(q, f + 1) : 0;
        if (sqlite3_errcode(run->db) == SQLITE_NOMEM || !make_room(r, f, length / NUMBER))
            return hb_fail_memory(err);
        sound = length % NUMBER == 0 && read_halves(bytes, length / NUMBER, r->values[f]);
        r->features.n[f] = length / NUMBER;
        r->features.values[f] = r->values[f];
    }
    if (sound) return HB_OK;
    return hb_fail(err, HB_ERR_FORMAT, "%s: the features of sample %llu are damaged", run->path,
                   (unsigned long long)r->features.index);
}

typedef struct visitor {
    hb_status (*visit)(void *user, const hb_run_features *features);
    void *user;
    row row; /* its arrays are used for all rows */
} visitor;

static hb_status visit_row(hb_run *run, sqlite3_stmt *q, void *context, hb_error *err)
{
    visitor *v = context;
    const hb_run_features *features = &v->row.features;
    hb_status status = read_row(run, q, &v->row, err);
    if (status) return status;
    return hb_run_visited(run, v->visit(v->user, features), "the features of ", features->index, err);
}

/* Whether runs of this schema have the feature's column. */
static bool has_column(const hb_run *run, unsigned feature)
{
    int since = feature == HB_FEATURE_STATES      ? HB_RUN_WITH_STATES
                : feature >= HB_FEATURE_ATTENTION ? HB_RUN_WITH_ATTENTION
                                                  : HB_RUN_WITH_FEATURES;
    return run->schema >= since;
}

/* Selects the index and the features asked for; NULL instead of the others. */
static bool write_query(const hb_run *run, unsigned which, hb_buffer *sql)
{
    bool ok = hb_buffer_add_text(sql, "SELECT idx");
    for (unsigned f = 0; f < HB_N_FEATURES && ok; f++)
        ok = hb_buffer_add_text(sql, ",") &&
             (which >> f & 1 && has_column(run, f) ? hb_run_quote(sql, hb_feature_name((hb_feature)f))
                                                   : hb_buffer_add_text(sql, "NULL"));
    return ok && hb_buffer_add_text(sql, " FROM features") &&
           hb_buffer_add_text(sql, run->draw ? " WHERE idx IN temp.drawn" : "") &&
           hb_buffer_add_text(sql, " ORDER BY idx");
}

hb_status hb_run_each_features(hb_run *run, unsigned which,
                               hb_status (*visit)(void *user, const hb_run_features *features),
                               void *user, hb_error *err)
{
    hb_buffer sql = {0};
    sqlite3_stmt *q;
    if (run->schema < HB_RUN_WITH_FEATURES) return HB_OK;
    hb_status status =
        write_query(run, which, &sql) ? hb_run_prepare(run, sql.data, &q, err) : hb_fail_memory(err);
    hb_buffer_free(&sql);
    if (status) return status;
    visitor v = {.visit = visit, .user = user};
    status = hb_run_each_row(run, q, visit_row, &v, err);
    for (int f = 0; f < HB_N_FEATURES; f++) free(v.row.values[f]);
    return status;
}

/* ---- What there is ------------------------------------------------------------------------------- */

hb_status hb_run_feature_length(hb_run *run, hb_feature feature, size_t *length, hb_error *err)
{
    hb_buffer sql = {0};
    int64_t bytes = 0;
    if (!has_column(run, feature)) {
        *length = 0;
        return HB_OK;
    }
    bool ok = hb_buffer_add_text(&sql, "SELECT ifnull(max(length(") &&
              hb_run_quote(&sql, hb_feature_name(feature)) &&
              hb_buffer_add_text(&sql, ")), 0) FROM features");
    hb_status status = ok ? hb_run_query_int(run, sql.data, &bytes, err) : hb_fail_memory(err);
    if (!status) *length = bytes > 0 ? (size_t)bytes / NUMBER : 0;
    hb_buffer_free(&sql);
    return status;
}

bool hb_run_has_probe(const hb_run *run, const char *kind)
{
    const hb_probe_kind *k = hb_probe_kind_find(kind);
    return k && hb_feature_listed(run->settings.features, k->feature);
}
