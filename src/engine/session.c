#include "engine/session.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/memory.h"

#define CACHE_LINE 64
_Static_assert(HB_SESSION_PAGE == HB_PAGE, "the public header tells the size of a page");

#define MAX_CTX       (1 << 24)
#define MAX_THREADS   1024
#define MAX_SEQUENCES 4096

/* Gives the next `count` elements of the block at `base`, from a cache line's start; with a NULL base
 * only *used is moved on, so that the same code first measures and then places. */
static void *place(void *base, size_t *used, uint64_t count, size_t size)
{
    void *at = base ? (char *)base + *used : NULL;
    *used += (count * size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    return at;
}

/* Room for n activations as bytes. */
static void lay_out_bytes(hb_byte_space *b, void *base, size_t *used, uint64_t n)
{
    b->q = place(base, used, n + HB_BYTES_SLACK, 1);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t groups = n / (16u << i) + HB_BYTES_SLACK / 4;
        b->d[i] = place(base, used, groups, sizeof(float));
        b->scaled[i] = place(base, used, groups, sizeof(float));
        b->sums[i] = place(base, used, groups, sizeof(int32_t));
    }
    for (int p = 0; p < HB_PRODUCTS; p++) b->start[p] = place(base, used, n / 16, sizeof(int32_t));
}

/* Lays the session's arrays out; returns the bytes they take. The model's bounds keep this in 64 bits.
 */
static size_t lay_out(hb_session *s, void *base)
{
    const hb_model *m = s->model;
    uint64_t d = (uint64_t)m->info.n_embd, ff = (uint64_t)m->n_ff;
    uint64_t q = (uint64_t)m->info.n_heads * (uint64_t)m->head_dim;
    uint64_t kv = (uint64_t)m->info.n_kv_heads * (uint64_t)m->head_dim;
    uint64_t longest = ff > q ? ff : q, threads = (uint64_t)s->n_threads;
    uint64_t padded_head = ((uint64_t)m->head_dim + HB_PAD - 1) / HB_PAD * HB_PAD;
    if (d > longest) longest = d;
    s->row_length = (longest + 31) / 32 * 32;

    size_t used = 0;
    for (int i = 0; i < (m->architecture->window_base > 0 ? 2 : 1); i++)
        s->rope[i] = place(base, &used, (uint64_t)s->n_ctx * (uint64_t)m->n_rot, sizeof(float));
    s->x = place(base, &used, HB_BATCH * d, sizeof(float));
    s->normed = place(base, &used, HB_BATCH * d, sizeof(float));
    s->q = place(base, &used, HB_BATCH * q, sizeof(float));
    s->attention = place(base, &used, HB_BATCH * q, sizeof(float));
    s->k = place(base, &used, HB_BATCH * kv, sizeof(float));
    s->v = place(base, &used, HB_BATCH * kv, sizeof(float));
    s->gate = place(base, &used, HB_BATCH * ff, sizeof(float));
    s->up = place(base, &used, HB_BATCH * ff, sizeof(float));
    s->thread_rows = place(base, &used, threads * HB_TILE_ROWS * s->row_length, sizeof(float));
    uint64_t parts = (s->row_length + HB_PANEL_DEPTH - 1) / HB_PANEL_DEPTH;
    s->laid_out = place(base, &used, HB_BATCH * parts * HB_PANEL_DEPTH, sizeof(float));
    lay_out_bytes(&s->bytes, base, &used, HB_BATCH * parts * HB_PANEL_DEPTH);
    s->panel_space = place(base, &used, threads, sizeof *s->panel_space);
    s->thread_heads = place(base, &used, threads * 2 * HB_QUERY_ROWS * padded_head, sizeof(float));
    return used;
}

/* How many positions the cache holds in all, and the shape of its pages. */
static void shape_cache(hb_session *s, const hb_session_options *o)
{
    const hb_model *m = s->model;
    int64_t each = hb_kv_pages(s->n_ctx), all = each * o->n_sequences, wanted;
    s->cache = (hb_kv_cache){.n_layers = m->info.n_layers,
                             .n_heads = m->info.n_kv_heads,
                             .head_dim = m->head_dim,
                             .n_sequences = o->n_sequences,
                             .pages_each = (int32_t)each};
    wanted = o->n_positions ? (o->n_positions + HB_PAGE - 1) / HB_PAGE : all;
    if (o->cache_bytes) {
        int64_t page = (int64_t)hb_kv_page_bytes(s->cache.n_layers, s->cache.n_heads, m->head_dim);
        int64_t most = o->cache_bytes / page > each ? o->cache_bytes / page : each;
        if (wanted > most) wanted = most;
    }
    s->cache.n_pages = (int32_t)(wanted < all ? wanted : all);
}

static hb_status allocate(hb_session *s, bool claim, hb_error *err)
{
    const hb_kv_cache *c = &s->cache;
    size_t bytes = lay_out(s, NULL);
    double cache = (double)c->n_pages * (double)hb_kv_page_bytes(c->n_layers, c->n_heads, c->head_dim);
    double gib = ((double)bytes + cache) / (1 << 30);
    double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30);
    if (gib > machine)
        return hb_fail(err, HB_ERR_MEMORY,
                       "a context of %lld positions needs %.2f GiB, and this machine has %.2f GiB",
                       (long long)c->n_pages * HB_PAGE, gib, machine);
    size_t blocks = (size_t)HB_BATCH * ((size_t)s->model->info.n_heads / HB_QUERY_ROWS + 1);
    s->memory = hb_reserve(bytes, claim);
    s->spans = calloc(HB_BATCH, sizeof *s->spans);
    s->span_of = calloc(HB_BATCH, sizeof *s->span_of);
    s->blocks = calloc(blocks, sizeof *s->blocks);
    if (!s->memory || !s->spans || !s->span_of || !s->blocks) return hb_fail_memory(err);
    lay_out(s, s->memory);
    return hb_kv_open(&s->cache, claim, err);
}

static void fill_ropes(hb_session *s)
{
    const hb_model *m = s->model;
    hb_rope rope = m->rope;
    if (m->rope_long) rope.factors = s->n_ctx > rope.n_original ? m->rope_long : m->rope_short;
    hb_rope_fill(&rope, m->n_rot, s->n_ctx, s->rope[0]);
    if (s->rope[1]) hb_rope_fill(&m->window_rope, m->n_rot, s->n_ctx, s->rope[1]);
}

static hb_status check_options(const hb_session_options *o, hb_error *err)
{
    if (o->n_ctx < 0 || o->n_ctx > MAX_CTX)
        return hb_fail(err, HB_ERR_ARGUMENT, "a context of %d positions; 1 to %d can be asked for",
                       o->n_ctx, MAX_CTX);
    if (o->n_threads < 0 || o->n_threads > MAX_THREADS)
        return hb_fail(err, HB_ERR_ARGUMENT, "%d threads; 1 to %d can be asked for", o->n_threads,
                       MAX_THREADS);
    if (o->n_sequences < 0 || o->n_sequences > MAX_SEQUENCES)
        return hb_fail(err, HB_ERR_ARGUMENT, "%d sequences; 1 to %d can be asked for", o->n_sequences,
                       MAX_SEQUENCES);
    if (o->n_positions < 0)
        return hb_fail(err, HB_ERR_ARGUMENT, "a cache of %lld positions", (long long)o->n_positions);
    if (o->cache_bytes < 0)
        return hb_fail(err, HB_ERR_ARGUMENT, "a cache of %lld bytes", (long long)o->cache_bytes);
    return HB_OK;
}

/* Checks what is asked for and fills in the session's sizes; claims nothing. */
static hb_status plan(hb_session *s, const hb_model *model, const hb_session_options *options,
                      hb_error *err)
{
    hb_session_options o = options ? *options : (hb_session_options){0};
    hb_status status = check_options(&o, err);
    if (status) return status;
    if (!model->layers)
        return hb_fail(err, HB_ERR_ARGUMENT, "%s: opened for its vocabulary only", model->info.path);
    int32_t usual = model->info.n_ctx_train < HB_DEFAULT_CTX ? model->info.n_ctx_train : HB_DEFAULT_CTX;
    s->model = model;
    s->kernels = hb_kernels_best();
    s->exact = o.exact;
    s->n_ctx = o.n_ctx ? o.n_ctx : usual;
    s->n_threads = o.n_threads ? o.n_threads : omp_get_num_procs();
    if (!o.n_sequences) o.n_sequences = 1;
    shape_cache(s, &o);
    return HB_OK;
}

hb_status hb_session_open(const hb_model *model, const hb_session_options *options,
                          hb_session **session, hb_error *err)
{
    hb_session *s = calloc(1, sizeof *s);
    if (!s) return hb_fail_memory(err);
    hb_status status = plan(s, model, options, err);
    if (!status) status = allocate(s, options && options->claim, err);
    if (status) {
        hb_session_close(s);
        return status;
    }
    fill_ropes(s);
    *session = s;
    return HB_OK;
}

hb_status hb_session_memory(const hb_model *model, const hb_session_options *options, hb_memory *memory,
                            hb_error *err)
{
    hb_session s = {0};
    hb_status status = plan(&s, model, options, err);
    if (status) return status;
    const hb_kv_cache *c = &s.cache;
    memory->n_ctx = s.n_ctx;
    memory->cache = (uint64_t)c->n_pages * hb_kv_page_bytes(c->n_layers, c->n_heads, c->head_dim);
    memory->work = lay_out(&s, NULL);
    return HB_OK;
}

void hb_session_close(hb_session *session)
{
    if (!session) return;
    hb_kv_close(&session->cache);
    free(session->memory);
    free(session->spans);
    free(session->span_of);
    free(session->blocks);
    free(session);
}

const hb_model *hb_session_model(const hb_session *session)
{
    return session->model;
}

int32_t hb_session_n_ctx(const hb_session *session)
{
    return session->n_ctx;
}

/* ---- Sequences ----------------------------------------------------------------------------------- */

int32_t hb_session_n_sequences(const hb_session *session)
{
    return session->cache.n_sequences;
}

int64_t hb_session_n_free(const hb_session *session)
{
    return (int64_t)session->cache.n_free * HB_PAGE;
}

int32_t hb_session_n_past(const hb_session *session)
{
    return session->cache.sequences[0].n;
}

int32_t hb_sequence_n_past(const hb_session *session, int32_t sequence)
{
    return session->cache.sequences[sequence].n;
}

void hb_session_reset(hb_session *session)
{
    for (int32_t s = 0; s < session->cache.n_sequences; s++) hb_kv_drop(&session->cache, s);
}

void hb_sequence_drop(hb_session *session, int32_t sequence)
{
    hb_kv_drop(&session->cache, sequence);
}

hb_status hb_sequence_fork(hb_session *session, int32_t from, int32_t n, int32_t to, hb_error *err)
{
    const hb_kv_cache *c = &session->cache;
    if (from < 0 || from >= c->n_sequences || to < 0 || to >= c->n_sequences || from == to)
        return hb_fail(err, HB_ERR_ARGUMENT, "sequence %d cannot be forked to %d: there are %d", from,
                       to, c->n_sequences);
    if (n < 0 || n > c->sequences[from].n || c->sequences[to].n)
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "%d positions of sequence %d's %d cannot be forked to sequence %d, which has %d",
                       n, from, c->sequences[from].n, to, c->sequences[to].n);
    if (!hb_kv_fork(&session->cache, from, n, to))
        return hb_fail(err, HB_ERR_CONTEXT, "the cache is full: no page for a fork of sequence %d",
                       from);
    return HB_OK;
}
