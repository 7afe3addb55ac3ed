/* Functions shared by the rules of grading. */
#ifndef HB_DATA_GRADE_H
#define HB_DATA_GRADE_H

#include "data/grade_text.h"
#include "data/grade_words.h"

/* The letter, 'A' to 'J', chosen by an answer to a multiple-choice question; 0 for none. */
int hb_choice_find(const hb_characters *answer);
/* The letter of a right answer: "B" or "B) Paris"; 0 for none. *alone becomes whether the answer is
 * only a letter. */
int hb_choice_label(const hb_characters *answer, bool *alone);

/* Whether one of the list's phrases makes the answer an abstention. The answer's words include
 * articles. */
hb_status hb_abstain_find(const hb_abstain_list *list, const hb_words *answer, bool *found,
                          hb_error *err);

#endif
