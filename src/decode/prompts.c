#include "decode/prompts.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"

int32_t hb_common_prefix(const int32_t *a, int32_t n_a, const int32_t *b, int32_t n_b)
{
    int32_t n = 0, most = n_a < n_b ? n_a : n_b;
    while (n < most && a[n] == b[n]) n++;
    return n;
}

static int32_t common(const hb_prompt *a, const hb_prompt *b)
{
    return hb_common_prefix(a->tokens, a->n, b->tokens, b->n);
}

static bool precedes(const hb_prompt *a, const hb_prompt *b)
{
    int32_t n = common(a, b);
    if (n == a->n || n == b->n) return a->n < b->n;
    return a->tokens[n] < b->tokens[n];
}

/* The place to insert the prompt: before the first prompt that it precedes. */
static size_t find_place(const hb_prompts *p, const hb_prompt *prompt)
{
    size_t low = 0, high = p->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (precedes(prompt, p->list[middle])) high = middle;
        else low = middle + 1;
    }
    return low;
}

/* Inserts a prompt into a list that has room for it. */
static void insert(hb_prompts *p, hb_prompt *prompt)
{
    size_t i = find_place(p, prompt);
    memmove(&p->list[i + 1], &p->list[i], (p->n - i) * sizeof prompt);
    p->list[i] = prompt;
    p->n++;
    prompt->shared = i ? common(p->list[i - 1], prompt) : 0;
    if (i + 1 < p->n) p->list[i + 1]->shared = common(prompt, p->list[i + 1]);
}

bool hb_prompts_add(hb_prompts *p, hb_prompt *prompt)
{
    hb_prompt **list = hb_grown(p->list, p->n, sizeof(hb_prompt *), &p->room);
    if (!list) return false;
    p->list = list;
    insert(p, prompt);
    return true;
}

size_t hb_prompts_find(const hb_prompts *p, const hb_prompt *prompt)
{
    size_t i = 0;
    while (p->list[i] != prompt) i++;
    return i;
}

static void shorten(int32_t *length, int32_t most)
{
    if (*length > most) *length = most;
}

void hb_prompts_remove(hb_prompts *p, hb_prompt *prompt)
{
    size_t i = hb_prompts_find(p, prompt);
    if (i + 1 < p->n) shorten(&p->list[i + 1]->shared, prompt->shared);
    p->n--;
    memmove(&p->list[i], &p->list[i + 1], (p->n - i) * sizeof prompt);
}

void hb_prompts_replace(hb_prompts *p, hb_prompt *prompt, const int32_t *tokens, int32_t n)
{
    hb_prompts_remove(p, prompt);
    prompt->tokens = tokens;
    prompt->n = n;
    insert(p, prompt);
}

void hb_prompts_free(hb_prompts *p)
{
    free(p->list);
    *p = (hb_prompts){0};
}

/* ---- The survey --------------------------------------------------------------------------------- */

/* Shortens an offer to the prefix that the next prompt shares. */
static void cut(hb_offer *o, int32_t shared)
{
    shorten(&o->have, shared);
    shorten(&o->kept, shared);
    shorten(&o->coming, shared);
}

/* Adds the prompt's own slot to an offer. */
static void offer_slot(hb_offer *o, const hb_prompt *p)
{
    if (p->slot < 0) return;
    if (p->evaluated > o->have) {
        o->have = p->evaluated;
        o->parent = p->slot;
    }
    if (!p->kept) {
        o->coming = p->n;
    } else if (p->evaluated > o->kept) {
        o->kept = p->evaluated;
        o->keeper = p->slot;
    }
}

static void take_better(hb_offer *o, const hb_offer *other)
{
    if (other->have > o->have) {
        o->have = other->have;
        o->parent = other->parent;
    }
    if (other->kept > o->kept) {
        o->kept = other->kept;
        o->keeper = other->keeper;
    }
    if (other->coming > o->coming) o->coming = other->coming;
}

/* Walks over the list from each end and carries the best offer so far along. At each step the offer is
 * cut to the prefix shared with the next prompt, so it is the best that this side can offer. */
void hb_prompts_survey(hb_prompts *prompts)
{
    static const hb_offer none = {.parent = -1, .keeper = -1};
    hb_offer o = none;
    for (size_t i = 0; i < prompts->n; i++) {
        hb_prompt *p = prompts->list[i];
        cut(&o, p->shared);
        p->offer = o;
        offer_slot(&p->offer, p);
        o = p->offer;
        if (p->waits) o.coming = p->n;
    }
    o = none;
    for (size_t i = prompts->n; i-- > 0;) {
        hb_prompt *p = prompts->list[i];
        take_better(&p->offer, &o);
        cut(&p->offer, p->n - 1);
        offer_slot(&o, p);
        cut(&o, p->shared);
    }
}
