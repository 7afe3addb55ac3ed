/* Pair merging, which both kinds of tokenizers rest on: neighbouring symbols are joined, the pair of
 * the highest priority first and the leftmost among equals, until no pair joins. A linked list holds
 * the symbols and a heap the candidate pairs, so that the whole takes O(n log n). */
#ifndef HB_ENGINE_MERGE_H
#define HB_ENGINE_MERGE_H

#include "engine/vocab.h"

typedef struct hb_symbol {
    uint32_t at, length;    /* its bytes, from the text's start; length 0: joined into one before */
    int32_t token;          /* HB_NO_TOKEN: none is spelled so */
    int32_t previous, next; /* -1 at the ends */
} hb_symbol;

/* Whether two neighbours join: their token, and how early. */
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

/* Makes room for n symbols; those there were are lost. */
hb_status hb_merger_reserve(hb_merger *merger, size_t n, hb_error *err);
void hb_merger_free(hb_merger *merger);

/* Merges symbols [0, n), n >= 1, whose links this sets. Those left are linked from number 0 on. */
void hb_merge(hb_merger *merger, const char *text, int32_t n);

#endif
