/* A GGUF file's vocabulary: how each token is spelled, what it decodes to, and how to find one. */
#ifndef HB_ENGINE_VOCAB_H
#define HB_ENGINE_VOCAB_H

#include "engine/gguf.h"

#define HB_NO_TOKEN  (-1)
#define HB_MAX_VOCAB (1 << 24)
#define HB_MAX_PIECE 4096 /* bytes; far longer than any real one, it bounds what a look-up costs */
#define HB_ALPHABET  324  /* one more than the last character of GPT-2's alphabet */

/* Numbered as in tokenizer.ggml.token_type. */
typedef enum hb_token_type {
    HB_TOKEN_UNDEFINED,
    HB_TOKEN_NORMAL,
    HB_TOKEN_UNKNOWN,
    HB_TOKEN_CONTROL, /* found in text only where special tokens are asked for */
    HB_TOKEN_USER,    /* user-defined: found in any text, whole, before anything else */
    HB_TOKEN_UNUSED,
    HB_TOKEN_BYTE,
    HB_TOKEN_TYPES
} hb_token_type;

/* How pieces are spelled. */
typedef enum hb_spelling {
    HB_SPELLING_MARKED,    /* SentencePiece: spaces as U+2581, bytes as <0xHH> */
    HB_SPELLING_BYTE_LEVEL /* GPT-2: each byte as a printable character */
} hb_spelling;

typedef struct hb_vocab_entry {
    hb_gguf_text piece; /* as in the file */
    hb_gguf_text bytes; /* what it decodes to; none for control tokens */
    float score;
    hb_token_type type;
    bool ends; /* a text or a turn */
} hb_vocab_entry;

typedef struct hb_vocab {
    hb_vocab_entry *entries; /* [n] */
    int32_t n;
    hb_spelling spelling;
    char *decoded;    /* all entries' bytes */
    int32_t *by_text; /* ids of tokens that ordinary text can become, sorted by text */
    int32_t *special; /* ids of all others, and of user-defined ones, sorted by piece */
    int32_t n_by_text, n_special;
    bool special_first[256];       /* the bytes that those begin with */
    int32_t byte_tokens[256];      /* HB_NO_TOKEN where there is none */
    int32_t unknown;               /* stands for text that the rest lacks; HB_NO_TOKEN: none does */
    uint64_t longest;              /* piece, in bytes */
    int16_t alphabet[HB_ALPHABET]; /* GPT-2's: the byte that a character stands for, or -1 */
} hb_vocab;

/* Start from a zeroed struct; to be freed whatever is returned. `gguf` must outlive it. The caller then
 * sets `unknown`. */
hb_status hb_vocab_read(hb_vocab *vocab, const hb_gguf *gguf, hb_spelling spelling, hb_error *err);
void hb_vocab_free(hb_vocab *vocab);

/* The ordinary token of that text (the piece where spaces are marked, else the bytes), the last one
 * where several are; HB_NO_TOKEN when there is none. Takes time in log n, whatever the vocabulary. */
int32_t hb_vocab_find(const hb_vocab *vocab, const char *text, size_t length);

/* The longest special token that the text begins with: of any kind with `parse`, else user-defined
 * ones only. HB_NO_TOKEN when it begins with none. */
int32_t hb_vocab_special_at(const hb_vocab *vocab, const char *text, size_t length, bool parse);

/* The ordinary token that is spelled so; HB_NO_TOKEN when there is none. */
int32_t hb_vocab_find_piece(const hb_vocab *vocab, hb_gguf_text piece);

#endif
