#include "score/pool.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "score/messages.h"

/* Prompts that share so many bytes after what all prompts share belong together. */
#define PREFIX_BYTES 256

/* A larger group is split: more processes than one then evaluate its prefix. */
#define MOST_IN_GROUP 64

hb_status hb_sample_pool_add(hb_sample_pool *pool, const hb_sample *sample, hb_error *err)
{
    hb_writer packed = {0};
    hb_pooled_sample *list = hb_grown(pool->list, pool->n, sizeof *list, &pool->room);
    if (!list) return hb_fail_memory(err);
    pool->list = list;
    hb_pack_sample(&packed, sample);
    char *prompt = packed.failed ? NULL : strdup(sample->prompt);
    if (!prompt) {
        hb_buffer_free(&packed.text);
        return hb_fail_memory(err);
    }
    list[pool->n++] = (hb_pooled_sample){sample->index, prompt, packed.text};
    return HB_OK;
}

static int compare(const void *a, const void *b)
{
    const hb_pooled_sample *x = a, *y = b;
    int order = strcmp(x->prompt, y->prompt);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static size_t common_prefix(const hb_pooled_sample *a, const hb_pooled_sample *b)
{
    size_t n = 0;
    while (a->prompt[n] && a->prompt[n] == b->prompt[n]) n++;
    return n;
}

void hb_sample_pool_sort(hb_sample_pool *pool)
{
    if (!pool->n) return;
    qsort(pool->list, pool->n, sizeof *pool->list, compare);
    pool->common = common_prefix(&pool->list[0], &pool->list[pool->n - 1]);
}

size_t hb_sample_pool_left(const hb_sample_pool *pool)
{
    return pool->n - pool->next;
}

/* The number of samples in the group that comes next. */
static size_t next_group(const hb_sample_pool *pool)
{
    size_t end = pool->next + 1;
    while (end < pool->n && end - pool->next < MOST_IN_GROUP &&
           common_prefix(&pool->list[end - 1], &pool->list[end]) >= pool->common + PREFIX_BYTES)
        end++;
    return end - pool->next;
}

static void free_pooled(hb_pooled_sample *p)
{
    free(p->prompt);
    hb_buffer_free(&p->bytes);
}

size_t hb_sample_pool_take(hb_sample_pool *pool, size_t want, hb_writer *out)
{
    size_t taken = 0;
    while (hb_sample_pool_left(pool)) {
        size_t n = next_group(pool);
        if (taken && taken + n > want) break;
        for (size_t i = 0; i < n; i++) {
            hb_pooled_sample *p = &pool->list[pool->next++];
            hb_pack(out, p->bytes.data, p->bytes.length);
            free_pooled(p);
        }
        taken += n;
    }
    return taken;
}

void hb_sample_pool_clear(hb_sample_pool *pool)
{
    while (hb_sample_pool_left(pool)) free_pooled(&pool->list[pool->next++]);
    pool->n = pool->next = 0;
}

void hb_sample_pool_free(hb_sample_pool *pool)
{
    hb_sample_pool_clear(pool);
    free(pool->list);
    *pool = (hb_sample_pool){0};
}
