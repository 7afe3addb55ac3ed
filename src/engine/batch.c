#include "engine/batch.h"

#include <stdlib.h>

hb_status hb_batch_open(hb_batch *batch, int32_t n_heads, int32_t n_kv_heads, hb_error *err)
{
    size_t blocks = (size_t)HB_BATCH * ((size_t)n_heads / HB_QUERY_ROWS + 1);
    batch->group = n_heads / n_kv_heads;
    batch->spans = calloc(HB_BATCH, sizeof *batch->spans);
    batch->span_of = calloc(HB_BATCH, sizeof *batch->span_of);
    batch->blocks = calloc(blocks, sizeof *batch->blocks);
    return batch->spans && batch->span_of && batch->blocks ? HB_OK : hb_fail_memory(err);
}

void hb_batch_close(hb_batch *batch)
{
    free(batch->spans);
    free(batch->span_of);
    free(batch->blocks);
}

/* Divides a span's queries into blocks. */
static void add_blocks(hb_batch *b, const hb_span *span)
{
    int32_t queries = span->n * b->group, count = (queries + HB_QUERY_ROWS - 1) / HB_QUERY_ROWS;
    for (int32_t i = count - 1; i >= 0; i--) {
        int32_t first = i * HB_QUERY_ROWS, left = queries - first;
        b->blocks[b->n_blocks++] =
            (hb_query_block){span, first, left < HB_QUERY_ROWS ? left : HB_QUERY_ROWS};
    }
}

void hb_batch_plan(hb_batch *batch, hb_kv_cache *cache, const int32_t *sequences, int32_t n)
{
    batch->n_rows = n;
    batch->n_spans = batch->n_blocks = 0;
    for (int32_t row = 0, end; row < n; row = end) {
        int32_t sequence = sequences ? sequences[row] : 0;
        for (end = row + 1; end < n && (!sequences || sequences[end] == sequence);) end++;
        hb_span *span = &batch->spans[batch->n_spans++];
        *span = (hb_span){sequence, row, end - row, cache->sequences[sequence].n};
        hb_kv_extend(cache, sequence, span->n);
        for (int32_t r = row; r < end; r++) batch->span_of[r] = span;
        add_blocks(batch, span);
    }
}
