#include "measures/similarity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/names.h"

static const char *const names[HB_N_SIMILARITIES] = {[HB_SIMILARITY_MATCH] = "match",
                                                     [HB_SIMILARITY_ROUGE_L] = "rouge",
                                                     [HB_SIMILARITY_JACCARD] = "jaccard",
                                                     [HB_SIMILARITY_ENTAILMENT] = "entailment"};

const char *hb_similarity_name(hb_similarity similarity)
{
    return HB_NAME(names, similarity);
}

void hb_similarities_free(hb_similarities *s)
{
    for (int i = 0; i < HB_N_SIMILARITIES; i++) free(s->values[i]);
    free(s->entails);
    free(s->of_text);
}

static hb_status allocate(hb_similarities *s, bool entailment, hb_error *err)
{
    s->of_text = calloc(s->n + 1, sizeof *s->of_text);
    bool ok = s->of_text;
    for (int i = 0; i < HB_N_SIMILARITIES && ok; i++)
        if (i != HB_SIMILARITY_ENTAILMENT || entailment)
            ok = (s->values[i] = calloc(s->n * s->n + 1, sizeof(double))) != NULL;
    if (ok && entailment) ok = (s->entails = calloc(s->n * s->n + 1, sizeof *s->entails)) != NULL;
    return ok ? HB_OK : hb_fail_memory(err);
}

static void set(hb_similarities *s, hb_similarity which, size_t i, size_t j, double value)
{
    s->values[which][i * s->n + j] = s->values[which][j * s->n + i] = value;
}

/* Compares two different texts. */
static hb_status compare(hb_similarities *s, const hb_read_answer *read, size_t i, size_t j,
                         hb_error *err)
{
    const hb_words *a = hb_plain_words(&read[i]), *b = hb_plain_words(&read[j]);
    double rouge, jaccard;
    hb_status status = hb_rouge_l(a, b, &rouge, err);
    if (!status) status = hb_jaccard(a, b, &jaccard, err);
    if (status) return status;
    set(s, HB_SIMILARITY_MATCH, i, j, hb_answers_match(&read[i], &read[j]));
    set(s, HB_SIMILARITY_ROUGE_L, i, j, rouge);
    set(s, HB_SIMILARITY_JACCARD, i, j, jaccard);
    return HB_OK;
}

/* Sets a pair from the pair of the first answers with the same texts. */
static void copy_pair(hb_similarities *s, size_t i, size_t j)
{
    size_t a = s->of_text[i], b = s->of_text[j];
    for (int k = 0; k < HB_SIMILARITY_ENTAILMENT; k++)
        set(s, (hb_similarity)k, i, j, a == b ? 1 : s->values[k][a * s->n + b]);
}

/* Takes both directions of a pair from the first answers with the same texts. */
static void copy_entailment(hb_similarities *s, const double *given, size_t i, size_t j)
{
    size_t a = s->of_text[i], b = s->of_text[j], n = s->n;
    s->entails[i * n + j] = a == b ? 1 : given[a * n + b];
    s->entails[j * n + i] = a == b ? 1 : given[b * n + a];
    set(s, HB_SIMILARITY_ENTAILMENT, i, j, (s->entails[i * n + j] + s->entails[j * n + i]) / 2);
}

hb_status hb_similarities_compute(const hb_sampled *answers, const hb_read_answer *read, size_t n,
                                  const double *entailment, hb_similarities *similarities,
                                  hb_error *err)
{
    hb_similarities s = {.n = n};
    hb_status status = allocate(&s, entailment, err);
    for (size_t i = 0; i < n && !status; i++) {
        size_t first = 0;
        while (strcmp(answers[first].text, answers[i].text) != 0) first++;
        s.of_text[i] = first;
        for (size_t j = 0; j <= i && !status; j++) {
            if (s.of_text[i] == i && s.of_text[j] == j && i != j) status = compare(&s, read, i, j, err);
            else copy_pair(&s, i, j);
            if (entailment) copy_entailment(&s, entailment, i, j);
        }
    }
    if (status) hb_similarities_free(&s);
    else *similarities = s;
    return status;
}
