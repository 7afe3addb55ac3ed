/* Grades a model's own answer against the right answers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/text.h"
#include "data/grade.h"
#include "data/grade_number.h"
#include "data/grade_words.h"

hb_grading hb_grading_defaults(void)
{
    return (hb_grading){.rule = HB_GRADE_EXACT, .min_f1 = 0.5};
}

const char *hb_grade_rule_name(hb_grade_rule rule)
{
    static const char *const names[HB_N_GRADE_RULES] = {[HB_GRADE_EXACT] = "exact",
                                                        [HB_GRADE_CONTAINS] = "contains",
                                                        [HB_GRADE_F1] = "f1",
                                                        [HB_GRADE_NUMBER] = "number",
                                                        [HB_GRADE_CHOICE] = "choice"};
    return (size_t)rule < sizeof names / sizeof *names ? names[rule] : "unknown";
}

const char *hb_abstain_as_name(hb_abstain_as treatment)
{
    static const char *const names[HB_N_ABSTAIN_AS] = {
        [HB_ABSTAIN_OUT] = "out", [HB_ABSTAIN_RIGHT] = "right", [HB_ABSTAIN_WRONG] = "wrong"};
    return (size_t)treatment < sizeof names / sizeof *names ? names[treatment] : "unknown";
}

hb_status hb_grading_check(const hb_grading *g, hb_error *err)
{
    if ((size_t)g->rule >= HB_N_GRADE_RULES)
        return hb_fail(err, HB_ERR_ARGUMENT, "rule: %d is no rule for grading", (int)g->rule);
    if ((size_t)g->abstain_as >= HB_N_ABSTAIN_AS)
        return hb_fail(err, HB_ERR_ARGUMENT, "abstain_as: %d is no treatment of abstentions",
                       (int)g->abstain_as);
    bool least = g->rule == HB_GRADE_F1 ? g->min_f1 > 0 : g->min_f1 >= 0;
    if (!(least && g->min_f1 <= 1))
        return hb_fail(err, HB_ERR_ARGUMENT, "min_f1: %g is not above 0 and at most 1", g->min_f1);
    if (!(g->tolerance >= 0 && isfinite(g->tolerance)))
        return hb_fail(err, HB_ERR_ARGUMENT, "tolerance: %g is not a finite number from 0",
                       g->tolerance);
    return HB_OK;
}

bool hb_grading_same(const hb_grading *a, const hb_grading *b)
{
    if (a->rule != b->rule || a->abstain_as != b->abstain_as) return false;
    if (a->rule == HB_GRADE_F1) return a->min_f1 == b->min_f1;
    return a->rule != HB_GRADE_NUMBER || a->tolerance == b->tolerance;
}

/* ---- As a text ----------------------------------------------------------------------------------- */

/* The limit of the rule; NULL if it has none. */
static double *limit_of(hb_grading *g)
{
    if (g->rule == HB_GRADE_F1) return &g->min_f1;
    return g->rule == HB_GRADE_NUMBER ? &g->tolerance : NULL;
}

void hb_grading_text(const hb_grading *grading, char text[HB_GRADING_TEXT_BYTES])
{
    hb_grading g = *grading;
    const double *limit = limit_of(&g);
    int n = snprintf(text, HB_GRADING_TEXT_BYTES, "%s,%s", hb_grade_rule_name(g.rule),
                     hb_abstain_as_name(g.abstain_as));
    if (limit) snprintf(text + n, HB_GRADING_TEXT_BYTES - (size_t)n, ",%.17g", *limit);
}

/* Reads a text up to a comma or the end: its number among n names, or n for another one. */
static int read_name(const char **text, const char *(*name)(int), int n)
{
    size_t length = strcspn(*text, ",");
    int i = 0;
    while (i < n && (strlen(name(i)) != length || memcmp(*text, name(i), length) != 0)) i++;
    *text += length + ((*text)[length] == ',');
    return i;
}

static const char *rule_name(int i)
{
    return hb_grade_rule_name((hb_grade_rule)i);
}

static const char *treatment_name(int i)
{
    return hb_abstain_as_name((hb_abstain_as)i);
}

hb_status hb_grading_parse(const char *text, hb_grading *grading, hb_error *err)
{
    hb_grading g = hb_grading_defaults();
    char again[HB_GRADING_TEXT_BYTES], shown[HB_GRADING_TEXT_BYTES];
    const char *rest = text;
    g.rule = (hb_grade_rule)read_name(&rest, rule_name, HB_N_GRADE_RULES);
    g.abstain_as = (hb_abstain_as)read_name(&rest, treatment_name, HB_N_ABSTAIN_AS);
    double *limit = limit_of(&g);
    if (limit) *limit = strtod(rest, NULL);
    hb_grading_text(&g, again);
    if (!hb_grading_check(&g, NULL) && strcmp(again, text) == 0) {
        *grading = g;
        return HB_OK;
    }
    return hb_fail(err, HB_ERR_FORMAT, "'%s' is not a grading, such as \"contains,out\"",
                   hb_printable(shown, sizeof shown, text, strlen(text)));
}

/* ---- Labels ------------------------------------------------------------------------------------- */

static bool is_right(const hb_grade *grade, const hb_grading *grading, hb_grade_rule rule)
{
    switch (rule) {
    case HB_GRADE_CONTAINS:
        return grade->contains;
    case HB_GRADE_F1:
        return grade->f1 >= grading->min_f1;
    case HB_GRADE_NUMBER:
        return grade->number_error <= grading->tolerance;
    case HB_GRADE_CHOICE:
        return grade->choice;
    default:
        return grade->exact;
    }
}

int hb_grade_label(const hb_grade *grade, const hb_grading *grading)
{
    const hb_grading defaults = hb_grading_defaults();
    if (!grading) grading = &defaults;
    if (!grade->abstained) return !is_right(grade, grading, grading->rule);
    if (grading->abstain_as == HB_ABSTAIN_OUT) return HB_LABEL_NONE;
    return grading->abstain_as == HB_ABSTAIN_WRONG;
}

void hb_grade_count(const hb_grade *grade, const hb_grading *grading, size_t *right, size_t n_rules)
{
    hb_grading by = grading ? *grading : hb_grading_defaults();
    for (size_t i = 0; i < n_rules && i < HB_N_GRADE_RULES; i++) {
        by.rule = (hb_grade_rule)i;
        right[i] += hb_grade_label(grade, &by) == 0;
    }
}

/* ---- Comparing words ---------------------------------------------------------------------------- */

/* A text's words, in order and sorted. */
typedef struct text_words {
    hb_words words;
    hb_word *sorted; /* [words.n] */
} text_words;

static int compare_sorted(const void *a, const void *b, void *text)
{
    return hb_words_compare(text, a, text, b);
}

static hb_status read_words(const hb_characters *text, hb_reading reading, text_words *out,
                            hb_error *err)
{
    *out = (text_words){0};
    hb_status status = hb_words_read(text, reading, &out->words, err);
    if (status) return status;
    size_t n = out->words.n;
    out->sorted = malloc((n + 1) * sizeof *out->sorted);
    if (!out->sorted) return hb_fail_memory(err);
    if (n) memcpy(out->sorted, out->words.list, n * sizeof *out->sorted);
    qsort_r(out->sorted, n, sizeof *out->sorted, compare_sorted, out->words.text.data);
    return HB_OK;
}

static void free_words(text_words *text)
{
    hb_words_free(&text->words);
    free(text->sorted);
}

/* Harmonic mean of precision and recall of the words; repeated words count each time (Rajpurkar et al.,
 * SQuAD, 2016). */
static double f1(const text_words *a, const text_words *b)
{
    size_t common = 0;
    const char *text_a = a->words.text.data, *text_b = b->words.text.data;
    for (size_t i = 0, j = 0; i < a->words.n && j < b->words.n;) {
        int order = hb_words_compare(text_a, &a->sorted[i], text_b, &b->sorted[j]);
        common += order == 0;
        i += order <= 0;
        j += order >= 0;
    }
    return 2.0 * (double)common / (double)(a->words.n + b->words.n);
}

/* The number of words of the first text that occur in the other; repeated words count each time. */
static size_t count_in(const text_words *words, const text_words *other)
{
    size_t n = 0;
    const char *text = words->words.text.data, *others = other->words.text.data;
    for (size_t i = 0, j = 0; i < words->words.n && j < other->words.n;) {
        int order = hb_words_compare(text, &words->sorted[i], others, &other->sorted[j]);
        n += order == 0;
        if (order <= 0) i++;
        else j++;
    }
    return n;
}

/* Whether a text consists only of "a", "an" and "the". Such a text would match any article that is
 * kept. */
static bool has_only_articles(const hb_words *words)
{
    static const char *const articles[] = {"a", "an", "the"};
    for (size_t i = 0; i < words->n; i++) {
        size_t length = words->list[i].length;
        const char *word = words->text.data + words->list[i].at;
        if (length > 3 || memcmp(word, articles[length - 1], length) != 0) return false;
    }
    return true;
}

static hb_status compare(const text_words *given, const text_words *right, hb_reading reading,
                         hb_grade *grade, hb_error *err)
{
    bool found = false;
    if (reading.articles ? has_only_articles(&right->words) : !right->words.n) return HB_OK;
    hb_status status = hb_words_find(&given->words, &right->words, &found, err);
    double score = f1(given, right);
    if (hb_words_equal(&given->words, &right->words)) grade->exact = true;
    if (found || grade->exact) grade->contains = true;
    if (score > grade->f1 && !reading.articles) grade->f1 = score;
    return status;
}

static hb_status compare_read(const hb_characters *given, const char *const *answers, size_t n,
                              hb_reading reading, hb_grade *grade, hb_error *err)
{
    text_words a, b;
    hb_status status = read_words(given, reading, &a, err);
    for (size_t i = 0; i < n && !status; i++) {
        hb_characters right;
        status = hb_characters_read(answers[i], strlen(answers[i]), &right, err);
        if (status) break;
        status = read_words(&right, reading, &b, err);
        if (!status) status = compare(&a, &b, reading, grade, err);
        free_words(&b);
        hb_characters_free(&right);
    }
    free_words(&a);
    return status;
}

/* Compares the texts in every reading; the best result counts. */
static hb_status compare_all(const hb_characters *given, const char *const *answers, size_t n,
                             hb_grade *grade, hb_error *err)
{
    hb_status status = HB_OK;
    for (int i = 0; i < HB_N_READINGS && !status; i++)
        status = compare_read(given, answers, n, hb_reading_at(i), grade, err);
    return status;
}

/* ---- Numbers ------------------------------------------------------------------------------------ */

/* The place after the last mark of a final answer, GSM8K's or TeX's; 0 without one. */
static size_t find_final(const char *text, size_t length)
{
    static const char *const marks[] = {"####", "\\boxed{"};
    size_t last = 0;
    for (size_t k = 0; k < sizeof marks / sizeof *marks; k++) {
        const char *mark, *from = text;
        while ((mark = memmem(from, length - (size_t)(from - text), marks[k], strlen(marks[k])))) {
            from = mark + strlen(marks[k]);
            if ((size_t)(from - text) > last) last = (size_t)(from - text);
        }
    }
    return last;
}

/* Reads the words of a text. Returns the first or the last number among them; NULL for none. */
static hb_status read_number(const char *text, size_t length, bool first, hb_words *words,
                             const hb_word **number, hb_error *err)
{
    hb_characters characters;
    *number = NULL;
    hb_status status = hb_characters_read(text, length, &characters, err);
    if (status) return status;
    status = hb_words_read(&characters, (hb_reading){.articles = true}, words, err);
    hb_characters_free(&characters);
    for (size_t i = 0; !status && i < words->n && !(first && *number); i++)
        if (words->list[i].kind == HB_WORD_NUMBER) *number = &words->list[i];
    return status;
}

/* The number that a text gives as its answer: the one after a mark, or else the last one. */
static hb_status find_number(const char *text, size_t length, hb_words *words, const hb_word **number,
                             hb_error *err)
{
    size_t mark = find_final(text, length);
    hb_status status = HB_OK;
    *words = (hb_words){0};
    *number = NULL;
    if (mark) status = read_number(text + mark, length - mark, true, words, number, err);
    if (status || *number) return status;
    hb_words_free(words);
    return read_number(text, length, false, words, number, err);
}

/* |given - right| / |right|. */
static double error_of(const hb_words *a, const hb_word *given, const hb_words *b, const hb_word *right)
{
    const char *x = a->text.data + given->at, *y = b->text.data + right->at;
    if (given->length == right->length && memcmp(x, y, given->length) == 0) return 0;
    double value = hb_number_value(x, given->length), truth = hb_number_value(y, right->length);
    if (value == truth && isfinite(value)) return 0;
    double error = fabs(value - truth) / fabs(truth);
    return isfinite(error) ? error : INFINITY;
}

static hb_status grade_number(const char *text, size_t length, const char *const *answers, size_t n,
                              hb_grade *grade, hb_error *err)
{
    hb_words a, b;
    const hb_word *given, *right;
    hb_status status = find_number(text, length, &a, &given, err);
    for (size_t i = 0; i < n && !status && given; i++) {
        status = find_number(answers[i], strlen(answers[i]), &b, &right, err);
        if (!status && right)
            grade->number_error = fmin(grade->number_error, error_of(&a, given, &b, right));
        hb_words_free(&b);
    }
    hb_words_free(&a);
    return status;
}

/* ---- Choices ------------------------------------------------------------------------------------ */

/* The right letters, as bits from 'A' on. If one of the right answers is only a letter, the others do
 * not count: MMLU's right answers are the letter and the text of the choice, which may begin with
 * another letter. */
static hb_status right_choices(const char *const *answers, size_t n, unsigned *letters, hb_error *err)
{
    unsigned alone = 0, any = 0;
    hb_status status = HB_OK;
    for (size_t i = 0; i < n && !status; i++) {
        hb_characters right;
        bool is_alone;
        status = hb_characters_read(answers[i], strlen(answers[i]), &right, err);
        if (status) break;
        int letter = hb_choice_label(&right, &is_alone);
        if (letter && is_alone) alone |= 1u << (letter - 'A');
        if (letter) any |= 1u << (letter - 'A');
        hb_characters_free(&right);
    }
    *letters = alone ? alone : any;
    return status;
}

static hb_status grade_choice(const hb_characters *given, const char *const *answers, size_t n,
                              hb_grade *grade, hb_error *err)
{
    unsigned letters;
    hb_status status = right_choices(answers, n, &letters, err);
    int choice = !status && letters ? hb_choice_find(given) : 0;
    grade->choice = choice && letters >> (choice - 'A') & 1;
    return status;
}

/* ---- Abstentions -------------------------------------------------------------------------------- */

static hb_status abstains(const hb_characters *text, const hb_abstain_list *list, bool *found,
                          hb_error *err)
{
    hb_words words;
    hb_status status = hb_words_read(text, (hb_reading){.articles = true}, &words, err);
    if (status) return status;
    status = hb_abstain_find(list, &words, found, err);
    hb_words_free(&words);
    return status;
}

/* Whether one of the right answers is an abstention, such as "unanswerable" or "I have no comment". */
static hb_status abstaining_is_right(const char *const *answers, size_t n, const hb_abstain_list *list,
                                     bool *right, hb_error *err)
{
    hb_status status = HB_OK;
    *right = false;
    for (size_t i = 0; i < n && !status && !*right; i++) {
        hb_characters answer;
        status = hb_characters_read(answers[i], strlen(answers[i]), &answer, err);
        if (status) break;
        status = abstains(&answer, list, right, err);
        hb_characters_free(&answer);
    }
    return status;
}

/* `whole` is the answer with its lead-in lines, which may contain the abstention; empty if there are
 * none. */
static hb_status grade_abstention(const hb_characters *given, const hb_characters *whole,
                                  const char *const *answers, size_t n, const hb_abstain_list *list,
                                  hb_grade *grade, hb_error *err)
{
    bool abstained = false, right = false;
    hb_status status = abstains(given, list, &abstained, err);
    if (!status && !abstained && whole->n) status = abstains(whole, list, &abstained, err);
    if (!status && abstained) status = abstaining_is_right(answers, n, list, &right, err);
    if (status || !abstained) return status;
    grade->abstained = !right;
    if (right) grade->exact = grade->contains = true;
    if (right) grade->f1 = 1;
    return HB_OK;
}

/* ---- All rules ---------------------------------------------------------------------------------- */

/* Grades a part of a text. */
static hb_status grade_place(const char *text, hb_answer place, const char *const *answers, size_t n,
                             const hb_abstain_list *list, hb_grade *grade, hb_error *err)
{
    hb_characters given, whole = {0};
    hb_grade led = {0};
    size_t length = place.end - place.start;
    hb_status status = hb_characters_read(text + place.start, length, &given, err);
    if (status) return status;
    if (place.lead < place.start)
        status = hb_characters_read(text + place.lead, place.end - place.lead, &whole, err);
    if (!status) status = compare_all(&given, answers, n, grade, err);
    if (!status && whole.n) status = compare_all(&whole, answers, n, &led, err);
    if (led.contains) grade->contains = true;
    if (!status) status = grade_number(text + place.start, length, answers, n, grade, err);
    if (!status) status = grade_choice(&given, answers, n, grade, err);
    if (!status && !grade->exact)
        status = grade_abstention(&given, &whole, answers, n, list, grade, err);
    hb_characters_free(&given);
    hb_characters_free(&whole);
    return status;
}

hb_status hb_grade_answer(const char *text, const char *const *answers, size_t n,
                          const hb_grading *grading, hb_grade *grade, hb_error *err)
{
    const hb_grading defaults = hb_grading_defaults();
    if (!grading) grading = &defaults;
    hb_abstain_list *own = NULL;
    hb_grade best = {.number_error = NAN};
    hb_status status = grading->abstains ? HB_OK : hb_abstain_list_open(NULL, &own, err);
    if (status) return status;
    status = grade_place(text, hb_answer_find(text, strlen(text), grading->answer_lines), answers, n,
                         own ? own : grading->abstains, &best, err);
    hb_abstain_list_free(own);
    if (!status) *grade = best;
    return status;
}

static hb_status read_text(const char *text, size_t length, text_words *out, hb_error *err)
{
    hb_characters characters;
    hb_status status = hb_characters_read(text, length, &characters, err);
    if (status) return status;
    status = read_words(&characters, hb_reading_at(0), out, err);
    hb_characters_free(&characters);
    return status;
}

hb_status hb_word_overlap(const char *answer, size_t length, const char *context, double *overlap,
                          hb_error *err)
{
    text_words words = {0}, around = {0};
    hb_status status = read_text(answer, length, &words, err);
    if (!status) status = read_text(context, strlen(context), &around, err);
    size_t n = words.words.n;
    if (!status) *overlap = n ? (double)count_in(&words, &around) / (double)n : NAN;
    free_words(&words);
    free_words(&around);
    return status;
}

hb_status hb_answer_is_gradable(const char *answer, bool *gradable, hb_error *err)
{
    hb_characters text;
    hb_words words;
    hb_status status = hb_characters_read(answer, strlen(answer), &text, err);
    if (status) return status;
    status = hb_words_read(&text, hb_reading_at(0), &words, err);
    hb_characters_free(&text);
    if (status) return status;
    *gradable = words.n > 0;
    hb_words_free(&words);
    return HB_OK;
}
