/* The prompts of all requests in hand, in the order of their tokens: those that share the most are
 * neighbours, so the list is the prompts' prefix tree, read from left to right. What any two prompts
 * share is the least of what neighbours between them share, so nothing is compared twice. */
#ifndef HB_DECODE_PROMPTS_H
#define HB_DECODE_PROMPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a waiting prompt can take over, in tokens. Its own last token never counts, because that one is
 * evaluated for its logits. */
typedef struct hb_offer {
    int32_t have, parent; /* the most that a slot has evaluated now; where it is not 0, that slot */
    int32_t kept, keeper; /* the most that a finished sample's slot has; where it is not 0, that slot */
    int32_t coming; /* the most that a running sample has or will have, or a waiting prompt that is
                       earlier in the list */
} hb_offer;

typedef struct hb_prompt {
    const int32_t *tokens;
    int32_t n;
    int32_t shared;    /* tokens in common with the prompt before it in the list; 0 for the first */
    bool waits;        /* it has samples that have not begun */
    int32_t slot;      /* the slot that has it, or is evaluating it; -1 for none */
    bool kept;         /* that slot's sample is finished */
    int32_t evaluated; /* of it, in that slot */
    hb_offer offer;    /* of hb_prompts_survey, for one that waits */
} hb_prompt;

typedef struct hb_prompts {
    hb_prompt **list; /* [n] */
    size_t n, room;
} hb_prompts;

/* Leading tokens that two prompts have in common. */
int32_t hb_common_prefix(const int32_t *a, int32_t n_a, const int32_t *b, int32_t n_b);

/* Puts a prompt in its place, behind equals; its owner keeps owning it. False when memory runs out. */
bool hb_prompts_add(hb_prompts *prompts, hb_prompt *prompt);
void hb_prompts_remove(hb_prompts *prompts, hb_prompt *prompt);
void hb_prompts_free(hb_prompts *prompts);

/* Fills in the offer of each prompt that waits. Linear in the length of the list. */
void hb_prompts_survey(hb_prompts *prompts);

#endif
