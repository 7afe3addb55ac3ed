/* The characters of a text for grading. */
#ifndef HB_DATA_GRADE_TEXT_H
#define HB_DATA_GRADE_TEXT_H

#include "base/error.h"

typedef enum hb_class {
    HB_CLASS_GAP,       /* white space and control characters */
    HB_CLASS_LETTER,    /* other characters of words */
    HB_CLASS_MARK,      /* combining: an accent, a vowel sign */
    HB_CLASS_DIGIT,     /* 0 to 9 */
    HB_CLASS_CHARACTER, /* of a script without spaces between words; each is a word */
    HB_CLASS_HANGUL, /* a syllable; each is a word, but Korean has spaces, and particles follow words */
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

/* Reads the characters of any bytes; malformed bytes become U+FFFD. Digits that NFKC would join are
 * separated first: ten with a superscript 6 becomes 10^6, two with a character for a half becomes 2.5.
 * All apostrophes become U+0027, digits of all scripts ASCII. Invisible characters are removed, and so
 * are more than 30 marks on one letter, because sorting marks takes quadratic time. */
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

/* Whether it is part of words. */
static inline bool hb_is_wordlike(hb_class class)
{
    return class == HB_CLASS_LETTER || class == HB_CLASS_MARK || class == HB_CLASS_DIGIT;
}
static inline bool hb_is_word_at(const hb_characters *text, size_t i)
{
    return hb_is_wordlike(hb_class_at(text, i));
}

/* Writes a letter or mark in the form that is compared: case folded and, for Latin and Greek letters,
 * without accents. `base` is the letter of a mark, else 0. Returns the number of characters, at most
 * HB_FOLD_MAX; 0 for a mark that is ignored. */
#define HB_FOLD_MAX 16
size_t hb_fold(int32_t c, int32_t base, int32_t folded[HB_FOLD_MAX]);

#endif
