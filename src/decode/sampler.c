#include "decode/sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include "base/greatest.h"
#include "base/wide.h"
#include "signals/distribution.h"

hb_sampling hb_sampling_defaults(void)
{
    return (hb_sampling){.temperature = 0, .top_k = 0, .top_p = 1, .seed = 42};
}

hb_status hb_sampling_check(const hb_sampling *options, hb_error *err)
{
    if (!(options->temperature >= 0 && options->temperature <= 100))
        return hb_fail(err, HB_ERR_ARGUMENT, "temperature %g is not between 0 and 100",
                       options->temperature);
    if (options->top_k < 0)
        return hb_fail(err, HB_ERR_ARGUMENT, "top-k %d is negative", options->top_k);
    if (!(options->top_p > 0 && options->top_p <= 1))
        return hb_fail(err, HB_ERR_ARGUMENT, "top-p %g is not above 0 and at most 1", options->top_p);
    return HB_OK;
}

/* ---- Candidates in order ------------------------------------------------------------------------- */

/* Candidates that are put in order only as far as they are asked for: most probable first, the lowest
 * id among equals. The first part of the list is a heap with the next candidate at its top; the second
 * part holds the `sorted` best candidates, the best at the end. */
typedef struct ranking {
    hb_candidate *list; /* [n] */
    int32_t n, sorted;
} ranking;

static bool precedes(const hb_candidate *a, const hb_candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

/* The best last. */
static int compare(const void *a, const void *b)
{
    const hb_candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit < y->logit ? -1 : 1;
    return (x->id < y->id) - (x->id > y->id);
}

/* Moves the candidate at `at` down to its place in a heap of n. */
static void sift(hb_candidate *heap, int32_t n, int32_t at)
{
    const hb_candidate moved = heap[at];
    for (int32_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && precedes(&heap[child + 1], &heap[child])) child++;
        if (!precedes(&heap[child], &moved)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

static void sort_rest(ranking *r)
{
    qsort(r->list, (size_t)(r->n - r->sorted), sizeof *r->list, compare);
    r->sorted = r->n;
}

/* Sorting all is faster than a heap from which many are taken. */
static bool is_many(const ranking *r, int32_t n)
{
    return n > r->n / 8;
}

/* Ranks n listed candidates; at least the first `needed` will be asked for. */
static ranking heap_of(hb_candidate *list, int32_t n, int32_t needed)
{
    ranking r = {list, n, 0};
    if (is_many(&r, needed)) sort_rest(&r);
    else
        for (int32_t i = n / 2; i-- > 0;) sift(list, n, i);
    return r;
}

/* Ranks the vocabulary. */
static ranking rank(const float *logits, int32_t n, int32_t needed, hb_candidate *list)
{
    for (int32_t i = 0; i < n; i++) list[i] = (hb_candidate){.logit = logits[i], .id = i};
    return heap_of(list, n, needed);
}

/* The candidate in place i. */
static const hb_candidate *ranked(ranking *r, int32_t i)
{
    if (i >= r->sorted && is_many(r, i)) sort_rest(r);
    while (r->sorted <= i) {
        int32_t last = r->n - ++r->sorted;
        const hb_candidate best = r->list[0];
        r->list[0] = r->list[last];
        r->list[last] = best;
        sift(r->list, last, 0);
    }
    return &r->list[r->n - 1 - i];
}

/* ---- Choosing ------------------------------------------------------------------------------------ */

/* The weight of a candidate, relative to the best one's. */
static double weight(const hb_candidate *candidate, float best, double scale)
{
    return exp((candidate->logit - best) * scale);
}

/* The sum of the first n weights, added in order. */
static double sum_in_order(ranking *r, int32_t n, float best, double scale)
{
    double total = 0;
    for (int32_t i = 0; i < n; i++) total += weight(ranked(r, i), best, scale);
    return total;
}

/* Finds the shortest start of the first n of the ranking that holds the share top_p of their weights,
 * which are all added in order. Sets *kept to the sum of its weights. */
static int32_t cut_first(ranking *r, int32_t n, double top_p, float best, double scale, double *kept)
{
    double share = top_p * sum_in_order(r, n, best, scale);
    int32_t end = 0;
    *kept = 0;
    while (end < n && (end == 0 || *kept < share)) *kept += weight(ranked(r, end++), best, scale);
    return end;
}

/* What start_beyond returns when it finds no start. */
enum { UNSURE = -1, TOO_FEW = 0 };

/* Finds the shortest start of the ranking whose weights exceed a target, which is known within a
 * relative error. Returns its length, and sets *kept to the sum of its weights. UNSURE: the error
 * leaves two lengths possible. TOO_FEW: the whole ranking does not suffice. */
static int32_t start_beyond(ranking *r, double target, double error, float best, double scale,
                            double *kept)
{
    double sum = 0, low = target * (1 - error), high = target * (1 + error);
    for (int32_t i = 0; i < r->n; i++) {
        sum += weight(ranked(r, i), best, scale);
        *kept = sum;
        if (sum > high) return i + 1;
        if (sum >= low) return UNSURE;
    }
    return TOO_FEW;
}

/* Lists the candidates whose logit is at least `least`. Most stretches of a vocabulary have none. */
HB_WIDE static int32_t list_from(const float *logits, int32_t n, float least, hb_candidate *list)
{
    enum { STRETCH = 64 };
    int32_t listed = 0;
    for (int32_t start = 0; start < n; start += STRETCH) {
        int32_t end = n - start < STRETCH ? n : start + STRETCH, any = 0;
#pragma omp simd reduction(| : any)
        for (int32_t i = start; i < end; i++) any |= logits[i] >= least;
        for (int32_t i = start; any && i < end; i++)
            if (logits[i] >= least) list[listed++] = (hb_candidate){.logit = logits[i], .id = i};
    }
    return listed;
}

/* The whole vocabulary, from which a token is drawn. */
typedef struct vocabulary {
    const float *logits;
    int32_t n;
    float best;
    double scale;
    hb_candidate *list; /* scratch memory [n] */
} vocabulary;

/* How far below the best one the first candidates are, as a logarithm of their weights. */
#define NEAR 3

/* Chooses by ranking only the candidates near the best one, with the quick sum of all weights. -1 if
 * these do not suffice, or if the error of the sum leaves two tokens possible. */
static int32_t choose_near(const vocabulary *v, double u, double top_p)
{
    double total = hb_distribution_sum(v->logits, (size_t)v->n, v->best, v->scale), kept;
    if (!isfinite(total)) return -1;
    for (int k = 1; k <= 2; k++) {
        float least = v->best - (float)(k * NEAR / v->scale);
        int32_t n = list_from(v->logits, v->n, least, v->list);
        if (n > v->n / 8) return -1;
        ranking r = heap_of(v->list, n, 1);
        double share = top_p < 1 ? top_p : u;
        int32_t end = start_beyond(&r, share * total, HB_SUM_ERROR, v->best, v->scale, &kept);
        if (end > 0 && top_p < 1)
            end = start_beyond(&r, u * kept, 4 * DBL_EPSILON * v->n, v->best, v->scale, &kept);
        if (end > 0) return ranked(&r, end - 1)->id;
        if (end == UNSURE) return -1;
    }
    return -1;
}

static void swap(hb_candidate *list, int32_t i, int32_t j)
{
    const hb_candidate moved = list[i];
    list[i] = list[j];
    list[j] = moved;
}

/* Moves those of the candidates from .. to - 1 that precede a middle one to the front of them, and that
 * one behind these. Returns its place. Sets *before to the weights of those before it. */
static int32_t divide(hb_candidate *list, int32_t from, int32_t to, double *before)
{
    int32_t middle = from + (to - from) / 2, last = to - 1, at = from;
    if (precedes(&list[middle], &list[from])) swap(list, middle, from);
    if (precedes(&list[last], &list[from])) swap(list, last, from);
    if (precedes(&list[middle], &list[last])) swap(list, middle, last);
    const hb_candidate pivot = list[last]; /* the median of three */
    *before = 0;
    for (int32_t i = from; i < last; i++) {
        if (!precedes(&list[i], &pivot)) continue;
        *before += list[i].weight;
        swap(list, at++, i);
    }
    swap(list, at, last);
    return at;
}

/* Far more than a list of 2^31 needs, unless it is made to divide badly. */
#define MAX_DIVISIONS 200

/* Does what start_beyond does, for n candidates in any order whose weights are set: divides the list
 * again and again, and goes on with the part in which the start ends (Hoare, Algorithm 65: Find, 1961).
 * The start is then at the front of the list, with its least probable candidate last. */
static int32_t select_start(hb_candidate *list, int32_t n, double target, double error, double *kept)
{
    int32_t from = 0, to = n;
    double before = 0;
    for (int i = 0; to - from > 1; i++) {
        double upper;
        if (i == MAX_DIVISIONS) return UNSURE;
        int32_t middle = divide(list, from, to, &upper);
        if (before + upper > target) {
            to = middle;
            continue;
        }
        before += upper;
        from = middle;
        if (before + list[from].weight > target) to = from + 1;
        else before += list[from++].weight;
    }
    if (from == n) return TOO_FEW;
    *kept = before + list[from].weight;
    bool sure = before < target * (1 - error) && *kept > target * (1 + error);
    return sure || (from == 0 && *kept > target * (1 + error)) ? from + 1 : UNSURE;
}

/* Chooses with exact weights of the whole vocabulary. -1 if rounding leaves two tokens possible. */
static int32_t choose_by_weights(const vocabulary *v, double u, double top_p)
{
    double total = 0, error = 4 * DBL_EPSILON * v->n, kept;
    for (int32_t i = 0; i < v->n; i++) {
        hb_candidate *c = &v->list[i];
        *c = (hb_candidate){.logit = v->logits[i], .id = i};
        c->weight = weight(c, v->best, v->scale);
        total += c->weight;
    }
    int32_t end = select_start(v->list, v->n, (top_p < 1 ? top_p : u) * total, error, &kept);
    if (end > 0 && top_p < 1) end = select_start(v->list, end, u * kept, error, &kept);
    return end > 0 ? v->list[end - 1].id : -1;
}

/* The same token as after sorting the vocabulary and adding its weights in order, in most cases without
 * either. -1 if that is needed. */
static int32_t choose_from_all(const vocabulary *v, double u, double top_p)
{
    int32_t chosen = choose_near(v, u, top_p);
    return chosen >= 0 ? chosen : choose_by_weights(v, u, top_p);
}

int32_t hb_sampler_choose(hb_sampler *sampler, const float *logits, int32_t n_vocab,
                          hb_candidate *candidates)
{
    const hb_sampling *o = &sampler->options;
    int32_t greatest;
    hb_greatest(logits, n_vocab, &greatest, 1);
    if (o->temperature == 0) return greatest;
    int32_t n = o->top_k > 0 && o->top_k < n_vocab ? o->top_k : n_vocab;
    float best = logits[greatest];
    double scale = 1 / o->temperature, u = hb_rng_unit(&sampler->rng), kept;
    const vocabulary v = {logits, n_vocab, best, scale, candidates};
    int32_t chosen = n == n_vocab ? choose_from_all(&v, u, o->top_p) : -1;
    if (chosen >= 0) return chosen;
    ranking r = rank(logits, n_vocab, n, candidates);
    int32_t end = cut_first(&r, n, o->top_p, best, scale, &kept);
    double left = u * kept;
    for (int32_t i = 0; i < end; i++) {
        const hb_candidate *c = ranked(&r, i);
        left -= weight(c, best, scale);
        if (left < 0) return c->id;
    }
    return ranked(&r, end - 1)->id;
}
