/* Pair merging, for both kinds of tokenizers. It joins the adjacent pair with the highest priority, the
 * leftmost among equals, until no pair can be joined. A linked list holds the symbols and a heap the
 * candidate pairs, so the whole takes O(n log n). */
#ifndef HB_ENGINE_MERGE_H
#define HB_ENGINE_MERGE_H

#include "engine/vocab.h"

typedef struct hb_symbol {
    uint32_t at, length;    /* first byte in the text, and number of bytes; length 0: joined into an
                               earlier symbol */
    int32_t token;          /* HB_NO_TOKEN if no token has this spelling */
    int32_t previous, next; /* -1 at the ends */
} hb_symbol;

/* Returns whether two adjacent symbols can be joined, and if so sets the token and priority of the
 * pair. */
typedef bool hb_joins(const void *rules, const char *text, const hb_symbol *left,
                      const hb_symbol *right, int32_t *token, float *priority);

typedef struct hb_pair hb_pair;

/* Start from a zeroed struct with `joins` and `rules` set. */
typedef struct hb_merger {
    hb_joins *joins;
    const void *rules;
    const char *text;
    hb_symbol *symbols;
    size_t room; /* symbols that fit */
    hb_pair *heap;
    size_t n_pairs;
} hb_merger;

/* Makes room for n symbols. Discards earlier symbols. */
hb_status hb_merger_reserve(hb_merger *merger, size_t n, hb_error *err);
void hb_merger_free(hb_merger *merger);

/* Merges symbols [0, n), n >= 1. The remaining symbols form a linked list that begins with symbol 0. */
void hb_merge(hb_merger *merger, const char *text, int32_t n);

#endif
