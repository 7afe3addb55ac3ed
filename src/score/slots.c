/* Which samples are begun, in which sequences, with what of the cache. A prompt begins as a fork of the
 * slot that has the most of it, and waits while that or another one is about to have more. */
#include "score/scorer.h"

int32_t hb_slots_count(const hb_scorer *s, hb_slot_state state)
{
    int32_t n = 0;
    for (int32_t k = 0; k < s->n_slots; k++) n += s->slots[k].state == state;
    return n;
}

void hb_slot_empty(hb_scorer *s, hb_slot *q)
{
    hb_sequence_drop(s->session, (int32_t)(q - s->slots));
    hb_pending_sample_free(&q->sample);
    q->state = HB_SLOT_EMPTY;
    q->evaluated = 0;
    q->reserved = 0;
}

/* What a waiting prompt may take from slot k. Its last token is always evaluated, for its logits. */
static int32_t shareable(const hb_scorer *s, int32_t k, const hb_pending_sample *p)
{
    if (s->slots[k].state == HB_SLOT_EMPTY) return 0;
    return p->common[k] < p->n ? p->common[k] : p->n - 1;
}

/* The slot that has the most of a prompt evaluated, -1 for none, with how much; and how much it or
 * another one, a sample that waits before it included, is going to have. */
static int32_t find_parent(const hb_scorer *s, int32_t i, int32_t *have, int32_t *promised)
{
    const hb_pending_sample *p = &s->pending.list[i];
    int32_t parent = -1;
    *have = 0;
    *promised = p->shared < p->n ? p->shared : p->n - 1;
    for (int32_t k = 0; k < s->n_slots; k++) {
        int32_t shared = shareable(s, k, p), evaluated = s->slots[k].evaluated;
        int32_t ready = shared < evaluated ? shared : evaluated;
        if (shared > *promised) *promised = shared;
        if (ready > *have) *have = ready, parent = k;
    }
    return parent;
}

/* Whether a waiting prompt shares more with this finished one than with anything else. */
static bool is_of_use(const hb_scorer *s, int32_t slot)
{
    for (int32_t i = 0; i < s->pending.n; i++) {
        const hb_pending_sample *p = &s->pending.list[i];
        int32_t best = shareable(s, slot, p);
        bool least = best > 0 && best > p->shared;
        for (int32_t k = 0; k < s->n_slots && least; k++)
            least = k == slot || shareable(s, k, p) < best;
        if (least) return true;
    }
    return false;
}

void hb_slots_tidy(hb_scorer *s)
{
    for (int32_t k = 0; k < s->n_slots; k++)
        if (s->slots[k].state == HB_SLOT_KEPT && !is_of_use(s, k)) hb_slot_empty(s, &s->slots[k]);
}

/* Positions that are neither used nor promised to a running sample. */
static int64_t unclaimed(const hb_scorer *s)
{
    int64_t n = hb_session_n_free(s->session);
    for (int32_t k = 0; k < s->n_slots; k++) n -= s->slots[k].reserved;
    return n;
}

/* Empties a kept slot other than `but`; false when there is none. */
static bool give_up_one(hb_scorer *s, int32_t but)
{
    for (int32_t k = 0; k < s->n_slots; k++) {
        if (s->slots[k].state != HB_SLOT_KEPT || k == but) continue;
        hb_slot_empty(s, &s->slots[k]);
        return true;
    }
    return false;
}

static hb_slot *find_empty(const hb_scorer *s)
{
    hb_slot *q = s->slots;
    while (q->state != HB_SLOT_EMPTY) q++;
    return q;
}

/* Begins waiting sample i with the first `have` positions of slot `parent`, if there is a slot and room
 * in the cache until its end. A quarter of the slots is left to samples that have most of their prompt
 * already, so that they need not wait while their parent's slot is kept for them; what is kept is given
 * up only when nothing else goes on. */
static hb_status begin(hb_scorer *s, int32_t i, int32_t parent, int32_t have, bool *began)
{
    const hb_pending_sample *p = &s->pending.list[i];
    int64_t shared_pages = have / s->session->page * s->session->page;
    int64_t needed = hb_session_paged(s->session, p->n + s->settings->max_tokens - 1) - shared_pages;
    int32_t spare = 2 * have > p->n || !hb_slots_count(s, HB_SLOT_RUNNING) ? 0 : s->n_slots / 4;
    while (hb_slots_count(s, HB_SLOT_EMPTY) <= spare || unclaimed(s) < needed) {
        *began = false;
        if (hb_slots_count(s, HB_SLOT_RUNNING) || !give_up_one(s, parent)) return HB_OK;
    }
    *began = true;
    hb_slot *q = find_empty(s);
    int32_t at = (int32_t)(q - s->slots);
    hb_status status = have ? hb_sequence_fork(s->session, parent, have, at, s->err) : HB_OK;
    if (status) return status;
    q->state = HB_SLOT_RUNNING;
    hb_pending_compare(&s->pending, i, at);
    q->sample = hb_pending_take(&s->pending, i);
    q->evaluated = have;
    q->step = 0;
    q->line_begun = false;
    q->prompt_seconds = q->decode_seconds = 0;
    q->reserved = needed - (hb_session_paged(s->session, have) - shared_pages);
    hb_watch_reset(q->watch);
    hb_buffer_clear(&q->raw);
    s->work.tokens_shared += (uint64_t)have;
    return HB_OK;
}

/* The waiting sample to begin next: of those that need not wait for more of their prompt, the one that
 * has the most. -1 when all must wait. Where nothing runs, the first is ready in any case. */
static int32_t choose(const hb_scorer *s, int32_t *parent, int32_t *have)
{
    int32_t best = -1;
    bool idle = !hb_slots_count(s, HB_SLOT_RUNNING);
    for (int32_t i = 0; i < s->pending.n; i++) {
        int32_t has, promised, from = find_parent(s, i, &has, &promised);
        if ((has < promised && !(i == 0 && idle)) || (best >= 0 && has <= *have)) continue;
        best = i;
        *parent = from;
        *have = has;
    }
    return best;
}

hb_status hb_slots_begin(hb_scorer *s)
{
    bool began = true;
    int32_t parent = -1, have = 0, i;
    while (began && hb_slots_count(s, HB_SLOT_EMPTY) + !hb_slots_count(s, HB_SLOT_RUNNING) &&
           (i = choose(s, &parent, &have)) >= 0) {
        hb_status status = begin(s, i, parent, have, &began);
        if (status) return status;
        if (began || hb_slots_count(s, HB_SLOT_RUNNING) || parent < 0) continue;
        hb_slot_empty(s, &s->slots[parent]); /* the parent itself stands in the way */
        began = true;
    }
    return HB_OK;
}
