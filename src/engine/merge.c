#include "engine/merge.h"

#include <stdlib.h>

struct hb_pair {
    float priority;
    int32_t left, right, token;
    uint32_t length; /* length of both symbols when the pair was found; if it differs now, the pair is
                        out of date */
};

static bool goes_first(const hb_pair *a, const hb_pair *b)
{
    return a->priority > b->priority || (a->priority == b->priority && a->left < b->left);
}

static void heap_push(hb_merger *m, hb_pair p)
{
    size_t at = m->n_pairs++;
    while (at > 0 && goes_first(&p, &m->heap[(at - 1) / 2])) {
        m->heap[at] = m->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    m->heap[at] = p;
}

static hb_pair heap_pop(hb_merger *m)
{
    hb_pair top = m->heap[0], last = m->heap[--m->n_pairs];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= m->n_pairs) break;
        if (child + 1 < m->n_pairs && goes_first(&m->heap[child + 1], &m->heap[child])) child++;
        if (!goes_first(&m->heap[child], &last)) break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = last;
    return top;
}

/* Adds two adjacent symbols to the candidates if they can be joined. */
static void consider(hb_merger *m, int32_t left, int32_t right)
{
    if (left < 0 || right < 0) return;
    const hb_symbol *a = &m->symbols[left], *b = &m->symbols[right];
    hb_pair p = {.left = left, .right = right, .length = a->length + b->length};
    if (m->joins(m->rules, m->text, a, b, &p.token, &p.priority)) heap_push(m, p);
}

void hb_merge(hb_merger *merger, const char *text, int32_t n)
{
    hb_symbol *symbols = merger->symbols;
    merger->text = text;
    merger->n_pairs = 0;
    for (int32_t i = 0; i < n; i++) {
        symbols[i].previous = i - 1;
        symbols[i].next = i + 1 < n ? i + 1 : -1;
    }
    for (int32_t i = 1; i < n; i++) consider(merger, i - 1, i);
    while (merger->n_pairs > 0) {
        hb_pair p = heap_pop(merger);
        hb_symbol *left = &symbols[p.left], *right = &symbols[p.right];
        if (!left->length || !right->length || left->length + right->length != p.length) continue;
        left->length = p.length;
        left->token = p.token;
        left->next = right->next;
        right->length = 0;
        if (right->next >= 0) symbols[right->next].previous = p.left;
        consider(merger, left->previous, p.left);
        consider(merger, p.left, left->next);
    }
}

hb_status hb_merger_reserve(hb_merger *merger, size_t n, hb_error *err)
{
    if (n <= merger->room) return HB_OK;
    hb_merger_free(merger);
    /* Each symbol starts at most one pair, and each join at most two more. */
    merger->symbols = malloc(n * sizeof *merger->symbols);
    merger->heap = malloc(3 * n * sizeof *merger->heap);
    if (!merger->symbols || !merger->heap) return hb_fail_memory(err);
    merger->room = n;
    return HB_OK;
}

void hb_merger_free(hb_merger *merger)
{
    free(merger->symbols);
    free(merger->heap);
    merger->symbols = NULL;
    merger->heap = NULL;
    merger->room = 0;
}
