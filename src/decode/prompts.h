/* The prompts of all current requests, sorted by their tokens. Prompts with the longest common prefixes
 * are neighbours, so the list is a prefix tree read from left to right. The common prefix of any two
 * prompts is the shortest common prefix of neighbours between them, so prompts are not compared again.
 */
#ifndef HB_DECODE_PROMPTS_H
#define HB_DECODE_PROMPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The prefix, in tokens, that a waiting prompt can take from other slots. It never includes the
 * prompt's last token, which must be evaluated for its logits. */
typedef struct hb_offer {
    int32_t have, parent; /* longest prefix that a slot has evaluated; that slot, if have > 0 */
    int32_t kept, keeper; /* longest prefix in a finished sample's slot; that slot, if kept > 0 */
    int32_t coming; /* longest prefix that a running sample, or a waiting prompt earlier in the list,
                       has or will have */
} hb_offer;

typedef struct hb_prompt {
    const int32_t *tokens;
    int32_t n;
    int32_t shared;    /* common prefix with the previous prompt in the list; 0 for the first */
    bool waits;        /* whether it has samples that have not begun */
    int32_t slot;      /* slot that holds it or is evaluating it; -1: none */
    bool kept;         /* whether that slot's sample has finished */
    int32_t evaluated; /* number of its tokens that are evaluated in that slot */
    hb_offer offer;    /* set by hb_prompts_survey if the prompt waits */
} hb_prompt;

typedef struct hb_prompts {
    hb_prompt **list; /* [n] */
    size_t n, room;
} hb_prompts;

/* The length of the common prefix of two prompts. */
int32_t hb_common_prefix(const int32_t *a, int32_t n_a, const int32_t *b, int32_t n_b);

/* Inserts a prompt in order, after equal prompts. The list does not own prompts. Returns false when
 * memory runs out. */
bool hb_prompts_add(hb_prompts *prompts, hb_prompt *prompt);
void hb_prompts_remove(hb_prompts *prompts, hb_prompt *prompt);

/* The place of a prompt of the list. */
size_t hb_prompts_find(const hb_prompts *prompts, const hb_prompt *prompt);

/* Gives a prompt of the list other tokens, and moves it to its new place. */
void hb_prompts_replace(hb_prompts *prompts, hb_prompt *prompt, const int32_t *tokens, int32_t n);
void hb_prompts_free(hb_prompts *prompts);

/* Sets the offer of each waiting prompt. Takes time linear in the length of the list. */
void hb_prompts_survey(hb_prompts *prompts);

#endif
