#ifndef HB_ENGINE_TOKENIZER_BPE_H
#define HB_ENGINE_TOKENIZER_BPE_H

#include "engine/ids.h"
#include "engine/pretokenize.h"
#include "engine/vocab.h"

/* A rule of byte-level BPE, among those of its left token. */
typedef struct hb_bpe_rule {
    int32_t right, rank, joined;
} hb_bpe_rule;

typedef struct hb_bpe {
    const hb_vocab *vocab;
    hb_pretokenizer *pretokenizer;
    hb_bpe_rule *rules;   /* sorted by left, then right, then rank */
    uint32_t *first_rule; /* [n_vocab + 1]: where each left token's begin */
} hb_bpe;

/* Reads merges and pre-tokenizer. Start from a zeroed struct; to be freed whatever is returned. `vocab`
 * must outlive it. */
hb_status hb_bpe_read(hb_bpe *bpe, const hb_vocab *vocab, const hb_gguf *gguf, hb_error *err);
void hb_bpe_free(hb_bpe *bpe);

/* Adds the tokens of text, at least one byte, that holds no special token. */
hb_status hb_bpe_encode(const hb_bpe *bpe, const char *text, size_t length, hb_ids *out, hb_error *err);

#endif
