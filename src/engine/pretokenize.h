/* Splits text into words with the regular expressions that the model was trained with
 * (tokenizer.ggml.pre). Byte-level BPE merges only within these words. */
#ifndef HB_ENGINE_PRETOKENIZE_H
#define HB_ENGINE_PRETOKENIZE_H

#include "engine/gguf.h"

typedef struct hb_pretokenizer hb_pretokenizer;

/* A name with NULL bytes stands for "default". Returns HB_ERR_UNSUPPORTED, listing the known names, for
 * an unknown name. `path` is for messages. */
hb_status hb_pretokenizer_open(hb_text name, const char *path, hb_pretokenizer **pretokenizer,
                               hb_error *err);
void hb_pretokenizer_close(hb_pretokenizer *pretokenizer);

/* Whether a word that is itself a token becomes that token without merging. */
bool hb_pretokenizer_whole_words(const hb_pretokenizer *pretokenizer);
/* Whether texts begin with the BOS token when the file does not say so. */
bool hb_pretokenizer_add_bos(const hb_pretokenizer *pretokenizer);

typedef hb_status hb_on_word(void *user, const char *word, size_t length, hb_error *err);

/* Calls `on_word` for each word in order and stops when it fails. The words together are the whole
 * text. Each run of bytes that are not UTF-8 is a word, too. */
hb_status hb_pretokenize(const hb_pretokenizer *pretokenizer, const char *text, size_t length,
                         hb_on_word *on_word, void *user, hb_error *err);

#endif
