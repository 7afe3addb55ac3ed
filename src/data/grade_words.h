/* The words of a text, which grading compares. */
#ifndef HB_DATA_GRADE_WORDS_H
#define HB_DATA_GRADE_WORDS_H

#include "base/buffer.h"
#include "data/grade_text.h"

typedef enum hb_word_kind {
    HB_WORD_PLAIN,
    HB_WORD_NUMBER, /* as hb_number_read writes it, after an optional sign */
    HB_WORD_UNIT,   /* the unit of a number: percent, dollar */
    HB_WORD_ARTICLE /* a, an, the */
} hb_word_kind;

typedef struct hb_word {
    size_t at, length; /* its bytes in the list's text */
    hb_word_kind kind;
    bool inner; /* a syllable of Hangul directly after another one: no Korean word begins here */
} hb_word;

typedef struct hb_words {
    hb_buffer text;
    hb_word *list; /* [n] */
    size_t n, room;
} hb_words;

/* How a text is read. */
typedef struct hb_reading {
    bool joined;   /* punctuation within a word is deleted; else it separates words */
    bool articles; /* articles are kept; else they are removed, unless there are no other words */
} hb_reading;
#define HB_N_READINGS 4
hb_reading hb_reading_at(int i);

/* HB_ERR_MEMORY. */
hb_status hb_words_read(const hb_characters *text, hb_reading reading, hb_words *out, hb_error *err);
void hb_words_free(hb_words *words);

/* Compares two words of these texts like memcmp. */
int hb_words_compare(const char *text_a, const hb_word *a, const char *text_b, const hb_word *b);
/* Whether word i of one list is word j of the other. */
bool hb_words_same(const hb_words *a, size_t i, const hb_words *b, size_t j);
/* Whether two texts have the same words. A number also equals the same number with a unit. */
bool hb_words_equal(const hb_words *a, const hb_words *b);
/* Whether `whole` contains the words of `part`, at least one, side by side. The match must not begin
 * inside a Korean word. O(n). HB_ERR_MEMORY. */
hb_status hb_words_find(const hb_words *whole, const hb_words *part, bool *found, hb_error *err);

/* Joins numbers with the words beside them: 5 million, minus 5, 14 July 1789, 5 dollars. */
bool hb_words_join_phrases(hb_words *words);

#endif
