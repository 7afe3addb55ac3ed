/* Converts text to tokens and back with the vocabulary of a GGUF file. */
#ifndef HB_ENGINE_TOKENIZER_H
#define HB_ENGINE_TOKENIZER_H

#include "engine/engine.h"
#include "engine/gguf.h"

typedef struct hb_tokenizer hb_tokenizer;

/* Supported: tokenizer.ggml.model = "llama" (SentencePiece BPE with byte fallback) and "gpt2"
 * (byte-level BPE). `gguf` must outlive the tokenizer. */
hb_status hb_tokenizer_open(const hb_gguf *gguf, hb_tokenizer **tokenizer, hb_error *err);
void hb_tokenizer_close(hb_tokenizer *tokenizer);

int32_t hb_tokenizer_n_vocab(const hb_tokenizer *tokenizer);

/* Whether the default pre-tokenizer is used because the file does not name one. */
bool hb_tokenizer_guesses_words(const hb_tokenizer *tokenizer);

/* See hb_tokenize_spans. */
hb_status hb_tokenizer_encode(const hb_tokenizer *tokenizer, const char *text,
                              const hb_text_span *spans, size_t n, bool add_bos, bool add_eos,
                              bool continues, int32_t **tokens, size_t *n_tokens, hb_error *err);

/* See hb_token_bytes, hb_token_piece and hb_token_is_end; 0 <= token < n_vocab. */
hb_text hb_tokenizer_bytes(const hb_tokenizer *tokenizer, int32_t token);
hb_text hb_tokenizer_piece(const hb_tokenizer *tokenizer, int32_t token);
bool hb_tokenizer_is_end(const hb_tokenizer *tokenizer, int32_t token);

/* The tokens that begin and end a text; below 0 when there is none. */
int32_t hb_tokenizer_bos(const hb_tokenizer *tokenizer);
int32_t hb_tokenizer_eos(const hb_tokenizer *tokenizer);

/* Where a text first spells a control token; NULL bytes when nowhere. */
hb_text hb_tokenizer_find_control(const hb_tokenizer *tokenizer, hb_text text);

#endif
