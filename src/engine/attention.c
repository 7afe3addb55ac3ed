/* Grouped-query attention (Ainslie et al., GQA, 2023) over the paged cache, never holding more scores
 * than those of a few queries against one page. */
#include <math.h>
#include <omp.h>
#include <string.h>
#include "engine/session.h"

/* Scores below which waking the other threads costs more than they bring. */
#define PARALLEL_FROM (1 << 11)

/* Puts a token's keys and values into its page. */
static void store(const hb_session *s, int32_t layer, const hb_span *span, int32_t t)
{
    const hb_kv_cache *c = &s->cache;
    size_t dim = (size_t)c->head_dim, row = (size_t)(span->row + t) * (size_t)c->n_heads * dim;
    int32_t position = span->position + t;
    int32_t page = c->sequences[span->sequence].pages[position / HB_PAGE];
    size_t at = (size_t)(position % HB_PAGE);
    for (int32_t h = 0; h < c->n_heads; h++, row += dim) {
        float *keys = hb_kv_keys(c, page, layer, h) + at;
        for (size_t i = 0; i < dim; i++) keys[i * HB_PAGE] = s->k[row + i];
        memcpy(hb_kv_values(c, page, layer, h) + at * c->padded, s->v + row, dim * sizeof(float));
    }
}

/* The first position that a token sees. */
static int32_t starts_at(int32_t position, int32_t window)
{
    return window && position >= window ? position - window + 1 : 0;
}

/* A position as a place in a page, or at its end that is nearer. */
static int32_t in_page(int32_t position, int32_t page)
{
    int32_t place = position - page * HB_PAGE;
    return place < 0 ? 0 : place > HB_PAGE ? HB_PAGE : place;
}

static void attend(const hb_session *s, int32_t layer, const hb_query_block *w, int32_t head)
{
    const hb_kv_cache *c = &s->cache;
    size_t dim = (size_t)c->head_dim, heads = (size_t)s->model->info.n_heads;
    int32_t group = s->model->info.n_heads / c->n_heads, from[HB_QUERY_ROWS], to[HB_QUERY_ROWS];
    int32_t window = s->model->layers[layer].window, first = w->span->position + w->first / group;
    float max[HB_QUERY_ROWS], sum[HB_QUERY_ROWS], scale = s->model->attention_scale;
    float *q = s->thread_heads + (size_t)omp_get_thread_num() * 2 * HB_QUERY_ROWS * c->padded;
    float *acc = q + HB_QUERY_ROWS * c->padded;
    size_t at[HB_QUERY_ROWS]; /* each query's place in s->q and s->attention */
    for (int32_t r = 0; r < w->n; r++) {
        int32_t t = (w->first + r) / group, h = head * group + (w->first + r) % group;
        at[r] = ((size_t)(w->span->row + t) * heads + (size_t)h) * dim;
        for (size_t i = 0; i < dim; i++) q[(size_t)r * dim + i] = s->q[at[r] + i] * scale;
        max[r] = -INFINITY;
        sum[r] = 0;
    }
    memset(acc, 0, (size_t)w->n * c->padded * sizeof *acc);
    int32_t last = w->span->position + (w->first + w->n - 1) / group;
    for (int32_t page = starts_at(first, window) / HB_PAGE; page <= last / HB_PAGE; page++) {
        for (int32_t r = 0; r < w->n; r++) {
            int32_t position = w->span->position + (w->first + r) / group;
            from[r] = in_page(starts_at(position, window), page);
            to[r] = in_page(position + 1, page);
        }
        int32_t stored = c->sequences[w->span->sequence].pages[page];
        const hb_attend job = {.q = q,
                               .n_queries = w->n,
                               .dim = dim,
                               .padded = c->padded,
                               .keys = hb_kv_keys(c, stored, layer, head),
                               .values = hb_kv_values(c, stored, layer, head),
                               .from = from,
                               .to = to,
                               .softcap = s->model->attention_cap,
                               .max = max,
                               .sum = sum,
                               .acc = acc};
        s->kernels->attend(&job);
    }
    for (int32_t r = 0; r < w->n; r++)
        for (size_t i = 0; i < dim; i++)
            s->attention[at[r] + i] = acc[(size_t)r * c->padded + i] / sum[r];
}

void hb_attention(hb_session *s, int32_t layer)
{
    int32_t kv_heads = s->cache.n_heads, items = s->n_blocks * kv_heads;
    double scores = 0;
    for (int32_t i = 0; i < s->n_spans; i++)
        scores += (double)s->spans[i].n * (s->spans[i].position + s->spans[i].n);
    scores *= s->model->info.n_heads;
#pragma omp parallel num_threads(s->n_threads) if (scores > PARALLEL_FROM)
    {
#pragma omp for schedule(static)
        for (int32_t row = 0; row < s->n_rows; row++)
            store(s, layer, s->span_of[row], row - s->span_of[row]->row);
#pragma omp for schedule(dynamic)
        for (int32_t i = 0; i < items; i++) attend(s, layer, &s->blocks[i / kv_heads], i % kv_heads);
    }
}
