#include "engine/session.h"

#include <stdlib.h>
#include <unistd.h>

/* The memory and kernels that a session will use, computed before anything is allocated. */
typedef struct plan {
    const hb_native_model *model;
    const hb_kernels *kernels;
    hb_kv_cache cache; /* only its shape is set */
    uint64_t cache_bytes, work_bytes;
} plan;

/* Sets the number of pages of the cache, and their shape. */
static void shape_cache(hb_kv_cache *cache, const hb_native_model *m, const hb_session_options *o)
{
    static const hb_type types[] = {
        [HB_KV_F16] = HB_TYPE_F16, [HB_KV_F32] = HB_TYPE_F32, [HB_KV_Q8_0] = HB_TYPE_Q8_0};
    int64_t each = hb_kv_pages(o->n_ctx), all = each * o->n_sequences;
    int64_t wanted = o->n_positions ? (o->n_positions - 1) / HB_PAGE + 1 : all;
    *cache = (hb_kv_cache){.type = types[o->kv_type],
                           .n_layers = m->base.info.n_layers,
                           .n_heads = m->base.info.n_kv_heads,
                           .head_dim = m->head_dim,
                           .n_sequences = o->n_sequences,
                           .pages_each = (int32_t)each};
    if (o->cache_bytes) {
        int64_t page = (int64_t)hb_kv_page_bytes(cache);
        int64_t most = o->cache_bytes / page > each ? o->cache_bytes / page : each;
        if (wanted > most) wanted = most;
    }
    cache->n_pages = (int32_t)(wanted < all ? wanted : all);
}

static hb_status make_plan(plan *p, const hb_model *model, const hb_session_options *o, hb_error *err)
{
    p->model = hb_native(model);
    hb_status status = hb_kernels_choose(&p->kernels, err);
    if (status) return status;
    hb_kv_cache *c = &p->cache;
    shape_cache(c, p->model, o);
    uint64_t page = hb_kv_page_bytes(c);
    if (__builtin_mul_overflow((uint64_t)c->n_pages, page, &p->cache_bytes))
        p->cache_bytes = UINT64_MAX; /* more than any machine has; check_machine refuses it */
    p->work_bytes = hb_workspace_bytes(p->model, o->n_threads);
    return HB_OK;
}

hb_status hb_native_memory(const hb_model *model, const hb_session_options *options, hb_memory *memory,
                           hb_error *err)
{
    plan p;
    hb_status status = make_plan(&p, model, options, err);
    if (status) return status;
    *memory = (hb_memory){.n_ctx = options->n_ctx, .cache = p.cache_bytes, .work = p.work_bytes};
    return HB_OK;
}

static hb_status check_machine(const plan *p, hb_error *err)
{
    double gib = ((double)p->work_bytes + (double)p->cache_bytes) / (1 << 30);
    double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30);
    if (gib <= machine) return HB_OK;
    return hb_fail(err, HB_ERR_MEMORY,
                   "a context of %lld positions needs %.2f GiB, but this machine has %.2f GiB",
                   (long long)p->cache.n_pages * HB_PAGE, gib, machine);
}

/* Computes the frequencies of both ropes. The model may have separate factors for long contexts. */
static hb_status read_ropes(hb_native_session *s, hb_error *err)
{
    const hb_native_model *m = s->model;
    hb_rope ropes[2] = {m->rope, m->window_rope};
    if (m->rope_long)
        ropes[0].factors = s->base.n_ctx > m->rope.n_original ? m->rope_long : m->rope_short;
    for (int i = 0; i < 2; i++) {
        s->frequencies[i] = calloc((size_t)m->n_rot / 2, sizeof(double));
        if (!s->frequencies[i]) return hb_fail_memory(err);
        hb_rope_frequencies(&ropes[i], m->n_rot, s->frequencies[i]);
        s->magnitude[i] = ropes[i].magnitude;
    }
    return HB_OK;
}

static hb_status allocate(hb_native_session *s, const plan *p, bool claim, hb_error *err)
{
    const hb_model_info *m = &p->model->base.info;
    hb_status status = check_machine(p, err);
    if (!status) status = hb_workspace_open(&s->work, p->model, claim, err);
    if (!status) status = hb_batch_open(&s->batch, m->n_heads, m->n_kv_heads, err);
    if (!status) status = read_ropes(s, err);
    return status ? status : hb_kv_open(&s->cache, claim, err);
}

hb_status hb_native_open_session(const hb_model *model, const hb_session_options *options,
                                 hb_pool *pool, hb_session **session, hb_error *err)
{
    plan p;
    hb_status status = make_plan(&p, model, options, err);
    if (status) return status;
    hb_native_session *s = calloc(1, sizeof *s);
    if (!s) return hb_fail_memory(err);
    s->base = (hb_session){.n_ctx = options->n_ctx,
                           .n_threads = options->n_threads,
                           .n_sequences = options->n_sequences,
                           .n_batch = HB_BATCH,
                           .page = HB_PAGE,
                           .kernels = p.kernels->name};
    s->model = p.model;
    s->cache = p.cache;
    s->work = (hb_workspace){
        .kernels = p.kernels, .pool = pool, .n_threads = options->n_threads, .exact = options->exact};
    status = allocate(s, &p, options->claim, err);
    if (status) hb_native_close_session(&s->base);
    else *session = &s->base;
    return status;
}

static hb_native_session *native(hb_session *session)
{
    return (hb_native_session *)(void *)session;
}

static const hb_kv_cache *cache_of(const hb_session *session)
{
    return &((const hb_native_session *)(const void *)session)->cache;
}

void hb_native_close_session(hb_session *session)
{
    hb_native_session *s = native(session);
    hb_kv_close(&s->cache);
    hb_workspace_close(&s->work);
    hb_batch_close(&s->batch);
    for (int i = 0; i < 2; i++) free(s->frequencies[i]);
    free(s);
}

/* ---- Sequences ----------------------------------------------------------------------------------- */

int64_t hb_native_n_free(const hb_session *session)
{
    return (int64_t)cache_of(session)->n_free * HB_PAGE;
}

int32_t hb_native_n_past(const hb_session *session, int32_t sequence)
{
    return cache_of(session)->sequences[sequence].n;
}

void hb_native_drop(hb_session *session, int32_t sequence)
{
    hb_kv_drop(&native(session)->cache, sequence);
}

hb_status hb_native_fork(hb_session *session, int32_t from, int32_t n, int32_t to, hb_error *err)
{
    if (hb_kv_fork(&native(session)->cache, from, n, to)) return HB_OK;
    return hb_fail(err, HB_ERR_CONTEXT, "the cache has no free page to fork sequence %d", from);
}
