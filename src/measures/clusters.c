#include "measures/clusters.h"

#include <math.h>
#include <stdlib.h>

#define SIMILAR 0.5

/* The first member of a cluster. */
static size_t first_of(const size_t *cluster, size_t number)
{
    size_t i = 0;
    while (cluster[i] != number) i++;
    return i;
}

bool hb_are_similar(const double *similarity, size_t stride, size_t i, size_t j)
{
    return similarity[i * stride + j] >= SIMILAR && similarity[j * stride + i] >= SIMILAR;
}

size_t hb_cluster(const double *similarity, size_t stride, size_t n, size_t *cluster)
{
    size_t n_clusters = 0;
    for (size_t i = 0; i < n; i++) {
        cluster[i] = n_clusters;
        for (size_t k = 0; k < n_clusters && cluster[i] == n_clusters; k++)
            if (hb_are_similar(similarity, stride, first_of(cluster, k), i)) cluster[i] = k;
        if (cluster[i] == n_clusters) n_clusters++;
    }
    return n_clusters;
}

/* ln(e^a + e^b); a may be minus infinity. */
static double add_logs(double a, double b)
{
    double high = fmax(a, b), low = fmin(a, b);
    return high + log1p(exp(low - high));
}

/* Whether an earlier sample has the same text. */
static bool is_repeated(const size_t *of_text, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (of_text[j] == of_text[i]) return true;
    return false;
}

/* -sum p ln p for p = weight / total. */
static double entropy_term(double share)
{
    return share > 0 ? -share * log(share) : 0;
}

hb_status hb_cluster_measure(const size_t *cluster, size_t n_clusters, const size_t *of_text,
                             const double *log_probs, size_t n, hb_cluster_entropies *entropies,
                             hb_error *err)
{
    double *counts = calloc(2 * n_clusters + 1, sizeof *counts), *logs = counts + n_clusters;
    double total = -INFINITY;
    if (!counts) return hb_fail_memory(err);
    for (size_t k = 0; k < n_clusters; k++) logs[k] = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        counts[cluster[i]]++;
        if (is_repeated(of_text, i)) continue;
        logs[cluster[i]] = add_logs(logs[cluster[i]], log_probs[i]);
        total = add_logs(total, log_probs[i]);
    }
    *entropies = (hb_cluster_entropies){0};
    for (size_t k = 0; k < n_clusters; k++) {
        entropies->discrete += entropy_term(counts[k] / (double)n);
        entropies->weighted += entropy_term(exp(logs[k] - total));
        entropies->sampled -= counts[k] * logs[k] / (double)n;
    }
    free(counts);
    return HB_OK;
}
