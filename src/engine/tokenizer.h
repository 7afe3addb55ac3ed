/* Text to tokens and back, by the vocabulary in a GGUF file. */
#ifndef HB_ENGINE_TOKENIZER_H
#define HB_ENGINE_TOKENIZER_H

#include "engine/gguf.h"

typedef struct hb_tokenizer hb_tokenizer;

/* Supported: tokenizer.ggml.model = "llama" (SentencePiece BPE with byte fallback) and "gpt2"
 * (byte-level BPE). `gguf` must outlive the tokenizer. */
hb_status hb_tokenizer_open(const hb_gguf *gguf, hb_tokenizer **tokenizer, hb_error *err);
void hb_tokenizer_close(hb_tokenizer *tokenizer);

int32_t hb_tokenizer_n_vocab(const hb_tokenizer *tokenizer);

/* See hb_tokenize, hb_token_bytes, hb_token_piece and hb_token_is_end. */
hb_status hb_tokenizer_encode(const hb_tokenizer *tokenizer, const char *text, size_t length,
                              bool add_special, bool parse_special, int32_t **tokens, size_t *n_tokens,
                              hb_error *err);

/* A part of a text, from the end of the one before it (or the start) to `end`. */
typedef struct hb_text_span {
    size_t end;
    bool parse_special;
} hb_text_span;

/* Tokens of a text of n >= 1 spans, as of one text, but that a special token is only found within a
 * span, and control tokens only in those that are parsed for them. */
hb_status hb_tokenizer_encode_spans(const hb_tokenizer *tokenizer, const char *text,
                                    const hb_text_span *spans, size_t n, bool add_bos, bool add_eos,
                                    int32_t **tokens, size_t *n_tokens, hb_error *err);
const char *hb_tokenizer_bytes(const hb_tokenizer *tokenizer, int32_t token, size_t *length);
const char *hb_tokenizer_piece(const hb_tokenizer *tokenizer, int32_t token, size_t *length);
bool hb_tokenizer_is_end(const hb_tokenizer *tokenizer, int32_t token);

#endif
