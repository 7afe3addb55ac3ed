#include "measures/texts.h"

#include <stdlib.h>
#include <string.h>

/* ---- Reading ------------------------------------------------------------------------------------ */

/* The number of the reading with articles, and with punctuation as a separator. */
static int plain_reading(void)
{
    int i = 0;
    while (hb_reading_at(i).joined || !hb_reading_at(i).articles) i++;
    return i;
}

const hb_words *hb_plain_words(const hb_read_answer *answer)
{
    return &answer->readings[plain_reading()];
}

static hb_status read_answer(const char *text, hb_read_answer *answer, hb_error *err)
{
    hb_characters characters;
    hb_status status = hb_characters_read(text, strlen(text), &characters, err);
    if (status) return status;
    for (int i = 0; i < HB_N_READINGS && !status; i++)
        status = hb_words_read(&characters, hb_reading_at(i), &answer->readings[i], err);
    hb_characters_free(&characters);
    return status;
}

hb_status hb_read_answers(const char *const *texts, size_t n, hb_read_answer **answers, hb_error *err)
{
    hb_read_answer *list = calloc(n + 1, sizeof *list);
    hb_status status = list ? HB_OK : hb_fail_memory(err);
    for (size_t i = 0; i < n && !status; i++) status = read_answer(texts[i], &list[i], err);
    if (status) hb_read_answers_free(list, list ? n : 0);
    else *answers = list;
    return status;
}

void hb_read_answers_free(hb_read_answer *answers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < HB_N_READINGS; k++) hb_words_free(&answers[i].readings[k]);
    free(answers);
}

/* ---- Comparing ---------------------------------------------------------------------------------- */

bool hb_answers_match(const hb_read_answer *a, const hb_read_answer *b)
{
    for (int i = 0; i < HB_N_READINGS; i++)
        if (hb_words_equal(&a->readings[i], &b->readings[i])) return true;
    return false;
}

/* The length of the longest common subsequence of words. `row` [b->n + 1] is zeroed. */
static size_t common_length(const hb_words *a, const hb_words *b, size_t *row)
{
    for (size_t i = 0; i < a->n; i++) {
        size_t diagonal = 0; /* of the row before */
        for (size_t j = 0; j < b->n; j++) {
            size_t above = row[j + 1];
            if (hb_words_same(a, i, b, j)) row[j + 1] = diagonal + 1;
            else if (row[j] > above) row[j + 1] = row[j];
            diagonal = above;
        }
    }
    return row[b->n];
}

hb_status hb_rouge_l(const hb_words *a, const hb_words *b, double *value, hb_error *err)
{
    size_t *row = calloc(b->n + 1, sizeof *row);
    if (!row) return hb_fail_memory(err);
    size_t n = a->n + b->n;
    *value = n ? 2.0 * (double)common_length(a, b, row) / (double)n : 1;
    free(row);
    return HB_OK;
}

static int compare_words(const void *a, const void *b, void *text)
{
    return hb_words_compare(text, a, text, b);
}

hb_word *hb_words_sorted(const hb_words *words)
{
    hb_word *sorted = malloc((words->n + 1) * sizeof *sorted);
    if (!sorted || !words->n) return sorted;
    memcpy(sorted, words->list, words->n * sizeof *sorted);
    qsort_r(sorted, words->n, sizeof *sorted, compare_words, words->text.data);
    return sorted;
}

/* The place of the next different word in a sorted list [n]. */
static size_t skip(const hb_words *words, const hb_word *sorted, size_t i)
{
    const char *text = words->text.data;
    size_t next = i + 1;
    while (next < words->n && hb_words_compare(text, &sorted[i], text, &sorted[next]) == 0) next++;
    return next;
}

/* Sizes of the intersection and the union of two sorted lists as sets. */
static void count_sets(const hb_words *a, const hb_word *of_a, const hb_words *b, const hb_word *of_b,
                       size_t *common, size_t *all)
{
    *common = *all = 0;
    for (size_t i = 0, j = 0; i < a->n || j < b->n; ++*all) {
        int order = i == a->n   ? 1
                    : j == b->n ? -1
                                : hb_words_compare(a->text.data, &of_a[i], b->text.data, &of_b[j]);
        *common += order == 0;
        if (order <= 0) i = skip(a, of_a, i);
        if (order >= 0) j = skip(b, of_b, j);
    }
}

hb_status hb_jaccard(const hb_words *a, const hb_words *b, double *value, hb_error *err)
{
    hb_word *of_a = hb_words_sorted(a), *of_b = hb_words_sorted(b);
    size_t common = 0, all = 0;
    bool ok = of_a && of_b;
    if (ok) count_sets(a, of_a, b, of_b, &common, &all);
    if (ok) *value = all ? (double)common / (double)all : 1;
    free(of_a);
    free(of_b);
    return ok ? HB_OK : hb_fail_memory(err);
}
