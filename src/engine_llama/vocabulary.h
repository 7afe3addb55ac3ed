/* The tokens of a model whose tokenizer only libllama has. */
#ifndef HB_ENGINE_LLAMA_VOCABULARY_H
#define HB_ENGINE_LLAMA_VOCABULARY_H

#include "engine/engine.h"
#include "engine_llama/library.h"

typedef struct hb_llama_vocabulary hb_llama_vocabulary;

/* `path` is for messages. `vocab` must outlive the vocabulary. */
hb_status hb_llama_vocabulary_open(const struct llama_vocab *vocab, const char *path,
                                   hb_llama_vocabulary **vocabulary, hb_error *err);
void hb_llama_vocabulary_close(hb_llama_vocabulary *vocabulary);

/* As the operations of an engine's table. libllama tokenizes each span by itself. */
hb_status hb_llama_tokenize(const hb_llama_vocabulary *v, const char *text, const hb_text_span *spans,
                            size_t n, bool add_bos, bool add_eos, int32_t **tokens, size_t *n_tokens,
                            hb_error *err);
hb_text hb_llama_token_bytes(const hb_llama_vocabulary *v, int32_t token);
hb_text hb_llama_token_piece(const hb_llama_vocabulary *v, int32_t token);
hb_text hb_llama_find_control(const hb_llama_vocabulary *v, hb_text text);

#endif
