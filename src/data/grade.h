/* What the rules of grading share. */
#ifndef HB_DATA_GRADE_H
#define HB_DATA_GRADE_H

#include "data/grade_text.h"
#include "data/grade_words.h"

/* The letter, 'A' to 'J', that an answer to a multiple-choice question chooses; 0 for none. */
int hb_choice_find(const hb_characters *answer);
/* The letter that a right answer is or begins with as its label, "B" or "B) Paris"; 0 for none. *alone:
 * nothing else is in it. */
int hb_choice_label(const hb_characters *answer, bool *alone);

/* Whether one of the list's phrases makes an abstention of the answer, read with its articles. */
hb_status hb_abstain_find(const hb_abstain_list *list, const hb_words *answer, bool *found,
                          hb_error *err);

#endif
