/* Decides which samples begin, in which slots, and how much of the cache they get. A prompt begins as a
 * fork of the slot with the longest common prefix, and waits while another slot is about to have a
 * longer one. A sample begins only when the cache has room for all of it, so that no running sample
 * runs out of room. */
#include "decode/scheduler.h"

#include <stdlib.h>
#include <string.h>

/* A request begins next when this many samples per slot have begun since it was added; in a server,
 * when as many have begun as run at once. */
#define PATIENCE 4

static int32_t number_of(const hb_scheduler *s, const hb_slot *q)
{
    return (int32_t)(q - s->slots);
}

static void set_state(hb_scheduler *s, hb_slot *q, hb_slot_state state)
{
    s->n_in[q->state]--;
    s->n_in[state]++;
    q->state = state;
}

/* ---- Ending samples ------------------------------------------------------------------------------ */

/* Makes slot q the one that holds the job's prompt; NULL: none holds it. */
static void set_holder(const hb_scheduler *s, hb_job *job, const hb_slot *q)
{
    hb_prompt *p = &job->prompt;
    p->slot = q ? number_of(s, q) : -1;
    p->kept = q && q->state == HB_SLOT_KEPT;
    p->evaluated = !q ? 0 : q->past < p->n ? q->past : p->n;
}

static void release(hb_scheduler *s, hb_job *job)
{
    if (job->n_ended < job->task.request.n_samples || job->prompt.slot >= 0) return;
    hb_prompts_remove(&s->prompts, &job->prompt);
    hb_job_free(job);
}

static void empty(hb_scheduler *s, hb_slot *q)
{
    hb_job *job = q->job;
    hb_sequence_drop(s->session, number_of(s, q));
    set_state(s, q, HB_SLOT_EMPTY);
    q->job = NULL;
    if (job->prompt.slot != number_of(s, q)) return;
    set_holder(s, job, NULL);
    release(s, job);
}

static hb_slot *find_running(const hb_scheduler *s, const hb_job *job)
{
    for (int32_t k = 0; k < s->n_slots; k++)
        if (s->slots[k].state == HB_SLOT_RUNNING && s->slots[k].job == job) return &s->slots[k];
    return NULL;
}

/* Counts a sample as ended, after its last event. */
static void count_end(hb_scheduler *s, hb_job *job)
{
    job->n_ended++;
    s->n_unfinished--;
}

/* Makes what the slot has evaluated, its answer included, the tokens of its job's prompt, so that
 * prompts which continue the conversation find it. All samples of the job have ended. */
static bool add_answer(hb_scheduler *s, hb_slot *q, const int32_t *answer)
{
    hb_job *job = q->job;
    hb_prompt *p = &job->prompt;
    int32_t before = p->n, *tokens = job->tokens;
    if (q->past == 0) return false;
    if (q->past > before && !job->task.request.given) {
        size_t added = (size_t)(q->past - before);
        tokens = realloc(job->tokens, (size_t)q->past * sizeof *tokens);
        if (!tokens) return false;
        memcpy(tokens + before, answer, added * sizeof *tokens);
        job->tokens = tokens;
    }
    hb_prompts_replace(&s->prompts, p, tokens, q->past);
    p->evaluated = q->past;
    return true;
}

/* Of prompt i and the one before it in the list, empties the shorter one's slot if both are kept and
 * the longer one has all its tokens. */
static bool drop_if_repeated(hb_scheduler *s, size_t i)
{
    if (i == 0 || i >= s->prompts.n) return false;
    const hb_prompt *shorter = s->prompts.list[i - 1], *longer = s->prompts.list[i];
    if (!shorter->kept || !longer->kept || longer->shared < shorter->n ||
        longer->evaluated < shorter->n)
        return false;
    empty(s, &s->slots[shorter->slot]);
    return true;
}

/* Empties the slot of a prompt that was just kept, or an earlier one, if the other has its tokens. */
static void drop_repeated(hb_scheduler *s, const hb_prompt *kept)
{
    size_t i = hb_prompts_find(&s->prompts, kept);
    if (!drop_if_repeated(s, i + 1)) drop_if_repeated(s, i);
}

/* Keeps the slot if it holds the whole prompt and no running slot of the request does. */
void hb_end_sample(hb_scheduler *s, hb_slot *q, const hb_error *error)
{
    hb_job *job = q->job;
    int32_t *answer = q->decoder.tokens;
    q->decoder.tokens = NULL;
    hb_decoder_finish(&q->decoder, error, q->shared, q->prompt_seconds, q->decode_seconds);
    hb_decoder_close(&q->decoder);
    count_end(s, job);
    q->reserved = 0;
    set_state(s, q, HB_SLOT_KEPT);
    q->used = s->n_uses++;
    bool keeps = false;
    if (job->prompt.slot == number_of(s, q)) {
        const hb_slot *other = find_running(s, job);
        set_holder(s, job, other ? other : q);
        keeps = !other && !error;
    }
    if (keeps && s->serving.n_running && !job->prompt.waits) keeps = add_answer(s, q, answer);
    free(answer);
    if (!keeps) empty(s, q);
    else if (s->serving.n_running) drop_repeated(s, &job->prompt);
}

static void count_begin(hb_scheduler *s, hb_job *job)
{
    job->n_begun++;
    s->n_begun++;
    if (s->serving.n_running)
        job->begun_then = s->n_begun; /* its next sample waits like a new request */
    job->prompt.waits = job->n_begun < job->task.request.n_samples;
    s->n_waiting -= !job->prompt.waits;
}

void hb_end_waiting_sample(hb_scheduler *s, hb_job *job)
{
    hb_decoder d;
    hb_error why;
    hb_status status = hb_decoder_open(&d, &job->task, job->n_begun, &why);
    count_begin(s, job);
    d.finish = HB_FINISH_CANCELLED;
    hb_decoder_finish(&d, status ? &why : NULL, 0, 0, 0);
    hb_decoder_close(&d);
    count_end(s, job);
    release(s, job);
}

/* ---- Room ---------------------------------------------------------------------------------------- */

/* The number of positions that are neither used nor reserved for a running sample. */
static int64_t unclaimed(const hb_scheduler *s)
{
    int64_t n = hb_session_n_free(s->session);
    for (int32_t k = 0; k < s->n_slots; k++) n -= s->slots[k].reserved;
    return n;
}

static void mark_of_use(hb_scheduler *s)
{
    for (int32_t k = 0; k < s->n_slots; k++) s->slots[k].of_use = false;
    hb_prompts_survey(&s->prompts);
    for (size_t i = 0; i < s->prompts.n; i++) {
        const hb_prompt *p = s->prompts.list[i];
        if (p->waits && p->offer.kept > p->offer.coming) s->slots[p->offer.keeper].of_use = true;
    }
}

/* Empties one kept slot other than `but`: the one that was used least recently among those of no use
 * or, if there is none and `any` is true, among all. Returns false when no slot can be emptied. */
static bool give_up_one(hb_scheduler *s, int32_t but, bool any)
{
    hb_slot *best = NULL;
    if (!s->n_in[HB_SLOT_KEPT]) return false;
    mark_of_use(s);
    for (int32_t k = 0; k < s->n_slots; k++) {
        hb_slot *q = &s->slots[k];
        if (q->state != HB_SLOT_KEPT || k == but || (q->of_use && !any)) continue;
        if (!best || q->of_use < best->of_use || (q->of_use == best->of_use && q->used < best->used))
            best = q;
    }
    if (best) empty(s, best);
    return best != NULL;
}

/* Empties kept slots of no use while more requests wait than slots are empty. Their pages are still in
 * the processor's cache, and the next samples write to them. Otherwise, and always in a server, such
 * slots are kept for later requests. */
static void tidy(hb_scheduler *s)
{
    if (s->serving.n_running) return;
    while (s->n_waiting > (size_t)s->n_in[HB_SLOT_EMPTY] && give_up_one(s, -1, false)) continue;
}

/* The number of positions from which another sample costs more time than it saves; 0: there is none. A
 * server begins every sample that it can, so that no client waits. */
static int64_t crowd(const hb_scheduler *s)
{
    return s->serving.n_running ? 0 : s->session->crowd;
}

/* Whether the running samples have and reserve at least `crowd` positions. Those that a sample took
 * from another slot do not count. */
static bool is_crowded(const hb_scheduler *s)
{
    const int64_t limit = crowd(s);
    int64_t n = 0;
    if (!limit) return false;
    for (int32_t k = 0; k < s->n_slots; k++) {
        const hb_slot *q = &s->slots[k];
        if (q->state == HB_SLOT_RUNNING) n += q->past - q->shared + q->reserved;
    }
    return n >= limit;
}

/* Empties kept slots while all slots together hold at least `crowd` positions. The first `have`
 * positions of slot `parent` do not count, because the next sample takes them; that slot stays. */
static void thin_out(hb_scheduler *s, int32_t parent, int32_t have)
{
    const int64_t limit = crowd(s);
    if (!limit) return;
    while (s->capacity - unclaimed(s) - have >= limit && give_up_one(s, have ? parent : -1, true))
        continue;
}

/* Makes room for a sample that takes the first `have` positions from slot `parent` and needs `needed`
 * more. A quarter of the slots is left for samples that take over most of their prompt, so that they
 * need not wait while their parent's slot is kept. A slot that is of use to a waiting prompt is emptied
 * only when nothing runs. */
static bool make_room(hb_scheduler *s, const hb_job *job, int32_t parent, int32_t have, int64_t needed)
{
    bool idle = !s->n_in[HB_SLOT_RUNNING];
    int32_t spare = 2 * have > job->prompt.n || idle ? 0 : s->n_slots / 4;
    while (s->n_in[HB_SLOT_EMPTY] <= spare || unclaimed(s) < needed)
        if (!give_up_one(s, have ? parent : -1, idle)) return false;
    return true;
}

/* ---- Beginning ----------------------------------------------------------------------------------- */

static int32_t most_running(const hb_scheduler *s)
{
    int32_t most = s->serving.n_running;
    return most && most < s->n_slots ? most : s->n_slots;
}

static hb_slot *find_empty(const hb_scheduler *s)
{
    hb_slot *q = s->slots;
    while (q->state != HB_SLOT_EMPTY) q++;
    return q;
}

/* Begins the job's next sample with the first `have` positions of slot `parent`. Returns false when
 * there is no room. A sample that cannot be set up ends at once. */
static bool begin(hb_scheduler *s, hb_job *job, int32_t parent, int32_t have, hb_slot **begun)
{
    if (s->n_in[HB_SLOT_RUNNING] == most_running(s) || is_crowded(s)) return false;
    int64_t shared_pages = have / s->session->page * s->session->page;
    int64_t needed = hb_session_paged(s->session, job->positions) - shared_pages;
    thin_out(s, parent, have);
    if (!make_room(s, job, parent, have, needed)) return false;
    hb_slot *q = find_empty(s);
    hb_error why;
    *q = (hb_slot){.job = job, .past = have, .shared = have};
    hb_status status = hb_decoder_open(&q->decoder, &job->task, job->n_begun, &why);
    if (!status && have) status = hb_sequence_fork(s->session, parent, have, number_of(s, q), &why);
    if (have) s->slots[parent].used = s->n_uses++;
    count_begin(s, job);
    set_state(s, q, HB_SLOT_RUNNING);
    q->reserved = needed - (hb_session_paged(s->session, have) - shared_pages);
    if (job->prompt.kept) empty(s, &s->slots[job->prompt.slot]);
    if (job->prompt.slot < 0) set_holder(s, job, q);
    s->work.shared += (uint64_t)have;
    *begun = q;
    if (status) hb_end_sample(s, q, &why);
    return true;
}

void hb_begin_siblings(hb_scheduler *s)
{
    for (int32_t k = 0; k < s->n_slots; k++) {
        hb_slot *q = &s->slots[k], *sibling;
        if (q->state != HB_SLOT_RUNNING || !q->n_taps || q->decoder.n_tokens) continue;
        hb_job *job = q->job;
        while (job->prompt.waits && begin(s, job, k, job->prompt.n, &sibling)) {
            sibling->first_tap = q->first_tap;
            sibling->n_taps = 1;
        }
    }
}

static bool is_overdue(const hb_scheduler *s, const hb_job *job)
{
    int32_t running = s->serving.n_running;
    uint64_t most = running ? (uint64_t)running : PATIENCE * (uint64_t)s->n_slots;
    return s->n_begun - job->begun_then > most;
}

/* Whether an overdue job goes before another one. Of those that a pass over data adds together, the
 * order of their tokens shares more prefixes than the order of their arrival. */
static bool goes_before(const hb_scheduler *s, const hb_job *a, const hb_job *b)
{
    if (a->begun_then != b->begun_then) return a->begun_then < b->begun_then;
    return s->serving.n_running && a->task.number < b->task.number;
}

/* Chooses the job whose sample begins next: an overdue job first, otherwise the job with the longest
 * available prefix among those that need not wait for a longer one. When nothing runs, there always is
 * one. */
static hb_job *choose(hb_scheduler *s)
{
    hb_job *best = NULL;
    bool best_overdue = false;
    hb_prompts_survey(&s->prompts);
    for (size_t i = 0; i < s->prompts.n; i++) {
        hb_job *job = hb_job_at(s, i);
        const hb_offer *o = &job->prompt.offer;
        bool overdue = is_overdue(s, job);
        if (!job->prompt.waits || (o->have < o->coming && !overdue)) continue;
        bool better = overdue ? !best_overdue || goes_before(s, job, best)
                              : !best_overdue && (!best || o->have > best->prompt.offer.have);
        if (!better) continue;
        best = job;
        best_overdue = overdue;
    }
    return best;
}

void hb_begin_samples(hb_scheduler *s)
{
    hb_job *job;
    hb_slot *begun;
    tidy(s);
    while (s->n_waiting && s->n_in[HB_SLOT_RUNNING] < most_running(s) && (job = choose(s))) {
        hb_offer offer = job->prompt.offer;
        if (begin(s, job, offer.parent, offer.have, &begun)) continue;
        if (s->n_in[HB_SLOT_RUNNING] || !offer.have) return;
        empty(s, &s->slots[offer.parent]); /* the parent itself occupies the room */
    }
}
