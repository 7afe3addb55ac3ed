/* A GGUF file's vocabulary: the spelling and bytes of each token, and functions to find tokens. */
#ifndef HB_ENGINE_VOCAB_H
#define HB_ENGINE_VOCAB_H

#include "engine/gguf.h"

#define HB_NO_TOKEN  (-1)
#define HB_MAX_VOCAB (1 << 24)
#define HB_MAX_PIECE                                                                                   \
    4096                /* bytes; far longer than any real piece. This bounds the cost of a look-up. */
#define HB_ALPHABET 324 /* one more than the last character of GPT-2's alphabet */

/* Numbered as in tokenizer.ggml.token_type. */
typedef enum hb_token_type {
    HB_TOKEN_UNDEFINED,
    HB_TOKEN_NORMAL,
    HB_TOKEN_UNKNOWN,
    HB_TOKEN_CONTROL, /* recognised only where the caller asks for special tokens */
    HB_TOKEN_USER,    /* user-defined: recognised in any text before other tokens */
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
    hb_text piece; /* as in the file */
    hb_text bytes; /* decoded bytes; empty for control tokens */
    float score;
    hb_token_type type;
    bool ends; /* whether it ends a text or a turn */
} hb_vocab_entry;

typedef struct hb_vocab {
    hb_vocab_entry *entries; /* [n] */
    int32_t n;
    hb_spelling spelling;
    char *decoded;      /* decoded bytes of all entries */
    int32_t *by_text;   /* ids of tokens that can result from ordinary text, sorted by text */
    uint64_t *prefixes; /* [n_by_text], the first 8 bytes of these texts as numbers */
    int32_t *special;   /* ids of all other tokens and of user-defined tokens, sorted by piece */
    int32_t n_by_text, n_special;
    bool special_first[256];       /* whether a special token begins with this byte */
    int32_t byte_tokens[256];      /* token of each byte; HB_NO_TOKEN if absent */
    int32_t unknown;               /* token for text without a token; HB_NO_TOKEN if absent */
    uint64_t longest;              /* length of the longest piece in bytes */
    int16_t alphabet[HB_ALPHABET]; /* GPT-2's alphabet: the byte that a character stands for, or -1 */
} hb_vocab;

/* Start from a zeroed struct; call hb_vocab_free also after a failure. `gguf` must outlive it. The
 * caller sets `unknown` afterwards. */
hb_status hb_vocab_read(hb_vocab *vocab, const hb_gguf *gguf, hb_spelling spelling, hb_error *err);
void hb_vocab_free(hb_vocab *vocab);

/* The ordinary token with this text, which is the piece for HB_SPELLING_MARKED and otherwise the bytes.
 * If several tokens have it, the last of them; HB_NO_TOKEN if none has. Takes O(log n). */
int32_t hb_vocab_find(const hb_vocab *vocab, const char *text, size_t length);

/* The longest special token at the start of the text; without `parse`, only user-defined tokens count.
 * HB_NO_TOKEN if there is none. */
int32_t hb_vocab_special_at(const hb_vocab *vocab, const char *text, size_t length, bool parse);

/* The ordinary token with this spelling; HB_NO_TOKEN if there is none. */
int32_t hb_vocab_find_piece(const hb_vocab *vocab, hb_text piece);

#endif
