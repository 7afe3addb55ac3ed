#ifndef HB_ENGINE_TOKENIZER_BPE_H
#define HB_ENGINE_TOKENIZER_BPE_H

#include "engine/ids.h"
#include "engine/pretokenize.h"
#include "engine/vocab.h"

/* A merge rule. Its left token is known from where the rule stands in hb_bpe.rules. */
typedef struct hb_bpe_rule {
    int32_t right, rank, joined;
} hb_bpe_rule;

typedef struct hb_bpe {
    const hb_vocab *vocab;
    hb_pretokenizer *pretokenizer;
    hb_bpe_rule *rules;   /* sorted by left, then right, then rank */
    uint32_t *first_rule; /* [n_vocab + 1]: index of each left token's first rule */
} hb_bpe;

/* Reads the merges and the pre-tokenizer. Start from a zeroed struct; call hb_bpe_free also after a
 * failure. `vocab` must outlive it. */
hb_status hb_bpe_read(hb_bpe *bpe, const hb_vocab *vocab, const hb_gguf *gguf, hb_error *err);
void hb_bpe_free(hb_bpe *bpe);

/* Appends the tokens of a text of at least one byte. The text holds no special tokens. */
hb_status hb_bpe_encode(const hb_bpe *bpe, const char *text, size_t length, hb_ids *out, hb_error *err);

#endif
