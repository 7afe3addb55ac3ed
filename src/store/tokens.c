/* The steps of samples: the signals' values, the tokens' characters and, of given responses where they
 * are known, the hallucinated spans. A run has one row of blobs for each such sample. Numbers in
 * blobs are little-endian and have four bytes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "store/run.h"
#include "store/store.h"

static const char schema[] =
    "CREATE TABLE tokens (idx INTEGER PRIMARY KEY, spans BLOB, characters BLOB, measured BLOB NOT NULL,"
    " CHECK (spans IS NULL OR characters IS NOT NULL))";

hb_status hb_run_create_tokens(hb_run *run, hb_error *err)
{
    return hb_run_execute(run, schema, err);
}

/* ---- Numbers ------------------------------------------------------------------------------------- */

enum { NUMBER = 4 }; /* bytes */

static bool add_number(hb_buffer *out, uint32_t number)
{
    const uint8_t bytes[NUMBER] = {(uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16),
                                   (uint8_t)(number >> 24)};
    return hb_buffer_add(out, bytes, NUMBER);
}

static uint32_t number_at(const uint8_t *bytes, size_t i)
{
    const uint8_t *b = bytes + i * NUMBER;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static bool add_spans(hb_buffer *out, const hb_response_span *spans, size_t n)
{
    bool ok = hb_buffer_add(out, "", 0);
    for (size_t i = 0; i < n && ok; i++) {
        const hb_response_span *s = &spans[i];
        ok = add_number(out, s->start < UINT32_MAX ? (uint32_t)s->start : UINT32_MAX) &&
             add_number(out, s->end < UINT32_MAX ? (uint32_t)s->end : UINT32_MAX);
    }
    return ok;
}

static bool add_values(hb_buffer *out, const float *values, size_t n)
{
    bool ok = hb_buffer_add(out, "", 0);
    for (size_t i = 0; i < n && ok; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        ok = add_number(out, bits);
    }
    return ok;
}

/* ---- Writing ------------------------------------------------------------------------------------- */

static hb_status insert(hb_run *run, uint64_t index, const hb_buffer blobs[3], hb_error *err)
{
    sqlite3_stmt *q = run->add_tokens;
    sqlite3_bind_int64(q, 1, (int64_t)index);
    int code = SQLITE_OK;
    for (int i = 0; i < 3 && code == SQLITE_OK; i++)
        if (blobs[i].data)
            code = sqlite3_bind_blob64(q, i + 2, blobs[i].data, blobs[i].length, SQLITE_STATIC);
    hb_status status =
        code == SQLITE_OK && sqlite3_step(q) == SQLITE_DONE ? HB_OK : hb_run_sql_error(run, err);
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
    return status;
}

hb_status hb_run_add_tokens(hb_run *run, const hb_run_tokens *t, hb_error *err)
{
    hb_buffer blobs[3] = {0};
    size_t n_signals = hb_signal_set_count(run->settings.signals);
    hb_status status = HB_OK;
    if (!run->add_tokens)
        status = hb_run_prepare(run, "INSERT INTO tokens VALUES (?,?,?,?)", &run->add_tokens, err);
    bool ok = (!t->spans || add_spans(&blobs[0], t->spans, t->n_spans)) &&
              (!t->characters || add_spans(&blobs[1], t->characters, t->n)) &&
              add_values(&blobs[2], t->values, t->n * n_signals);
    if (!status) status = ok ? insert(run, t->index, blobs, err) : hb_fail_memory(err);
    for (int i = 0; i < 3; i++) hb_buffer_free(&blobs[i]);
    if (status) sqlite3_exec(run->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

/* ---- Reading ------------------------------------------------------------------------------------- */

/* A blob of the current row. */
typedef struct blob {
    const uint8_t *bytes;
    size_t n;    /* numbers in it */
    size_t rest; /* bytes left over */
} blob;

static blob blob_at(sqlite3_stmt *q, int column)
{
    const uint8_t *bytes = sqlite3_column_blob(q, column);
    size_t length = bytes ? (size_t)sqlite3_column_bytes(q, column) : 0;
    return (blob){bytes, length / NUMBER, length % NUMBER};
}

/* Reads pairs of numbers. False for pairs that do not ascend. */
static bool read_spans(const blob *b, hb_response_span *spans)
{
    bool sound = b->rest == 0 && b->n % 2 == 0;
    for (size_t i = 0; i < b->n / 2 && sound; i++) {
        spans[i] = (hb_response_span){number_at(b->bytes, 2 * i), number_at(b->bytes, 2 * i + 1)};
        sound = spans[i].start <= spans[i].end;
    }
    return sound;
}

static bool read_values(const blob *b, float *values)
{
    bool sound = b->rest == 0;
    for (size_t i = 0; i < b->n && sound; i++) {
        uint32_t bits = number_at(b->bytes, i);
        memcpy(&values[i], &bits, sizeof bits);
        sound = isfinite(values[i]);
    }
    return sound;
}

/* The current row, copied to arrays. */
typedef struct row {
    hb_response_span *spans, *characters;
    float *values;
    hb_run_tokens tokens; /* points to them */
} row;

static void free_row(row *r)
{
    free(r->spans);
    free(r->characters);
    free(r->values);
    *r = (row){0};
}

/* The number of steps of a row whose values have this blob. */
static size_t n_steps(const blob *values, size_t n_signals)
{
    return n_signals ? values->n / n_signals : 0;
}

static hb_status read_row(const hb_run *run, sqlite3_stmt *q, row *r, hb_error *err)
{
    size_t n_signals = hb_signal_set_count(run->settings.signals);
    const blob spans = blob_at(q, 1), characters = blob_at(q, 2), values = blob_at(q, 3);
    if (sqlite3_errcode(run->db) == SQLITE_NOMEM) return hb_fail_memory(err);
    r->spans = calloc(spans.n / 2 + 1, sizeof *r->spans);
    r->characters = calloc(characters.n / 2 + 1, sizeof *r->characters);
    r->values = calloc(values.n + 1, sizeof *r->values);
    if (!r->spans || !r->characters || !r->values) return hb_fail_memory(err);
    bool known = sqlite3_column_type(q, 1) != SQLITE_NULL;  /* the spans are */
    bool placed = sqlite3_column_type(q, 2) != SQLITE_NULL; /* the characters are known */
    r->tokens = (hb_run_tokens){.index = (uint64_t)sqlite3_column_int64(q, 0),
                                .n = placed ? characters.n / 2 : n_steps(&values, n_signals),
                                .characters = placed ? r->characters : NULL,
                                .values = r->values,
                                .spans = known ? r->spans : NULL,
                                .n_spans = spans.n / 2};
    bool sound = (placed || !known) && values.n == r->tokens.n * n_signals &&
                 read_spans(&spans, r->spans) && read_spans(&characters, r->characters) &&
                 read_values(&values, r->values);
    if (sound) return HB_OK;
    return hb_fail(err, HB_ERR_FORMAT, "%s: the tokens of sample %llu are damaged", run->path,
                   (unsigned long long)r->tokens.index);
}

typedef struct visitor {
    hb_status (*visit)(void *user, const hb_run_tokens *tokens);
    void *user;
} visitor;

static hb_status visit_row(hb_run *run, sqlite3_stmt *q, void *context, hb_error *err)
{
    const visitor *v = context;
    row r = {0};
    hb_status status = read_row(run, q, &r, err);
    if (!status)
        status =
            hb_run_visited(run, v->visit(v->user, &r.tokens), "the tokens of ", r.tokens.index, err);
    free_row(&r);
    return status;
}

/* Visits the rows for which `where` holds. */
static hb_status visit_where(hb_run *run, const char *where,
                             hb_status (*visit)(void *user, const hb_run_tokens *tokens), void *user,
                             hb_error *err)
{
    sqlite3_stmt *q;
    char sql[160];
    if (run->schema < HB_RUN_WITH_TOKENS) return HB_OK;
    snprintf(sql, sizeof sql,
             "SELECT idx, spans, characters, measured FROM tokens WHERE %s%s ORDER BY idx", where,
             run->draw ? " AND idx IN temp.drawn" : "");
    hb_status status = hb_run_prepare(run, sql, &q, err);
    return status ? status : hb_run_each_row(run, q, visit_row, &(visitor){visit, user}, err);
}

hb_status hb_run_each_steps(hb_run *run, hb_status (*visit)(void *user, const hb_run_tokens *steps),
                            void *user, hb_error *err)
{
    return visit_where(run, "1", visit, user, err);
}

hb_status hb_run_each_tokens(hb_run *run, hb_status (*visit)(void *user, const hb_run_tokens *tokens),
                             void *user, hb_error *err)
{
    return visit_where(run, "spans IS NOT NULL", visit, user, err);
}
