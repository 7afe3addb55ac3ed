#ifndef HB_ENGINE_TOKENIZER_SPM_H
#define HB_ENGINE_TOKENIZER_SPM_H

#include "engine/ids.h"
#include "engine/vocab.h"

/* Adds the tokens of text, at least one byte, that holds no special token. With `add_space` a space is
 * put before it. */
hb_status hb_spm_encode(const hb_vocab *vocab, bool add_space, const char *text, size_t length,
                        hb_ids *out, hb_error *err);

#endif
