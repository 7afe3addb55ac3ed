#include "score/pending.h"

#include <stdlib.h>
#include <string.h>

int32_t hb_common_prefix(const int32_t *a, int32_t n_a, const int32_t *b, int32_t n_b)
{
    int32_t n = 0, most = n_a < n_b ? n_a : n_b;
    while (n < most && a[n] == b[n]) n++;
    return n;
}

static bool precedes(const hb_pending_sample *a, const hb_pending_sample *b)
{
    int32_t n = hb_common_prefix(a->tokens, a->n, b->tokens, b->n);
    if (n == a->n || n == b->n) return a->n < b->n;
    return a->tokens[n] < b->tokens[n];
}

/* Brings list[i].shared up to date, if there is such a sample. */
static void compare_with_previous(hb_pending *p, int32_t i)
{
    hb_pending_sample *s = &p->list[i], *before = s - 1;
    if (i >= p->n) return;
    s->shared = i ? hb_common_prefix(before->tokens, before->n, s->tokens, s->n) : 0;
}

void hb_pending_add(hb_pending *p, hb_pending_sample sample)
{
    int32_t i = p->n;
    while (i > 0 && precedes(&sample, &p->list[i - 1])) i--;
    memmove(&p->list[i + 1], &p->list[i], (size_t)(p->n - i) * sizeof sample);
    p->list[i] = sample;
    p->n++;
    compare_with_previous(p, i);
    compare_with_previous(p, i + 1);
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

void hb_pending_compare(hb_pending *p, int32_t i, int32_t slot)
{
    int32_t common = p->list[i].n;
    for (int32_t k = i + 1; k < p->n; k++)
        p->list[k].common[slot] = common = least(common, p->list[k].shared);
    common = p->list[i].n;
    for (int32_t k = i; k > 0; k--)
        p->list[k - 1].common[slot] = common = least(common, p->list[k].shared);
}

hb_pending_sample hb_pending_take(hb_pending *p, int32_t i)
{
    hb_pending_sample taken = p->list[i];
    p->n--;
    memmove(&p->list[i], &p->list[i + 1], (size_t)(p->n - i) * sizeof taken);
    compare_with_previous(p, i);
    return taken;
}

void hb_pending_sample_free(hb_pending_sample *sample)
{
    for (size_t i = 0; i < sample->n_answers; i++) free(sample->answers[i]);
    free(sample->id);
    free(sample->answers);
    free(sample->tokens);
    free(sample->common);
    *sample = (hb_pending_sample){0};
}

void hb_pending_free(hb_pending *pending)
{
    for (int32_t i = 0; i < pending->n; i++) hb_pending_sample_free(&pending->list[i]);
    pending->n = 0;
}
