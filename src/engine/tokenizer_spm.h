#ifndef HB_ENGINE_TOKENIZER_SPM_H
#define HB_ENGINE_TOKENIZER_SPM_H

#include "engine/ids.h"
#include "engine/vocab.h"

/* Appends the tokens of a text of at least one byte. The text holds no special tokens. With
 * `add_space`, a space is put in front of it. */
hb_status hb_spm_encode(const hb_vocab *vocab, bool add_space, const char *text, size_t length,
                        hb_ids *out, hb_error *err);

#endif
