/* Labels from a model's own answer: is it one of those that are right? */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>
#include "base/buffer.h"
#include "base/error.h"
#include "base/utf8.h"

typedef struct word {
    const char *bytes;
    size_t length;
} word;

/* A text as it is compared: its words, single spaces between them. */
typedef struct normal_text {
    hb_buffer text;
    word *words; /* sorted */
    size_t n_words;
} normal_text;

hb_grading hb_grading_defaults(void)
{
    return (hb_grading){.rule = HB_GRADE_EXACT, .min_f1 = 0.5};
}

const char *hb_grade_rule_name(hb_grade_rule rule)
{
    static const char *const names[] = {
        [HB_GRADE_EXACT] = "exact", [HB_GRADE_CONTAINS] = "contains", [HB_GRADE_F1] = "f1"};
    return (size_t)rule < sizeof names / sizeof *names ? names[rule] : "unknown";
}

int hb_grade_label(const hb_grade *grade, const hb_grading *grading)
{
    const hb_grading defaults = hb_grading_defaults();
    if (!grading) grading = &defaults;
    switch (grading->rule) {
    case HB_GRADE_EXACT:
        return !grade->exact;
    case HB_GRADE_CONTAINS:
        return !grade->contains;
    case HB_GRADE_F1:
        break;
    }
    return !(grade->f1 >= grading->min_f1);
}

/* ---- Normalising ------------------------------------------------------------------------------- */

/* NFKC with full case folding (Unicode, UAX 15 and chapter 3.13), without what is invisible. */
static hb_status fold(const char *text, size_t length, char **folded, hb_error *err)
{
    const utf8proc_option_t options =
        UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD | UTF8PROC_IGNORE;
    hb_buffer clean = {0};
    utf8proc_uint8_t *out = NULL;
    bool ok = hb_buffer_add(&clean, "", 0);
    hb_utf8_clean(&clean, text, length, true, &ok);
    if (ok)
        utf8proc_map((const utf8proc_uint8_t *)clean.data, (utf8proc_ssize_t)clean.length, &out,
                     options);
    hb_buffer_free(&clean);
    if (!out) return hb_fail_memory(err);
    *folded = (char *)out;
    return HB_OK;
}

/* What a character is to a word: 1 a part of it, 0 its end, -1 nothing (apostrophes). */
static int part_of_word(utf8proc_int32_t c)
{
    if (c == '\'' || c == 0x2019) return -1;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_CC:
        return 0;
    default:
        return 1;
    }
}

/* Appends the words of a folded text, a space after each. */
static bool split(const char *folded, hb_buffer *out)
{
    bool ok = true, inside = false;
    utf8proc_int32_t c;
    for (size_t i = 0, length = strlen(folded); i < length && ok;) {
        utf8proc_ssize_t n =
            utf8proc_iterate((const utf8proc_uint8_t *)folded + i, (utf8proc_ssize_t)(length - i), &c);
        if (n < 1) break;
        int part = part_of_word(c);
        if (part > 0) ok = hb_buffer_add(out, folded + i, (size_t)n);
        else if (part == 0 && inside) ok = hb_buffer_add(out, " ", 1);
        if (part >= 0) inside = part > 0;
        i += (size_t)n;
    }
    if (inside) ok = ok && hb_buffer_add(out, " ", 1);
    return ok;
}

static bool is_article(word w)
{
    static const char *const articles[] = {"a", "an", "the"};
    for (size_t i = 0; i < sizeof articles / sizeof *articles; i++)
        if (strlen(articles[i]) == w.length && memcmp(articles[i], w.bytes, w.length) == 0) return true;
    return false;
}

/* The next word at *at, which moves behind it; false at the end. */
static bool next_word(const char **at, word *w)
{
    const char *space = strchr(*at, ' ');
    if (!space) return false;
    *w = (word){*at, (size_t)(space - *at)};
    *at = space + 1;
    return true;
}

/* The words without articles, unless there are no others; a space before each and after the last. */
static bool join(const char *split_text, hb_buffer *out, size_t *n_words)
{
    for (int keep = 0; keep < 2 && *n_words == 0; keep++) {
        const char *at = split_text;
        word w;
        while (next_word(&at, &w)) {
            if (!keep && is_article(w)) continue;
            if (!hb_buffer_add(out, " ", 1) || !hb_buffer_add(out, w.bytes, w.length)) return false;
            ++*n_words;
        }
    }
    return hb_buffer_add(out, " ", 1);
}

static int compare_words(const void *a, const void *b)
{
    const word *x = a, *y = b;
    int order = memcmp(x->bytes, y->bytes, x->length < y->length ? x->length : y->length);
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

static hb_status normalise(const char *text, size_t length, normal_text *out, hb_error *err)
{
    char *folded = NULL;
    hb_buffer spaced = {0};
    *out = (normal_text){0};
    hb_status status = fold(text, length, &folded, err);
    if (status) return status;
    bool ok = hb_buffer_add(&spaced, "", 0) && split(folded, &spaced) &&
              join(spaced.data, &out->text, &out->n_words);
    free(folded);
    hb_buffer_free(&spaced);
    out->words = ok ? malloc((out->n_words + 1) * sizeof *out->words) : NULL;
    if (!out->words) return hb_fail_memory(err);
    const char *at = out->text.data + 1;
    for (size_t i = 0; next_word(&at, &out->words[i]);) i++;
    qsort(out->words, out->n_words, sizeof *out->words, compare_words);
    return HB_OK;
}

static void free_normal(normal_text *text)
{
    hb_buffer_free(&text->text);
    free(text->words);
}

/* ---- Grading ----------------------------------------------------------------------------------- */

/* Harmonic mean of precision and recall of the words, counted as often as they come (Rajpurkar et al.,
 * SQuAD, 2016). */
static double f1(const normal_text *a, const normal_text *b)
{
    size_t common = 0;
    for (size_t i = 0, j = 0; i < a->n_words && j < b->n_words;) {
        int order = compare_words(&a->words[i], &b->words[j]);
        common += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    return a->n_words + b->n_words ? 2.0 * (double)common / (double)(a->n_words + b->n_words) : 0;
}

static void compare(const normal_text *given, const normal_text *right, hb_grade *grade)
{
    if (!right->n_words) return;
    const hb_buffer *a = &given->text, *b = &right->text;
    double score = f1(given, right);
    if (a->length == b->length && memcmp(a->data, b->data, a->length) == 0) grade->exact = true;
    if (memmem(a->data, a->length, b->data, b->length)) grade->contains = true;
    if (score > grade->f1) grade->f1 = score;
}

size_t hb_answer_length(const char *text, size_t length)
{
    size_t start = 0;
    while (start < length && memchr(" \t\r\n\f\v", text[start], 6)) start++;
    const char *end = memchr(text + start, '\n', length - start);
    return end ? (size_t)(end - text) : length;
}

hb_status hb_grade_answer(const char *text, const char *const *answers, size_t n, hb_grade *grade,
                          hb_error *err)
{
    normal_text given, right;
    hb_grade best = {0};
    hb_status status = normalise(text, hb_answer_length(text, strlen(text)), &given, err);
    for (size_t i = 0; i < n && !status; i++) {
        status = normalise(answers[i], strlen(answers[i]), &right, err);
        if (!status) compare(&given, &right, &best);
        free_normal(&right);
    }
    free_normal(&given);
    if (!status) *grade = best;
    return status;
}

hb_status hb_answer_is_gradable(const char *answer, bool *gradable, hb_error *err)
{
    normal_text right;
    hb_status status = normalise(answer, strlen(answer), &right, err);
    if (!status) *gradable = right.n_words > 0;
    free_normal(&right);
    return status;
}
