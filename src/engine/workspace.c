#include "engine/workspace.h"

#include <stdlib.h>
#include "base/memory.h"

#define CACHE_LINE 64

/* Places `count` elements at the next cache line of the memory at `base` and advances *used. With a
 * NULL base it only advances *used, so the same code first measures and then places. */
static void *place(void *base, size_t *used, uint64_t count, size_t size)
{
    void *at = base ? (char *)base + *used : NULL;
    *used += (count * size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    return at;
}

/* Places room for n activations as bytes. */
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

/* Places the buffers of each thread. */
static void lay_out_threads(hb_workspace *w, const hb_native_model *m, void *base, size_t *used)
{
    uint64_t threads = (uint64_t)w->n_threads, d = (uint64_t)m->base.info.n_embd;
    uint64_t padded_head = ((uint64_t)m->head_dim + HB_PAD - 1) / HB_PAD * HB_PAD;
    w->lens_length = (HB_TILE_ROWS + (uint64_t)m->base.info.n_layers) * d;
    w->thread_rows = place(base, used, threads * HB_TILE_ROWS * w->row_length, sizeof(float));
    w->panel_space = place(base, used, threads, sizeof *w->panel_space);
    w->thread_heads = place(base, used, threads * 2 * HB_QUERY_ROWS * padded_head, sizeof(float));
    w->thread_lens = place(base, used, threads * w->lens_length, sizeof(float));
}

static void lay_out_experts(hb_workspace *w, const hb_native_model *m, void *base, size_t *used)
{
    uint64_t rows = m->n_experts ? HB_BATCH : 0, choices = rows * (uint64_t)m->n_used;
    uint64_t d = (uint64_t)m->base.info.n_embd;
    w->routed = place(base, used, rows * (uint64_t)m->n_experts, sizeof(float));
    w->chosen = place(base, used, choices, sizeof(int32_t));
    w->shares = place(base, used, choices, sizeof(float));
    w->by_expert = place(base, used, choices, sizeof(int32_t));
    w->expert_in = place(base, used, rows * d, sizeof(float));
    w->expert_out = place(base, used, rows * d, sizeof(float));
}

/* Places all arrays and returns their size in bytes. The bounds of shape.c keep it within 64 bits. */
static size_t lay_out(hb_workspace *w, const hb_native_model *m, void *base)
{
    uint64_t d = (uint64_t)m->base.info.n_embd;
    uint64_t ff = (uint64_t)(m->n_ff > m->n_ff_expert ? m->n_ff : m->n_ff_expert);
    uint64_t q = (uint64_t)m->base.info.n_heads * (uint64_t)m->head_dim;
    uint64_t kv = (uint64_t)m->base.info.n_kv_heads * (uint64_t)m->head_dim;
    uint64_t longest = ff > q ? ff : q;
    if (d > longest) longest = d;
    w->row_length = (longest + 31) / 32 * 32;

    size_t used = 0;
    w->x = place(base, &used, HB_BATCH * d, sizeof(float));
    w->normed = place(base, &used, HB_BATCH * d, sizeof(float));
    w->q = place(base, &used, HB_BATCH * q, sizeof(float));
    w->attention = place(base, &used, HB_BATCH * q, sizeof(float));
    w->k = place(base, &used, HB_BATCH * kv, sizeof(float));
    w->v = place(base, &used, HB_BATCH * kv, sizeof(float));
    w->gate = place(base, &used, HB_BATCH * ff, sizeof(float));
    w->up = place(base, &used, HB_BATCH * ff, sizeof(float));
    lay_out_experts(w, m, base, &used);
    for (int i = 0; i < (m->architecture->window_unscaled ? 2 : 1); i++)
        w->angles[i] = place(base, &used, HB_BATCH * (uint64_t)m->n_rot, sizeof(float));
    uint64_t parts = (w->row_length + HB_PANEL_DEPTH - 1) / HB_PANEL_DEPTH;
    w->laid_out = place(base, &used, HB_BATCH * parts * HB_PANEL_DEPTH, sizeof(float));
    lay_out_bytes(&w->bytes, base, &used, HB_BATCH * parts * HB_PANEL_DEPTH);
    lay_out_threads(w, m, base, &used);
    return used;
}

uint64_t hb_workspace_bytes(const hb_native_model *model, int32_t n_threads)
{
    hb_workspace w = {.n_threads = n_threads};
    return lay_out(&w, model, NULL);
}

hb_status hb_workspace_open(hb_workspace *w, const hb_native_model *model, bool claim, hb_error *err)
{
    w->memory = hb_reserve(lay_out(w, model, NULL), claim);
    if (!w->memory) return hb_fail_memory(err);
    lay_out(w, model, w->memory);
    return HB_OK;
}

void hb_workspace_close(hb_workspace *w)
{
    free(w->memory);
}
