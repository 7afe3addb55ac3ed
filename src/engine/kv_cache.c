#include "engine/kv_cache.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"

static size_t pad(int32_t head_dim)
{
    return ((size_t)head_dim + HB_PAD - 1) / HB_PAD * HB_PAD;
}

static size_t head_floats(int32_t head_dim)
{
    return HB_PAGE * ((size_t)head_dim + pad(head_dim));
}

uint64_t hb_kv_page_bytes(int32_t n_layers, int32_t n_heads, int32_t head_dim)
{
    return (uint64_t)n_layers * (uint64_t)n_heads * head_floats(head_dim) * sizeof(float);
}

int32_t hb_kv_pages(int32_t n)
{
    return (n + HB_PAGE - 1) / HB_PAGE;
}

hb_status hb_kv_open(hb_kv_cache *c, bool claim, hb_error *err)
{
    c->padded = pad(c->head_dim);
    c->head_size = head_floats(c->head_dim);
    c->page_size = (size_t)c->n_layers * (size_t)c->n_heads * c->head_size;
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
    c->memory = hb_reserve((size_t)c->n_pages * c->page_size * sizeof(float), claim);
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
        memcpy(c->memory + (size_t)child->pages[whole] * c->page_size,
               c->memory + (size_t)parent->pages[whole] * c->page_size, c->page_size * sizeof(float));
    }
    child->n = n;
    return true;
}
