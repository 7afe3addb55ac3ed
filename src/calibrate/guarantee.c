/* Thresholds that guarantee something of data to come: Learn then Test (Angelopoulos, Bates, Candes,
 * Jordan and Lei, 2021) with exact binomial p-values in a fixed sequence. Samples are taken to be drawn
 * independently from one distribution.
 *
 * Recall. Of the m hallucinated samples, those that a fixed threshold misses are Binomial(m, 1 - its
 * recall). Thresholds are tested from the lowest up, an order that no label decides, until one is not
 * rejected: so the first threshold whose recall falls short, a fixed one, is passed with probability at
 * most the level, whatever the distribution. The last one passed is the (r + 1)-th lowest hallucinated
 * score, r being the most misses that still reject (Wilks's tolerance limit, 1941).
 *
 * Risk. Whether a threshold's accepted samples are hallucinated is Binomial(how many it accepts, its
 * risk) given how many it accepts. The thresholds are tested from the strictest up, but the strictest
 * ones accept too few to reject anything, so the sequence begins where a number of samples fixed by n,
 * target and level alone is accepted. That start is random, and the sequence is valid all the same.
 * Let the score be continuous, R(t) the risk below t, so continuous too, and cut the line where R
 * crosses the target. Between two cuts the risk is the target exactly, as it is below the first; so
 * given how many samples fall in each band, which tells where the sequence starts and which it meets
 * first of the bands where R is above the target,
 *  - when it meets the band later than at its start, it has just passed all samples below the band's
 *    lower cut, and the hallucinated among these are Binomial(their number, target);
 *  - when it starts within the band, at the score t of the next sample, then given t those below the
 *    cut are the same and those from the cut to t are hallucinated with a probability above the target.
 * Either way that test rejects with probability at most the level. This needs a test at every rank,
 * not at some of them. Equal scores become a continuous score by an order drawn at random within them;
 * tests are made at each rank of that, and thresholds set only between different scores. */
#include "calibrate/guarantee.h"

#include <math.h>
#include "base/rng.h"
#include "calibrate/binomial.h"

#define START_PART 10 /* the sequence starts with at least n / START_PART accepted samples */

hb_status hb_check_guarantee(const hb_guarantee *asked, hb_error *err)
{
    if (asked->kind > HB_GUARANTEE_RECALL)
        return hb_fail(err, HB_ERR_ARGUMENT, "there is no such guarantee");
    if (asked->kind == HB_GUARANTEE_NONE) return HB_OK;
    if (!(asked->target >= 1e-6 && asked->target <= 1 - 1e-6))
        return hb_fail(err, HB_ERR_ARGUMENT, "a guaranteed %s of %g is not between 0 and 1",
                       asked->kind == HB_GUARANTEE_RISK ? "risk" : "recall", asked->target);
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
    size_t k_started; /* at the first test */
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
                       "a risk of at most %g cannot be guaranteed: too many scores are equal for a "
                       "threshold between them",
                       p->target);
    while (hb_binomial_at_most(allowed + 1, w->start, p->target) <= p->level) allowed++;
    if (needed == 0)
        return hb_fail(
            err, HB_ERR_DATA,
            "a risk of at most %g cannot be guaranteed: of the %zu least risky samples %zu are "
            "hallucinated, %.1f %%; no number of samples would do at that rate",
            p->target, w->start, w->k_started, 100 * rate);
    return hb_fail(err, HB_ERR_DATA,
                   "a risk of at most %g cannot be guaranteed: of the %zu least risky samples %zu are "
                   "hallucinated, and %zu may be; at that rate some %.0f samples would do",
                   p->target, w->start, w->k_started, allowed, needed);
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
                       "hallucination, so at least %zu; there are %zu",
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

/* The largest number of misses among m hallucinated samples that still proves the recall. The caller
 * must know that zero misses prove it. */
static size_t most_missed(size_t m, const hb_guarantee *p)
{
    size_t low = 0, high = m;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (hb_binomial_at_most(middle, m, 1 - p->target) <= p->level) low = middle;
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
        return hb_fail(
            err, HB_ERR_DATA,
            "a recall of at least %g with delta %g needs %zu hallucinated samples, some %.0f "
            "in all where as many are as here; there are %zu of %zu",
            p->target, p->delta, fewest, ceil((double)fewest * (double)n / (double)m), m, n);
    size_t allowed = most_missed(m, p), at = n;
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
