/* Numbers and labels as people write them. A label says whether an answer is hallucinated (1) or not
 * (0).
 */
#ifndef HB_DATA_LABELS_H
#define HB_DATA_LABELS_H

#include <jansson.h>
#include <locale.h>
#include "base/error.h"

/* How labels are read. */
typedef struct hb_label_rule {
    locale_t c_locale; /* so that 0.5 is a half whatever the program's locale */
    const char
        *positive; /* the word that means hallucinated, any other meaning not; NULL: known words */
    bool correct;  /* 1, true and yes mean that the answer is right */
} hb_label_rule;

hb_status hb_label_rule_open(const char *positive, bool correct, hb_label_rule *rule, hb_error *err);
void hb_label_rule_close(hb_label_rule *rule);

/* A decimal number and nothing else: hexadecimal, "inf" and "nan" are not. Blanks around it are
 * allowed, and with `comma` a decimal comma. */
bool hb_number_of(const hb_label_rule *rule, const char *text, bool comma, double *number);

/* A label of 0 or 1, or -1. True and yes are 1, false and no 0, unless the rule says otherwise; words
 * that say of themselves what they mean (hallucinated, faithful, PASS, FAIL ...) keep their meaning. */
int hb_label_of_text(const hb_label_rule *rule, const char *text);
int hb_label_of_json(const hb_label_rule *rule, const json_t *value);

/* Whether a column of this name most likely says that an answer is right. */
bool hb_label_name_is_correctness(const char *name);

#endif
