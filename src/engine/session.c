#include "engine/session.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHE_LINE  64
#define MAX_CTX     (1 << 24)
#define MAX_THREADS 1024

/* Gives the next `count` floats of the block at `base`, from a cache line's start; with a NULL base
 * only *used is moved on, so that the same code first measures and then places. */
static float *place(void *base, size_t *used, uint64_t count)
{
    float *at = base ? (float *)(void *)((char *)base + *used) : NULL;
    *used += (count * sizeof(float) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    return at;
}

/* Lays the session's arrays out; returns the bytes they take. The model's bounds keep this in 64 bits.
 */
static size_t lay_out(hb_session *s, void *base)
{
    const hb_model *m = s->model;
    uint64_t d = (uint64_t)m->info.n_embd, ff = (uint64_t)m->n_ff, ctx = (uint64_t)s->n_ctx;
    uint64_t q = (uint64_t)m->info.n_heads * (uint64_t)m->head_dim;
    uint64_t kv = (uint64_t)m->info.n_kv_heads * (uint64_t)m->head_dim;
    uint64_t longest = ff > q ? ff : q, threads = (uint64_t)s->n_threads;
    if (d > longest) longest = d;
    s->row_length = (longest + 15) / 16 * 16;

    size_t used = 0;
    s->k_cache = place(base, &used, (uint64_t)m->info.n_layers * ctx * kv);
    s->v_cache = place(base, &used, (uint64_t)m->info.n_layers * ctx * kv);
    s->rope = place(base, &used, ctx * (uint64_t)m->n_rot);
    s->x = place(base, &used, HB_BATCH * d);
    s->normed = place(base, &used, HB_BATCH * d);
    s->q = place(base, &used, HB_BATCH * q);
    s->attention = place(base, &used, HB_BATCH * q);
    s->gate = place(base, &used, HB_BATCH * ff);
    s->up = place(base, &used, HB_BATCH * ff);
    s->thread_rows = place(base, &used, threads * HB_TILE_ROWS * s->row_length);
    s->thread_scores = place(base, &used, threads * ctx);
    return used;
}

static hb_status allocate(hb_session *s, hb_error *err)
{
    size_t bytes = lay_out(s, NULL);
    double gib = (double)bytes / (1 << 30);
    double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30);
    if (gib <= machine) s->memory = aligned_alloc(CACHE_LINE, bytes);
    if (!s->memory)
        return hb_fail(err, HB_ERR_MEMORY,
                       "a context of %d positions needs %.2f GiB, and this machine has %.2f GiB",
                       s->n_ctx, gib, machine);
    lay_out(s, s->memory);
    memset(s->memory, 0, bytes);
    /* malloc and memset may be merged into pages that are only promised: claim each now. */
    for (size_t i = 0; i < bytes; i += 4096) ((volatile char *)s->memory)[i] = 0;
    return HB_OK;
}

/* Angle of pair i at position p: p * scale * base^(-2i/n_rot) / factor_i (Su et al., RoFormer, 2021).
 */
static void fill_rope(hb_session *s)
{
    const hb_model *m = s->model;
    int32_t pairs = m->n_rot / 2;
    for (int32_t i = 0; i < pairs; i++) {
        double frequency = m->rope_scale * pow(m->rope_base, -2.0 * i / m->n_rot);
        if (m->rope_factors) frequency /= m->rope_factors[i];
        for (int32_t p = 0; p < s->n_ctx; p++) {
            float *at = s->rope + ((size_t)p * (size_t)pairs + (size_t)i) * 2;
            at[0] = (float)cos(p * frequency);
            at[1] = (float)sin(p * frequency);
        }
    }
}

static hb_status check_options(const hb_session_options *options, hb_error *err)
{
    if (options->n_ctx < 0 || options->n_ctx > MAX_CTX)
        return hb_fail(err, HB_ERR_ARGUMENT, "a context of %d positions; 1 to %d can be asked for",
                       options->n_ctx, MAX_CTX);
    if (options->n_threads < 0 || options->n_threads > MAX_THREADS)
        return hb_fail(err, HB_ERR_ARGUMENT, "%d threads; 1 to %d can be asked for", options->n_threads,
                       MAX_THREADS);
    return HB_OK;
}

hb_status hb_session_open(const hb_model *model, const hb_session_options *options,
                          hb_session **session, hb_error *err)
{
    hb_session_options o = options ? *options : (hb_session_options){0};
    hb_status status = check_options(&o, err);
    if (status) return status;
    hb_session *s = calloc(1, sizeof *s);
    if (!s) return hb_fail_memory(err);
    int32_t usual = model->info.n_ctx_train < HB_DEFAULT_CTX ? model->info.n_ctx_train : HB_DEFAULT_CTX;
    s->model = model;
    s->kernels = hb_kernels_best();
    s->n_ctx = o.n_ctx ? o.n_ctx : usual;
    s->n_threads = o.n_threads ? o.n_threads : omp_get_num_procs();
    status = allocate(s, err);
    if (status) {
        free(s);
        return status;
    }
    fill_rope(s);
    *session = s;
    return HB_OK;
}

void hb_session_close(hb_session *session)
{
    if (!session) return;
    free(session->memory);
    free(session);
}

void hb_session_reset(hb_session *session)
{
    session->n_past = 0;
}

const hb_model *hb_session_model(const hb_session *session)
{
    return session->model;
}

int32_t hb_session_n_ctx(const hb_session *session)
{
    return session->n_ctx;
}

int32_t hb_session_n_past(const hb_session *session)
{
    return session->n_past;
}
