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
    const hb_tap *tap;       /* whose attention is filled; NULL: none */
    const int32_t *tap_rows; /* see hb_attention */
} call;

void hb_attention_store(const hb_workspace *w, const hb_kv_cache *c, const hb_batch *batch,
                        int32_t layer, int32_t row)
{
    size_t dim = (size_t)c->head_dim, from = (size_t)row * (size_t)c->n_heads * dim;
    int32_t position = hb_batch_position(batch, row);
    int32_t page = c->sequences[batch->span_of[row]->sequence].pages[position / HB_PAGE];
    for (int32_t h = 0; h < c->n_heads; h++, from += dim) {
        hb_kv_head head = hb_kv_at(c, page, layer, h);
        hb_kv_store(c, w->kernels, &head, (size_t)(position % HB_PAGE), w->k + from, w->v + from);
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

/* ---- The tap ------------------------------------------------------------------------------------- */

/* The row of the tap to which query r of a block belongs; -1 for none. */
static int32_t tap_row(const call *a, const hb_query_block *block, int32_t r)
{
    return a->tap ? a->tap_rows[block->span->row + (block->first + r) / a->batch->group] : -1;
}

/* Prepares the taps of a block's queries. Returns NULL if none is tapped. */
static hb_attend_tap *begin_taps(const call *a, const hb_query_block *block, hb_attend_tap *taps)
{
    bool any = false;
    for (int32_t r = 0; a->tap && r < block->n; r++) {
        taps[r] = (hb_attend_tap){.is_tapped = tap_row(a, block, r) >= 0};
        for (int i = 0; i < HB_N_MARKS; i++) taps[r].scores[i] = -INFINITY;
        any = any || taps[r].is_tapped;
    }
    return any ? taps : NULL;
}

/* Sets a query's places in the next page. */
static void place_tap(const call *a, const hb_query_block *block, int32_t r, int32_t page,
                      hb_attend_tap *tap)
{
    if (!tap->is_tapped) return;
    int32_t position = block->span->position + (block->first + r) / a->batch->group;
    const int32_t marked[HB_N_MARKS] = {0, position - 1, position};
    for (int i = 0; i < HB_N_MARKS; i++) {
        bool here = marked[i] >= 0 && marked[i] / HB_PAGE == page;
        tap->marks[i] = here ? marked[i] % HB_PAGE : -1;
    }
    tap->context = in_page(1, page);
    tap->prompt = in_page(a->tap->prompts[tap_row(a, block, r)], page);
}

/* Writes what was found about a query of head h, whose weights have the sum `sum` relative to the
 * greatest score `max`. The weight of a sink counts for the sum and for the entropy. */
static void end_tap(const call *a, const hb_attend_tap *tap, int32_t row, int32_t h, float max,
                    float sum)
{
    const float *sinks = a->model->layers[a->layer].sinks;
    float moment = tap->moment;
    if (sinks) {
        float score = fminf(sinks[h] - max, 80); /* no overflow */
        sum += expf(score);
        moment += expf(score) * score;
    }
    const hb_model_info *m = &a->model->base.info;
    size_t head =
        ((size_t)row * (size_t)m->n_layers + (size_t)a->layer) * (size_t)m->n_heads + (size_t)h;
    float *out = a->tap->attention + head * HB_N_ATTENTION, entropy = logf(sum) - moment / sum;
    out[HB_ATTENTION_SINK] = expf(tap->scores[HB_MARK_SINK] - max) / sum;
    out[HB_ATTENTION_CONTEXT] = tap->in_context / sum;
    out[HB_ATTENTION_GENERATED] = tap->in_generated / sum;
    out[HB_ATTENTION_PREVIOUS] = expf(tap->scores[HB_MARK_PREVIOUS] - max) / sum;
    out[HB_ATTENTION_SELF] = expf(tap->scores[HB_MARK_SELF] - max) / sum;
    out[HB_ATTENTION_ENTROPY] = entropy < 0 ? 0 : entropy;
}

static void end_taps(const call *a, const hb_query_block *block, int32_t head,
                     const hb_attend_tap *taps, const float *max, const float *sum)
{
    int32_t group = a->batch->group;
    for (int32_t r = 0; taps && r < block->n; r++)
        if (taps[r].is_tapped)
            end_tap(a, &taps[r], tap_row(a, block, r), head * group + (block->first + r) % group,
                    max[r], sum[r]);
}

/* ---- Attention ----------------------------------------------------------------------------------- */

/* Adds a score without a value to a softmax (Xiao et al., Efficient Streaming Language Models with
 * Attention Sinks, 2023, as gpt-oss has it). Returns the factor of what was summed so far. */
static float sink(float score, float max, float *sum)
{
    /* A token sees at least itself, so without a greatest score its scores are NaN. */
    if (max == -INFINITY || isinf(score)) return NAN;
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
    hb_attend_tap taps[HB_QUERY_ROWS];
    gather_queries(a, block, head, q, at);
    for (int32_t r = 0; r < block->n; r++) max[r] = -INFINITY;
    memset(acc, 0, (size_t)block->n * c->padded * sizeof *acc);
    hb_attend job = {.q = q,
                     .n_queries = block->n,
                     .dim = dim,
                     .padded = c->padded,
                     .type = c->type,
                     .from = from,
                     .to = to,
                     .softcap = m->attention_cap,
                     .max = max,
                     .sum = sum,
                     .acc = acc,
                     .taps = begin_taps(a, block, taps)};
    int32_t last = span->position + (block->first + block->n - 1) / group;
    for (int32_t page = starts_at(first, window) / HB_PAGE; page <= last / HB_PAGE; page++) {
        for (int32_t r = 0; r < block->n; r++) {
            int32_t position = span->position + (block->first + r) / group;
            from[r] = in_page(starts_at(position, window), page);
            to[r] = in_page(position + 1, page);
            if (job.taps) place_tap(a, block, r, page, &taps[r]);
        }
        int32_t stored = c->sequences[span->sequence].pages[page];
        job.kv = hb_kv_at(c, stored, a->layer, head);
        a->w->kernels->attend(&job);
    }
    end_taps(a, block, head, job.taps, max, sum);
    write_results(a, &job, block, head, at);
}

void hb_attention(const hb_workspace *w, const hb_native_model *model, const hb_kv_cache *cache,
                  const hb_batch *batch, int32_t layer, const hb_tap *tap, const int32_t *tap_rows)
{
    const call a = {w, model, cache, batch, layer, tap, tap_rows};
    double scores = 0;
    for (int32_t i = 0; i < batch->n_spans; i++)
        scores += (double)batch->spans[i].n * (batch->spans[i].position + batch->spans[i].n);
    scores *= model->base.info.n_heads;
    hb_pool_each(scores > PARALLEL_FROM ? w->pool : NULL, batch->n_blocks * cache->n_heads, attend, &a);
}
