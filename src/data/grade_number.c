#include "data/grade_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_EXPONENT_DIGITS 6  /* a longer exponent is not part of a number */
#define DOUBLE_DIGITS       40 /* more digits do not change a double */
#define MAX_GROUPS          64 /* limits the work for digit groups that turn out invalid */

/* The parts of a written number. */
typedef struct number {
    const int32_t *c;
    size_t n;
    size_t whole;        /* characters of the whole part, digit groups included */
    size_t decimals;     /* digits after the point */
    size_t end;          /* end of these digits */
    long exponent;       /* the power of ten after the digits */
    int32_t group;       /* separator of digit groups; 0: none */
    size_t whole_digits; /* in its first group */
} number;

/* The character at i, 0 beyond the end. */
static int32_t at(const number *x, size_t i)
{
    return i < x->n ? x->c[i] : 0;
}

static size_t digits_at(const number *x, size_t i)
{
    size_t k = i;
    while (k < x->n && hb_is_digit(x->c[k])) k++;
    return k - i;
}

static bool is_minus(int32_t c)
{
    return c == '-' || c == 0x2212;
}

/* ---- Digit groups, decimals --------------------------------------------------------------------- */

/* The number of characters of the whole part if `mark` separates its digit groups: up to three digits
 * and then groups of three or, with commas, India's groups of two before the last three. 0 if the
 * digits are not grouped like this. */
static size_t grouped(const number *x, int32_t mark, size_t *n_groups)
{
    size_t i = x->whole_digits;
    *n_groups = 0;
    if (i < 1 || i > 3 || x->c[0] == '0') return 0;
    if (mark == ',' && i <= 2)
        for (; at(x, i) == mark && digits_at(x, i + 1) == 2; i += 3)
            if (++*n_groups > MAX_GROUPS) return 0;
    bool twos = *n_groups > 0;
    for (; !twos && at(x, i) == mark && digits_at(x, i + 1) == 3; i += 4)
        if (++*n_groups > MAX_GROUPS) return 0;
    if (twos && !(at(x, i) == mark && digits_at(x, i + 1) == 3)) return 0;
    if (twos) i += 4;
    if (mark != ' ' && at(x, i) == mark && digits_at(x, i + 1)) return 0;
    return *n_groups ? i : 0;
}

/* Finds the whole part. A single point before three digits is a decimal point, unless a decimal comma
 * follows or the reading is lenient. */
static void read_whole(number *x, bool lenient)
{
    static const int32_t marks[] = {',', '\'', '.', ' '};
    size_t n_groups;
    x->whole = x->whole_digits = digits_at(x, 0);
    for (size_t k = 0; k < sizeof marks / sizeof *marks; k++) {
        size_t length = grouped(x, marks[k], &n_groups);
        if (!length || (marks[k] == ' ' && !lenient)) continue;
        bool comma = at(x, length) == ',' && digits_at(x, length + 1);
        if (marks[k] == '.' && n_groups == 1 && !comma && !lenient) continue;
        x->whole = length;
        x->group = marks[k];
        return;
    }
}

/* Whether the comma after the whole part, before n digits, is a decimal comma and does not separate a
 * list. */
static bool is_decimal_comma(const number *x, size_t n)
{
    if (x->group == ',' || n == 0) return false;
    if (at(x, x->whole + 1 + n) == ',' && digits_at(x, x->whole + 2 + n)) return false;
    if (x->group) return true;
    if (n == 3) return x->whole_digits > 3 || x->c[0] == '0';
    return n < 3 || x->whole_digits <= 2;
}

/* False if the text only begins like a number: a version (1.0.3), a code (007). */
static bool read_decimals(number *x)
{
    size_t n = digits_at(x, x->whole + 1);
    x->end = x->whole;
    bool point = at(x, x->whole) == '.' && x->group != '.' && n;
    if (point || (at(x, x->whole) == ',' && is_decimal_comma(x, n))) {
        x->decimals = n;
        x->end = x->whole + 1 + n;
    }
    if (!x->whole && !x->decimals) return false;
    if (point && at(x, x->end) == '.' && digits_at(x, x->end + 1)) return false;
    return !(x->whole_digits > 1 && x->c[0] == '0');
}

/* ---- Powers of ten ------------------------------------------------------------------------------ */

/* Reads a whole number with its sign at i. Returns the number of characters; 0 for none. */
static size_t read_exponent(const number *x, size_t i, long *exponent)
{
    size_t sign = is_minus(at(x, i)) || at(x, i) == '+', n = digits_at(x, i + sign);
    if (n < 1 || n > MAX_EXPONENT_DIGITS) return 0;
    *exponent = 0;
    for (size_t k = 0; k < n; k++) *exponent = *exponent * 10 + (x->c[i + sign + k] - '0');
    if (sign && at(x, i) != '+') *exponent = -*exponent;
    return sign + n;
}

static bool is_times(int32_t c)
{
    return c == 0xD7 || c == 'x' || c == 'X' || c == '*' || c == 0xB7 || c == 0x22C5;
}

/* The number of characters of "x 10^6" at i; 0 for none. */
static size_t read_power(const number *x, size_t i, long *exponent)
{
    size_t k = i;
    if (at(x, k) == ' ') k++;
    if (!is_times(at(x, k++))) return 0;
    if (at(x, k) == ' ') k++;
    if (at(x, k) != '1' || at(x, k + 1) != '0' || at(x, k + 2) != '^') return 0;
    size_t n = read_exponent(x, k + 3, exponent);
    return n ? k + 3 + n - i : 0;
}

/* Reads a power of ten after the digits. If the digits are the 10 of a power such as 10^6, they become
 * part of it. */
static void read_scale(number *x)
{
    size_t n = 0;
    bool ten = x->whole == 2 && !x->decimals && x->c[0] == '1' && x->c[1] == '0';
    if (ten && at(x, 2) == '^') {
        n = read_exponent(x, 3, &x->exponent);
        if (n) x->exponent--; /* the 10 itself is one power of ten */
        x->end += n ? n + 1 : 0;
    } else if (at(x, x->end) == 'e' || at(x, x->end) == 'E') {
        n = read_exponent(x, x->end + 1, &x->exponent);
        x->end += n ? n + 1 : 0;
    } else {
        x->end += read_power(x, x->end, &x->exponent);
    }
}

/* ---- Words -------------------------------------------------------------------------------------- */

/* Appends the digits between i and end, without separators. */
static bool add_digits(const number *x, size_t i, size_t end, hb_buffer *out)
{
    for (; i < end; i++)
        if (hb_is_digit(x->c[i]) && !hb_buffer_add(out, &(char){(char)x->c[i]}, 1)) return false;
    return true;
}

/* Appends "15e-1" for the digits 0150 and the exponent -2. Zero has no sign. */
static bool add_word(bool minus, const char *digits, size_t n, long exponent, hb_buffer *word)
{
    char tail[32];
    for (; n && *digits == '0'; n--) digits++;
    for (; n && digits[n - 1] == '0'; n--) exponent++;
    if (!n) return hb_buffer_add_text(word, "0e0");
    snprintf(tail, sizeof tail, "e%ld", exponent);
    return (!minus || hb_buffer_add(word, "-", 1)) && hb_buffer_add(word, digits, n) &&
           hb_buffer_add_text(word, tail);
}

void hb_number_write(int value, char word[HB_NUMBER_MAX])
{
    int zeros = 0;
    for (; value && value % 10 == 0; value /= 10) zeros++;
    snprintf(word, HB_NUMBER_MAX, "%de%d", value, zeros);
}

/* Reads a fraction such as "3/4" whose numerator was read. Appends it unchanged. Returns its number of
 * characters; 0 for none. */
static size_t read_fraction(const number *x, bool minus, hb_buffer *word, bool *ok)
{
    size_t i = x->whole, n = digits_at(x, i + 1);
    if (x->end != i || x->group || (at(x, i) != '/' && at(x, i) != 0x2044)) return 0;
    if (!n || at(x, i + 1) == '0') return 0;
    size_t end = i + 1 + n;
    if ((at(x, end) == '/' || at(x, end) == '.') && digits_at(x, end + 1)) return 0;
    *ok = *ok && (!minus || hb_buffer_add(word, "-", 1)) && add_digits(x, 0, i, word) &&
          hb_buffer_add(word, "/", 1) && add_digits(x, i + 1, end, word);
    return end;
}

size_t hb_number_read(const int32_t *c, size_t n, hb_digits how, hb_buffer *word, bool *ok)
{
    number x = {.c = c, .n = n};
    read_whole(&x, how.lenient);
    if (!read_decimals(&x)) return 0;
    size_t fraction = read_fraction(&x, how.minus, word, ok);
    if (fraction) return fraction;
    size_t digits_end = x.end;
    read_scale(&x);
    hb_buffer digits = {0};
    *ok = *ok && hb_buffer_add(&digits, "", 0) && add_digits(&x, 0, digits_end, &digits) &&
          add_word(how.minus, digits.data, digits.length, x.exponent - (long)x.decimals, word);
    hb_buffer_free(&digits);
    return x.end;
}

/* The power of ten of a word, which follows its e; 0 without one. */
static long exponent_of(const char *e, const char *end)
{
    char text[HB_NUMBER_MAX] = "";
    size_t n = e ? (size_t)(end - e) - 1 : 0;
    if (n && n < sizeof text) memcpy(text, e + 1, n);
    return strtol(text, NULL, 10);
}

bool hb_number_change(const char *word, size_t length, bool turned, int power, hb_buffer *changed)
{
    const char *end = word + length, *e = memchr(word, 'e', length);
    bool minus = *word == '-';
    word += minus;
    if (e)
        return add_word(minus != turned, word, (size_t)(e - word), exponent_of(e, end) + power,
                        changed);
    return (minus == turned || hb_buffer_add(changed, "-", 1)) &&
           hb_buffer_add(changed, word, (size_t)(end - word));
}

/* The value of "-15e-1". */
static double value_of(const char *word, size_t length)
{
    char text[DOUBLE_DIGITS + 32];
    const char *e = memchr(word, 'e', length), *end = word + length;
    bool minus = length && *word == '-';
    size_t n = (size_t)((e ? e : end) - word) - minus, kept = n < DOUBLE_DIGITS ? n : DOUBLE_DIGITS;
    long exponent = exponent_of(e, end) + (long)(n - kept);
    snprintf(text, sizeof text, "%s%.*se%ld", minus ? "-" : "", (int)kept, word + minus, exponent);
    return strtod(text, NULL);
}

double hb_number_value(const char *word, size_t length)
{
    const char *slash = memchr(word, '/', length);
    if (!slash) return value_of(word, length);
    size_t n = (size_t)(slash - word);
    return value_of(word, n) / value_of(slash + 1, length - n - 1);
}
