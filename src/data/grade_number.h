/* Numbers and dates in a text: each way to write one becomes the same word. */
#ifndef HB_DATA_GRADE_NUMBER_H
#define HB_DATA_GRADE_NUMBER_H

#include "base/buffer.h"
#include "data/grade_text.h"

/* How the digits of a number are read. */
typedef struct hb_digits {
    bool minus;   /* a sign stands before them */
    bool lenient; /* blanks part digit groups, too, and so does a single point before three digits */
} hb_digits;

/* A number as it stands at the beginning of c[n], behind its sign: how many characters it takes, 0 for
 * none. Appends its word, all digits without zeros at either end and the power of ten: "-15e-1" for
 * -1.5, "1/3" for a fraction. What must follow a number is the caller's to check. */
size_t hb_number_read(const int32_t *c, size_t n, hb_digits how, hb_buffer *word, bool *ok);

/* Writes the word of a whole number from 0. */
#define HB_NUMBER_MAX 32
void hb_number_write(int value, char word[HB_NUMBER_MAX]);

/* The value of such a word, a sign before it or not; infinite beyond what a double holds. */
double hb_number_value(const char *word, size_t length);

/* Appends the word of a number times 10^power, its sign turned or not. A fraction takes no power. */
bool hb_number_change(const char *word, size_t length, bool turned, int power, hb_buffer *changed);

typedef struct hb_date {
    int day, month; /* from 1 */
    int year;
} hb_date;

/* A date in digits, 1789-07-14 or 14/07/1789 where it is clear which is the day, as it stands at the
 * beginning of c[n]: how many characters it takes, 0 for none. */
size_t hb_date_read(const int32_t *c, size_t n, hb_date *date);

typedef enum hb_month_kind {
    HB_MONTH_ENGLISH,
    HB_MONTH_OTHER,    /* in another of eight languages */
    HB_MONTH_AMBIGUOUS /* the same, and a name of something else: mars */
} hb_month_kind;

/* The month, from 1, of a name or its abbreviation, case folded and without accents; 0 for other words.
 */
int hb_month_find(const char *word, size_t length, hb_month_kind *kind);
const char *hb_month_name(int month); /* "january" ... */

#endif
