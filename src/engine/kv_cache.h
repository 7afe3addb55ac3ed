/* The keys and values of many sequences, in pages of HB_PAGE positions that sequences may share. A
 * forked sequence shares every whole page of its parent. It copies only the last, partly filled page,
 * because both sequences go on writing there (after Kwon et al., PagedAttention, 2023). */
#ifndef HB_ENGINE_KV_CACHE_H
#define HB_ENGINE_KV_CACHE_H

#include "base/error.h"
#include "engine/kernels/kernels.h"

typedef struct hb_kv_sequence {
    int32_t n;      /* number of positions that it holds */
    int32_t wanted; /* number of positions that the current call adds */
    int32_t *pages; /* [n / HB_PAGE, rounded up] */
} hb_kv_sequence;

typedef struct hb_kv_cache {
    int32_t n_layers, n_heads, head_dim; /* n_heads: heads of keys and values */
    int32_t n_pages, n_sequences, pages_each;
    size_t padded;    /* head_dim, rounded up to HB_PAD */
    size_t head_size; /* floats of one head's keys and values in a page */
    size_t page_size; /* floats of a page: [n_layers][n_heads] of keys [head_dim][HB_PAGE], values
                         [HB_PAGE][padded] */
    float *memory;    /* [n_pages][page_size] */
    int32_t *users;   /* [n_pages], the number of sequences that hold each page */
    int32_t *free;    /* [n_pages], a stack of free pages */
    int32_t n_free;
    hb_kv_sequence *sequences; /* [n_sequences] */
} hb_kv_cache;

/* The size of a page in bytes. */
uint64_t hb_kv_page_bytes(int32_t n_layers, int32_t n_heads, int32_t head_dim);

/* The number of pages that n positions take. */
int32_t hb_kv_pages(int32_t n);

/* Allocates the cache. The caller has set the members of its first two lines, the shape. With `claim`,
 * all memory is committed at once. Call hb_kv_close also after a failure. */
hb_status hb_kv_open(hb_kv_cache *cache, bool claim, hb_error *err);
void hb_kv_close(hb_kv_cache *cache);

/* The number of further pages that a sequence needs to hold n more positions. */
int32_t hb_kv_lacks(const hb_kv_cache *cache, int32_t sequence, int32_t n);

/* Gives a sequence the pages for n more positions. The caller has checked that there are enough. */
void hb_kv_extend(hb_kv_cache *cache, int32_t sequence, int32_t n);

/* Empties a sequence. */
void hb_kv_drop(hb_kv_cache *cache, int32_t sequence);

/* Makes the empty sequence `to` hold the first n positions of `from`. Returns false when a page must be
 * copied and none is free. */
bool hb_kv_fork(hb_kv_cache *cache, int32_t from, int32_t n, int32_t to);

/* The keys [head_dim][HB_PAGE] of a head in a page. Its values [HB_PAGE][padded] follow them. */
static inline float *hb_kv_keys(const hb_kv_cache *c, int32_t page, int32_t layer, int32_t head)
{
    return c->memory + (size_t)page * c->page_size +
           ((size_t)layer * (size_t)c->n_heads + (size_t)head) * c->head_size;
}

static inline float *hb_kv_values(const hb_kv_cache *c, int32_t page, int32_t layer, int32_t head)
{
    return hb_kv_keys(c, page, layer, head) + (size_t)c->head_dim * HB_PAGE;
}

#endif
