/* Signals of one next-token distribution. A vocabulary may have a hundred thousand entries and is read
 * at every token. So one pass, with one exponential per entry, computes a few sums, from which all
 * signals follow. */
#include "signals/distribution.h"

#include <math.h>
#include <string.h>
#include "base/wide.h"

#define FLOOR  ((float)HB_DISTRIBUTION_FLOOR)
#define MASKED ((float)HB_DISTRIBUTION_MASKED)

/* The number of entries that are summed in floats; longer sums are doubles. */
#define STRETCH 256

/* e^x for x in [-80, 0] with a relative error of about 1e-7: 2^k e^r with an integer k and |r| <= ln 2
 * / 2, and a Taylor polynomial for e^r. Plain arithmetic, so that compilers can vectorise loops. */
static inline float exp_below(float x)
{
    const float to_whole = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    float biased = x * 1.44269504f + to_whole, k = biased - to_whole;
    float r = (x - k * 0.693359375f) + k * 2.12194440e-4f; /* ln 2 in two parts */
    float e = 1.0f / 5040;
    e = e * r + 1.0f / 720;
    e = e * r + 1.0f / 120;
    e = e * r + 1.0f / 24;
    e = e * r + 1.0f / 6;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    uint32_t whole, bits;
    memcpy(&whole, &biased, sizeof whole);
    memcpy(&bits, &e, sizeof bits);
    bits += whole << 23; /* into the exponent; the bias is shifted out */
    memcpy(&e, &bits, sizeof e);
    return e;
}

enum { LANES = 16 };

/* The two greatest values so far in each lane. `zeros` becomes NaN when a value is not finite. */
typedef struct leaders {
    float first[LANES], second[LANES], zeros[LANES];
} leaders;

static inline void lead(leaders *l, const float *x, int count)
{
    for (int k = 0; k < count; k++) {
        float lesser = x[k] < l->first[k] ? x[k] : l->first[k];
        l->second[k] = lesser > l->second[k] ? lesser : l->second[k];
        l->first[k] = x[k] > l->first[k] ? x[k] : l->first[k];
        l->zeros[k] += x[k] * 0;
    }
}

/* The two greatest of some logits, which may be equal; `zero` is NaN unless all are finite. */
typedef struct greatest {
    float first, second, zero;
} greatest;

static void join_greatest(greatest *g, float first, float second, float zero)
{
    g->second = fmaxf(fmaxf(g->second, second), fminf(g->first, first));
    g->first = fmaxf(g->first, first);
    g->zero += zero;
}

HB_WIDE static greatest two_greatest(const float *logits, size_t n)
{
    leaders l = {.zeros = {0}};
    greatest g = {-INFINITY, -INFINITY, 0};
    size_t i = 0;
    for (int k = 0; k < LANES; k++) l.first[k] = l.second[k] = -INFINITY;
    for (; i + LANES <= n; i += LANES) lead(&l, logits + i, LANES);
    lead(&l, logits + i, (int)(n - i));
    for (int k = 0; k < LANES; k++) join_greatest(&g, l.first[k], l.second[k], l.zeros[k]);
    return g;
}

/* The sums over some logits. */
typedef struct part {
    hb_distribution d;
    double first, second; /* sum e^x c and e^x c^2, where c is a logit's change less the offset */
} part;

/* Adds n logits to the sums and writes their powers; n is at most STRETCH. */
HB_WIDE static void add_stretch(part *to, const float *logits, size_t n, float powers[STRETCH])
{
    hb_distribution *d = &to->d;
    float max = (float)d->max, exps = 0, xs = 0, x_exps = 0, quarters = 0, roots = 0, three_halves = 0,
          squares = 0;
#pragma omp simd reduction(+ : exps, xs, x_exps, quarters, roots, three_halves, squares)
    for (size_t i = 0; i < n; i++) {
        float below = logits[i] - max, x = below < FLOOR ? FLOOR : below;
        float quarter = exp_below(0.25f * x), root = quarter * quarter, e = root * root;
        float seen = e < 1e-12f ? 0 : e; /* avoids powers that are subnormal floats, which are slow */
        powers[i] = e;
        exps += e;
        xs += below < MASKED ? MASKED : below;
        x_exps += x * e;
        quarters += quarter;
        roots += root;
        three_halves += seen * root;
        squares += seen * seen;
    }
    d->exps += exps;
    d->x += xs;
    d->x_exps += x_exps;
    d->quarters += quarters;
    d->roots += roots;
    d->three_halves += three_halves;
    d->squares += squares;
}

/* Adds the changes of n logits, at most the size of a masked logit each. This loop is not part of the
 * other one: with more sums, a compiler may add them in another order. */
HB_WIDE static void add_changes(part *to, const float *logits, const float *before,
                                const float powers[STRETCH], float offset, size_t n)
{
    float first = 0, second = 0;
#pragma omp simd reduction(+ : first, second)
    for (size_t i = 0; i < n; i++) {
        float change = logits[i] - before[i] - offset;
        change = change > -MASKED ? -MASKED : change;
        change = change < MASKED ? MASKED : change;
        first += powers[i] * change;
        second += powers[i] * change * change;
    }
    to->first += first;
    to->second += second;
}

/* The vocabulary is read in parts, which threads share. */
enum { MAX_PARTS = 16 };

/* The number of logits from which sharing is worth it. */
#define SHARED_FROM 16384

typedef struct vocabulary {
    const float *logits, *before; /* `before` may be NULL */
    float *kept;                  /* receives the logits; NULL: nothing does */
    float offset;                 /* of changes */
    size_t n, length;             /* of all parts, and of each but the last */
    greatest *greatest;
    part *parts;
} vocabulary;

static size_t end_of(const vocabulary *v, size_t first)
{
    return first + v->length < v->n ? first + v->length : v->n;
}

static void find_in_part(const void *context, int32_t item, int32_t thread)
{
    const vocabulary *v = context;
    size_t first = (size_t)item * v->length;
    (void)thread;
    v->greatest[item] = two_greatest(v->logits + first, end_of(v, first) - first);
}

static void sum_part(const void *context, int32_t item, int32_t thread)
{
    const vocabulary *v = context;
    part *to = &v->parts[item];
    size_t first = (size_t)item * v->length, end = end_of(v, first);
    float powers[STRETCH];
    (void)thread;
    for (size_t i = first; i < end; i += STRETCH) {
        size_t n = end - i < STRETCH ? end - i : STRETCH;
        add_stretch(to, v->logits + i, n, powers);
        if (v->before) add_changes(to, v->logits + i, v->before + i, powers, v->offset, n);
        if (v->kept) memcpy(v->kept + i, v->logits + i, n * sizeof *v->kept);
    }
}

static void add_part(part *to, const part *from)
{
    hb_distribution *d = &to->d;
    d->exps += from->d.exps;
    d->x += from->d.x;
    d->x_exps += from->d.x_exps;
    d->quarters += from->d.quarters;
    d->roots += from->d.roots;
    d->three_halves += from->d.three_halves;
    d->squares += from->d.squares;
    to->first += from->first;
    to->second += from->second;
}

/* The change of the most probable token's logit. Less this change, little cancels in the sums. */
static float main_change(const vocabulary *v, int32_t n_parts, float max)
{
    int32_t p = 0;
    while (p + 1 < n_parts && v->greatest[p].first < max) p++;
    size_t i = (size_t)p * v->length, end = end_of(v, i);
    while (i + 1 < end && v->logits[i] < max) i++;
    return v->logits[i] - v->before[i];
}

/* The sum of at most STRETCH powers. */
HB_WIDE static float sum_stretch(const float *logits, size_t n, float best, float scale)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) {
        float below = (logits[i] - best) * scale;
        sum += exp_below(below < FLOOR ? FLOOR : below);
    }
    return sum;
}

double hb_distribution_sum(const float *logits, size_t n, float best, double scale)
{
    double sum = 0;
    for (size_t i = 0; i < n; i += STRETCH)
        sum += (double)sum_stretch(logits + i, n - i < STRETCH ? n - i : STRETCH, best, (float)scale);
    return sum;
}

/* The value, corrected if rounding has put it below its minimum. */
static double at_least(double least, double value)
{
    return value < least ? least : value; /* NaN stays */
}

bool hb_distribution_gather_shared(hb_pool *pool, const float *logits, const float *before, float *kept,
                                   size_t n, hb_distribution *out, double *shift)
{
    part parts[MAX_PARTS] = {{{0}, 0, 0}};
    greatest found[MAX_PARTS];
    size_t length = (n - 1) / (MAX_PARTS * STRETCH) * STRETCH + STRETCH;
    int32_t n_parts = (int32_t)((n - 1) / length + 1);
    vocabulary v = {logits, before, kept, 0, n, length, found, parts};
    if (n < SHARED_FROM) pool = NULL;
    hb_pool_each(pool, n_parts, find_in_part, &v);
    greatest most = found[0];
    for (int32_t i = 1; i < n_parts; i++)
        join_greatest(&most, found[i].first, found[i].second, found[i].zero);
    double max = most.first;
    if (most.zero != 0) return false; /* NaN */
    if (before) v.offset = main_change(&v, n_parts, most.first);
    for (int32_t i = 0; i < n_parts; i++) parts[i].d.max = max;
    hb_pool_each(pool, n_parts, sum_part, &v);
    part all = {.d = {.n = n, .max = max, .second = fmax(most.second - max, HB_DISTRIBUTION_FLOOR)}};
    for (int32_t i = 0; i < n_parts; i++) add_part(&all, &parts[i]);
    double mean = all.first / all.d.exps;
    *out = all.d;
    *shift = sqrt(at_least(0, all.second / all.d.exps - mean * mean));
    return true;
}

bool hb_distribution_gather(const float *logits, size_t n, hb_distribution *d)
{
    double shift;
    return hb_distribution_gather_shared(NULL, logits, NULL, NULL, n, d, &shift);
}

double hb_fisher_shift(const float *logits, const float *before, size_t n)
{
    hb_distribution d;
    double shift;
    return hb_distribution_gather_shared(NULL, logits, before, NULL, n, &d, &shift) ? shift : NAN;
}

double hb_probability(const hb_distribution *d, float logit)
{
    return exp(logit - d->max) / d->exps;
}

double hb_gini_impurity(const hb_distribution *d)
{
    return at_least(0, 1 - d->squares / (d->exps * d->exps));
}

double hb_entropy(const hb_distribution *d)
{
    return at_least(0, log(d->exps) - d->x_exps / d->exps);
}

double hb_renyi_divergence(const hb_distribution *d)
{
    return at_least(0, log((double)d->n * d->squares / (d->exps * d->exps)));
}

double hb_tsallis_divergence(const hb_distribution *d)
{
    double sum = d->three_halves / (d->exps * sqrt(d->exps));
    return at_least(0, 2 * (sqrt((double)d->n) * sum - 1));
}

double hb_fisher_rao_distance(const hb_distribution *d)
{
    double affinity = d->roots / sqrt(d->exps * (double)d->n);
    return acos(affinity > 1 ? 1 : affinity) / acos(0);
}

/* The affinity sum sqrt(q_i / n) of q = softmax(logits / 2) and the uniform distribution. */
static double rainproof_affinity(const hb_distribution *d)
{
    double affinity = d->quarters / sqrt(d->roots * (double)d->n);
    return affinity > 1 ? 1 : affinity;
}

double hb_rainproof_renyi(const hb_distribution *d)
{
    return 0 - 2 * log(rainproof_affinity(d));
}

double hb_rainproof_fisher_rao(const hb_distribution *d)
{
    return acos(rainproof_affinity(d)) / acos(0);
}

double hb_max_probability(const hb_distribution *d)
{
    return 1 / d->exps;
}

double hb_margin(const hb_distribution *d)
{
    return (1 - exp(d->second)) / d->exps;
}

double hb_self_certainty(const hb_distribution *d)
{
    double n = (double)d->n;
    return at_least(0, log(d->exps) - d->x / n - log(n));
}

/* ---- The boosted probability --------------------------------------------------------------------- */

/* A dominant probability exceeds the next one by more than this, and by more than this part of itself.
 */
#define LEAST_GAP  0.005
#define LEAST_PART 0.3

/* The largest logits, in descending order: those of probabilities above LEAST_GAP, of which there are
 * fewer than 200, and the next one. */
typedef struct likely {
    float logits[208];
    int n;
    float next; /* -infinity: there is none */
} likely;

static void insert_likely(likely *l, float logit)
{
    int at = l->n++;
    for (; at > 0 && logit > l->logits[at - 1]; at--) l->logits[at] = l->logits[at - 1];
    l->logits[at] = logit;
}

static inline __attribute__((always_inline)) float largest_of(const float *x, size_t n)
{
    float lanes[LANES], largest = -INFINITY;
    size_t i = 0;
    for (int k = 0; k < LANES; k++) lanes[k] = -INFINITY;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++)
            lanes[k] = x[i + (size_t)k] > lanes[k] ? x[i + (size_t)k] : lanes[k];
    for (; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    for (int k = 0; k < LANES; k++) largest = lanes[k] > largest ? lanes[k] : largest;
    return largest;
}

/* Collects the logits above the bar. */
HB_WIDE static void find_likely(const float *logits, size_t n, float bar, likely *l)
{
    enum { BLOCK = 64, MOST = sizeof l->logits / sizeof *l->logits };
    float next = -INFINITY;
    for (size_t start = 0; start < n; start += BLOCK) {
        size_t end = n - start < BLOCK ? n : start + BLOCK;
        float largest = largest_of(logits + start, end - start);
        for (size_t i = start; i < end && largest > bar; i++) {
            if (logits[i] > bar && l->n < MOST) insert_likely(l, logits[i]);
            else if (logits[i] > next) next = logits[i];
        }
        if (largest <= bar && largest > next) next = largest;
    }
    l->next = next;
}

/* Takes the logits above the bar from the n greatest ones, in descending order. False if more may be
 * above it. */
static bool take_likely(const float *greatest, size_t n, float bar, likely *l)
{
    for (size_t i = 0; i < n; i++) {
        if (greatest[i] <= bar) {
            l->next = greatest[i];
            return true;
        }
        l->logits[l->n++] = greatest[i];
    }
    l->n = 0;
    return false;
}

double hb_boosted_probability_from(const hb_distribution *d, const float *logits, int32_t token,
                                   const float *greatest, size_t n)
{
    likely l = {.n = 0};
    double mass = 0, sum = 0, own = hb_probability(d, logits[token]);
    float least = INFINITY; /* the smallest logit of a dominant token */
    float bar = (float)(d->max + log(LEAST_GAP * d->exps));
    if (!take_likely(greatest, n, bar, &l)) find_likely(logits, d->n, bar, &l);
    for (int i = 0; i < l.n; i++) {
        double p = hb_probability(d, l.logits[i]);
        float after = i + 1 < l.n ? l.logits[i + 1] : l.next;
        double gap = p - hb_probability(d, after);
        sum += p;
        if (after == -INFINITY || !(gap > LEAST_GAP && gap > LEAST_PART * p)) continue;
        mass = sum;
        least = l.logits[i];
    }
    return logits[token] >= least ? (mass > 1 ? 1 : mass) : own;
}

double hb_boosted_probability(const hb_distribution *d, const float *logits, int32_t token)
{
    return hb_boosted_probability_from(d, logits, token, NULL, 0);
}

/* ---- The logit lens ----------------------------------------------------------------------------- */

static double max_of(const float *x, size_t n)
{
    float max = x[0];
    for (size_t i = 1; i < n; i++) max = fmaxf(max, x[i]);
    return max;
}

/* ln sum e^x. */
static double log_sum(const float *x, size_t n)
{
    double max = max_of(x, n), sum = 0;
    for (size_t i = 0; i < n; i++) sum += exp(x[i] - max);
    return max + log(sum);
}

double hb_jensen_shannon(const float *a, const float *b, size_t n)
{
    double norm_a = log_sum(a, n), norm_b = log_sum(b, n), sum = 0;
    for (size_t i = 0; i < n; i++) {
        double p = exp(a[i] - norm_a), q = exp(b[i] - norm_b), m = (p + q) / 2;
        if (p > 0) sum += p / 2 * log(p / m);
        if (q > 0) sum += q / 2 * log(q / m);
    }
    return at_least(0, sum);
}

double hb_prediction_depth(const float *lens, size_t n_layers, size_t n)
{
    size_t l = n_layers;
    while (l > 1 && lens[(l - 2) * n] >= max_of(lens + (l - 2) * n, n)) l--;
    return (double)l / (double)n_layers;
}
