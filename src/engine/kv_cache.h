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
    hb_type type;                        /* of keys and values: F32, F16 or Q8_0 */
    int32_t n_layers, n_heads, head_dim; /* n_heads: heads of keys and values */
    int32_t n_pages, n_sequences, pages_each;
    size_t padded;     /* head_dim, rounded up to HB_PAD */
    size_t head_bytes; /* of one head's keys and values in a page, see hb_kv_at */
    size_t page_bytes; /* of a page: [n_layers][n_heads] of head_bytes */
    uint8_t *memory;   /* [n_pages][page_bytes] */
    int32_t *users;    /* [n_pages], the number of sequences that hold each page */
    int32_t *free;     /* [n_pages], a stack of free pages */
    int32_t n_free;
    hb_kv_sequence *sequences; /* [n_sequences] */
} hb_kv_cache;

/* The size in bytes of a page of a cache whose shape is set. */
uint64_t hb_kv_page_bytes(const hb_kv_cache *cache);

/* The number of pages that n positions take. */
int32_t hb_kv_pages(int32_t n);

/* Allocates the cache. The caller has set the members of its first three lines, the shape. With
 * `claim`, all memory is committed at once. Call hb_kv_close also after a failure. */
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

/* A head in a page. The scales of bytes lie behind its values. */
hb_kv_head hb_kv_at(const hb_kv_cache *cache, int32_t page, int32_t layer, int32_t head);

/* Stores a head's keys and values [head_dim] at a position of a page, rounded to the cache's type. */
void hb_kv_store(const hb_kv_cache *cache, const hb_kernels *kernels, const hb_kv_head *head,
                 size_t position, const float *keys, const float *values);

#endif
