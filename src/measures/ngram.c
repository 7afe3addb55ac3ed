#include "measures/ngram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "measures/sentences.h"

/* How often a word occurs in a sorted list. */
static size_t count(const hb_words *words, const hb_word *sorted, const char *text, const hb_word *word)
{
    size_t low = 0, high = words->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (hb_words_compare(words->text.data, &sorted[middle], text, word) < 0) low = middle + 1;
        else high = middle;
    }
    for (high = low; high < words->n; high++)
        if (hb_words_compare(words->text.data, &sorted[high], text, word) != 0) break;
    return high - low;
}

/* The words of all answers. */
typedef struct corpus {
    const hb_read_answer *answers;
    hb_word **sorted; /* [n] */
    size_t n, total;
} corpus;

static void close_corpus(corpus *c)
{
    for (size_t i = 0; c->sorted && i < c->n; i++) free(c->sorted[i]);
    free(c->sorted);
}

static hb_status open_corpus(const hb_read_answer *answers, size_t n, corpus *c, hb_error *err)
{
    *c = (corpus){.answers = answers, .n = n, .sorted = calloc(n + 1, sizeof *c->sorted)};
    bool ok = c->sorted;
    for (size_t i = 0; i < n && ok; i++) {
        const hb_words *words = hb_plain_words(&answers[i]);
        ok = (c->sorted[i] = hb_words_sorted(words)) != NULL;
        c->total += words->n;
    }
    if (ok) return HB_OK;
    close_corpus(c);
    return hb_fail_memory(err);
}

/* -ln P(word). A word that is in no answer, because a sentence alone is read in another way than in its
 * text, counts as occurring once. */
static double surprise_of(const corpus *c, const char *text, const hb_word *word)
{
    size_t found = 0;
    for (size_t i = 0; i < c->n; i++)
        found += count(hb_plain_words(&c->answers[i]), c->sorted[i], text, word);
    return -log((double)(found ? found : 1) / (double)c->total);
}

/* Adds the sentence's surprises; *max becomes the largest. */
static double sum_words(const corpus *c, const hb_words *words, double *max)
{
    double sum = 0;
    *max = 0;
    for (size_t i = 0; i < words->n; i++) {
        double surprise = surprise_of(c, words->text.data, &words->list[i]);
        sum += surprise;
        *max = fmax(*max, surprise);
    }
    return sum;
}

static hb_status check_sentence(const corpus *c, const char *sentence, size_t length, double *max,
                                bool *has_words, hb_error *err)
{
    hb_read_answer *read;
    char *copy = strndup(sentence, length);
    if (!copy) return hb_fail_memory(err);
    hb_status status = hb_read_answers(&(const char *){copy}, 1, &read, err);
    free(copy);
    if (status) return status;
    sum_words(c, hb_plain_words(read), max);
    *has_words = hb_plain_words(read)->n > 0;
    hb_read_answers_free(read, 1);
    return HB_OK;
}

hb_status hb_self_check_measure(const char *text, const hb_read_answer *answers, size_t n,
                                hb_self_check *check, hb_error *err)
{
    corpus c;
    size_t at = 0, start, end, n_sentences = 0;
    double max;
    const hb_words *words = hb_plain_words(&answers[0]);
    hb_status status = open_corpus(answers, n + 1, &c, err);
    if (status) return status;
    *check = (hb_self_check){0};
    if (words->n) check->mean = sum_words(&c, words, &max) / (double)words->n;
    while (!status && words->n && hb_sentence_next(text, strlen(text), &at, &start, &end)) {
        bool has_words = false;
        status = check_sentence(&c, text + start, end - start, &max, &has_words, err);
        if (!status && has_words) check->max += max, n_sentences++;
    }
    if (n_sentences) check->max /= (double)n_sentences;
    close_corpus(&c);
    return status;
}
