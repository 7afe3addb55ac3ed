/* Answers of one meaning form a cluster. */
#ifndef HB_MEASURES_CLUSTERS_H
#define HB_MEASURES_CLUSTERS_H

#include "base/error.h"

/* Whether two answers entail each other, at least 0.5. `similarity` has rows `stride` apart. */
bool hb_are_similar(const double *similarity, size_t stride, size_t i, size_t j);

/* Assigns n answers to clusters: cluster[i] becomes the number of answer i's cluster, from 0 in the
 * order of the first members. An answer joins the first cluster whose first member it is similar to in
 * both directions, at least 0.5 (Kuhn, Gal and Farquhar, Semantic Uncertainty, 2023). `similarity` is
 * [n][n], with rows `stride` apart. Returns the number of clusters. */
size_t hb_cluster(const double *similarity, size_t stride, size_t n, size_t *cluster);

/* Entropies of clusters of n >= 1 samples, in nats. `cluster` is from hb_cluster; `of_text` has the
 * same number for samples with the same text, and `log_probs` are their log-probabilities. */
typedef struct hb_cluster_entropies {
    double discrete; /* of the clusters' shares of the samples (Farquhar et al., Detecting
                        hallucinations in large language models using semantic entropy, 2024) */
    double weighted; /* of the clusters' probabilities, which are normalised to 1; a cluster's
                        probability is the sum over its different texts (the same) */
    double sampled;  /* the mean over the samples of -ln of their cluster's probability, which is not
                        normalised (Kuhn et al. 2023) */
} hb_cluster_entropies;

/* HB_ERR_MEMORY. */
hb_status hb_cluster_measure(const size_t *cluster, size_t n_clusters, const size_t *of_text,
                             const double *log_probs, size_t n, hb_cluster_entropies *entropies,
                             hb_error *err);

#endif
