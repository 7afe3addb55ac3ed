/* Divides the characters of a text into words. */
#include "data/grade_words.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "base/memory.h"
#include "data/grade_number.h"

typedef struct reader {
    const hb_characters *text;
    size_t i; /* the next character */
    bool joined;
    bool after_syllable; /* of Hangul */
    hb_words *out;
    bool ok;
} reader;

hb_reading hb_reading_at(int i)
{
    return (hb_reading){.joined = i & 1, .articles = i & 2};
}

/* ---- The list ----------------------------------------------------------------------------------- */

/* Adds a word with the bytes of the text from `begin` on. */
static bool add(reader *r, size_t begin, hb_word_kind kind)
{
    hb_words *words = r->out;
    hb_word *list = hb_grown(words->list, words->n, sizeof *list, &words->room);
    if (!list) return false;
    words->list = list;
    words->list[words->n++] =
        (hb_word){.at = begin, .length = words->text.length - begin, .kind = kind};
    return true;
}

static bool add_text(reader *r, const char *text, hb_word_kind kind)
{
    size_t begin = r->out->text.length;
    return hb_buffer_add_text(&r->out->text, text) && add(r, begin, kind);
}

void hb_words_free(hb_words *words)
{
    hb_buffer_free(&words->text);
    free(words->list);
    *words = (hb_words){0};
}

int hb_words_compare(const char *text_a, const hb_word *a, const char *text_b, const hb_word *b)
{
    int order = memcmp(text_a + a->at, text_b + b->at, a->length < b->length ? a->length : b->length);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

bool hb_words_same(const hb_words *a, size_t i, const hb_words *b, size_t j)
{
    return a->list[i].length == b->list[j].length &&
           hb_words_compare(a->text.data, &a->list[i], b->text.data, &b->list[j]) == 0;
}

/* Whether one text is only a number and the other is the same number with a unit: 50 and 50 %. */
static bool is_unit_apart(const hb_words *a, const hb_words *b)
{
    const hb_words *longer = a->n > b->n ? a : b;
    return a->n + b->n == 3 && longer->list[1].kind == HB_WORD_UNIT && hb_words_same(a, 0, b, 0);
}

bool hb_words_equal(const hb_words *a, const hb_words *b)
{
    if (a->n != b->n) return a->n && b->n && is_unit_apart(a, b);
    for (size_t i = 0; i < a->n; i++)
        if (!hb_words_same(a, i, b, i)) return false;
    return true;
}

/* Knuth, Morris and Pratt, Fast Pattern Matching in Strings, 1977. */
hb_status hb_words_find(const hb_words *whole, const hb_words *part, bool *found, hb_error *err)
{
    size_t *border =
        calloc(part->n + 1, sizeof *border); /* length of the longest border of the first i words */
    if (!border) return hb_fail_memory(err);
    for (size_t i = 1, k = 0; i < part->n; i++) {
        while (k && !hb_words_same(part, i, part, k)) k = border[k];
        k += hb_words_same(part, i, part, k);
        border[i + 1] = k;
    }
    *found = false;
    for (size_t i = 0, k = 0; i < whole->n && !*found; i++) {
        while (k && (k == part->n || !hb_words_same(whole, i, part, k))) k = border[k];
        k += hb_words_same(whole, i, part, k);
        *found = k == part->n && !whole->list[i + 1 - k].inner;
    }
    free(border);
    return HB_OK;
}

/* ---- Characters --------------------------------------------------------------------------------- */

static int32_t at(const reader *r, size_t i)
{
    return hb_character_at(r->text, i);
}

static hb_class class_at(const reader *r, size_t i)
{
    return hb_class_at(r->text, i);
}

static bool is_word_at(const reader *r, size_t i)
{
    return hb_is_word_at(r->text, i);
}

static bool is_letter_at(const reader *r, size_t i)
{
    hb_class class = class_at(r, i);
    return class == HB_CLASS_LETTER || class == HB_CLASS_MARK;
}

/* Appends a character in the form that is compared. */
static void put(reader *r, int32_t c, int32_t base)
{
    int32_t folded[HB_FOLD_MAX];
    size_t n = hb_fold(c, base, folded);
    for (size_t i = 0; i < n; i++) {
        utf8proc_uint8_t bytes[4];
        utf8proc_ssize_t length = utf8proc_encode_char(folded[i], bytes);
        r->ok = r->ok && hb_buffer_add(&r->out->text, bytes, (size_t)length);
    }
}

/* Adds a character of a script without spaces, with its marks, as a word. */
static void read_character(reader *r)
{
    size_t begin = r->out->text.length;
    bool syllable = class_at(r, r->i) == HB_CLASS_HANGUL, inner = syllable && r->after_syllable;
    put(r, at(r, r->i), 0);
    r->i++;
    for (; class_at(r, r->i) == HB_CLASS_MARK; r->i++) put(r, at(r, r->i), 0);
    r->ok = r->ok && add(r, begin, HB_WORD_PLAIN);
    if (r->ok) r->out->list[r->out->n - 1].inner = inner;
    r->after_syllable = syllable;
}

/* ---- Words -------------------------------------------------------------------------------------- */

/* Whether the apostrophe at i ends an elided article or preposition, as in l'Italia: the next word
 * begins with a vowel or h. */
static bool is_elision(const reader *r, size_t begin, size_t i)
{
    static const char *const elided[] = {"l",  "d",  "j",   "m",    "t",    "s",    "n",    "c",
                                         "qu", "un", "all", "dell", "nell", "sull", "dall", "quell"};
    const char *word = r->out->text.data + begin;
    size_t length = r->out->text.length - begin;
    int32_t folded[HB_FOLD_MAX];
    if (!is_letter_at(r, i + 1)) return false;
    if (!hb_fold(at(r, i + 1), 0, folded) || folded[0] > 0x7F || !strchr("aeiouyh", (int)folded[0]))
        return false;
    for (size_t k = 0; k < sizeof elided / sizeof *elided; k++)
        if (strlen(elided[k]) == length && memcmp(elided[k], word, length) == 0) return true;
    return false;
}

/* Whether + or # at i belongs to a name: C++, C#, A+. */
static bool is_part_of_name(const reader *r, size_t begin, size_t i)
{
    if (i == begin) return false;
    bool sharp = at(r, i) == '#' || at(r, i) == 0x266F, plus = at(r, i) == '+';
    bool after_sign = at(r, i - 1) == '+' || at(r, i - 1) == '#';
    if (!sharp && !plus) return false;
    if (after_sign) return true;
    return is_letter_at(r, i - 1) && (!is_word_at(r, i + 1) || at(r, i + 1) == at(r, i));
}

/* Whether a mark between digits keeps them one word: 8:30, 2^5, 1.0.3. */
static bool binds_digits(const reader *r, size_t begin, size_t i)
{
    int32_t c = at(r, i);
    bool mark = c == '.' || c == ':' || c == '/' || c == '^' || c == 0x2044;
    return mark && i > begin && hb_is_digit(at(r, begin)) && hb_is_digit(at(r, i - 1)) &&
           hb_is_digit(at(r, i + 1));
}

/* If a joined word continues after the punctuation at i, the place where it continues; else i. Initials
 * may have spaces after their points: J. R. R. */
static size_t joined_next(const reader *r, size_t begin, size_t i)
{
    size_t k = i;
    while (class_at(r, k) == HB_CLASS_PUNCTUATION || class_at(r, k) == HB_CLASS_APOSTROPHE) k++;
    if (k == i) return i;
    if (is_word_at(r, k)) return hb_is_digit(at(r, i - 1)) && hb_is_digit(at(r, k)) ? i : k;
    bool initial = at(r, i) == '.' && k == i + 1 && is_letter_at(r, i - 1) &&
                   (i - 1 == begin || !is_letter_at(r, i - 2));
    if (!initial || at(r, k) != ' ') return i;
    return is_letter_at(r, k + 1) && at(r, k + 2) == '.' ? k + 1 : i;
}

/* Whether the "a" at i is an article: it is small or begins a sentence, and a space and more text
 * follow. */
static bool is_real_a(const reader *r, size_t i)
{
    size_t before = i, after = i + 1;
    while (before && class_at(r, before - 1) == HB_CLASS_GAP) before--;
    bool begins = before == 0 || class_at(r, before - 1) == HB_CLASS_PUNCTUATION;
    if (class_at(r, after) != HB_CLASS_GAP || (at(r, i) == 'A' && !begins)) return false;
    while (class_at(r, after) == HB_CLASS_PUNCTUATION || class_at(r, after) == HB_CLASS_GAP) {
        if (after >= r->text->n) return false;
        after++;
    }
    return true;
}

/* Whether the characters from i to the current place are an article, without accents. */
static bool is_article(const reader *r, size_t i)
{
    static const char *const articles[] = {"a", "an", "the"};
    size_t n = r->i - i;
    if (n < 1 || n > 3) return false;
    for (size_t k = 0; k < n; k++)
        if ((at(r, i + k) | 0x20) != articles[n - 1][k]) return false;
    return n > 1 || is_real_a(r, i);
}

/* Ends the word whose characters begin at i and whose bytes begin at `begin`. */
static void end_word(reader *r, size_t i, size_t begin)
{
    if (r->ok && r->out->text.length > begin)
        r->ok = add(r, begin, is_article(r, i) ? HB_WORD_ARTICLE : HB_WORD_PLAIN);
}

/* Takes one more character of a word, or returns false at its end. */
static bool read_on(reader *r, size_t first, size_t begin, int32_t *base)
{
    size_t i = r->i;
    hb_class class = class_at(r, i);
    if (hb_is_wordlike(class) || binds_digits(r, first, i)) {
        if (class == HB_CLASS_LETTER) *base = at(r, i);
        put(r, at(r, i), *base);
        r->i++;
    } else if (class == HB_CLASS_APOSTROPHE && !r->joined && is_elision(r, begin, i)) {
        return false;
    } else if (class == HB_CLASS_APOSTROPHE) {
        r->i++;
    } else if (is_part_of_name(r, first, i)) {
        put(r, at(r, i) == '+' ? '+' : '#', 0);
        r->i++;
    } else {
        size_t next = r->joined ? joined_next(r, first, i) : i;
        if (next == i) return false;
        r->i = next;
    }
    return true;
}

static void read_word(reader *r)
{
    size_t first = r->i, begin = r->out->text.length;
    int32_t base = 0;
    while (r->i < r->text->n && r->ok && read_on(r, first, begin, &base)) continue;
    end_word(r, first, begin);
}

/* ---- Numbers ------------------------------------------------------------------------------------ */

static bool is_minus(int32_t c)
{
    return c == '-' || c == 0x2212 || (c >= 0x2010 && c <= 0x2013);
}

/* Whether the minus at i is a sign: no word or number stands right before it. */
static bool is_sign(const reader *r, size_t i)
{
    size_t before = i;
    while (before && class_at(r, before - 1) == HB_CLASS_GAP) before--;
    if (before == 0) return true;
    hb_class class = class_at(r, before - 1);
    if (class == HB_CLASS_DIGIT) return false;
    return before < i || !(hb_is_wordlike(class) || class == HB_CLASS_CHARACTER ||
                           class == HB_CLASS_HANGUL || at(r, i - 1) == ')' || at(r, i - 1) == '%');
}

/* The unit of a sign such as $; NULL for other characters. */
static const char *unit_of(int32_t c)
{
    static const struct {
        int32_t sign;
        const char *unit;
    } units[] = {{'$', "dollar"},   {'%', "percent"},     {0xA2, "cent"},  {0xA3, "pound"},
                 {0xA5, "yen"},     {0x2030, "permille"}, {0x20A9, "won"}, {0x20AC, "euro"},
                 {0x20B9, "rupee"}, {0x20BD, "rouble"},   {0x20BA, "lira"}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (units[i].sign == c) return units[i].unit;
    return NULL;
}

/* The signs before the digits of a number. */
typedef struct prefix {
    size_t digits; /* where the digits begin */
    bool minus;
    const char *unit; /* NULL: none */
} prefix;

/* Whether a number begins at the current place: digits, optionally after signs, a point or a currency.
 */
static bool read_prefix(const reader *r, prefix *p)
{
    size_t i = r->i;
    *p = (prefix){0};
    bool sign = is_minus(at(r, i)) && is_sign(r, i);
    if (sign) p->minus = true;
    if (sign || at(r, i) == '+') i++;
    if (class_at(r, i) == HB_CLASS_CURRENCY) {
        p->unit = unit_of(at(r, i++));
        if (at(r, i) == ' ') i++;
        if (is_minus(at(r, i)) && !p->minus) p->minus = true, i++;
    }
    p->digits = i;
    if (hb_is_digit(at(r, i))) return true;
    return at(r, i) == '.' && hb_is_digit(at(r, i + 1)) && !(i && is_word_at(r, i - 1));
}

/* Whether letters at i are a unit that is often written without a space after its number. */
static bool is_glued_unit(const reader *r, size_t i)
{
    static const char units[] =
        " km m cm mm nm kg g mg lb lbs mi ft in kmh mph min ms l ml kw mw gw hz "
        "khz mhz ghz kb mb gb tb am pm bc ad bce ce usd eur gbp ";
    char word[8] = " ";
    size_t n = 1;
    for (; is_letter_at(r, i) && at(r, i) < 0x80 && n < 6; i++) word[n++] = (char)(at(r, i) | 0x20);
    word[n++] = ' ';
    word[n] = '\0';
    return n > 2 && !is_word_at(r, i) && strstr(units, word);
}

/* Whether a number may end before i. */
static bool ends_number(const reader *r, size_t i)
{
    if (is_word_at(r, i)) return is_glued_unit(r, i);
    if (class_at(r, i) == HB_CLASS_APOSTROPHE) return !is_word_at(r, i + 1);
    if (hb_is_digit(at(r, i + 1)) && (at(r, i) == ':' || at(r, i) == '/' || at(r, i) == '^'))
        return false;
    if (!r->joined || class_at(r, i) != HB_CLASS_PUNCTUATION || at(r, i) == '%') return true;
    return !is_letter_at(r, i + 1);
}

/* The sign of a unit after a number and an optional space. */
static void read_suffix(reader *r, const char **unit)
{
    size_t i = r->i + (at(r, r->i) == ' ');
    if (*unit || !unit_of(at(r, i))) return;
    if (class_at(r, i) == HB_CLASS_CURRENCY && hb_is_digit(at(r, i + 1)))
        return; /* it belongs to the next number */
    *unit = unit_of(at(r, i));
    r->i = i + 1;
}

static bool read_date(reader *r)
{
    hb_date date;
    char day[HB_NUMBER_MAX], year[HB_NUMBER_MAX];
    size_t n = hb_date_read(r->text->c + r->i, r->text->n - r->i, &date);
    bool time = at(r, r->i + n) == 'T' && hb_is_digit(at(r, r->i + n + 1)); /* 1789-07-14T12:00 */
    if (!n || (is_word_at(r, r->i + n) && !time)) return false;
    hb_number_write(date.day, day);
    hb_number_write(date.year, year);
    r->ok = r->ok && add_text(r, day, HB_WORD_NUMBER) &&
            add_text(r, hb_month_name(date.month), HB_WORD_PLAIN) && add_text(r, year, HB_WORD_NUMBER);
    r->i += n;
    return true;
}

/* The power of ten of letters at i after an amount of money, as in $5M; NULL for none. */
static const char *scale_at(const reader *r, size_t i, size_t *length)
{
    static const char *const scales[][2] = {{"k", "thousand"}, {"m", "million"},  {"mn", "million"},
                                            {"b", "billion"},  {"bn", "billion"}, {"t", "trillion"},
                                            {"tn", "trillion"}};
    for (size_t k = 0; k < sizeof scales / sizeof *scales; k++) {
        size_t n = 0;
        while (scales[k][0][n] && (at(r, i + n) | 0x20) == scales[k][0][n]) n++;
        *length = n;
        if (!scales[k][0][n] && !is_word_at(r, i + n)) return scales[k][1];
    }
    return NULL;
}

/* Reads a number, if one begins here and is not part of a longer word. */
static bool read_number(reader *r)
{
    prefix p;
    size_t begin = r->out->text.length, n_scale;
    if (!read_prefix(r, &p)) return false;
    size_t n = hb_number_read(r->text->c + p.digits, r->text->n - p.digits,
                              (hb_digits){p.minus, r->joined}, &r->out->text, &r->ok);
    const char *scale = p.unit && n ? scale_at(r, p.digits + n, &n_scale) : NULL;
    if (!n || (!scale && !ends_number(r, p.digits + n))) {
        r->out->text.length = begin;
        return false;
    }
    r->i = p.digits + n;
    r->ok = r->ok && add(r, begin, HB_WORD_NUMBER);
    read_suffix(r, &p.unit);
    if (p.unit) r->ok = r->ok && add_text(r, p.unit, HB_WORD_UNIT);
    if (scale) r->i += n_scale;
    if (scale) r->ok = r->ok && add_text(r, scale, HB_WORD_PLAIN); /* is joined with the number later */
    return true;
}

/* ---- Texts -------------------------------------------------------------------------------------- */

/* Reads an ampersand between spaces as "and", unless punctuation is deleted. */
static bool read_ampersand(reader *r)
{
    size_t i = r->i;
    if (r->joined || at(r, i) != '&' || !i) return false;
    if (class_at(r, i - 1) != HB_CLASS_GAP || class_at(r, i + 1) != HB_CLASS_GAP) return false;
    r->ok = r->ok && add_text(r, "and", HB_WORD_PLAIN);
    r->i++;
    return true;
}

/* Skips a TeX command that only formats the text in its braces: \boxed{42}, \text{Paris}. */
static bool skip_command(reader *r)
{
    static const char *const commands[] = {"boxed",  "fbox",   "text",   "textbf", "textit",
                                           "mathrm", "mathbf", "mathit", "mbox"};
    if (at(r, r->i) != '\\') return false;
    for (size_t k = 0; k < sizeof commands / sizeof *commands; k++) {
        size_t i = r->i + 1;
        const char *c = commands[k];
        for (; *c && at(r, i) == *c; c++) i++;
        if (*c || at(r, i) != '{') continue;
        r->i = i;
        return true;
    }
    return false;
}

static void read_next(reader *r)
{
    hb_class class = class_at(r, r->i);
    bool syllable = class == HB_CLASS_HANGUL;
    if (!syllable) r->after_syllable = false;
    if (syllable || class == HB_CLASS_CHARACTER) read_character(r);
    else if (class == HB_CLASS_DIGIT && read_date(r)) return;
    else if (read_number(r) || read_ampersand(r) || skip_command(r)) return;
    else if (hb_is_wordlike(class)) read_word(r);
    else r->i++;
}

/* In a text without words, such as one of signs or emoji, each of these is a word. */
static void read_symbols(reader *r)
{
    for (r->i = 0; r->i < r->text->n && r->ok; r->i++) {
        hb_class class = class_at(r, r->i);
        size_t begin = r->out->text.length;
        if (class != HB_CLASS_SYMBOL && class != HB_CLASS_CURRENCY) continue;
        put(r, at(r, r->i), 0);
        r->ok = r->ok && add(r, begin, HB_WORD_PLAIN);
    }
}

static void drop_articles(hb_words *words)
{
    size_t n = 0;
    for (size_t i = 0; i < words->n; i++)
        if (words->list[i].kind != HB_WORD_ARTICLE) words->list[n++] = words->list[i];
    if (n) words->n = n;
}

hb_status hb_words_read(const hb_characters *text, hb_reading reading, hb_words *out, hb_error *err)
{
    hb_words words = {0};
    reader r = {.text = text, .joined = reading.joined, .out = &words};
    r.ok = hb_buffer_add(&words.text, "", 0);
    while (r.i < text->n && r.ok) read_next(&r);
    if (!words.n) read_symbols(&r);
    r.ok = r.ok && hb_words_join_phrases(&words);
    if (!r.ok) {
        hb_words_free(&words);
        return hb_fail_memory(err);
    }
    if (!reading.articles) drop_articles(&words);
    *out = words;
    return HB_OK;
}
