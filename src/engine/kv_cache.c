#include "engine/kv_cache.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"

static size_t pad(int32_t head_dim)
{
    return ((size_t)head_dim + HB_PAD - 1) / HB_PAD * HB_PAD;
}

/* The bytes of one key or value. */
static size_t number_bytes(hb_type type)
{
    return type == HB_TYPE_F32 ? sizeof(float) : type == HB_TYPE_F16 ? sizeof(uint16_t) : 1;
}

/* The bytes of a head's keys and values in a page, without scales. */
static size_t numbers_bytes(const hb_kv_cache *c)
{
    return HB_PAGE * ((size_t)c->head_dim + pad(c->head_dim)) * number_bytes(c->type);
}

static size_t head_bytes(const hb_kv_cache *c)
{
    size_t scales = hb_kv_groups((size_t)c->head_dim) + hb_kv_groups(pad(c->head_dim));
    return numbers_bytes(c) + (c->type == HB_TYPE_Q8_0 ? HB_PAGE * scales * sizeof(float) : 0);
}

uint64_t hb_kv_page_bytes(const hb_kv_cache *c)
{
    return (uint64_t)c->n_layers * (uint64_t)c->n_heads * head_bytes(c);
}

int32_t hb_kv_pages(int32_t n)
{
    return (n + HB_PAGE - 1) / HB_PAGE;
}

hb_status hb_kv_open(hb_kv_cache *c, bool claim, hb_error *err)
{
    c->padded = pad(c->head_dim);
    c->head_bytes = head_bytes(c);
    c->page_bytes = (size_t)hb_kv_page_bytes(c);
    c->users = calloc((size_t)c->n_pages, sizeof *c->users);
    c->free = calloc((size_t)c->n_pages, sizeof *c->free);
    c->sequences = calloc((size_t)c->n_sequences, sizeof *c->sequences);
    if (!c->users || !c->free || !c->sequences) return hb_fail_memory(err);
    for (int32_t s = 0; s < c->n_sequences; s++) {
        c->sequences[s].pages = calloc((size_t)c->pages_each, sizeof(int32_t));
        if (!c->sequences[s].pages) return hb_fail_memory(err);
    }
    c->n_free = c->n_pages;
    for (int32_t p = 0; p < c->n_pages; p++) c->free[p] = c->n_pages - 1 - p;
    c->memory = hb_reserve((size_t)c->n_pages * c->page_bytes, claim);
    return c->memory ? HB_OK : hb_fail_memory(err);
}

void hb_kv_close(hb_kv_cache *c)
{
    for (int32_t s = 0; c->sequences && s < c->n_sequences; s++) free(c->sequences[s].pages);
    free(c->sequences);
    free(c->users);
    free(c->free);
    free(c->memory);
}

int32_t hb_kv_lacks(const hb_kv_cache *c, int32_t sequence, int32_t n)
{
    int32_t have = c->sequences[sequence].n;
    return hb_kv_pages(have + n) - hb_kv_pages(have);
}

static int32_t take_page(hb_kv_cache *c)
{
    int32_t page = c->free[--c->n_free];
    c->users[page] = 1;
    return page;
}

void hb_kv_extend(hb_kv_cache *c, int32_t sequence, int32_t n)
{
    hb_kv_sequence *s = &c->sequences[sequence];
    for (int32_t p = hb_kv_pages(s->n); p < hb_kv_pages(s->n + n); p++) s->pages[p] = take_page(c);
    s->n += n;
}

void hb_kv_drop(hb_kv_cache *c, int32_t sequence)
{
    hb_kv_sequence *s = &c->sequences[sequence];
    for (int32_t p = hb_kv_pages(s->n) - 1; p >= 0; p--)
        if (--c->users[s->pages[p]] == 0) c->free[c->n_free++] = s->pages[p];
    s->n = 0;
}

bool hb_kv_fork(hb_kv_cache *c, int32_t from, int32_t n, int32_t to)
{
    const hb_kv_sequence *parent = &c->sequences[from];
    hb_kv_sequence *child = &c->sequences[to];
    int32_t whole = n / HB_PAGE;
    bool part = n % HB_PAGE != 0;
    if (part && c->n_free == 0) return false;
    for (int32_t p = 0; p < whole; p++) {
        child->pages[p] = parent->pages[p];
        c->users[child->pages[p]]++;
    }
    if (part) {
        child->pages[whole] = take_page(c);
        memcpy(c->memory + (size_t)child->pages[whole] * c->page_bytes,
               c->memory + (size_t)parent->pages[whole] * c->page_bytes, c->page_bytes);
    }
    child->n = n;
    return true;
}

/* ---- Keys and values ----------------------------------------------------------------------------- */

hb_kv_head hb_kv_at(const hb_kv_cache *c, int32_t page, int32_t layer, int32_t head)
{
    uint8_t *keys = c->memory + (size_t)page * c->page_bytes +
                    ((size_t)layer * (size_t)c->n_heads + (size_t)head) * c->head_bytes;
    hb_kv_head h = {.keys = keys,
                    .values = keys + HB_PAGE * (size_t)c->head_dim * number_bytes(c->type)};
    if (c->type != HB_TYPE_Q8_0) return h;
    h.key_scales = (float *)(void *)(keys + numbers_bytes(c));
    h.value_scales = h.key_scales + HB_PAGE * hb_kv_groups((size_t)c->head_dim);
    return h;
}

/* A key that is infinite would give its position a score of -infinity for some queries, and so a weight
 * of 0: a finite result without this position. NaN always shows. */
static float shown(float key)
{
    return key + key * 0;
}

static uint16_t shown_half(uint16_t key)
{
    enum { INFINITE = 0x7C00, NOT_A_NUMBER = 0x7E00 };
    return (key & 0x7FFF) == INFINITE ? NOT_A_NUMBER : key;
}

static void store_floats(const hb_kv_cache *c, const hb_kv_head *head, size_t position,
                         const float *keys, const float *values)
{
    size_t dim = (size_t)c->head_dim;
    float *to = (float *)head->keys + position;
    for (size_t i = 0; i < dim; i++) to[i * HB_PAGE] = shown(keys[i]);
    memcpy((float *)head->values + position * c->padded, values, dim * sizeof *values);
}

static void store_halves(const hb_kv_cache *c, const hb_kernels *kernels, const hb_kv_head *head,
                         size_t position, const float *keys, const float *values)
{
    enum { PART = 64 };
    size_t dim = (size_t)c->head_dim;
    uint16_t part[PART], *to = (uint16_t *)head->keys + position;
    for (size_t i = 0; i < dim; i += PART) {
        size_t n = dim - i < PART ? dim - i : PART;
        kernels->to_f16(keys + i, n, part);
        for (size_t k = 0; k < n; k++) to[(i + k) * HB_PAGE] = shown_half(part[k]);
    }
    kernels->to_f16(values, dim, (uint16_t *)head->values + position * c->padded);
}

/* Rounds group g of a row to bytes; what the row lacks of it counts as 0. */
static float round_group(const hb_kernels *kernels, const float *row, size_t dim, size_t g, int8_t *q)
{
    float x[HB_KV_GROUP] = {0}, scale;
    int32_t sums[HB_KV_GROUP / 16];
    size_t from = g * HB_KV_GROUP, n = dim - from < HB_KV_GROUP ? dim - from : HB_KV_GROUP;
    memcpy(x, row + from, n * sizeof *x);
    kernels->quantise(x, HB_KV_GROUP, q, &scale, sums);
    return scale;
}

static void store_bytes(const hb_kv_cache *c, const hb_kernels *kernels, const hb_kv_head *head,
                        size_t position, const float *keys, const float *values)
{
    size_t dim = (size_t)c->head_dim, groups = hb_kv_groups(c->padded);
    int8_t q[HB_KV_GROUP], *to = (int8_t *)head->keys + position;
    for (size_t g = 0, i = 0; i < dim; g++) {
        head->key_scales[g * HB_PAGE + position] = round_group(kernels, keys, dim, g, q);
        for (size_t k = 0; k < HB_KV_GROUP && i < dim; k++, i++) to[i * HB_PAGE] = q[k];
    }
    to = (int8_t *)head->values + position * c->padded;
    for (size_t g = 0, i = 0; i < dim; g++, i += HB_KV_GROUP) {
        head->value_scales[position * groups + g] = round_group(kernels, values, dim, g, q);
        memcpy(to + i, q, dim - i < HB_KV_GROUP ? dim - i : HB_KV_GROUP);
    }
}

void hb_kv_store(const hb_kv_cache *c, const hb_kernels *kernels, const hb_kv_head *head,
                 size_t position, const float *keys, const float *values)
{
    if (c->type == HB_TYPE_F16) store_halves(c, kernels, head, position, keys, values);
    else if (c->type == HB_TYPE_Q8_0) store_bytes(c, kernels, head, position, keys, values);
    else store_floats(c, head, position, keys, values);
}
