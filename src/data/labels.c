#include "data/labels.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

hb_status hb_label_rule_open(const char *positive, bool correct, hb_label_rule *rule, hb_error *err)
{
    if (correct && positive)
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "labels can mark right answers or have a positive word, not both");
    *rule = (hb_label_rule){.positive = positive, .correct = correct};
    rule->c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return rule->c_locale ? HB_OK : hb_fail_memory(err);
}

void hb_label_rule_close(hb_label_rule *rule)
{
    if (rule->c_locale) freelocale(rule->c_locale);
    rule->c_locale = (locale_t)0;
}

bool hb_number_of(const hb_label_rule *rule, const char *text, bool comma, double *number)
{
    char copy[64], *end, *point;
    text += strspn(text, " \t");
    size_t length = strspn(text, comma ? "+-.,0123456789eE" : "+-.0123456789eE");
    if (length == 0 || text[length + strspn(text + length, " \t")]) return false;
    if (comma && length < sizeof copy && !memchr(text, '.', length)) {
        memcpy(copy, text, length);
        copy[length] = '\0';
        text = copy;
        if ((point = strchr(copy, ','))) *point = '.';
    }
    *number = strtod_l(text, &end, rule->c_locale);
    return end == text + length && isfinite(*number);
}

/* Whether `text` is `word`, ignoring case and surrounding blanks. */
static bool is_word(const hb_label_rule *rule, const char *text, const char *word)
{
    size_t length = strlen(word);
    text += strspn(text, " \t");
    return strncasecmp_l(text, word, length, rule->c_locale) == 0 &&
           !text[length + strspn(text + length, " \t")];
}

typedef struct label_word {
    const char *word;
    int label;
    bool turns; /* reversed if 1 means right */
} label_word;

static const label_word words[] = {
    {"true", 1, true},
    {"false", 0, true},
    {"yes", 1, true},
    {"no", 0, true},
    {"hallucinated", 1, false},
    {"hallucination", 1, false},
    {"not hallucinated", 0, false},
    {"non-hallucinated", 0, false},
    {"not_hallucinated", 0, false},
    {"no hallucination", 0, false},
    {"faithful", 0, false},
    {"unfaithful", 1, false},
    {"not faithful", 1, false},
    {"pass", 0, false},
    {"fail", 1, false},
    {"correct", 0, false},
    {"incorrect", 1, false},
    {"not correct", 1, false},
    {"right", 0, false},
    {"wrong", 1, false},
    {"factual", 0, false},
    {"non-factual", 1, false},
    {"truthful", 0, false},
    {"untruthful", 1, false},
    {"supported", 0, false},
    {"not supported", 1, false},
    {"unsupported", 1, false},
};

/* The label of a number or truth value. */
static int turn(const hb_label_rule *rule, int label)
{
    return rule->correct ? 1 - label : label;
}

static int label_of_number(const hb_label_rule *rule, double number)
{
    return number == 0 || number == 1 ? turn(rule, (int)number) : -1;
}

/* Whether a label is the positive one; 1 and 1.0 are the same. -1 for an empty text. */
static int is_positive(const hb_label_rule *rule, const char *text)
{
    double a, b;
    if (!text[strspn(text, " \t")]) return -1;
    if (hb_number_of(rule, text, false, &a) && hb_number_of(rule, rule->positive, false, &b))
        return a == b;
    return is_word(rule, text, rule->positive);
}

int hb_label_of_text(const hb_label_rule *rule, const char *text)
{
    double number;
    if (rule->positive) return is_positive(rule, text);
    if (hb_number_of(rule, text, false, &number)) return label_of_number(rule, number);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (is_word(rule, text, words[i].word))
            return words[i].turns ? turn(rule, words[i].label) : words[i].label;
    return -1;
}

int hb_label_of_json(const hb_label_rule *rule, const json_t *value)
{
    double positive;
    if (json_is_string(value)) return hb_label_of_text(rule, json_string_value(value));
    if (json_is_boolean(value)) return hb_label_of_text(rule, json_is_true(value) ? "true" : "false");
    if (!json_is_number(value)) return -1;
    double number = json_number_value(value);
    if (!rule->positive) return label_of_number(rule, number);
    return hb_number_of(rule, rule->positive, false, &positive) && number == positive;
}

/* Whether a column of this name probably marks right answers. */
static bool marks_right_answers(const char *name)
{
    static const char *const names[] = {"correct",  "is_correct", "correctness", "accuracy",
                                        "is_right", "iscorrect",  "accurate",    "is_accurate"};
    const char *last = strrchr(name, '.');
    if (last) name = last + 1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0) return true;
    return false;
}

void hb_warn_of_label(const char *path, const char *column, hb_on_warning *on_warning, void *user)
{
    char message[256];
    if (!column || !on_warning || !marks_right_answers(column)) return;
    snprintf(message, sizeof message,
             "%.80s: 1 in '%.60s' is read as hallucinated; does it mean right there?", path, column);
    on_warning(user, message);
}
