/* Pair merging, which both kinds of tokenizers use. Neighbouring symbols are joined until no pair
 * joins: the pair of the highest priority first, the leftmost among equals. A linked list holds the
 * symbols and a heap the candidate pairs, so the whole takes O(n log n). */
#ifndef HB_ENGINE_MERGE_H
#define HB_ENGINE_MERGE_H

#include "engine/vocab.h"

typedef struct hb_symbol {
    uint32_t at, length;    /* its bytes in the text; length 0: it was joined into an earlier symbol */
    int32_t token;          /* HB_NO_TOKEN: no token has this spelling */
    int32_t previous, next; /* -1 at the ends */
} hb_symbol;

/* Whether two neighbours join; if so, their token, and its priority. */
typedef bool hb_joins(const void *rules, const char *text, const hb_symbol *left,
                      const hb_symbol *right, int32_t *token, float *priority);

typedef struct hb_pair hb_pair;

/* Start from a zeroed struct with `joins` and `rules` set. */
typedef struct hb_merger {
    hb_joins *joins;
    const void *rules;
    const char *text;
    hb_symbol *symbols;
    size_t room; /* for symbols */
    hb_pair *heap;
    size_t n_pairs;
} hb_merger;

/* Makes room for n symbols; earlier symbols are lost. */
hb_status hb_merger_reserve(hb_merger *merger, size_t n, hb_error *err);
void hb_merger_free(hb_merger *merger);

/* Merges symbols [0, n), n >= 1, and sets their links. The remaining symbols are linked from number 0
 * on. */
void hb_merge(hb_merger *merger, const char *text, int32_t n);

#endif
