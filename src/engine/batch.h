/* A batch: tokens that are evaluated together. It is planned before it is evaluated. */
#ifndef HB_ENGINE_BATCH_H
#define HB_ENGINE_BATCH_H

#include "engine/kv_cache.h"

/* Maximum number of tokens in a batch; longer calls are split into several batches. */
#define HB_BATCH 512

/* Maximum number of rows in a block of queries. */
#define HB_QUERY_ROWS 48

/* A run of adjacent tokens of one sequence in a batch. */
typedef struct hb_span {
    int32_t sequence;
    int32_t row, n;   /* first row in the batch; number of tokens */
    int32_t position; /* position of its first token in the sequence */
} hb_span;

/* Queries of one span that one thread processes together, page by page, for one key-value head. `group`
 * heads share the keys: query row r is head r % group of the span's token r / group. */
typedef struct hb_query_block {
    const hb_span *span;
    int32_t first, n; /* query rows */
} hb_query_block;

typedef struct hb_batch {
    int32_t group;           /* heads that share one key-value head */
    hb_span *spans;          /* [HB_BATCH] */
    const hb_span **span_of; /* [HB_BATCH], by row */
    hb_query_block *blocks;
    int32_t n_rows, n_spans, n_blocks;
} hb_batch;

/* Allocates room to plan any batch. Call hb_batch_close also after a failure. */
hb_status hb_batch_open(hb_batch *batch, int32_t n_heads, int32_t n_kv_heads, hb_error *err);
void hb_batch_close(hb_batch *batch);

/* Plans the next n tokens. sequences[i] is the sequence of token i; NULL means that all belong to
 * sequence 0. Assigns positions in the cache, then divides the tokens into spans and the spans into
 * blocks of queries. Within a span, the blocks that see the most positions come first. */
void hb_batch_plan(hb_batch *batch, hb_kv_cache *cache, const int32_t *sequences, int32_t n);

/* The position of a row's token in its sequence. */
static inline int32_t hb_batch_position(const hb_batch *batch, int32_t row)
{
    const hb_span *span = batch->span_of[row];
    return span->position + row - span->row;
}

#endif
