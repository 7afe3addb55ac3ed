/* Ranks and compares several scores of the same samples. */
#include <math.h>
#include <stdlib.h>
#include "calibrate/columns.h"
#include "calibrate/metrics.h"

/* ---- Correlation --------------------------------------------------------------------------------- */

/* Centres the ranks and scales them to length 1, so that the dot product of two rank vectors is their
 * correlation. NaN when all values are equal. */
static hb_status unit_ranks(const double *scores, size_t n, double *ranks, hb_error *err)
{
    hb_place *order;
    double squares = 0, middle = ((double)n - 1) / 2;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(scores[i]))
            return hb_fail(err, HB_ERR_DATA, "the score of sample %zu is %g, not a finite number", i,
                           scores[i]);
    hb_status status = hb_order(scores, n, &order, err);
    if (status) return status;
    for (size_t at = 0, end; at < n; at = end) {
        for (end = at; end < n && order[end].score == order[at].score; end++)
            ;
        double rank = (double)(at + end - 1) / 2 - middle;
        for (size_t i = at; i < end; i++) ranks[order[i].index] = rank;
        squares += rank * rank * (double)(end - at);
    }
    for (size_t i = 0; i < n; i++) ranks[i] /= sqrt(squares);
    free(order);
    return HB_OK;
}

hb_status hb_spearman(const double *scores, size_t n_scores, size_t n, double *correlations,
                      hb_error *err)
{
    double *ranks = calloc(n_scores * n + 1, sizeof *ranks);
    hb_status status = ranks ? HB_OK : hb_fail_memory(err);
    for (size_t a = 0; a < n_scores && !status; a++)
        status = unit_ranks(scores + a * n, n, ranks + a * n, err);
    for (size_t a = 0; a < n_scores && !status; a++)
        for (size_t b = 0; b <= a; b++) {
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (size_t i = 0; i < n; i++) sum += ranks[a * n + i] * ranks[b * n + i];
            if (sum > 1 || a == b) sum = isnan(sum) ? sum : 1; /* corrects rounding */
            if (sum < -1) sum = -1;
            correlations[a * n_scores + b] = correlations[b * n_scores + a] = sum;
        }
    free(ranks);
    return status;
}

/* ---- Ranking ------------------------------------------------------------------------------------- */

static bool is_constant(const double *scores, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (scores[i] != scores[0]) return false;
    return true;
}

/* Orders by descending AUROC; on ties, in table order. */
static int compare_aurocs(const void *a, const void *b)
{
    const hb_compared_score *x = a, *y = b;
    if (x->sweep.auroc != y->sweep.auroc) return x->sweep.auroc < y->sweep.auroc ? 1 : -1;
    return (x->place > y->place) - (x->place < y->place);
}

static hb_status judge_each(const hb_score_table *t, const char *const *names,
                            const hb_sweep_options *sweep, const hb_bootstrap_options *bootstrap,
                            hb_comparison *c, hb_error *err)
{
    for (size_t k = 0; k < t->n_scores; k++) {
        const hb_tails tails = hb_table_tails(t, k);
        hb_compared_score *s = &c->scores[c->n];
        if (t->n > 1 && is_constant(tails.high, t->n) && is_constant(tails.low, t->n)) {
            c->n_constant++;
            continue;
        }
        *s = (hb_compared_score){.name = names[k], .place = k};
        hb_status status = hb_sweep_tails(tails, t->labels, t->n, sweep, &s->sweep, err);
        if (status) return status;
        hb_sweep_free(&s->sweep);
        status = hb_find_uncertainty(hb_tail(tails, s->sweep.direction), t->labels, t->n,
                                     s->sweep.direction, bootstrap, &s->uncertainty, err);
        if (status) return status;
        c->n++;
    }
    if (c->n) return HB_OK;
    return hb_fail(err, HB_ERR_DATA,
                   "none of %zu scores varies, so no threshold can separate the samples", t->n_scores);
}

/* Tests each score against the first and computes all correlations. */
static hb_status compare(const hb_score_table *t, hb_comparison *c, hb_error *err)
{
    hb_column *columns = calloc(c->n, sizeof *columns);
    hb_auroc_difference *differences = calloc(c->n, sizeof *differences);
    double *p_holm = calloc(c->n, sizeof *p_holm);
    hb_status status = columns && differences && p_holm ? HB_OK : hb_fail_memory(err);
    for (size_t k = 0; k < c->n && !status; k++) {
        hb_direction direction = c->scores[k].sweep.direction;
        columns[k] = (hb_column){hb_tail(hb_table_tails(t, c->scores[k].place), direction), direction};
    }
    if (!status)
        status = hb_test_columns(columns, c->n, t->labels, t->groups, t->n, differences, p_holm, err);
    for (size_t k = 0; k < c->n && !status; k++) {
        c->scores[k].difference = differences[k];
        c->scores[k].p_holm = p_holm[k];
    }
    if (!status) status = hb_correlate_columns(columns, c->n, t->n, &c->correlations, err);
    free(columns);
    free(differences);
    free(p_holm);
    return status;
}

hb_status hb_compare_scores(const hb_score_table *table, const char *const *names,
                            const hb_sweep_options *sweep, const hb_bootstrap_options *bootstrap,
                            hb_comparison *out, hb_error *err)
{
    hb_comparison c = {0};
    hb_bootstrap_options b = bootstrap ? *bootstrap : hb_bootstrap_defaults();
    b.groups = table->groups;
    if (sweep && sweep->grid == HB_GRID_RANGE)
        return hb_fail(err, HB_ERR_ARGUMENT, "a range of tau requires a single score, not %zu",
                       table->n_scores);
    c.scores = calloc(table->n_scores + 1, sizeof *c.scores);
    if (!c.scores) return hb_fail_memory(err);
    hb_status status = judge_each(table, names, sweep, &b, &c, err);
    if (!status) {
        qsort(c.scores, c.n, sizeof *c.scores, compare_aurocs);
        status = compare(table, &c, err);
    }
    if (status) hb_comparison_free(&c);
    else *out = c;
    return status;
}

void hb_comparison_free(hb_comparison *comparison)
{
    if (!comparison) return;
    free(comparison->scores);
    free(comparison->correlations);
    *comparison = (hb_comparison){0};
}
