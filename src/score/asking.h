/* Asks a model about an answer and its samples. Each question is a request of its own; questions about
 * one sample share prefixes, which the scheduler evaluates once. */
#ifndef HB_SCORE_ASKING_H
#define HB_SCORE_ASKING_H

#include "score/questions.h"
#include "signals/p_yes.h"

#define HB_LETTERS 10 /* A to J, for choices */

/* A model that is asked, and how its first token is read. */
typedef struct hb_asked_model {
    const hb_model *model;
    const hb_chat *chat; /* NULL: bare prompts */
    struct hb_scheduler *scheduler;
    hb_p_yes yes, truth, letters[HB_LETTERS];
    hb_signal_set *reads_yes, *reads_truth, *reads_letters, *reads_text;
} hb_asked_model;

/* Prepares the reading of answers; model, chat and scheduler are set. */
hb_status hb_asked_model_open(hb_asked_model *asked, hb_error *err);
void hb_asked_model_close(hb_asked_model *asked);

/* What a sample's questions gave. */
typedef struct hb_asked {
    double *entailment; /* [1 + n][1 + n]; NULL: not asked */
    double p_true, p_true_ideas, verbalised, self_assessment, selfcheck;
} hb_asked;

struct hb_scorer;
struct hb_scoring;

/* Adds the requests of all questions about a sample, whose answers are known. Sets sample->n_open to
 * their number. */
hb_status hb_ask(struct hb_scorer *scorer, struct hb_scoring *sample, hb_error *err);

/* The scores that the questions gave. */
hb_status hb_asked_scores(const struct hb_scorer *scorer, const struct hb_scoring *sample,
                          hb_scores **scores, hb_error *err);

/* The probability that a text states: "85", "85 %", "0.85". False if it has none. */
bool hb_stated_probability(const char *text, double *p);

#endif
