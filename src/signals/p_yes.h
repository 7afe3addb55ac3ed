/* P(Yes) of a judgement: how much more probable Yes is than No as the first token of an answer. */
#ifndef HB_SIGNALS_P_YES_H
#define HB_SIGNALS_P_YES_H

#include "signals/signal.h"

#define HB_P_YES_TOKENS 48 /* for one word, at most */

/* The tokens that begin a word. */
typedef struct hb_word_tokens {
    int32_t list[HB_P_YES_TOKENS]; /* [n], each once */
    int n;
} hb_word_tokens;

/* A signal with the tokens that it compares. */
typedef struct hb_p_yes {
    hb_signal signal; /* its name is HB_SCORE_P_YES; points to the tokens below */
    hb_word_tokens yes, no;
} hb_p_yes;

/* Fills in the signal, which must stay in its place. At every step it has the value of the first one:
 * P(yes) / (P(yes) + P(no)), where P sums over a word's tokens; 0.5 if a word has no token. */
void hb_p_yes_init(hb_p_yes *p, const hb_word_tokens *yes, const hb_word_tokens *no);

#endif
