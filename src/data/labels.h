/* Reads numbers and labels in the forms that people use. A label is 1 for hallucinated and 0 for
 * faithful. */
#ifndef HB_DATA_LABELS_H
#define HB_DATA_LABELS_H

#include <jansson.h>
#include <locale.h>
#include "base/error.h"

/* How labels are read. */
typedef struct hb_label_rule {
    locale_t c_locale;    /* reads 0.5 as one half in every locale of the program */
    const char *positive; /* the word that means hallucinated; all others mean faithful. NULL: known
                             words are used */
    bool correct;         /* 1, true and yes mean that the answer is right */
} hb_label_rule;

hb_status hb_label_rule_open(const char *positive, bool correct, hb_label_rule *rule, hb_error *err);
void hb_label_rule_close(hb_label_rule *rule);

/* Reads a decimal number. Blanks around it are allowed; with `comma`, so is a decimal comma.
 * Hexadecimal numbers, "inf" and "nan" are refused. */
bool hb_number_of(const hb_label_rule *rule, const char *text, bool comma, double *number);

/* The label 0 or 1; -1 for an unknown label. True and yes are 1, and false and no are 0, unless the
 * rule reverses them. Words with a fixed meaning (hallucinated, faithful, PASS, FAIL ...) keep it in
 * any case. */
int hb_label_of_text(const hb_label_rule *rule, const char *text);
int hb_label_of_json(const hb_label_rule *rule, const json_t *value);

/* Warns if the column probably marks right answers: its 1 is read as hallucinated,
 * so all labels would be reversed. For rules without `positive` and `correct`. Without column or
 * `on_warning`, does nothing. */
typedef void hb_on_warning(void *user, const char *message);
void hb_warn_of_label(const char *path, const char *column, hb_on_warning *on_warning, void *user);

#endif
