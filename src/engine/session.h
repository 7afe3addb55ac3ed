/* What evaluating needs: the KV cache of the sequences and the activations of a batch of tokens. */
#ifndef HB_ENGINE_SESSION_H
#define HB_ENGINE_SESSION_H

#include "engine/kernels/kernels.h"
#include "engine/kv_cache.h"
#include "engine/model.h"

/* Tokens evaluated together; longer calls go in parts. */
#define HB_BATCH 512

/* Matrices multiplied by the same activations in one call. */
#define HB_PRODUCTS 3
typedef struct hb_product {
    const hb_matrix *w;
    float *y; /* [n][w->rows] */
} hb_product;

/* The most rows in a block of queries. */
#define HB_QUERY_ROWS 48

/* Activations as bytes, as hb_bytes and hb_panel take them; [0] for groups of 16, [1] of 32. */
typedef struct hb_byte_space {
    int8_t *q;
    float *d[2], *scaled[2];
    int32_t *sums[2];
    int32_t *start[HB_PRODUCTS];
} hb_byte_space;

/* What a thread makes panels in. */
#define HB_PANEL_GROUPS (HB_PANEL_DEPTH / 16)
typedef struct hb_panel_space {
    float rows[HB_PANEL_ROWS * HB_PANEL_DEPTH]; /* unpacked: bytes or floats */
    uint32_t panel[HB_PANEL_ROWS * HB_PANEL_DEPTH];
    float d[HB_PANEL_ROWS][HB_PANEL_GROUPS], m[HB_PANEL_ROWS][HB_PANEL_GROUPS];
    float turned_d[HB_PANEL_GROUPS * HB_PANEL_ROWS], turned_m[HB_PANEL_GROUPS * HB_PANEL_ROWS];
    float acc[HB_BATCH * HB_PANEL_ROWS];
} hb_panel_space;

/* Neighbouring tokens of one sequence in a batch. */
typedef struct hb_span {
    int32_t sequence;
    int32_t row, n;   /* its first row in the batch; tokens */
    int32_t position; /* of its first token in the sequence */
} hb_span;

/* Queries of one span that a thread takes through the pages together, for one key-value head: query row
 * r is head r % group of the span's token r / group, group being the heads that share keys. */
typedef struct hb_query_block {
    const hb_span *span;
    int32_t first, n; /* query rows */
} hb_query_block;

struct hb_session {
    const hb_model *model;
    const hb_kernels *kernels;
    hb_kv_cache cache;
    int32_t n_ctx, n_threads;
    bool exact;
    void *memory; /* all the arrays below but the last */

    float *rope[2];       /* [n_ctx][n_rot / 2][2], cosine and sine, of the model's two hb_ropes */
    float *x, *normed;    /* [HB_BATCH][n_embd]: the residual stream; it or a part of it, normed */
    float *q, *attention; /* [HB_BATCH][n_heads * head_dim] */
    float *k, *v;         /* [HB_BATCH][n_kv_heads * head_dim], on their way to the cache */
    float *gate, *up;     /* [HB_BATCH][n_ff] */
    float *thread_rows;   /* [n_threads][HB_TILE_ROWS][row_length], weights as floats */
    float *laid_out;      /* [HB_BATCH][row_length], activations on their way to panels */
    hb_byte_space bytes;
    hb_panel_space *panel_space; /* [n_threads] */
    float *thread_heads; /* [n_threads][2 * HB_QUERY_ROWS][padded head], queries and their results */
    size_t row_length;   /* the longest row, padded */

    /* The batch in hand. */
    hb_span *spans;          /* [HB_BATCH] */
    const hb_span **span_of; /* [HB_BATCH], by row */
    hb_query_block *blocks;
    int32_t n_rows, n_spans, n_blocks;
};

/* y = x times the transpose of w, for x [n][cols] and each of up to HB_PRODUCTS products, whose
 * matrices all have `cols` columns (matmul.c). */
void hb_matmul(const hb_session *s, const float *x, int32_t n, const hb_product *products, int count);

/* Causal attention of the batch's queries s->q, after its keys s->k and values s->v are put into the
 * cache: fills s->attention (attention.c). */
void hb_attention(hb_session *s, int32_t layer);

#endif
