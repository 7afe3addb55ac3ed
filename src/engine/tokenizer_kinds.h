/* What the two kinds of tokenizers, tokenizer_spm.c and tokenizer_bpe.c, share with tokenizer.c. */
#ifndef HB_ENGINE_TOKENIZER_KINDS_H
#define HB_ENGINE_TOKENIZER_KINDS_H

#include "engine/merge.h"
#include "engine/pretokenize.h"
#include "engine/tokenizer.h"
#include "engine/vocab.h"

/* A rule of byte-level BPE, among those of its left token. */
typedef struct hb_bpe_rule {
    int32_t right, rank, joined;
} hb_bpe_rule;

struct hb_tokenizer {
    hb_vocab vocab;
    int32_t bos, eos, unknown; /* HB_NO_TOKEN where there is none */
    bool add_bos, add_eos;
    bool strip_after; /* white space after most special tokens belongs to them */

    bool add_space; /* SPM: one before the text, and one after each special token */

    hb_pretokenizer *pretokenizer; /* BPE; NULL: SPM */
    hb_bpe_rule *rules;            /* sorted by left, then right, then rank */
    uint32_t *first_rule;          /* [n_vocab + 1]: where each left token's begin */
};

/* Token ids on their way out. Start from a zeroed struct. */
typedef struct hb_ids {
    int32_t *ids;
    size_t n, room;
} hb_ids;

hb_status hb_ids_add(hb_ids *ids, int32_t token, hb_error *err);

/* Adds the tokens of text, at least a byte, that holds no special token. */
hb_status hb_spm_encode(const hb_tokenizer *t, const char *text, size_t length, hb_ids *out,
                        hb_error *err);
hb_status hb_bpe_encode(const hb_tokenizer *t, const char *text, size_t length, hb_ids *out,
                        hb_error *err);

/* Reads merges and pre-tokenizer. */
hb_status hb_bpe_read(hb_tokenizer *t, const hb_gguf *gguf, hb_error *err);

#endif
