/* The characters of a text for grading: characters that NFKC must not join, Unicode's categories and
 * scripts, case and accents. */
#include "data/grade_text.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "base/buffer.h"
#include "base/utf8.h"

#define MAX_MARKS                                                                                      \
    30 /* maximum number of marks on one letter, as in Unicode's stream-safe text (UAX 15) */

/* ---- Before NFKC -------------------------------------------------------------------------------- */

typedef enum digit_kind { NO_DIGIT, PLAIN, RAISED, LOWERED, OTHER } digit_kind;

typedef struct speller {
    hb_buffer *out;
    digit_kind previous;
    int marks; /* in a row */
    bool ok;
} speller;

static void put(speller *s, int32_t c)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t n = utf8proc_encode_char(c, bytes);
    s->ok = hb_buffer_add(s->out, bytes, (size_t)n) && s->ok;
}

static bool is_one_of(int32_t c, const int32_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == c) return true;
    return false;
}
#define IS_ONE_OF(c, ...)                                                                              \
    is_one_of(c, (const int32_t[]){__VA_ARGS__}, sizeof(int32_t[]){__VA_ARGS__} / sizeof(int32_t))

/* Quotation marks and letters that are used as an apostrophe. */
static bool is_apostrophe(int32_t c)
{
    return IS_ONE_OF(c, '\'', '`', 0xB4, 0x2BB, 0x2BC, 0x2BD, 0x55A, 0x2018, 0x2019, 0x201B, 0x2032,
                     0xFF07);
}

/* Spaces that do not break lines. Between digits they separate groups. */
static bool is_group_blank(int32_t c)
{
    return IS_ONE_OF(c, 0xA0, 0x2006, 0x2007, 0x2008, 0x2009, 0x200A, 0x202F);
}

static digit_kind kind_of_digit(int32_t c)
{
    if (c < 0x80) return hb_is_digit(c) ? PLAIN : NO_DIGIT;
    if (c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079))
        return RAISED;
    if (c >= 0x2080 && c <= 0x2089) return LOWERED;
    utf8proc_category_t category = utf8proc_category(c);
    if (category == UTF8PROC_CATEGORY_ND) return PLAIN;
    return category == UTF8PROC_CATEGORY_NO ? OTHER : NO_DIGIT;
}

/* A decimal digit of any script as ASCII. The ten digits of a script are consecutive, and no other
 * digit precedes them. Mathematical digits have several consecutive sets of ten; NFKC converts them. */
static int32_t plain_digit(int32_t c)
{
    if (c < 0x80 || (c >= 0x1D7CE && c <= 0x1D7FF)) return c;
    int32_t value = 0;
    while (value < 9 && utf8proc_category(c - value - 1) == UTF8PROC_CATEGORY_ND) value++;
    return '0' + value;
}

/* The decimals of a fraction that is one character, if they are finite; NULL for other characters. */
static const char *decimals_of(int32_t c)
{
    static const struct {
        int32_t c;
        const char *decimals;
    } fractions[] = {{0xBC, ".25"},    {0xBD, ".5"},     {0xBE, ".75"},   {0x215B, ".125"},
                     {0x215C, ".375"}, {0x215D, ".625"}, {0x215E, ".875"}};
    for (size_t i = 0; i < sizeof fractions / sizeof *fractions; i++)
        if (fractions[i].c == c) return fractions[i].decimals;
    return NULL;
}

/* Writes a digit, or a character that NFKC turns into digits, so that NFKC does not join it with digits
 * before it. */
static void spell_digit(speller *s, int32_t c, digit_kind kind)
{
    const char *decimals = s->previous == PLAIN ? decimals_of(c) : NULL;
    if (kind == RAISED && s->previous == PLAIN) put(s, '^');
    else if (kind == LOWERED && s->previous == PLAIN) put(s, '_');
    else if (kind == PLAIN && s->previous == OTHER) put(s, ' ');
    else if (kind == OTHER && s->previous != NO_DIGIT && !decimals) put(s, ' ');
    if (decimals) s->ok = hb_buffer_add_text(s->out, decimals) && s->ok;
    else put(s, kind == PLAIN ? plain_digit(c) : c);
    s->previous = kind;
}

/* Whether the character is removed before NFKC. */
static bool is_left_out(speller *s, int32_t c)
{
    const utf8proc_property_t *property = utf8proc_get_property(c);
    if (property->ignorable) return true;
    s->marks = property->combining_class ? s->marks + 1 : 0;
    if (s->marks > MAX_MARKS) return true;
    if (c == 0x2122 || c == 0x2120) return true;             /* raised TM and SM */
    if (c == 0x20E3) return true;                            /* the frame of an emoji's digit */
    return s->previous == PLAIN && (c == 0xAA || c == 0xBA); /* ordinal signs, a raised a or o */
}

static void spell(speller *s, int32_t c, int32_t next)
{
    if (is_left_out(s, c)) return;
    digit_kind kind = kind_of_digit(c), previous = s->previous;
    if (kind != NO_DIGIT) {
        spell_digit(s, c, kind);
        return;
    }
    s->previous = NO_DIGIT;
    if (c == 0x207B && previous == PLAIN) {
        s->ok = hb_buffer_add_text(s->out, "^-") && s->ok; /* a raised minus */
        s->previous = RAISED;
    } else if (is_apostrophe(c) ||
               (is_group_blank(c) && previous == PLAIN && kind_of_digit(next) == PLAIN)) {
        put(s, '\'');
    } else if (c == 0x66B) { /* the Arabic decimal point */
        put(s, '.');
    } else if (c == 0x66C) { /* the Arabic separator of digit groups */
        put(s, ',');
    } else {
        put(s, c);
    }
}

static int32_t character_at(const hb_buffer *text, size_t at, size_t *length)
{
    utf8proc_int32_t c = 0;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)text->data + at,
                                          (utf8proc_ssize_t)(text->length - at), &c);
    *length = n > 0 ? (size_t)n : 1;
    return n > 0 ? c : 0;
}

/* Copies the text as well-formed UTF-8 and keeps digits apart. */
static bool spell_text(const char *text, size_t length, hb_buffer *out)
{
    hb_buffer clean = {0};
    speller s = {.out = out, .ok = hb_buffer_add(&clean, "", 0) && hb_buffer_add(out, "", 0)};
    size_t n, n_next;
    hb_utf8_clean(&clean, text, length, true, &s.ok);
    for (size_t i = 0; s.ok && i < clean.length; i += n) {
        int32_t c = character_at(&clean, i, &n);
        spell(&s, c, i + n < clean.length ? character_at(&clean, i + n, &n_next) : 0);
    }
    hb_buffer_free(&clean);
    return s.ok;
}

/* ---- Classes ------------------------------------------------------------------------------------ */

/* Blocks of scripts without spaces between words, by Unicode's property Script (UAX 24): Bopomofo,
 * Thai, Lao, Myanmar, Hangul, Khmer, Han, Hiragana, Katakana. NFKC has removed their half-width and
 * squared forms. */
static bool find_script(int32_t c, hb_class *class)
{
    static const struct {
        int32_t first, last;
        bool hangul;
    } ranges[] = {{0x2EA, 0x2EB, false},     {0xE00, 0xEFF, false},     {0x1000, 0x109F, false},
                  {0x1100, 0x11FF, true},    {0x1780, 0x17FF, false},   {0x19E0, 0x19FF, false},
                  {0x2E80, 0x2FDF, false},   {0x3005, 0x3007, false},   {0x3021, 0x3029, false},
                  {0x3038, 0x303B, false},   {0x3040, 0x312F, false},   {0x3130, 0x318F, true},
                  {0x31A0, 0x31BF, false},   {0x31F0, 0x31FF, false},   {0x3400, 0x4DBF, false},
                  {0x4E00, 0x9FFF, false},   {0xA960, 0xA97F, true},    {0xA9E0, 0xA9FF, false},
                  {0xAA60, 0xAA7F, false},   {0xAC00, 0xD7FF, true},    {0xF900, 0xFAFF, false},
                  {0x16FE2, 0x16FF1, false}, {0x1AFF0, 0x1B16F, false}, {0x20000, 0x323AF, false}};
    size_t low = 0, high = sizeof ranges / sizeof *ranges;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > ranges[middle].last) low = middle + 1;
        else high = middle;
    }
    if (low == sizeof ranges / sizeof *ranges || c < ranges[low].first) return false;
    *class = ranges[low].hangul ? HB_CLASS_HANGUL : HB_CLASS_CHARACTER;
    return true;
}

static hb_class class_of(int32_t c)
{
    hb_class class = HB_CLASS_LETTER;
    if (hb_is_digit(c)) return HB_CLASS_DIGIT;
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') return HB_CLASS_LETTER;
    if (c == '\'') return HB_CLASS_APOSTROPHE;
    utf8proc_category_t category = utf8proc_category(c);
    if (category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME) return HB_CLASS_MARK;
    if (category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO)
        return HB_CLASS_PUNCTUATION;
    if (category == UTF8PROC_CATEGORY_SC) return HB_CLASS_CURRENCY;
    if (category >= UTF8PROC_CATEGORY_SM && category <= UTF8PROC_CATEGORY_SO) return HB_CLASS_SYMBOL;
    if (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_CC) return HB_CLASS_GAP;
    find_script(c, &class);
    return class;
}

/* ---- NFKC --------------------------------------------------------------------------------------- */

/* The text's characters in NFKC; NULL when memory runs out. */
static int32_t *compose(const hb_buffer *text, size_t *n)
{
    const utf8proc_option_t options =
        UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_IGNORE;
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text->data;
    utf8proc_ssize_t length = (utf8proc_ssize_t)text->length;
    utf8proc_ssize_t count = utf8proc_decompose(bytes, length, NULL, 0, options);
    int32_t *c = count >= 0 ? calloc((size_t)count + 1, sizeof *c) : NULL;
    if (c) count = utf8proc_decompose(bytes, length, c, count, options);
    if (c && count >= 0) count = utf8proc_normalize_utf32(c, count, options);
    *n = (size_t)count;
    if (count >= 0) return c;
    free(c);
    return NULL;
}

hb_status hb_characters_read(const char *text, size_t length, hb_characters *out, hb_error *err)
{
    hb_buffer spelt = {0};
    hb_characters result = {0};
    if (spell_text(text, length, &spelt)) result.c = compose(&spelt, &result.n);
    hb_buffer_free(&spelt);
    if (result.c) result.classes = malloc(result.n + 1);
    if (!result.classes) {
        free(result.c);
        return hb_fail_memory(err);
    }
    for (size_t i = 0; i < result.n; i++) result.classes[i] = (uint8_t)class_of(result.c[i]);
    *out = result;
    return HB_OK;
}

void hb_characters_free(hb_characters *characters)
{
    free(characters->c);
    free(characters->classes);
    *characters = (hb_characters){0};
}

/* ---- Case and accents --------------------------------------------------------------------------- */

static bool is_latin_or_greek(int32_t c)
{
    return c < 0x300 || (c >= 0x370 && c < 0x400) || (c >= 0x1E00 && c < 0x2000);
}

static bool is_cyrillic(int32_t c)
{
    return c >= 0x400 && c < 0x530;
}

/* Whether a mark is ignored: an accent on a Latin or Greek letter, stress on a Cyrillic letter, a vowel
 * point in Hebrew or Arabic. In other scripts marks count like letters. */
static bool is_idle_mark(int32_t mark, int32_t base)
{
    if (base && is_latin_or_greek(base)) return true;
    if (base && is_cyrillic(base)) return mark == 0x300 || mark == 0x301;
    return (mark >= 0x591 && mark <= 0x5C7) || (mark >= 0x64B && mark <= 0x652) || mark == 0x670;
}

/* The replacement of letters with a stroke and of ligatures, which Unicode does not decompose; NULL for
 * others. */
static const char *plain_letters(int32_t c)
{
    static const struct {
        int32_t c;
        const char *letters;
    } table[] = {{0xE6, "ae"}, {0xF0, "d"},  {0xF8, "o"},  {0xFE, "th"},  {0x111, "d"},
                 {0x127, "h"}, {0x131, "i"}, {0x142, "l"}, {0x153, "oe"}, {0x167, "t"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].c == c) return table[i].letters;
    return NULL;
}

/* Adds a case-folded character. */
static void add_folded(int32_t c, int32_t *folded, size_t *n)
{
    const char *letters = plain_letters(c);
    if (c == 0x451) c = 0x435; /* Cyrillic io; most texts write ie instead */
    if (!letters) folded[(*n)++] = c;
    else
        while (*letters) folded[(*n)++] = *letters++;
}

/* Whether case folding and decomposition leave the character unchanged. */
static bool is_folded(int32_t c)
{
    return !is_latin_or_greek(c) && c != 0x451 &&
           utf8proc_get_property(c)->casefold_seqindex == UINT16_MAX;
}

size_t hb_fold(int32_t c, int32_t base, int32_t folded[HB_FOLD_MAX])
{
    int32_t parts[HB_FOLD_MAX / 2];
    int bound = 0;
    size_t n = 0;
    utf8proc_ssize_t n_parts = -1;
    if (c < 0x80) {
        folded[0] = c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
        return 1;
    }
    if (is_idle_mark(c, base) && class_of(c) == HB_CLASS_MARK) return 0;
    if (!is_folded(c))
        n_parts = utf8proc_decompose_char(
            c, parts, sizeof parts / sizeof *parts,
            UTF8PROC_CASEFOLD | (is_latin_or_greek(c) ? UTF8PROC_DECOMPOSE : 0), &bound);
    if (n_parts < 1 || (size_t)n_parts > sizeof parts / sizeof *parts) {
        folded[0] = c;
        return 1;
    }
    for (utf8proc_ssize_t i = 0; i < n_parts; i++)
        if (i == 0 || class_of(parts[i]) != HB_CLASS_MARK || !is_latin_or_greek(parts[0]))
            add_folded(parts[i], folded, &n);
    return n;
}
