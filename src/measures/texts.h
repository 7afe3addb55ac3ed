/* Answers as lists of words, in the readings of the grader, and what compares two of them. */
#ifndef HB_MEASURES_TEXTS_H
#define HB_MEASURES_TEXTS_H

#include "data/grade_words.h"

/* One answer. `readings` has its words in each reading of the grader (hb_reading_at). */
typedef struct hb_read_answer {
    hb_words readings[HB_N_READINGS];
} hb_read_answer;

/* The words with articles, and with punctuation as a separator, which all similarities but the match
 * compare. */
const hb_words *hb_plain_words(const hb_read_answer *answer);

/* Reads n answers. Release *answers with hb_read_answers_free. HB_ERR_MEMORY. */
hb_status hb_read_answers(const char *const *texts, size_t n, hb_read_answer **answers, hb_error *err);
void hb_read_answers_free(hb_read_answer *answers, size_t n);

/* Whether the grader would take one for the other: the words are equal in one of the readings. Two
 * answers without words are equal. */
bool hb_answers_match(const hb_read_answer *a, const hb_read_answer *b);

/* ROUGE-L (Lin, ROUGE: A Package for Automatic Evaluation of Summaries, 2004): F1 of the longest common
 * subsequence of words, in [0, 1]. Takes O(|a| |b|) time. 1 for two answers without words.
 * HB_ERR_MEMORY. */
hb_status hb_rouge_l(const hb_words *a, const hb_words *b, double *value, hb_error *err);

/* Jaccard's index of the sets of words, in [0, 1]; 1 for two answers without words. HB_ERR_MEMORY. */
hb_status hb_jaccard(const hb_words *a, const hb_words *b, double *value, hb_error *err);

/* Sorts words by their text, equal ones side by side. NULL when memory runs out; release with free().
 */
hb_word *hb_words_sorted(const hb_words *words);

#endif
