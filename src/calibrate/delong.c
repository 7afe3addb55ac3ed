/* The standard error of AUROC, and of the difference between two AUROCs on the same samples (DeLong,
 * DeLong and Clarke-Pearson, Comparing the Areas under Two or More Correlated ROC Curves, 1988), in O(n
 * log n) by midranks (Sun and Xu, 2014). Samples in groups count as clusters (Obuchowski, Nonparametric
 * Analysis of Clustered ROC Curve Data, 1997). */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "calibrate/folds.h"
#include "calibrate/metrics.h"

/* Each sample's placement [n]. For a 1 it is the fraction of 0s that score lower; for a 0, the fraction
 * of 1s that score higher. Equal scores count half. The mean over either class is AUROC. */
static hb_status placements(const double *scores, const uint8_t *labels, size_t n, double *placed,
                            hb_error *err)
{
    hb_place *order;
    hb_status status = hb_order(scores, n, &order, err);
    if (status) return status;
    double ones = 0, below[2] = {0, 0};
    for (size_t i = 0; i < n; i++) ones += labels[i];
    double count[2] = {(double)n - ones, ones};
    for (size_t at = 0, end; at < n; at = end) {
        double tied[2] = {0, 0};
        for (end = at; end < n && order[end].score == order[at].score; end++)
            tied[labels[order[end].index]]++;
        for (size_t i = at; i < end; i++) {
            size_t k = order[i].index;
            if (labels[k]) placed[k] = (below[0] + tied[0] / 2) / count[0];
            else placed[k] = (count[1] - below[1] - tied[1] / 2) / count[1];
        }
        below[0] += tied[0];
        below[1] += tied[1];
    }
    free(order);
    return HB_OK;
}

/* A group of samples, by label: how many, and the sum of their placements' deviations from the mean. */
typedef struct cluster {
    double n[2], deviation[2];
} cluster;

/* Sums over the clusters. */
typedef struct sums {
    double squares[2], products, n_with[2], n;
} sums;

static sums add_up(const cluster *clusters, size_t n)
{
    sums s = {{0, 0}, 0, {0, 0}, 0};
    for (size_t k = 0; k < n; k++) {
        const cluster *g = &clusters[k];
        s.n += g->n[0] + g->n[1] > 0;
        s.products += g->deviation[0] * g->deviation[1];
        for (int c = 0; c < 2; c++) {
            s.n_with[c] += g->n[c] > 0;
            s.squares[c] += g->deviation[c] * g->deviation[c];
        }
    }
    return s;
}

/* n / (n - 1), by which a sum of n squared deviations is too small; NaN for one. */
static double correction(double n)
{
    return n > 1 ? n / (n - 1) : NAN;
}

/* The variance of the mean placement: over the groups of each class, and over those with both. For
 * differences of placements it is the variance of the AUROC difference. With each sample in a group of
 * its own it is DeLong's, otherwise Obuchowski's. Sets *auroc to the mean. */
static hb_status variance(const double *placed, const uint8_t *labels, const uint32_t *groups, size_t n,
                          double *auroc, double *result, hb_error *err)
{
    double sum[2] = {0, 0}, count[2] = {0, 0};
    cluster *clusters = calloc(n, sizeof *clusters);
    if (!clusters) return hb_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        sum[labels[i]] += placed[i];
        count[labels[i]]++;
    }
    for (size_t i = 0; i < n; i++) {
        cluster *g = &clusters[hb_group_of(groups, i)];
        g->n[labels[i]]++;
        g->deviation[labels[i]] += placed[i] - sum[labels[i]] / count[labels[i]];
    }
    const sums s = add_up(clusters, n);
    free(clusters);
    double total = s.products ? 2 * correction(s.n) * s.products / (count[0] * count[1]) : 0;
    for (int c = 0; c < 2; c++) total += correction(s.n_with[c]) * s.squares[c] / (count[c] * count[c]);
    *auroc = sum[1] / count[1];
    *result = total < 0 ? 0 : total;
    return HB_OK;
}

hb_interval hb_auroc_interval(double auroc, double se)
{
    /* 95 % of a normal distribution lie within this many standard deviations. */
    double reach = 1.959963984540054 * se;
    if (isnan(reach)) return (hb_interval){NAN, NAN};
    return (hb_interval){fmax(auroc - reach, 0), fmin(auroc + reach, 1)};
}

hb_status hb_delong(const double *scores, const uint8_t *labels, size_t n, double *auroc, double *se,
                    hb_error *err)
{
    return hb_delong_grouped(scores, labels, NULL, n, auroc, se, err);
}

hb_status hb_delong_grouped(const double *scores, const uint8_t *labels, const uint32_t *groups,
                            size_t n, double *auroc, double *se, hb_error *err)
{
    double mean, v;
    hb_status status = hb_check_scored(scores, labels, n, err);
    if (!status) status = hb_check_groups(groups, n, err);
    if (status) return status;
    double *placed = calloc(n, sizeof *placed);
    if (!placed) return hb_fail_memory(err);
    status = placements(scores, labels, n, placed, err);
    if (!status) status = variance(placed, labels, groups, n, &mean, &v, err);
    if (!status) {
        *auroc = mean;
        *se = sqrt(v);
    }
    free(placed);
    return status;
}

/* The test of a difference with this variance. */
static hb_auroc_difference test(double difference, double variance_of_it)
{
    hb_auroc_difference d = {.difference = difference, .se = sqrt(variance_of_it)};
    d.z = d.difference / d.se;
    d.p = isnan(d.se) ? NAN : d.se > 0 ? erfc(fabs(d.z) / sqrt(2)) : d.difference == 0;
    return d;
}

/* The AUROC difference of two scores, from their placements. Overwrites of_a. */
static hb_status difference(double *of_a, const double *of_b, const uint8_t *labels,
                            const uint32_t *groups, size_t n, hb_auroc_difference *out, hb_error *err)
{
    double mean, v;
    for (size_t i = 0; i < n; i++) of_a[i] -= of_b[i];
    hb_status status = variance(of_a, labels, groups, n, &mean, &v, err);
    if (!status) *out = test(mean, v);
    return status;
}

static hb_status place_checked(const double *scores, const uint8_t *labels, size_t n, double *placed,
                               hb_error *err)
{
    hb_status status = hb_check_scored(scores, labels, n, err);
    return status ? status : placements(scores, labels, n, placed, err);
}

hb_status hb_delong_compare(const double *a, const double *b, const uint8_t *labels, size_t n,
                            hb_auroc_difference *out, hb_error *err)
{
    return hb_delong_compare_labelled(a, labels, b, labels, NULL, n, out, err);
}

hb_status hb_delong_compare_all(const double *scores, size_t n_scores, const uint8_t *labels, size_t n,
                                hb_auroc_difference *out, double *p_holm, hb_error *err)
{
    return hb_delong_compare_grouped(scores, n_scores, labels, NULL, n, out, p_holm, err);
}

hb_status hb_delong_compare_grouped(const double *scores, size_t n_scores, const uint8_t *labels,
                                    const uint32_t *groups, size_t n, hb_auroc_difference *out,
                                    double *p_holm, hb_error *err)
{
    double *first = calloc(n + 1, sizeof *first), *other = calloc(n + 1, sizeof *other);
    double *p = calloc(n_scores + 1, sizeof *p);
    hb_auroc_difference *all = calloc(n_scores + 1, sizeof *all);
    hb_status status =
        first && other && p && all ? hb_check_groups(groups, n, err) : hb_fail_memory(err);
    for (size_t k = 0; k < n_scores && !status; k++) {
        status = place_checked(scores + k * n, labels, n, k ? other : first, err);
        all[k] = (hb_auroc_difference){NAN, NAN, NAN, NAN};
        if (!status && k) status = difference(other, first, labels, groups, n, &all[k], err);
        p[k] = all[k].p;
    }
    if (!status) status = hb_holm(p, n_scores, p_holm, err);
    if (!status && n_scores) memcpy(out, all, n_scores * sizeof *out);
    free(first);
    free(other);
    free(p);
    free(all);
    return status;
}

/* Adds sign times each sample's part in the error of the mean placement to its group's sum; returns the
 * mean over the 1s, which is AUROC. */
static double add_deviations(const double *placed, const uint8_t *labels, const uint32_t *groups,
                             size_t n, double sign, double *sums)
{
    double sum = 0, count[2] = {0, 0};
    for (size_t i = 0; i < n; i++) {
        if (labels[i]) sum += placed[i];
        count[labels[i]]++;
    }
    double auroc = sum / count[1];
    for (size_t i = 0; i < n; i++)
        sums[hb_group_of(groups, i)] += sign * (placed[i] - auroc) / count[labels[i]];
    return auroc;
}

/* Where the labels differ, a sample has a placement among the 1s of one score and among the 0s of the
 * other. Its deviations in both AUROCs are summed, as those of a cluster's members are, and the
 * variance is that of the clusters' sums. */
static hb_status difference_labelled(const double *of_a, const uint8_t *labels_a, const double *of_b,
                                     const uint8_t *labels_b, const uint32_t *groups, size_t n,
                                     hb_auroc_difference *out, hb_error *err)
{
    double squares = 0, n_groups = 0, *sums = calloc(n, sizeof *sums);
    bool *has = calloc(n, sizeof *has);
    hb_status status = sums && has ? HB_OK : hb_fail_memory(err);
    if (!status) {
        double a = add_deviations(of_a, labels_a, groups, n, 1, sums);
        double b = add_deviations(of_b, labels_b, groups, n, -1, sums);
        for (size_t i = 0; i < n; i++) has[hb_group_of(groups, i)] = true;
        for (size_t k = 0; k < n; k++) {
            n_groups += has[k];
            squares += sums[k] * sums[k];
        }
        *out = test(a - b, correction(n_groups) * squares);
    }
    free(sums);
    free(has);
    return status;
}

hb_status hb_delong_compare_labelled(const double *a, const uint8_t *labels_a, const double *b,
                                     const uint8_t *labels_b, const uint32_t *groups, size_t n,
                                     hb_auroc_difference *out, hb_error *err)
{
    double *of_a = calloc(n + 1, sizeof *of_a), *of_b = calloc(n + 1, sizeof *of_b);
    hb_status status = of_a && of_b ? hb_check_groups(groups, n, err) : hb_fail_memory(err);
    if (!status) status = place_checked(a, labels_a, n, of_a, err);
    if (!status) status = place_checked(b, labels_b, n, of_b, err);
    if (!status)
        status = memcmp(labels_a, labels_b, n) == 0
                     ? difference(of_a, of_b, labels_a, groups, n, out, err)
                     : difference_labelled(of_a, labels_a, of_b, labels_b, groups, n, out, err);
    free(of_a);
    free(of_b);
    return status;
}

hb_status hb_holm(const double *p, size_t n, double *adjusted, hb_error *err)
{
    hb_place *order;
    size_t n_tests = n;
    hb_status status = hb_order(p, n, &order, err);
    if (status) return status;
    while (n_tests > 0 && isnan(order[n_tests - 1].score)) n_tests--; /* NaN sorts last */
    double least = 0;
    for (size_t i = 0; i < n; i++) {
        if (i < n_tests) least = fmax(least, fmin(1, order[i].score * (double)(n_tests - i)));
        adjusted[order[i].index] = i < n_tests ? least : NAN;
    }
    free(order);
    return HB_OK;
}
