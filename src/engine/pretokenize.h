/* Cuts text into the words that byte-level BPE merges within, by the regular expressions that a model
 * was trained with (tokenizer.ggml.pre). */
#ifndef HB_ENGINE_PRETOKENIZE_H
#define HB_ENGINE_PRETOKENIZE_H

#include "engine/gguf.h"

typedef struct hb_pretokenizer hb_pretokenizer;

/* A name with NULL bytes stands for "default". HB_ERR_UNSUPPORTED, listing those there are, for a name
 * not known. `path` is for messages. */
hb_status hb_pretokenizer_open(hb_gguf_text name, const char *path, hb_pretokenizer **pretokenizer,
                               hb_error *err);
void hb_pretokenizer_close(hb_pretokenizer *pretokenizer);

/* Whether a word that is a token is taken whole, whatever the merges say. */
bool hb_pretokenizer_whole_words(const hb_pretokenizer *pretokenizer);
/* Whether texts begin with the beginning-of-text token where a file does not say. */
bool hb_pretokenizer_add_bos(const hb_pretokenizer *pretokenizer);

typedef hb_status hb_on_word(void *user, const char *word, size_t length, hb_error *err);

/* Calls `on_word` for each word in order, until it fails; together the words are the text. Bytes that
 * are not UTF-8 are words of their own. */
hb_status hb_pretokenize(const hb_pretokenizer *pretokenizer, const char *text, size_t length,
                         hb_on_word *on_word, void *user, hb_error *err);

#endif
