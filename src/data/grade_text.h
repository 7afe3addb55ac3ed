/* Characters of a text, as grading reads them. */
#ifndef HB_DATA_GRADE_TEXT_H
#define HB_DATA_GRADE_TEXT_H

#include "base/error.h"

typedef enum hb_class {
    HB_CLASS_GAP,         /* white space and control characters */
    HB_CLASS_LETTER,      /* and what else words are made of */
    HB_CLASS_MARK,        /* combining: an accent, a vowel sign */
    HB_CLASS_DIGIT,       /* 0 to 9 */
    HB_CLASS_CHARACTER,   /* of a script without blanks between words: a word by itself */
    HB_CLASS_HANGUL,      /* a syllable: the same, but blanks are there and particles follow words */
    HB_CLASS_APOSTROPHE,  /* U+0027 */
    HB_CLASS_CURRENCY,    /* a sign like $ */
    HB_CLASS_PUNCTUATION, /* of Unicode's categories P */
    HB_CLASS_SYMBOL       /* all others of the categories S: emoji, mathematics */
} hb_class;

typedef struct hb_characters {
    int32_t *c;       /* [n], in Unicode's form NFKC (UAX 15) */
    uint8_t *classes; /* [n], an hb_class of each */
    size_t n;
} hb_characters;

/* The characters of any bytes, malformed ones as U+FFFD. What NFKC would run together is kept apart
 * first: 10^6 is written for ten with a superscript 6, 2.5 for two and a half. All apostrophes become
 * U+0027, digits of all scripts ASCII. Invisible characters are left out, and so are marks beyond 30 on
 * one letter, which would make the sorting of marks quadratic. */
hb_status hb_characters_read(const char *text, size_t length, hb_characters *out, hb_error *err);
void hb_characters_free(hb_characters *characters);

/* The character at i, and its class; 0 and a gap beyond the end. */
static inline int32_t hb_character_at(const hb_characters *text, size_t i)
{
    return i < text->n ? text->c[i] : 0;
}
static inline hb_class hb_class_at(const hb_characters *text, size_t i)
{
    return i < text->n ? (hb_class)text->classes[i] : HB_CLASS_GAP;
}

static inline bool hb_is_digit(int32_t c)
{
    return c >= '0' && c <= '9';
}

/* Whether words are made of it. */
static inline bool hb_is_wordlike(hb_class class)
{
    return class == HB_CLASS_LETTER || class == HB_CLASS_MARK || class == HB_CLASS_DIGIT;
}
static inline bool hb_is_word_at(const hb_characters *text, size_t i)
{
    return hb_is_wordlike(hb_class_at(text, i));
}

/* Writes what comparison knows of a letter or mark, case folded and, in Latin and Greek letters,
 * without accents; `base` is the letter that a mark belongs to, else 0. Returns how many characters, at
 * most HB_FOLD_MAX; a mark that does not count gives none. */
#define HB_FOLD_MAX 16
size_t hb_fold(int32_t c, int32_t base, int32_t folded[HB_FOLD_MAX]);

#endif
