/* Samples that wait to be scored, in the order of their prompts' tokens: those that share the most
 * tokens are neighbours, so that the list is the prompts' prefix tree, read from left to right. */
#ifndef HB_SCORE_PENDING_H
#define HB_SCORE_PENDING_H

#include "base/error.h"

#define HB_PENDING_MAX 128

typedef struct hb_pending_sample {
    uint64_t index;
    char *id;
    int label;
    char **answers; /* [n_answers], the right ones; NULL for a sample with a label */
    size_t n_answers;
    int32_t *tokens;
    int32_t n;
    int32_t shared;  /* tokens in common with the one before it in the list; 0 for the first */
    int32_t *common; /* [slots], tokens in common with the prompt in each */
} hb_pending_sample;

typedef struct hb_pending {
    hb_pending_sample list[HB_PENDING_MAX];
    int32_t n;
} hb_pending;

/* Leading tokens that two prompts have in common. */
int32_t hb_common_prefix(const int32_t *a, int32_t n_a, const int32_t *b, int32_t n_b);

/* Puts a sample in its place, behind equals; the list, which must have room, owns its memory. */
void hb_pending_add(hb_pending *pending, hb_pending_sample sample);

/* Notes in every other sample what it has in common with sample i, which is about to go to a slot.
 * Nothing is compared: between two samples of the list lies the least of what neighbours share. */
void hb_pending_compare(hb_pending *pending, int32_t i, int32_t slot);

/* Takes sample i out; the caller then owns its memory. */
hb_pending_sample hb_pending_take(hb_pending *pending, int32_t i);

void hb_pending_sample_free(hb_pending_sample *sample);
void hb_pending_free(hb_pending *pending);

#endif
