/* Measures pass 2: each statistic on up to a million scores, in milliseconds.
 *   pass2 [--n N] [--repeats R] */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "bench.h"

enum { SIZES = 4, SCORES = 4, MAX_REPEATS = 99 };

/* Scores [SCORES][n] of the same samples: two good rankings, one with many ties, one of noise. */
typedef struct data {
    size_t n;
    double *scores, *probabilities, *sorted;
    uint8_t *labels;
} data;

static data make_data(size_t n)
{
    data d = {.n = n,
              .scores = bench_need(calloc(SCORES * n, sizeof(double))),
              .probabilities = bench_need(calloc(n, sizeof(double))),
              .sorted = bench_need(calloc(n, sizeof(double))),
              .labels = bench_need(calloc(n, 1))};
    hb_rng rng = {5};
    for (size_t i = 0; i < n; i++) {
        d.labels[i] = hb_rng_unit(&rng) < 0.3;
        double shared = hb_rng_unit(&rng) + 0.5 * d.labels[i];
        d.scores[i] = shared + 0.3 * hb_rng_unit(&rng);
        d.scores[n + i] = shared + 0.4 * hb_rng_unit(&rng);
        d.scores[2 * n + i] = (double)(int)(20 * shared);
        d.scores[3 * n + i] = hb_rng_unit(&rng);
        d.probabilities[i] = shared / 1.5;
        d.sorted[i] = (double)i;
    }
    return d;
}

static void free_data(data *d)
{
    free(d->scores);
    free(d->probabilities);
    free(d->sorted);
    free(d->labels);
}

/* ---- What is measured ---------------------------------------------------------------------------- */

static hb_error err;

static void auroc(const data *d)
{
    double value;
    bench_check(hb_auroc(d->scores, d->labels, d->n, &value, &err), &err);
}

static void average_precision(const data *d)
{
    double value;
    bench_check(hb_average_precision(d->scores, d->labels, d->n, &value, &err), &err);
}

static void sweep(const data *d, const double *scores, hb_grid grid)
{
    hb_sweep_options o = hb_sweep_defaults();
    hb_sweep_result r;
    o.grid = grid;
    bench_check(hb_sweep(scores, d->labels, d->n, &o, &r, &err), &err);
    hb_sweep_free(&r);
}

static void exact_sweep(const data *d)
{
    sweep(d, d->scores, HB_GRID_EXACT);
}

static void exact_sweep_of_ties(const data *d)
{
    sweep(d, d->scores + 2 * d->n, HB_GRID_EXACT);
}

static void quantile_sweep(const data *d)
{
    sweep(d, d->scores, HB_GRID_QUANTILES);
}

static void delong(const data *d)
{
    double value, se;
    bench_check(hb_delong(d->scores, d->labels, d->n, &value, &se, &err), &err);
}

static void delong_test(const data *d)
{
    hb_auroc_difference difference;
    bench_check(hb_delong_compare(d->scores, d->scores + d->n, d->labels, d->n, &difference, &err),
                &err);
}

static void holm(const data *d)
{
    double *adjusted = bench_need(calloc(d->n, sizeof *adjusted));
    bench_check(hb_holm(d->probabilities, d->n, adjusted, &err), &err);
    free(adjusted);
}

static void correlations(const data *d)
{
    double matrix[SCORES * SCORES];
    bench_check(hb_spearman(d->scores, SCORES, d->n, matrix, &err), &err);
}

static void log_loss(const data *d)
{
    hb_log_loss(d->probabilities, d->labels, d->n);
}

static void validation(const data *d)
{
    const hb_validation_options o = {
        .tau = 0.9, .lambda = 5, .direction = HB_DIRECTION_HIGH, .bootstrap = {.min_recall = 0.9}};
    hb_validation v;
    bench_check(hb_validate(d->scores, d->labels, d->n, &o, &v, &err), &err);
    hb_validation_free(&v);
}

static void comparison(const data *d)
{
    static const char *const names[SCORES] = {"a", "b", "tied", "noise"};
    const hb_score_table t = {.scores = d->scores, .labels = d->labels, .n = d->n, .n_scores = SCORES};
    const hb_bootstrap_options none = {.min_recall = 0.9};
    hb_sweep_options o = hb_sweep_defaults();
    hb_comparison c;
    bench_check(hb_compare_scores(&t, names, &o, &none, &c, &err), &err);
    hb_comparison_free(&c);
}

typedef struct statistic {
    const char *name;
    void (*run)(const data *data);
} statistic;

static const statistic statistics[] = {
    {"AUROC", auroc},
    {"average precision", average_precision},
    {"sweep of 40 or 99 quantiles", quantile_sweep},
    {"exact sweep", exact_sweep},
    {"exact sweep, many ties", exact_sweep_of_ties},
    {"DeLong's interval", delong},
    {"DeLong's paired test", delong_test},
    {"Holm's correction of n tests", holm},
    {"rank correlations of 4 scores", correlations},
    {"log-loss", log_loss},
    {"validation", validation},
    {"ranking of 4 scores", comparison},
};

/* ---- Measuring ----------------------------------------------------------------------------------- */

static double milliseconds(const statistic *s, const data *d, int repeats)
{
    double times[MAX_REPEATS];
    for (int i = 0; i < repeats; i++) {
        double start = hb_seconds();
        s->run(d);
        times[i] = 1000 * (hb_seconds() - start);
    }
    return bench_median(times, repeats);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"n", required_argument, NULL, 'n'}, {"repeats", required_argument, NULL, 'r'}, {0}};
    int32_t n = 1000000, repeats = 3;
    for (int c; (c = getopt_long(argc, argv, "", longs, NULL)) != -1;) {
        if (c == 'n') n = bench_number("n", optarg, 8000);
        else if (c == 'r') repeats = bench_number("repeats", optarg, 1);
        else return 2;
    }
    if (repeats > MAX_REPEATS) repeats = MAX_REPEATS;
    data all[SIZES];
    printf("%-32s", "milliseconds for n =");
    for (int k = 0; k < SIZES; k++) {
        all[k] = make_data((size_t)n >> (SIZES - 1 - k));
        printf("%10zu", all[k].n);
    }
    putchar('\n');
    for (size_t i = 0; i < sizeof statistics / sizeof *statistics; i++) {
        printf("%-32s", statistics[i].name);
        for (int k = 0; k < SIZES; k++) {
            printf("%10.1f", milliseconds(&statistics[i], &all[k], repeats));
            fflush(stdout);
        }
        putchar('\n');
    }
    for (int k = 0; k < SIZES; k++) free_data(&all[k]);
    return 0;
}
