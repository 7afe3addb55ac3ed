#include "calibrate/metrics.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

hb_tails hb_table_tails(const hb_score_table *t, size_t k)
{
    const size_t first = k * t->n; /* 0 in a table without rows, which has no scores */
    const double *high = first ? t->scores + first : t->scores;
    return (hb_tails){high, t->low ? t->low + first : high};
}

const double *hb_tail(hb_tails tails, hb_direction direction)
{
    return direction == HB_DIRECTION_LOW ? tails.low : tails.high;
}

hb_status hb_check_scored(const double *scores, const uint8_t *labels, size_t n, hb_error *err)
{
    size_t ones = 0;
    if (n == 0) return hb_fail(err, HB_ERR_DATA, "there are no samples");
    for (size_t i = 0; i < n; i++) {
        if (labels[i] > 1)
            return hb_fail(err, HB_ERR_ARGUMENT, "label %u of sample %zu is not 0 or 1", labels[i], i);
        if (!isfinite(scores[i]))
            return hb_fail(err, HB_ERR_DATA, "the score of sample %zu is %g, not a finite number", i,
                           scores[i]);
        ones += labels[i];
    }
    if (ones > 0 && ones < n) return HB_OK;
    return hb_fail(
        err, HB_ERR_DATA,
        "all %zu samples have label %d; both hallucinated (1) and faithful (0) ones are needed", n,
        ones > 0);
}

/* ---- Order --------------------------------------------------------------------------------------- */

enum { DIGIT = 11, N_DIGITS = 6, RADIX = 1 << DIGIT };

typedef struct keyed {
    uint64_t key; /* sorts like the score */
    size_t index;
} keyed;

/* Converts a double to an integer with the same order. -0 equals 0, and NaN sorts last. */
static uint64_t key_of(double score)
{
    uint64_t bits;
    if (isnan(score)) return UINT64_MAX;
    score += 0.0;
    memcpy(&bits, &score, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static size_t digit_of(uint64_t key, int digit)
{
    return key >> (digit * DIGIT) & (RADIX - 1);
}

/* One stable counting-sort pass over one digit. Returns false and moves nothing when all digits are
 * equal. */
static bool move(const keyed *from, keyed *to, size_t n, int digit, const size_t counts[RADIX])
{
    size_t places[RADIX], sum = 0;
    if (n == 0 || counts[digit_of(from[0].key, digit)] == n) return false;
    for (size_t d = 0; d < RADIX; d++) {
        places[d] = sum;
        sum += counts[d];
    }
    for (size_t i = 0; i < n; i++) to[places[digit_of(from[i].key, digit)]++] = from[i];
    return true;
}

/* Radix sort from the lowest digit, between the two halves of `room` [2 n]. Returns the sorted half. */
static const keyed *sort(keyed *room, size_t n, size_t (*counts)[RADIX])
{
    keyed *from = room, *to = room + n;
    for (size_t i = 0; i < n; i++)
        for (int d = 0; d < N_DIGITS; d++) counts[d][digit_of(from[i].key, d)]++;
    for (int d = 0; d < N_DIGITS; d++)
        if (move(from, to, n, d, counts[d])) {
            keyed *other = from;
            from = to;
            to = other;
        }
    return from;
}

hb_status hb_order(const double *scores, size_t n, hb_place **order, hb_error *err)
{
    hb_place *places = calloc(n + 1, sizeof *places);
    keyed *room = calloc(2 * n + 1, sizeof *room);
    size_t(*counts)[RADIX] = calloc(N_DIGITS, sizeof *counts);
    bool ok = places && room && counts;
    if (ok) {
        for (size_t i = 0; i < n; i++) room[i] = (keyed){key_of(scores[i]), i};
        const keyed *sorted = sort(room, n, counts);
        for (size_t i = 0; i < n; i++) places[i] = (hb_place){scores[sorted[i].index], sorted[i].index};
        *order = places;
    } else {
        free(places);
    }
    free(room);
    free(counts);
    return ok ? HB_OK : hb_fail_memory(err);
}

hb_status hb_rank(const double *scores, const uint8_t *labels, size_t n, hb_scored **ranked,
                  hb_error *err)
{
    hb_place *order;
    hb_status status = hb_check_scored(scores, labels, n, err);
    if (!status) status = hb_order(scores, n, &order, err);
    if (status) return status;
    hb_scored *r = calloc(n, sizeof *r);
    for (size_t i = 0; r && i < n; i++) {
        const hb_place *place = &order[n - 1 - i];
        r[i] = (hb_scored){place->score, labels[place->index]};
    }
    free(order);
    if (!r) return hb_fail_memory(err);
    *ranked = r;
    return HB_OK;
}

double *hb_oriented(const double *scores, size_t n, hb_direction direction)
{
    double *oriented = calloc(n + 1, sizeof *oriented);
    for (size_t i = 0; oriented && i < n; i++)
        oriented[i] = direction == HB_DIRECTION_LOW ? -scores[i] : scores[i];
    return oriented;
}

void hb_ranked_turn(hb_scored *ranked, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        hb_scored other = ranked[i];
        ranked[i] = ranked[n - 1 - i];
        ranked[n - 1 - i] = other;
    }
    for (size_t i = 0; i < n; i++) ranked[i].score = -ranked[i].score;
}

/* ---- Curves -------------------------------------------------------------------------------------- */

size_t hb_ranked_tie_end(const hb_scored *ranked, size_t n, size_t at)
{
    size_t end = at + 1;
    while (end < n && ranked[end].score == ranked[at].score) end++;
    return end;
}

/* Counts the pairs of a 1 and a 0 in which the 1 ranks higher; ties count half. Under the null
 * hypothesis the fraction of such pairs has the variance of the Mann-Whitney U with tie correction
 * (Lehmann, Nonparametrics, 1975). */
double hb_ranked_auroc(const hb_scored *ranked, size_t n, double *null_se)
{
    double ones = 0, zeros = 0, won = 0, ties = 0, total = (double)n;
    for (size_t at = 0, end; at < n; at = end) {
        end = hb_ranked_tie_end(ranked, n, at);
        double tied = (double)(end - at), tied_ones = 0;
        for (size_t i = at; i < end; i++) tied_ones += ranked[i].label;
        won += (tied - tied_ones) * (ones + tied_ones / 2);
        ones += tied_ones;
        zeros += tied - tied_ones;
        ties += tied * (tied * tied - 1);
    }
    if (null_se) *null_se = sqrt((total + 1 - ties / (total * (total - 1))) / (12 * ones * zeros));
    return won / (ones * zeros);
}

double hb_ranked_average_precision(const hb_scored *ranked, size_t n)
{
    double ones = 0, area = 0;
    for (size_t at = 0, end; at < n; at = end) {
        end = hb_ranked_tie_end(ranked, n, at);
        double tied_ones = 0;
        for (size_t i = at; i < end; i++) tied_ones += ranked[i].label;
        ones += tied_ones;
        area += tied_ones * (ones / (double)end);
    }
    return area / ones;
}

hb_status hb_auroc(const double *scores, const uint8_t *labels, size_t n, double *auroc, hb_error *err)
{
    hb_scored *ranked = NULL;
    hb_status status = hb_rank(scores, labels, n, &ranked, err);
    if (status) return status;
    *auroc = hb_ranked_auroc(ranked, n, NULL);
    free(ranked);
    return HB_OK;
}

hb_status hb_average_precision(const double *scores, const uint8_t *labels, size_t n,
                               double *average_precision, hb_error *err)
{
    hb_scored *ranked = NULL;
    hb_status status = hb_rank(scores, labels, n, &ranked, err);
    if (status) return status;
    *average_precision = hb_ranked_average_precision(ranked, n);
    free(ranked);
    return HB_OK;
}

double hb_log_loss(const double *p, const uint8_t *labels, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double given = labels[i] ? p[i] : 1 - p[i];
        sum -= log(fmin(fmax(given, DBL_EPSILON), 1 - DBL_EPSILON));
    }
    return sum / (double)n;
}

double hb_quantile(const double *sorted, size_t n, double q)
{
    double place = q * (double)(n - 1);
    size_t below = (size_t)place;
    if (below + 1 >= n) return sorted[n - 1];
    return sorted[below] + (place - (double)below) * (sorted[below + 1] - sorted[below]);
}
