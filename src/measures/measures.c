/* The registry of measures, and the computation of all of them for one prompt. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "measures/clusters.h"
#include "measures/graph.h"
#include "measures/ngram.h"
#include "measures/similarity.h"
#include "signals/scores.h"

/* What measures read. Answer 0 is the answer itself, 1 to n are the samples. */
typedef struct reading {
    const hb_sampled *answers;
    size_t n;
    const double *entailment;
    hb_similarities similarities;
    hb_graph graphs[HB_N_SIMILARITIES];
    size_t n_clusters[HB_N_SIMILARITIES];
    hb_cluster_entropies entropies[HB_N_SIMILARITIES];
    hb_self_check check;
} reading;

/* ---- The functions of measures ------------------------------------------------------------------- */

static double n_distinct(const reading *r, hb_similarity by)
{
    return (double)r->n_clusters[by];
}

static double discrete_entropy(const reading *r, hb_similarity by)
{
    return r->entropies[by].discrete;
}

static double semantic_entropy(const reading *r, hb_similarity by)
{
    return r->entropies[by].weighted;
}

static double semantic_entropy_mc(const reading *r, hb_similarity by)
{
    return r->entropies[by].sampled;
}

static double eigv(const reading *r, hb_similarity by)
{
    return r->graphs[by].eigv;
}

static double deg(const reading *r, hb_similarity by)
{
    return r->graphs[by].deg;
}

static double ecc(const reading *r, hb_similarity by)
{
    return r->graphs[by].ecc;
}

/* The mean similarity of the pairs of samples; 1 for a single sample. */
static double lexical_similarity(const reading *r, hb_similarity by)
{
    const hb_similarities *s = &r->similarities;
    double sum = 0;
    for (size_t i = 1; i <= r->n; i++)
        for (size_t j = 1; j < i; j++) sum += s->values[by][i * s->n + j];
    return r->n > 1 ? sum / ((double)r->n * (double)(r->n - 1) / 2) : 1;
}

/* The mean similarity of the answer to the samples. */
static double consistency(const reading *r, hb_similarity by)
{
    double sum = 0;
    for (size_t k = 1; k <= r->n; k++) sum += r->similarities.values[by][k];
    return sum / (double)r->n;
}

/* -log-probability per token. */
static double per_token(const hb_sampled *answer)
{
    return -answer->log_prob / answer->n_tokens;
}

static double cocoa(const reading *r, hb_similarity by)
{
    return -r->answers[0].log_prob * (1 - consistency(r, by));
}

static double cocoa_ppl(const reading *r, hb_similarity by)
{
    return per_token(&r->answers[0]) * (1 - consistency(r, by));
}

static double predictive_entropy(const reading *r, hb_similarity by)
{
    double sum = 0;
    (void)by;
    for (size_t k = 1; k <= r->n; k++) sum -= r->answers[k].log_prob;
    return sum / (double)r->n;
}

static double normalised_entropy(const reading *r, hb_similarity by)
{
    double sum = 0;
    (void)by;
    for (size_t k = 1; k <= r->n; k++) sum += per_token(&r->answers[k]);
    return sum / (double)r->n;
}

static double self_check_mean(const reading *r, hb_similarity by)
{
    (void)by;
    return r->check.mean;
}

static double self_check_max(const reading *r, hb_similarity by)
{
    (void)by;
    return r->check.max;
}

/* ---- The registry -------------------------------------------------------------------------------- */

typedef struct measure {
    const char *name, *about;
    double (*function)(const reading *r, hb_similarity by);
    hb_similarity by; /* HB_N_SIMILARITIES: of no similarity */
    hb_direction risky;
    const char *question; /* a question that gives the value; NULL: `function` gives it */
    bool of_answer;       /* of the answer alone */
    bool of_states;       /* of the samples' states (hb_eigen_score) */
} measure;

#define HIGH       HB_DIRECTION_HIGH
#define LOW        HB_DIRECTION_LOW
#define MATCH      HB_SIMILARITY_MATCH
#define ROUGE      HB_SIMILARITY_ROUGE_L
#define JACCARD    HB_SIMILARITY_JACCARD
#define ENTAILMENT HB_SIMILARITY_ENTAILMENT
#define NONE       HB_N_SIMILARITIES

#define DISTINCT "number of different answers among the samples"
#define DISCRETE "entropy of the shares of samples of one meaning"
#define SEMANTIC "entropy of the probabilities of meanings"
#define SAMPLED  "mean surprise of the samples' meanings"
#define EIGV     "continuous number of groups of samples"
#define DEG      "mean dissimilarity of the samples"
#define ECC      "distance of the samples from their centre"
#define AGREES   "mean similarity of the answer to the samples"
#define COCOA    "surprise of the answer times its dissimilarity to the samples"
#define COCOAPPL "surprise per token times dissimilarity to the samples"

static const measure measures[] = {
    {"n_distinct", DISTINCT, n_distinct, MATCH, HIGH, NULL, false, false},
    {"discrete_semantic_entropy", DISCRETE, discrete_entropy, MATCH, HIGH, NULL, false, false},
    {"semantic_entropy", SEMANTIC, semantic_entropy, MATCH, HIGH, NULL, false, false},
    {"semantic_entropy_mc", SAMPLED, semantic_entropy_mc, MATCH, HIGH, NULL, false, false},
    {"lexical_similarity", "mean ROUGE-L of the pairs of samples", lexical_similarity, ROUGE, LOW, NULL,
     false, false},
    {"eigv", EIGV, eigv, JACCARD, HIGH, NULL, false, false},
    {"eigv:rouge", EIGV, eigv, ROUGE, HIGH, NULL, false, false},
    {"deg", DEG, deg, JACCARD, HIGH, NULL, false, false},
    {"deg:rouge", DEG, deg, ROUGE, HIGH, NULL, false, false},
    {"deg:match", DEG, deg, MATCH, HIGH, NULL, false, false},
    {"ecc", ECC, ecc, JACCARD, HIGH, NULL, false, false},
    {"ecc:rouge", ECC, ecc, ROUGE, HIGH, NULL, false, false},
    {"consistency", "share of samples that agree with the answer", consistency, MATCH, LOW, NULL, false,
     false},
    {"consistency:rouge", AGREES, consistency, ROUGE, LOW, NULL, false, false},
    {"cocoa", COCOA, cocoa, ROUGE, HIGH, NULL, false, false},
    {"cocoa:match", COCOA, cocoa, MATCH, HIGH, NULL, false, false},
    {"cocoa_ppl", COCOAPPL, cocoa_ppl, ROUGE, HIGH, NULL, false, false},
    {"cocoa_ppl:match", COCOAPPL, cocoa_ppl, MATCH, HIGH, NULL, false, false},
    {"predictive_entropy", "mean surprise of the samples", predictive_entropy, NONE, HIGH, NULL, false,
     false},
    {"normalised_entropy", "mean surprise per token of the samples", normalised_entropy, NONE, HIGH,
     NULL, false, false},
    {"selfcheck_ngram", "mean surprise of the answer's words", self_check_mean, NONE, HIGH, NULL, false,
     false},
    {"selfcheck_ngram_max", "largest surprise in a sentence", self_check_max, NONE, HIGH, NULL, false,
     false},
    {"eigenscore", "spread of the samples' states in the middle block", NULL, NONE, HIGH, NULL, false,
     true},
    {"n_distinct:entailment", DISTINCT, n_distinct, ENTAILMENT, HIGH, NULL, false, false},
    {"discrete_semantic_entropy:entailment", DISCRETE, discrete_entropy, ENTAILMENT, HIGH, NULL, false,
     false},
    {"semantic_entropy:entailment", SEMANTIC, semantic_entropy, ENTAILMENT, HIGH, NULL, false, false},
    {"semantic_entropy_mc:entailment", SAMPLED, semantic_entropy_mc, ENTAILMENT, HIGH, NULL, false,
     false},
    {"eigv:entailment", EIGV, eigv, ENTAILMENT, HIGH, NULL, false, false},
    {"deg:entailment", DEG, deg, ENTAILMENT, HIGH, NULL, false, false},
    {"ecc:entailment", ECC, ecc, ENTAILMENT, HIGH, NULL, false, false},
    {"consistency:entailment", AGREES, consistency, ENTAILMENT, LOW, NULL, false, false},
    {"cocoa:entailment", COCOA, cocoa, ENTAILMENT, HIGH, NULL, false, false},
    {"cocoa_ppl:entailment", COCOAPPL, cocoa_ppl, ENTAILMENT, HIGH, NULL, false, false},
    {"p_true", "P(True) of the answer", NULL, NONE, LOW, "p_true", true, false},
    {"p_true_ideas", "P(True) of the answer beside the samples", NULL, NONE, LOW, "p_true", false,
     false},
    {"verbalised", "the probability that the model states", NULL, NONE, LOW, "verbalised", true, false},
    {"self_assessment", "probability of choosing the answer's cluster", NULL, NONE, LOW,
     "self_assessment", false, false},
    {"selfcheck_prompt", "share of sentences that samples do not support", NULL, NONE, HIGH,
     "selfcheck", false, false},
};
#define N_MEASURES (sizeof measures / sizeof *measures)

const char *hb_measure_name(size_t i)
{
    return i < N_MEASURES ? measures[i].name : NULL;
}

const char *hb_measure_about(size_t i)
{
    return i < N_MEASURES ? measures[i].about : NULL;
}

hb_direction hb_measure_risky(size_t i)
{
    return i < N_MEASURES ? measures[i].risky : HB_DIRECTION_AUTO;
}

const char *hb_measure_question(size_t i)
{
    if (i >= N_MEASURES) return NULL;
    return measures[i].by == HB_SIMILARITY_ENTAILMENT ? "entailment" : measures[i].question;
}

bool hb_measure_needs_samples(size_t i)
{
    return i < N_MEASURES && !measures[i].of_answer;
}

bool hb_measure_needs_states(size_t i)
{
    return i < N_MEASURES && measures[i].of_states;
}

bool hb_measure_find(const char *name, size_t *i)
{
    for (size_t k = 0; k < N_MEASURES; k++) {
        if (strcmp(measures[k].name, name) != 0) continue;
        *i = k;
        return true;
    }
    return false;
}

/* ---- Computing ----------------------------------------------------------------------------------- */

/* The samples' part of a matrix: row and column 0 belong to the answer. */
static const double *of_samples(const hb_similarities *s, const double *matrix)
{
    return matrix + s->n + 1;
}

/* The matrix that decides whether two samples are in one cluster. */
static const double *deciding(const hb_similarities *s, hb_similarity by)
{
    return by == HB_SIMILARITY_ENTAILMENT ? s->entails : s->values[by];
}

static hb_status measure_clusters(reading *r, hb_similarity by, hb_error *err)
{
    size_t *cluster = calloc(r->n + 1, sizeof *cluster);
    double *log_probs = calloc(r->n + 1, sizeof *log_probs);
    hb_status status = cluster && log_probs ? HB_OK : hb_fail_memory(err);
    for (size_t k = 0; k < r->n && !status; k++) log_probs[k] = r->answers[1 + k].log_prob;
    if (!status) {
        r->n_clusters[by] = hb_cluster(of_samples(&r->similarities, deciding(&r->similarities, by)),
                                       r->n + 1, r->n, cluster);
        status = hb_cluster_measure(cluster, r->n_clusters[by], r->similarities.of_text + 1, log_probs,
                                    r->n, &r->entropies[by], err);
    }
    free(cluster);
    free(log_probs);
    return status;
}

static hb_status measure_graph(reading *r, hb_similarity by, hb_error *err)
{
    double *w = calloc(r->n * r->n + 1, sizeof *w);
    if (!w) return hb_fail_memory(err);
    for (size_t i = 0; i < r->n; i++)
        memcpy(w + i * r->n,
               of_samples(&r->similarities, r->similarities.values[by]) + i * r->similarities.n,
               r->n * sizeof *w);
    hb_status status = hb_graph_measure(w, r->n, &r->graphs[by], err);
    free(w);
    return status;
}

static hb_status read_all(reading *r, hb_error *err)
{
    const char **texts = calloc(r->n + 2, sizeof *texts);
    hb_read_answer *read = NULL;
    if (!texts) return hb_fail_memory(err);
    for (size_t i = 0; i <= r->n; i++) texts[i] = r->answers[i].text;
    hb_status status = hb_read_answers(texts, r->n + 1, &read, err);
    if (!status)
        status =
            hb_similarities_compute(r->answers, read, r->n + 1, r->entailment, &r->similarities, err);
    if (!status) status = hb_self_check_measure(texts[0], read, r->n, &r->check, err);
    for (int by = 0; by < HB_N_SIMILARITIES && !status; by++) {
        if (!r->similarities.values[by]) continue;
        status = measure_clusters(r, (hb_similarity)by, err);
        if (!status) status = measure_graph(r, (hb_similarity)by, err);
    }
    if (read) hb_read_answers_free(read, r->n + 1);
    free(texts);
    return status;
}

static hb_status make_scores(const reading *r, hb_scores **scores, hb_error *err)
{
    const char *names[N_MEASURES];
    double values[N_MEASURES];
    size_t n = 0;
    for (size_t i = 0; i < N_MEASURES; i++) {
        if (!measures[i].function || (measures[i].by == ENTAILMENT && !r->entailment)) continue;
        names[n] = measures[i].name;
        values[n++] = measures[i].function(r, measures[i].by);
    }
    hb_status status = hb_scores_of_names(names, n, scores, err);
    for (size_t i = 0; i < n && !status; i++) hb_scores_set(*scores, i, values[i]);
    return status;
}

static hb_status check(const hb_sampled *answers, size_t n, hb_error *err)
{
    if (n < 1) return hb_fail(err, HB_ERR_ARGUMENT, "measures need at least one sample");
    for (size_t i = 0; i <= n; i++)
        if (!isfinite(answers[i].log_prob) || answers[i].n_tokens < 1)
            return hb_fail(err, HB_ERR_ARGUMENT, "answer %zu has no log-probability", i);
    return HB_OK;
}

hb_status hb_measure_samples(const hb_sampled *answers, size_t n, const double *entailment,
                             hb_scores **scores, hb_error *err)
{
    reading r = {.answers = answers, .n = n, .entailment = entailment};
    hb_status status = check(answers, n, err);
    if (status) return status;
    status = read_all(&r, err);
    if (!status) status = make_scores(&r, scores, err);
    hb_similarities_free(&r.similarities);
    return status;
}

/* ---- Clusters ------------------------------------------------------------------------------------ */

/* Clusters the samples. The answer would join the first cluster whose first sample it is similar to. */
static void place(const double *similarity, size_t n, size_t *cluster, size_t *n_clusters)
{
    size_t stride = n + 1, next = 0;
    *n_clusters = hb_cluster(similarity + stride + 1, stride, n, cluster + 1);
    cluster[0] = *n_clusters;
    for (size_t k = 1; k <= n && cluster[0] == *n_clusters; k++) {
        if (cluster[k] != next) continue;
        next++;
        if (hb_are_similar(similarity, stride, 0, k)) cluster[0] = cluster[k];
    }
}

hb_status hb_cluster_samples(const hb_sampled *answers, size_t n, const double *entailment,
                             size_t *cluster, size_t *n_clusters, hb_error *err)
{
    hb_similarities s = {0};
    hb_read_answer *read = NULL;
    const char **texts = calloc(n + 2, sizeof *texts);
    hb_status status = texts ? HB_OK : hb_fail_memory(err);
    for (size_t i = 0; i <= n && !status; i++) texts[i] = answers[i].text;
    if (!status) status = hb_read_answers(texts, n + 1, &read, err);
    if (!status) status = hb_similarities_compute(answers, read, n + 1, NULL, &s, err);
    if (!status) place(entailment ? entailment : s.values[HB_SIMILARITY_MATCH], n, cluster, n_clusters);
    if (read) hb_read_answers_free(read, n + 1);
    hb_similarities_free(&s);
    free(texts);
    return status;
}
