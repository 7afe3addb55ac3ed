/* Grouped-query attention (Ainslie et al., GQA, 2023) over the paged cache. At any time it holds only
 * the scores of a few queries against one page. */
#include "engine/attention.h"

#include <math.h>
#include <string.h>

/* With fewer scores, waking the other threads costs more time than it saves. */
#define PARALLEL_FROM (1 << 11)

/* The arguments of one call: a batch in one block of the model. */
typedef struct call {
    const hb_workspace *w;
    const hb_native_model *model;
    const hb_kv_cache *cache;
    const hb_batch *batch;
    int32_t layer;
} call;

void hb_attention_store(const hb_workspace *w, const hb_kv_cache *c, const hb_batch *batch,
                        int32_t layer, int32_t row)
{
    size_t dim = (size_t)c->head_dim, from = (size_t)row * (size_t)c->n_heads * dim;
    int32_t position = hb_batch_position(batch, row);
    int32_t page = c->sequences[batch->span_of[row]->sequence].pages[position / HB_PAGE];
    size_t at = (size_t)(position % HB_PAGE);
    for (int32_t h = 0; h < c->n_heads; h++, from += dim) {
        float *keys = hb_kv_keys(c, page, layer, h) + at;
        for (size_t i = 0; i < dim; i++) keys[i * HB_PAGE] = w->k[from + i];
        memcpy(hb_kv_values(c, page, layer, h) + at * c->padded, w->v + from, dim * sizeof(float));
    }
}

/* The first position that a token sees. */
static int32_t starts_at(int32_t position, int32_t window)
{
    return window && position >= window ? position - window + 1 : 0;
}

/* A position's index within a page, clamped to 0 and HB_PAGE for positions outside the page. */
static int32_t in_page(int32_t position, int32_t page)
{
    int32_t place = position - page * HB_PAGE;
    return place < 0 ? 0 : place > HB_PAGE ? HB_PAGE : place;
}

/* Copies the scaled queries of a block and one key-value head to q [block->n][head_dim]. at[r] becomes
 * the index of query r in w->q and w->attention. */
static void gather_queries(const call *a, const hb_query_block *block, int32_t head, float *q,
                           size_t *at)
{
    int32_t group = a->batch->group;
    size_t dim = (size_t)a->cache->head_dim, heads = (size_t)a->model->base.info.n_heads;
    for (int32_t r = 0; r < block->n; r++) {
        int32_t t = (block->first + r) / group, h = head * group + (block->first + r) % group;
        at[r] = ((size_t)(block->span->row + t) * heads + (size_t)h) * dim;
        for (size_t i = 0; i < dim; i++)
            q[(size_t)r * dim + i] = a->w->q[at[r] + i] * a->model->attention_scale;
    }
}

/* Adds a score without a value to a softmax (Xiao et al., Efficient Streaming Language Models with
 * Attention Sinks, 2023, as gpt-oss has it). Returns the factor of what was summed so far. */
static float sink(float score, float max, float *sum)
{
    if (score <= max) {
        *sum += expf(score - max);
        return 1;
    }
    float kept = expf(max - score);
    *sum = *sum * kept + 1;
    return kept;
}

/* Divides what a finished job summed for a block of queries and writes it to w->attention. */
static void write_results(const call *a, const hb_attend *job, const hb_query_block *block,
                          int32_t head, const size_t *at)
{
    const float *sinks = a->model->layers[a->layer].sinks;
    int32_t group = a->batch->group;
    for (int32_t r = 0; r < block->n; r++) {
        int32_t h = head * group + (block->first + r) % group;
        float kept = sinks ? sink(sinks[h], job->max[r], &job->sum[r]) : 1;
        for (size_t i = 0; i < job->dim; i++)
            a->w->attention[at[r] + i] = kept * job->acc[(size_t)r * job->padded + i] / job->sum[r];
    }
}

/* Computes attention for a block of queries and one key-value head, page by page. The items are the
 * blocks' heads. */
static void attend(const void *context, int32_t item, int32_t thread)
{
    const call *a = context;
    const hb_query_block *block = &a->batch->blocks[item / a->cache->n_heads];
    int32_t head = item % a->cache->n_heads;
    const hb_kv_cache *c = a->cache;
    const hb_native_model *m = a->model;
    const hb_span *span = block->span;
    size_t dim = (size_t)c->head_dim;
    int32_t group = a->batch->group, from[HB_QUERY_ROWS], to[HB_QUERY_ROWS];
    int32_t window = m->layers[a->layer].window, first = span->position + block->first / group;
    float max[HB_QUERY_ROWS], sum[HB_QUERY_ROWS] = {0};
    float *q = a->w->thread_heads + (size_t)thread * 2 * HB_QUERY_ROWS * c->padded;
    float *acc = q + HB_QUERY_ROWS * c->padded;
    size_t at[HB_QUERY_ROWS];
    gather_queries(a, block, head, q, at);
    for (int32_t r = 0; r < block->n; r++) max[r] = -INFINITY;
    memset(acc, 0, (size_t)block->n * c->padded * sizeof *acc);
    hb_attend job = {.q = q,
                     .n_queries = block->n,
                     .dim = dim,
                     .padded = c->padded,
                     .from = from,
                     .to = to,
                     .softcap = m->attention_cap,
                     .max = max,
                     .sum = sum,
                     .acc = acc};
    int32_t last = span->position + (block->first + block->n - 1) / group;
    for (int32_t page = starts_at(first, window) / HB_PAGE; page <= last / HB_PAGE; page++) {
        for (int32_t r = 0; r < block->n; r++) {
            int32_t position = span->position + (block->first + r) / group;
            from[r] = in_page(starts_at(position, window), page);
            to[r] = in_page(position + 1, page);
        }
        int32_t stored = c->sequences[span->sequence].pages[page];
        job.keys = hb_kv_keys(c, stored, a->layer, head);
        job.values = hb_kv_values(c, stored, a->layer, head);
        a->w->kernels->attend(&job);
    }
    write_results(a, &job, block, head, at);
}

void hb_attention(const hb_workspace *w, const hb_native_model *model, const hb_kv_cache *cache,
                  const hb_batch *batch, int32_t layer)
{
    const call a = {w, model, cache, batch, layer};
    double scores = 0;
    for (int32_t i = 0; i < batch->n_spans; i++)
        scores += (double)batch->spans[i].n * (batch->spans[i].position + batch->spans[i].n);
    scores *= model->base.info.n_heads;
    hb_pool_each(scores > PARALLEL_FROM ? w->pool : NULL, batch->n_blocks * cache->n_heads, attend, &a);
}
