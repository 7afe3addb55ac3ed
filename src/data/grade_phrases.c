/* Joins numbers with the words beside them: 5 million, minus 5, 5 dollars, 14 July 1789. */
#include <math.h>
#include <string.h>
#include "data/grade_number.h"
#include "data/grade_words.h"

/* The list while it is rewritten. Words from i on are not read yet, words before n_done are written.
 * The written words are never more than the read ones. */
typedef struct joiner {
    hb_words *words;
    size_t i, n_done;
    bool ok;
} joiner;

static const char *bytes_of(const hb_words *words, size_t i)
{
    return words->text.data + words->list[i].at;
}

static bool is_kind(const hb_words *words, size_t i, hb_word_kind kind)
{
    return i < words->n && words->list[i].kind == kind;
}

/* Whether word i is in a list of words separated by spaces. */
static bool is_among(const hb_words *words, size_t i, const char *list)
{
    if (!is_kind(words, i, HB_WORD_PLAIN)) return false;
    for (size_t n; *list; list += n + (list[n] == ' ')) {
        n = strcspn(list, " ");
        if (n == words->list[i].length && memcmp(list, bytes_of(words, i), n) == 0) return true;
    }
    return false;
}

static void write_word(joiner *j, hb_word word)
{
    j->words->list[j->n_done++] = word;
}

/* Writes a word with the bytes of the text from `at` on. */
static void write_new(joiner *j, size_t at, hb_word_kind kind)
{
    write_word(j, (hb_word){.at = at, .length = j->words->text.length - at, .kind = kind});
}

static void write_text(joiner *j, const char *text, hb_word_kind kind)
{
    size_t at = j->words->text.length;
    j->ok = j->ok && hb_buffer_add_text(&j->words->text, text);
    if (j->ok) write_new(j, at, kind);
}

/* ---- Dates -------------------------------------------------------------------------------------- */

/* The value of word i if it is a whole number within [first, last]; else 0. */
static int whole_at(const hb_words *words, size_t i, int first, int last)
{
    if (!is_kind(words, i, HB_WORD_NUMBER)) return 0;
    double value = hb_number_value(bytes_of(words, i), words->list[i].length);
    return value >= first && value <= last && floor(value) == value ? (int)value : 0;
}

/* The day of the month that word i means (14, 14th, 07); 0 for other words. */
static int day_at(const hb_words *words, size_t i)
{
    int day = whole_at(words, i, 1, 31);
    if (day || !is_kind(words, i, HB_WORD_PLAIN)) return day;
    const char *word = bytes_of(words, i), *end = word + words->list[i].length;
    int value = 0;
    for (; word < end && hb_is_digit(*word) && value <= 31; word++) value = value * 10 + (*word - '0');
    size_t n = (size_t)(end - word);
    bool ordinal = n == 2 && *word != ' ' && memmem("st nd rd th er", 14, word, 2);
    return value <= 31 && (n == 0 || ordinal) ? value : 0;
}

static int year_at(const hb_words *words, size_t i)
{
    return whole_at(words, i, 100, 9999);
}

static int month_at(const hb_words *words, size_t i, hb_month_kind *kind)
{
    if (!is_kind(words, i, HB_WORD_PLAIN)) return 0;
    return hb_month_find(bytes_of(words, i), words->list[i].length, kind);
}

/* The index after word i and an "of" after it. */
static size_t after(const hb_words *words, size_t i)
{
    return i + 1 + is_among(words, i + 1, "of de del di");
}

/* Reads a date such as 14 July 1789, July 14 1789 or July 1789, with or without the year. Returns its
 * number of words; 0 for none. */
static size_t find_date(const hb_words *words, size_t i, hb_date *date)
{
    hb_month_kind kind;
    size_t last = after(words, i);
    *date = (hb_date){.day = day_at(words, i)};
    if (date->day) {
        date->month = month_at(words, last, &kind);
    } else if (day_at(words, i + 1) || year_at(words, last)) {
        last = i;
        date->month = month_at(words, i, &kind);
        if (date->month && kind == HB_MONTH_ENGLISH) date->day = day_at(words, i + 1);
        last += date->day > 0;
    }
    if (!date->month) return 0;
    date->year = year_at(words, after(words, last));
    if (date->year) last = after(words, last);
    if (!date->day && (!date->year || kind == HB_MONTH_AMBIGUOUS)) return 0;
    return last + 1 - i;
}

/* The same for Chinese, Japanese and Korean dates, where characters mark year, month and day. */
static size_t find_date_cjk(const hb_words *words, size_t i, hb_date *date)
{
    size_t k = i;
    *date = (hb_date){0};
    int year = year_at(words, k);
    if (year && is_among(words, k + 1, "年 년")) date->year = year, k += 2;
    int month = whole_at(words, k, 1, 12);
    if (month && is_among(words, k + 1, "月 월")) date->month = month, k += 2;
    int day = date->month ? whole_at(words, k, 1, 31) : 0;
    if (day && is_among(words, k + 1, "日 号 號 일")) date->day = day, k += 2;
    return k - i;
}

static bool join_date(joiner *j)
{
    hb_date date;
    size_t n = find_date(j->words, j->i, &date);
    if (!n) n = find_date_cjk(j->words, j->i, &date);
    if (!n) return false;
    int parts[] = {date.day, date.year};
    char text[HB_NUMBER_MAX];
    j->i += n;
    for (int k = 0; k < 2; k++) {
        if (k && date.month) write_text(j, hb_month_name(date.month), HB_WORD_PLAIN);
        if (!parts[k]) continue;
        hb_number_write(parts[k], text);
        write_text(j, text, HB_WORD_NUMBER);
    }
    return true;
}

/* ---- Quantities --------------------------------------------------------------------------------- */

/* The power of ten that word i means; 0 for other words. */
static int power_at(const hb_words *words, size_t i)
{
    if (is_among(words, i, "hundred")) return 2;
    if (is_among(words, i, "thousand thousands")) return 3;
    if (is_among(words, i, "million millions")) return 6;
    if (is_among(words, i, "billion billions")) return 9;
    return is_among(words, i, "trillion trillions") ? 12 : 0;
}

/* The unit that begins with word i, and its number of words; NULL for none. */
static const char *unit_at(const hb_words *words, size_t i, size_t *n)
{
    static const char *const units[][2] = {
        {"percent pct prozent procent pourcent процент процента процентов", "percent"},
        {"dollar dollars usd", "dollar"},
        {"euro euros eur", "euro"},
        {"pound pounds gbp", "pound"},
        {"cent cents", "cent"},
        {"yen jpy", "yen"},
        {"rupee rupees inr", "rupee"},
        {"won krw", "won"},
        {"rouble roubles ruble rubles rub", "rouble"},
        {"lira liras", "lira"}};
    size_t american = is_among(words, i, "us") && is_among(words, i + 1, "dollar dollars");
    *n = 1 + american;
    for (size_t k = 0; k < sizeof units / sizeof *units; k++)
        if (is_among(words, i + american, units[k][0])) return units[k][1];
    *n = 2;
    bool percent = is_among(words, i, "per pour por") && is_among(words, i + 1, "cent ciento cento");
    return percent ? "percent" : NULL;
}

/* Writes number i, multiplied by a power of ten and negated with `minus`. */
static void write_number(joiner *j, size_t i, bool minus, int power)
{
    const hb_words *w = j->words;
    hb_buffer word = {0};
    if (!minus && !power) {
        write_word(j, w->list[i]);
        return;
    }
    size_t at = w->text.length;
    j->ok = hb_number_change(bytes_of(w, i), w->list[i].length, minus, power, &word) &&
            hb_buffer_add(&j->words->text, word.data, word.length);
    hb_buffer_free(&word);
    if (j->ok) write_new(j, at, HB_WORD_NUMBER);
}

/* If word i is the code of a currency before a number, the unit; else NULL. */
static const char *unit_before(const hb_words *words, size_t i)
{
    size_t n;
    if (!is_kind(words, i + 1, HB_WORD_NUMBER)) return NULL;
    return is_among(words, i, "usd eur gbp jpy inr krw rub") ? unit_at(words, i, &n) : NULL;
}

/* Whether word i makes the number after it negative. */
static bool is_minus(const joiner *j, size_t i)
{
    const hb_words *w = j->words;
    return is_among(w, i, "minus negative") && is_kind(w, i + 1, HB_WORD_NUMBER) &&
           *bytes_of(w, i + 1) != '-' && !(j->n_done && is_kind(w, j->n_done - 1, HB_WORD_NUMBER));
}

/* Reads a number with an optional "minus" or currency code before it, and powers of ten and a unit
 * after it. */
static bool join_number(joiner *j)
{
    const hb_words *w = j->words;
    size_t i = j->i, n_unit = 0;
    bool minus = is_minus(j, i);
    const char *code = unit_before(w, i);
    i += minus || code;
    if (!is_kind(w, i, HB_WORD_NUMBER)) return false;
    size_t number = i++;
    hb_word sign = {0};
    if (is_kind(w, i, HB_WORD_UNIT)) sign = w->list[i++];
    int power = 0;
    for (int more; power < 100 && (more = power_at(w, i)); i++) power += more;
    const char *unit = sign.length || code ? NULL : unit_at(w, i, &n_unit);
    j->i = unit ? i + n_unit : i;
    if (!unit && !sign.length) unit = code;
    write_number(j, number, minus, power);
    if (unit) write_text(j, unit, HB_WORD_UNIT);
    else if (sign.length && j->ok) write_word(j, sign);
    return true;
}

bool hb_words_join_phrases(hb_words *words)
{
    joiner j = {.words = words, .ok = true};
    while (j.i < words->n && j.ok)
        if (!join_date(&j) && !join_number(&j)) write_word(&j, words->list[j.i++]);
    words->n = j.n_done;
    return j.ok;
}
