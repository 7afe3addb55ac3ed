/* Numbers and dates in a text. All spellings of a number become the same word. */
#ifndef HB_DATA_GRADE_NUMBER_H
#define HB_DATA_GRADE_NUMBER_H

#include "base/buffer.h"
#include "data/grade_text.h"

/* How the digits of a number are read. */
typedef struct hb_digits {
    bool minus; /* a sign precedes the digits */
    bool
        lenient; /* spaces also separate digit groups, and so does a single point before three digits */
} hb_digits;

/* Reads a number at the beginning of c[n], after its sign. Returns its number of characters; 0 for
 * none. Appends its word: all digits without zeros at either end, and the power of ten. It is "-15e-1"
 * for -1.5 and "1/3" for a fraction. The caller checks the characters after the number. */
size_t hb_number_read(const int32_t *c, size_t n, hb_digits how, hb_buffer *word, bool *ok);

/* Appends the word of a whole number >= 0. */
#define HB_NUMBER_MAX 32
void hb_number_write(int value, char word[HB_NUMBER_MAX]);

/* The value of such a word with an optional sign; infinite if a double cannot hold it. */
double hb_number_value(const char *word, size_t length);

/* Appends the word of a number times 10^power, negated if asked for. A fraction ignores the power. */
bool hb_number_change(const char *word, size_t length, bool turned, int power, hb_buffer *changed);

typedef struct hb_date {
    int day, month; /* from 1 */
    int year;
} hb_date;

/* Reads a date in digits at the beginning of c[n]: 1789-07-14, or 14/07/1789 if it is clear which
 * number is the day. Returns its number of characters; 0 for none. */
size_t hb_date_read(const int32_t *c, size_t n, hb_date *date);

typedef enum hb_month_kind {
    HB_MONTH_ENGLISH,
    HB_MONTH_OTHER,    /* a name in one of the other languages */
    HB_MONTH_AMBIGUOUS /* a name that also has another meaning, such as mars */
} hb_month_kind;

/* The month, from 1, of a name or an abbreviation, which is case folded and without accents; 0 for
 * other words. */
int hb_month_find(const char *word, size_t length, hb_month_kind *kind);
const char *hb_month_name(int month); /* "january" ... */

#endif
