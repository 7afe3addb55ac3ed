/* Nested choice (Varma and Simon, Bias in Error Estimation when Using Cross-validation for Model
 * Selection, 2006). A fold's AUROC is that of the score chosen from the other folds. Scores have other
 * units, so AUROC is taken within each fold and averaged, weighted by the number of pairs.
 *
 * One walk over a score's samples in ascending order counts, for each pair of folds, how often a 1 of
 * the first is above a 0 of the second. From these counts follow the AUROC on any set of folds, for
 * every labelling at once: the labels themselves, and those that are shuffled. */
#include "calibrate/nested.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "calibrate/folds.h"
#include "calibrate/metrics.h"

enum { FOLDS = 5, MOST_SHUFFLES = 100, LEAST_SHUFFLES = 10 };
#define SEED 42
/* Shuffles are fewer where there are so many samples and scores that they would take long. */
#define STEPS       4e8
#define JOINT_STEPS 1e6 /* values of samples, to each of which a joint model is fitted many times */

/* The choice of one fold under one labelling. */
typedef struct choice {
    double auroc; /* on the other folds; -1: none yet */
    double won;   /* pairs won on the fold itself */
    size_t place;
    hb_direction direction;
} choice;

/* Counts of pairs between folds under one labelling. */
typedef struct counts {
    double won[FOLDS][FOLDS]; /* [fold of the 1][fold of the 0]; ties count half */
    double below[FOLDS];      /* zeros so far, by fold */
} counts;

typedef struct choosing {
    const hb_score_table *table;
    hb_direction direction;
    uint32_t *fold;              /* [n] */
    size_t n_labellings;         /* the first is that of the labels themselves */
    uint8_t *labels;             /* [n_labellings][n] */
    double (*n_label)[FOLDS][2]; /* [n_labellings], samples by fold and label */
    choice (*best)[FOLDS];       /* [n_labellings] */
    counts *counts;              /* [n_labellings] */
} choosing;

/* ---- Labellings ---------------------------------------------------------------------------------- */

/* How many shuffles fit into `most` steps, if each takes `steps`. */
static size_t count_shuffles(double steps, double most)
{
    double n = steps > 0 ? most / steps : MOST_SHUFFLES;
    return n >= MOST_SHUFFLES ? MOST_SHUFFLES : n <= LEAST_SHUFFLES ? LEAST_SHUFFLES : (size_t)n;
}

static void label(choosing *c)
{
    const hb_score_table *t = c->table;
    hb_rng rng = {SEED};
    for (size_t s = 0; s < c->n_labellings; s++) {
        uint8_t *labels = c->labels + s * t->n;
        memcpy(labels, t->labels, t->n);
        if (s) hb_rng_shuffle(&rng, labels, t->n, sizeof *labels);
        for (size_t i = 0; i < t->n; i++) c->n_label[s][c->fold[i]][labels[i]]++;
        for (int f = 0; f < FOLDS; f++) c->best[s][f].auroc = -1;
    }
}

/* ---- Counting ------------------------------------------------------------------------------------ */

/* Counts the samples order[at ... end - 1], whose scores are equal. */
static void count_tied(counts *counts, const choosing *c, const uint8_t *labels, const hb_place *order,
                       size_t at, size_t end)
{
    double tied[FOLDS] = {0};
    for (size_t i = at; i < end; i++)
        if (!labels[order[i].index]) tied[c->fold[order[i].index]]++;
    for (size_t i = at; i < end; i++) {
        size_t k = order[i].index;
        double *won = counts->won[c->fold[k]];
        if (!labels[k]) continue;
        for (int b = 0; b < FOLDS; b++) won[b] += counts->below[b] + tied[b] / 2;
    }
    for (int b = 0; b < FOLDS; b++) counts->below[b] += tied[b];
}

/* Pairs of the folds but `left_out`, or of that fold alone. */
static double pairs_of(double (*n_label)[2], int left_out, bool alone)
{
    double n[2] = {0, 0};
    for (int f = 0; f < FOLDS; f++)
        for (int l = 0; l < 2; l++)
            if ((f == left_out) == alone) n[l] += n_label[f][l];
    return n[0] * n[1];
}

/* Takes the score as the choice of each fold where it is better than the choice so far. */
static void take(choosing *c, size_t s, size_t place, hb_direction direction)
{
    const counts *k = &c->counts[s];
    for (int f = 0; f < FOLDS; f++) {
        double won = 0, all = pairs_of(c->n_label[s], f, false), own = pairs_of(c->n_label[s], f, true);
        choice *best = &c->best[s][f];
        for (int a = 0; a < FOLDS; a++)
            for (int b = 0; b < FOLDS; b++)
                if (a != f && b != f) won += k->won[a][b];
        double auroc = all > 0 ? won / all : 0.5, on_fold = k->won[f][f];
        if (direction == HB_DIRECTION_LOW) {
            auroc = 1 - auroc;
            on_fold = own - on_fold;
        }
        if (auroc > best->auroc) *best = (choice){auroc, on_fold, place, direction};
    }
}

/* Counts one column of values, which belong to the directions given. */
static hb_status try_column(choosing *c, const double *values, size_t place, bool high, bool low,
                            hb_error *err)
{
    size_t n = c->table->n;
    hb_place *order;
    hb_status status = hb_order(values, n, &order, err);
    if (status) return status;
    memset(c->counts, 0, c->n_labellings * sizeof *c->counts);
    for (size_t at = 0, end; at < n; at = end) {
        for (end = at + 1; end < n && order[end].score == order[at].score; end++)
            ;
        for (size_t s = 0; s < c->n_labellings; s++)
            count_tied(&c->counts[s], c, c->labels + s * n, order, at, end);
    }
    for (size_t s = 0; s < c->n_labellings && order[0].score != order[n - 1].score; s++) {
        if (high) take(c, s, place, HB_DIRECTION_HIGH);
        if (low) take(c, s, place, HB_DIRECTION_LOW);
    }
    free(order);
    return HB_OK;
}

static hb_status try_scores(choosing *c, hb_error *err)
{
    hb_status status = HB_OK;
    bool high = c->direction != HB_DIRECTION_LOW, low = c->direction != HB_DIRECTION_HIGH;
    for (size_t k = 0; k < c->table->n_scores && !status; k++) {
        const hb_tails v = hb_table_tails(c->table, k);
        bool same = v.high == v.low;
        if (same || high) status = try_column(c, v.high, k, high, same && low, err);
        if (!status && !same && low) status = try_column(c, v.low, k, false, true, err);
    }
    return status;
}

/* ---- Results ------------------------------------------------------------------------------------- */

/* The AUROC over the folds; NaN when no fold has a pair. */
static double auroc_of(const choosing *c, size_t s)
{
    double won = 0, pairs = 0;
    for (int f = 0; f < FOLDS; f++) {
        if (c->best[s][f].auroc < 0) return NAN;
        won += c->best[s][f].won;
        pairs += pairs_of(c->n_label[s], f, true);
    }
    return won / pairs;
}

/* Adds the variance of a fold's AUROC, weighted by its part of all pairs. */
static hb_status add_variance(const choosing *c, uint32_t fold, double all_pairs, double *variance,
                              hb_error *err)
{
    const hb_score_table *t = c->table;
    const choice *best = &c->best[0][fold];
    const double *values = hb_tail(hb_table_tails(t, best->place), best->direction);
    double *scores = calloc(t->n, sizeof *scores), auroc, se;
    uint8_t *labels = calloc(t->n, 1);
    uint32_t *groups = calloc(t->n, sizeof *groups), *first = calloc(t->n, sizeof *first);
    size_t n = 0;
    hb_status status = scores && labels && groups && first ? HB_OK : hb_fail_memory(err);
    for (size_t i = 0; i < t->n && !status; i++) {
        if (c->fold[i] != fold) continue;
        uint32_t *number = &first[hb_group_of(t->groups, i)]; /* plus 1; 0: not met yet */
        if (!*number) *number = (uint32_t)n + 1;
        scores[n] = values[i];
        labels[n] = t->labels[i];
        groups[n++] = *number - 1;
    }
    double pairs = c->n_label[0][fold][0] * c->n_label[0][fold][1];
    if (!status && pairs > 0) {
        status = hb_delong_grouped(scores, labels, groups, n, &auroc, &se, err);
        if (!status) *variance += pow(se * pairs / all_pairs, 2);
    }
    free(scores);
    free(labels);
    free(groups);
    free(first);
    return status;
}

static hb_status find_interval(const choosing *c, hb_nested *out, hb_error *err)
{
    double pairs = 0, variance = 0;
    hb_status status = HB_OK;
    for (int f = 0; f < FOLDS; f++) pairs += pairs_of(c->n_label[0], f, true);
    for (uint32_t f = 0; f < FOLDS && !status; f++) status = add_variance(c, f, pairs, &variance, err);
    out->interval = hb_auroc_interval(out->auroc, sqrt(variance));
    return status;
}

/* Adds the mean of the AUROCs [n] of shuffled labels, and the range of the middle 95 % of them. Leaves
 * out NaN, and reorders the others. */
static void add_shuffled(double *aurocs, size_t n, hb_nested *out)
{
    double sum = 0;
    for (size_t s = 0; s < n; s++) {
        if (isnan(aurocs[s])) continue;
        sum += aurocs[s];
        aurocs[out->n_shuffles++] = aurocs[s];
    }
    if (!out->n_shuffles) return;
    out->shuffled_auroc = sum / (double)out->n_shuffles;
    out->shuffled = hb_percentiles(aurocs, out->n_shuffles);
}

static hb_status find_shuffled(const choosing *c, hb_nested *out, hb_error *err)
{
    double *aurocs = calloc(c->n_labellings, sizeof *aurocs);
    if (!aurocs) return hb_fail_memory(err);
    for (size_t s = 1; s < c->n_labellings; s++) aurocs[s - 1] = auroc_of(c, s);
    add_shuffled(aurocs, c->n_labellings - 1, out);
    free(aurocs);
    return HB_OK;
}

static hb_status conclude(const choosing *c, hb_nested *out, hb_error *err)
{
    out->auroc = auroc_of(c, 0);
    if (isnan(out->auroc)) return HB_OK;
    out->winners = calloc(FOLDS, sizeof *out->winners);
    if (!out->winners) return hb_fail_memory(err);
    out->n_folds = FOLDS;
    out->seed = SEED;
    for (size_t f = 0; f < FOLDS; f++) {
        out->winners[f] = c->best[0][f].place;
        out->changes = out->changes || out->winners[f] != out->winners[0];
    }
    hb_status status = find_interval(c, out, err);
    return status ? status : find_shuffled(c, out, err);
}

static void free_choosing(choosing *c)
{
    free(c->fold);
    free(c->labels);
    free(c->n_label);
    free(c->best);
    free(c->counts);
}

static hb_status reserve(choosing *c, hb_error *err)
{
    const hb_score_table *t = c->table;
    size_t n = t->n;
    c->n_labellings =
        1 + count_shuffles((double)n * (double)t->n_scores * (t->low ? 2 : 1) * FOLDS, STEPS);
    c->fold = calloc(n + 1, sizeof *c->fold);
    c->labels = calloc(c->n_labellings, n + 1);
    c->n_label = calloc(c->n_labellings, sizeof *c->n_label);
    c->best = calloc(c->n_labellings, sizeof *c->best);
    c->counts = calloc(c->n_labellings, sizeof *c->counts);
    bool ok = c->fold && c->labels && c->n_label && c->best && c->counts;
    return ok ? HB_OK : hb_fail_memory(err);
}

hb_status hb_choose_nested(const hb_score_table *t, hb_direction direction, hb_nested *nested,
                           hb_error *err)
{
    choosing c = {.table = t, .direction = direction};
    hb_nested out = {0};
    size_t n_groups = 0;
    hb_status status = reserve(&c, err);
    if (!status)
        status = hb_deal_folds(t->labels, t->groups, t->n, FOLDS, SEED, c.fold, &n_groups, err);
    if (!status && n_groups >= FOLDS) {
        label(&c);
        status = try_scores(&c, err);
        if (!status) status = conclude(&c, &out, err);
    }
    free_choosing(&c);
    if (status) hb_nested_free(&out);
    else *nested = out;
    return status;
}

/* ---- Joint models -------------------------------------------------------------------------------- */

/* The AUROC out of fold with these labels. NaN if a fold would have samples of one label only. */
static hb_status judge_shuffle(const double *x, const uint8_t *labels, size_t n, size_t d,
                               const char *const *names, const hb_joint_options *options,
                               double *out_of_fold, double *auroc, hb_error *err)
{
    hb_joint joint;
    hb_error why;
    hb_status status = hb_joint_fit(x, labels, n, d, names, options, &joint, out_of_fold, &why);
    *auroc = NAN;
    if (status == HB_ERR_DATA) return HB_OK;
    if (status) return hb_fail(err, status, "%s", why.message);
    hb_joint_free(&joint);
    return hb_auroc(out_of_fold, labels, n, auroc, err);
}

hb_status hb_shuffle_joint(const double *x, const uint8_t *labels, size_t n, size_t d,
                           const char *const *names, const hb_joint_options *options, hb_nested *nested,
                           hb_error *err)
{
    size_t n_shuffles = count_shuffles((double)n * (double)d, JOINT_STEPS);
    double aurocs[MOST_SHUFFLES], *out_of_fold = calloc(n + 1, sizeof *out_of_fold);
    uint8_t *shuffled = malloc(n + 1);
    hb_rng rng = {SEED};
    hb_status status = out_of_fold && shuffled ? HB_OK : hb_fail_memory(err);
    if (!status) memcpy(shuffled, labels, n);
    for (size_t s = 0; s < n_shuffles && !status; s++) {
        hb_rng_shuffle(&rng, shuffled, n, sizeof *shuffled);
        status = judge_shuffle(x, shuffled, n, d, names, options, out_of_fold, &aurocs[s], err);
    }
    if (!status) add_shuffled(aurocs, n_shuffles, nested);
    free(out_of_fold);
    free(shuffled);
    return status;
}

void hb_nested_free(hb_nested *nested)
{
    free(nested->winners);
    *nested = (hb_nested){0};
}
