/* Thresholds with a guarantee for future data: Learn then Test (Angelopoulos, Bates, Candes, Jordan and
 * Lei, 2021) with exact binomial p-values in a fixed sequence. Samples are assumed to be independent
 * draws from one distribution.
 *
 * Recall. A fixed threshold misses Binomial(m, 1 - its recall) of the m hallucinated samples.
 * Thresholds are tested in ascending order, which does not depend on the labels, until a test does not
 * reject. The first threshold whose recall is too low is a fixed one, so its test rejects wrongly with
 * probability at most the level, for every distribution. The last threshold that passes is the
 * (r + 1)-th lowest hallucinated score, where r is the largest number of misses that still rejects
 * (Wilks's tolerance limit, 1941).
 *
 * Risk. Given the number of samples that a threshold accepts, the number of hallucinated ones among
 * them is Binomial(that number, its risk). Thresholds are tested from the strictest up. The strictest
 * ones accept too few samples to reject anything, so the sequence starts at a number of accepted
 * samples that depends only on n, target and level. The threshold at this start is random, but the
 * sequence is still valid, for this reason. Assume that the score is continuous. The risk R(t) below t
 * is then continuous, too. Cut the line where R crosses the target.
 * Then the samples below the first cut, and those between two neighbouring cuts, have a risk of exactly
 * the target. The number of samples in each band determines where the sequence starts and which band
 * with R above the target it meets first. Given these numbers:
 *  - If the sequence meets the band after its start, it has just passed all samples below the band's
 *    lower cut. The hallucinated ones among them are Binomial(their number, target).
 *  - If it starts within the band, at the score t of the next sample, then given t the samples below
 *    the cut have the same distribution, and those from the cut to t are hallucinated with a
 *    probability above the target.
 * In both cases that test rejects with probability at most the level. This requires a test at every
 * rank. Equal scores become a continuous score by ordering them at random. Tests are made at each rank
 * of this order, but thresholds are set only between different scores. */
#include "calibrate/guarantee.h"

#include <math.h>
#include "base/rng.h"
#include "calibrate/binomial.h"

#define START_PART 10 /* the sequence starts with at least n / START_PART accepted samples */

hb_status hb_check_guarantee(const hb_guarantee *asked, hb_error *err)
{
    if (asked->kind > HB_GUARANTEE_HALTS)
        return hb_fail(err, HB_ERR_ARGUMENT, "unknown kind of guarantee");
    if (asked->kind == HB_GUARANTEE_NONE) return HB_OK;
    if (!(asked->target >= 1e-6 && asked->target <= 1 - 1e-6))
        return hb_fail(err, HB_ERR_ARGUMENT, "a guaranteed %s of %.17g is not from 1e-6 to 1 - 1e-6",
                       hb_guarantee_kind_name(asked->kind), asked->target);
    if (!(asked->delta >= 1e-6 && asked->delta <= 0.5))
        return hb_fail(err, HB_ERR_ARGUMENT, "delta %g is not from 1e-6 to 0.5", asked->delta);
    return HB_OK;
}

size_t hb_fewest_without(double rate, double level)
{
    return (size_t)ceil(log(level) / log1p(-rate) * (1 - 1e-12));
}

/* ---- Risk ---------------------------------------------------------------------------------------- */

/* State of the pass over the samples, from the least risky one up. */
typedef struct walk {
    size_t start;     /* samples accepted at the first test */
    size_t n, k;      /* samples accepted so far; hallucinated samples among them */
    size_t k_started; /* k at the first test */
    size_t n_found, k_found;
    double tau;
} walk;

static double p_of(const walk *w, const hb_guarantee *p)
{
    return hb_binomial_at_most(w->k, w->n, p->target);
}

/* Accepts the `tied` samples of one score in random order and tests after each. `ones` of them are
 * hallucinated. Only a hallucinated sample raises the p-value. Returns false when a test does not
 * reject. */
static bool accept(walk *w, size_t tied, size_t ones, const hb_guarantee *p, hb_rng *rng)
{
    for (; tied > 0; tied--) {
        bool hallucinated = hb_rng_below(rng, tied) < ones;
        ones -= hallucinated;
        w->k += hallucinated;
        w->n++;
        if (w->n == w->start) w->k_started = w->k;
        bool tested = w->n == w->start || (w->n > w->start && hallucinated);
        if (tested && p_of(w, p) > p->level) return false;
    }
    return true;
}

/* The number of samples that would suffice if the least risky tenth had hallucination rate r; 0 when no
 * number suffices. */
static double samples_needed(double r, const hb_guarantee *p)
{
    size_t low, high = 2;
    if (r >= p->target) return 0;
    while (hb_binomial_at_most((size_t)ceil(r * (double)high), high, p->target) > p->level) {
        if (high > (size_t)1 << 40) return 0;
        high *= 2;
    }
    low = high / 2;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        double p_value = hb_binomial_at_most((size_t)ceil(r * (double)middle), middle, p->target);
        if (p_value > p->level) low = middle;
        else high = middle;
    }
    return (double)high * START_PART;
}

static hb_status refuse_risk(const walk *w, const hb_guarantee *p, hb_error *err)
{
    double rate = (double)w->k_started / (double)w->start, needed = samples_needed(rate, p);
    size_t allowed = 0;
    if (hb_binomial_at_most(w->k_started, w->start, p->target) <= p->level)
        return hb_fail(err, HB_ERR_DATA,
                       "a risk of at most %g cannot be guaranteed: too many scores are equal, so "
                       "no threshold separates them",
                       p->target);
    while (hb_binomial_at_most(allowed + 1, w->start, p->target) <= p->level) allowed++;
    if (needed == 0)
        return hb_fail(
            err, HB_ERR_DATA,
            "a risk of at most %g cannot be guaranteed: %zu of the %zu least risky samples are "
            "hallucinated (%.1f %%); at this rate more samples cannot help",
            p->target, w->k_started, w->start, 100 * rate);
    return hb_fail(err, HB_ERR_DATA,
                   "a risk of at most %g cannot be guaranteed: %zu of the %zu least risky samples are "
                   "hallucinated, but at most %zu may be; at this rate about %.0f samples are needed",
                   p->target, w->k_started, w->start, allowed, needed);
}

static hb_status find_risk(const hb_scored *ranked, size_t n, hb_guarantee *p, double *tau,
                           hb_error *err)
{
    size_t fewest = hb_fewest_without(p->target, p->level);
    walk w = {.start = n / START_PART > fewest ? n / START_PART : fewest};
    hb_rng rng = {42};
    if (w.start >= n)
        return hb_fail(err, HB_ERR_DATA,
                       "a risk of at most %g with delta %g needs %zu accepted samples without a "
                       "hallucination, that is at least %zu samples; there are %zu",
                       p->target, p->delta, fewest, fewest + 1, n);
    for (size_t end = n, at; end > 0; end = at) {
        size_t ones = 0;
        for (at = end; at > 0 && ranked[at - 1].score == ranked[end - 1].score; at--)
            ones += ranked[at - 1].label;
        if (w.n >= w.start) {
            w.tau = ranked[at].score;
            w.n_found = w.n;
            w.k_found = w.k;
        }
        if (!accept(&w, end - at, ones, p, &rng)) break;
    }
    if (!w.n_found) return refuse_risk(&w, p, err);
    *tau = w.tau;
    p->n = w.n_found;
    p->k = w.k_found;
    p->p = hb_binomial_at_most(p->k, p->n, p->target);
    return HB_OK;
}

/* ---- Recall -------------------------------------------------------------------------------------- */

size_t hb_most_failures(size_t n, double rate, double level)
{
    size_t low = 0, high = n;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (hb_binomial_at_most(middle, n, rate) <= level) low = middle;
        else high = middle;
    }
    return low;
}

static hb_status find_recall(const hb_scored *ranked, size_t n, hb_guarantee *p, double *tau,
                             hb_error *err)
{
    size_t m = 0, missed = 0, fewest = hb_fewest_without(1 - p->target, p->level);
    for (size_t i = 0; i < n; i++) m += ranked[i].label;
    if (m < fewest)
        return hb_fail(err, HB_ERR_DATA,
                       "a recall of at least %g with delta %g needs %zu hallucinated samples, about "
                       "%.0f samples at the rate of these data; there are %zu hallucinated of %zu",
                       p->target, p->delta, fewest, ceil((double)fewest * (double)n / (double)m), m, n);
    size_t allowed = hb_most_failures(m, 1 - p->target, p->level), at = n;
    for (size_t seen = 0; seen <= allowed;) seen += ranked[--at].label;
    *tau = ranked[at].score;
    for (size_t i = n; ranked[i - 1].score < *tau; i--) missed += ranked[i - 1].label;
    p->n = m;
    p->k = missed;
    p->p = hb_binomial_at_most(missed, m, 1 - p->target);
    return HB_OK;
}

hb_status hb_find_guaranteed(const hb_scored *ranked, size_t n, hb_guarantee *guarantee, double *tau,
                             hb_error *err)
{
    if (guarantee->kind == HB_GUARANTEE_RISK) return find_risk(ranked, n, guarantee, tau, err);
    return find_recall(ranked, n, guarantee, tau, err);
}
