/* The texts of the questions that a model is asked about its answers: built in (data/prompts), or
 * replaced by files. */
#ifndef HB_SCORE_QUESTIONS_H
#define HB_SCORE_QUESTIONS_H

#include "base/buffer.h"
#include "base/error.h"

/* A text for each file in data/prompts, in this order. */
typedef enum hb_question {
    HB_QUESTION_ENTAILMENT,
    HB_QUESTION_P_TRUE,
    HB_QUESTION_P_TRUE_IDEAS,
    HB_QUESTION_VERBALISED,
    HB_QUESTION_SELF_ASSESSMENT,
    HB_QUESTION_SELFCHECK,
    HB_N_QUESTIONS
} hb_question;

/* What fills the placeholders. NULL where a question has none of that name. */
typedef struct hb_filling {
    const char *question; /* the prompt */
    const char *answer, *other, *ideas, *choices, *context, *sentence;
} hb_filling;

/* Appends the text of a question. HB_ERR_MEMORY. */
hb_status hb_question_write(const hb_questions *questions, hb_question which, const hb_filling *filling,
                            hb_buffer *out, hb_error *err);

#endif
