/* A batch: the tokens that are evaluated together, planned before they are evaluated. */
#ifndef HB_ENGINE_BATCH_H
#define HB_ENGINE_BATCH_H

#include "engine/kv_cache.h"

/* The most tokens in a batch; longer calls go in parts. */
#define HB_BATCH 512

/* The most rows in a block of queries. */
#define HB_QUERY_ROWS 48

/* Neighbouring tokens of one sequence in a batch. */
typedef struct hb_span {
    int32_t sequence;
    int32_t row, n;   /* its first row in the batch; tokens */
    int32_t position; /* of its first token in the sequence */
} hb_span;

/* Queries of one span that a thread takes through the pages together, for one key-value head. `group`
 * heads share the keys: query row r is head r % group of the span's token r / group. */
typedef struct hb_query_block {
    const hb_span *span;
    int32_t first, n; /* query rows */
} hb_query_block;

typedef struct hb_batch {
    int32_t group;           /* heads that share keys */
    hb_span *spans;          /* [HB_BATCH] */
    const hb_span **span_of; /* [HB_BATCH], by row */
    hb_query_block *blocks;
    int32_t n_rows, n_spans, n_blocks;
} hb_batch;

/* Room for the plan of any batch. */
hb_status hb_batch_open(hb_batch *batch, int32_t n_heads, int32_t n_kv_heads, hb_error *err);
void hb_batch_close(hb_batch *batch);

/* Plans the next n tokens, of these sequences (NULL: all of sequence 0): gives them their positions in
 * the cache, and divides them into spans of neighbours and these into blocks of queries. Of a span's
 * blocks those that see the most positions come first. */
void hb_batch_plan(hb_batch *batch, hb_kv_cache *cache, const int32_t *sequences, int32_t n);

/* Where the token in a row stands in its sequence. */
static inline int32_t hb_batch_position(const hb_batch *batch, int32_t row)
{
    const hb_span *span = batch->span_of[row];
    return span->position + row - span->row;
}

#endif
