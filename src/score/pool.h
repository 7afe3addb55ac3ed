/* Samples that wait for a process of the team. They are sorted by their prompts, so that prompts with a
 * common prefix go to the same process, which evaluates the prefix once. */
#ifndef HB_SCORE_POOL_H
#define HB_SCORE_POOL_H

#include "base/writer.h"

typedef struct hb_pooled_sample {
    uint64_t index;
    char *prompt;
    hb_buffer bytes; /* the packed sample */
} hb_pooled_sample;

/* Starts zeroed. */
typedef struct hb_sample_pool {
    hb_pooled_sample *list; /* [n], of which those before `next` have been taken */
    size_t n, next, room;
    size_t common; /* length of the prefix that all prompts of the pool share */
} hb_sample_pool;

hb_status hb_sample_pool_add(hb_sample_pool *pool, const hb_sample *sample, hb_error *err);
/* To be called after the last hb_sample_pool_add, before hb_sample_pool_take. */
void hb_sample_pool_sort(hb_sample_pool *pool);
size_t hb_sample_pool_left(const hb_sample_pool *pool);
/* Appends about `want` packed samples in whole groups, at least one group, and returns their number. A
 * group consists of neighbours that share a long prefix beside the common one. */
size_t hb_sample_pool_take(hb_sample_pool *pool, size_t want, hb_writer *out);
/* Empties the pool. */
void hb_sample_pool_clear(hb_sample_pool *pool);
void hb_sample_pool_free(hb_sample_pool *pool);

#endif
