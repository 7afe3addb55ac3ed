/* The kernels, threads and activation buffers that evaluate a batch. Buffers hold nothing that is
 * needed after the batch. */
#ifndef HB_ENGINE_WORKSPACE_H
#define HB_ENGINE_WORKSPACE_H

#include "base/pool.h"
#include "engine/batch.h"
#include "engine/kernels/kernels.h"
#include "engine/model.h"

/* Maximum number of products in one call of hb_matmul. */
#define HB_PRODUCTS 3

/* Activations quantised to bytes, as hb_bytes and hb_panel need them; [0] is for groups of 16, [1] for
 * groups of 32. */
typedef struct hb_byte_space {
    int8_t *q;
    float *d[2], *scaled[2];
    int32_t *sums[2];
    int32_t *start[HB_PRODUCTS];
} hb_byte_space;

/* Buffers in which a thread makes panels. `panel` holds floats or bytes. */
typedef struct hb_panel_space {
    float rows[HB_PANEL_ROWS * HB_PANEL_DEPTH];
    float panel[HB_PANEL_ROWS * HB_PANEL_DEPTH];
    float d[HB_PANEL_SCALES], m[HB_PANEL_SCALES];
    float acc[HB_BATCH * HB_PANEL_ROWS];
} hb_panel_space;

typedef struct hb_workspace {
    const hb_kernels *kernels;
    hb_pool *pool; /* has n_threads threads; the session owns it */
    int32_t n_threads;
    bool exact;   /* do not quantise activations to bytes */
    void *memory; /* all the arrays below */

    float *x, *normed;    /* [HB_BATCH][n_embd]: the residual stream; normed rows */
    float *q, *attention; /* [HB_BATCH][n_heads * head_dim] */
    float *k, *v;         /* [HB_BATCH][n_kv_heads * head_dim], before they are stored in the cache */
    float *gate, *up;     /* [HB_BATCH][n_ff] or [HB_BATCH][n_ff_expert] */
    float *routed;        /* [HB_BATCH][n_experts], logits of experts */
    int32_t *chosen;      /* [HB_BATCH][n_used], the experts of each row, ascending */
    float *shares;        /* [HB_BATCH][n_used], their weights */
    int32_t *by_expert;   /* [HB_BATCH * n_used], indices into `chosen`, sorted by expert */
    float *expert_in, *expert_out; /* [HB_BATCH][n_embd], rows of one expert */
    float *angles[2]; /* [HB_BATCH][n_rot / 2][2], cosine and sine for the model's two ropes; the second
                         is NULL if the model has only one */
    float *thread_rows; /* [n_threads][HB_TILE_ROWS][row_length], weights as floats */
    float *laid_out;    /* [HB_BATCH][row_length], activations reordered for panels */
    hb_byte_space bytes;
    hb_panel_space *panel_space; /* [n_threads] */
    float *thread_heads; /* [n_threads][2 * HB_QUERY_ROWS][padded head], queries and their results */
    float *thread_lens;  /* [n_threads][lens_length], rows of the head and normed states */
    size_t row_length;   /* length of the longest row, padded */
    size_t lens_length;
} hb_workspace;

/* The size in bytes of a workspace for this model and number of threads. */
uint64_t hb_workspace_bytes(const hb_native_model *model, int32_t n_threads);

/* Reserves the arrays; with `claim`, commits their memory at once. The caller has set `kernels`,
 * `n_threads` and `exact`. */
hb_status hb_workspace_open(hb_workspace *w, const hb_native_model *model, bool claim, hb_error *err);
void hb_workspace_close(hb_workspace *w);

/* With no more rows than this, one thread does the work that goes row by row: waking the others costs
 * more time than it saves. */
#define HB_FEW_ROWS 8

/* Calls work for each of n rows. */
static inline void hb_workspace_each_row(const hb_workspace *w, int32_t n, hb_pool_work *work,
                                         const void *context)
{
    hb_pool_each(n > HB_FEW_ROWS ? w->pool : NULL, n, work, context);
}

/* The block that is number b among the blocks of a checked tap. */
static inline int32_t hb_tapped_block(const hb_tap *tap, int32_t b)
{
    return tap->blocks ? tap->blocks[b] : b;
}

#endif
