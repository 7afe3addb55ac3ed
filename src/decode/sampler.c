#include "decode/sampler.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include "base/greatest.h"

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

/* Ranks the candidates; at least the first `needed` will be asked for. */
static ranking rank(const float *logits, int32_t n, int32_t needed, hb_candidate *list)
{
    ranking r = {list, n, 0};
    for (int32_t i = 0; i < n; i++) list[i] = (hb_candidate){logits[i], i};
    if (is_many(&r, needed)) sort_rest(&r);
    else
        for (int32_t i = n / 2; i-- > 0;) sift(list, n, i);
    return r;
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

/* Finds the shortest start of the ranking that holds the share top_p of all weights. Sets *kept to the
 * sum of its weights. Adding weights in another order changes the sum of all by less than `error`, so
 * the whole ranking is put in order only if the share falls between the two bounds. */
static int32_t cut_to_share(ranking *r, double top_p, float best, double scale, double *kept)
{
    double total = 0, error = 4 * DBL_EPSILON * r->n;
    for (int32_t i = 0; i < r->n; i++) total += weight(&r->list[i], best, scale);
    double low = top_p * total * (1 - error), high = top_p * total * (1 + error);
    int32_t end = 0;
    *kept = 0;
    while (end < r->n && (end == 0 || *kept < high)) {
        if (end > 0 && *kept >= low) {
            low = high = top_p * sum_in_order(r, r->n, best, scale);
            if (*kept >= high) break;
        }
        *kept += weight(ranked(r, end++), best, scale);
    }
    return end;
}

/* The same for the first n of the ranking, all of whose weights are added. */
static int32_t cut_first(ranking *r, int32_t n, double top_p, float best, double scale, double *kept)
{
    double share = top_p * sum_in_order(r, n, best, scale);
    int32_t end = 0;
    *kept = 0;
    while (end < n && (end == 0 || *kept < share)) *kept += weight(ranked(r, end++), best, scale);
    return end;
}

/* Chooses by the share u of all weights. The sum of all is known within a relative error, so the
 * ranking is walked until the sum of its weights is certainly above the share. Returns -1 if the error
 * leaves two tokens possible. */
static int32_t choose_within(ranking *r, double u, double total, double error, float best, double scale)
{
    double sum = 0, low = u * total * (1 - error), high = u * total * (1 + error);
    for (int32_t i = 0; i < r->n; i++) {
        sum += weight(ranked(r, i), best, scale);
        if (sum > high) return ranked(r, i)->id;
        if (sum >= low) return -1;
    }
    return -1;
}

/* Relative error of the sums of hb_distribution_gather, with much to spare. */
#define GATHER_ERROR 1e-4

/* Chooses from the whole vocabulary: the same token as after sorting it, in most cases without. */
static int32_t choose_from_all(ranking *r, double u, const float *logits, float best, double scale)
{
    hb_distribution d;
    double total = 0;
    int32_t chosen = -1;
    if (scale == 1 && hb_distribution_gather(logits, (size_t)r->n, &d))
        chosen = choose_within(r, u, d.exps, GATHER_ERROR, best, scale);
    if (chosen >= 0) return chosen;
    for (int32_t i = 0; i < r->n; i++) total += weight(&r->list[i], best, scale);
    return choose_within(r, u, total, 4 * DBL_EPSILON * r->n, best, scale);
}

int32_t hb_sampler_choose(hb_sampler *sampler, const float *logits, int32_t n_vocab,
                          hb_candidate *candidates)
{
    const hb_sampling *o = &sampler->options;
    if (o->temperature == 0) {
        int32_t best;
        hb_greatest(logits, n_vocab, &best, 1);
        return best;
    }
    int32_t n = o->top_k > 0 && o->top_k < n_vocab ? o->top_k : n_vocab;
    bool all = n == n_vocab, by_share = all && o->top_p < 1;
    ranking r = rank(logits, n_vocab, all ? 1 : n, candidates);
    double scale = 1 / o->temperature, u = hb_rng_unit(&sampler->rng), kept;
    float best = ranked(&r, 0)->logit;
    int32_t chosen = all && !by_share ? choose_from_all(&r, u, logits, best, scale) : -1;
    if (chosen >= 0) return chosen;
    int32_t end = by_share ? cut_to_share(&r, o->top_p, best, scale, &kept)
                           : cut_first(&r, n, o->top_p, best, scale, &kept);
    double left = u * kept;
    for (int32_t i = 0; i < end; i++) {
        const hb_candidate *c = ranked(&r, i);
        left -= weight(c, best, scale);
        if (left < 0) return c->id;
    }
    return ranked(&r, end - 1)->id;
}
