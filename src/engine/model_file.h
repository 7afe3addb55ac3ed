/* A model's file, for engines that evaluate it with another library. hbar's own reader checks the file
 * first, and its tokenizer, its hash and its search for NaN serve these engines, too. */
#ifndef HB_ENGINE_MODEL_FILE_H
#define HB_ENGINE_MODEL_FILE_H

#include "engine/engine.h"

/* As hb_model_open_vocab, but a tokenizer that hbar does not support is no error: *has_tokens becomes
 * false, n_vocab is 0, and no function for tokens may be called. Of the options, hash_ahead counts. */
hb_status hb_model_file_open(const char *path, const hb_model_options *options, bool *has_tokens,
                             hb_model **file, hb_error *err);

/* Refuses what libraries may not check: two tokens with the same text and, unless `vocab_only`, a
 * number of blocks outside 1 to max_blocks, an epsilon of a norm that is not positive, and a number of
 * rotated dimensions that is odd, 0 or larger than a head. HB_ERR_FORMAT. */
hb_status hb_model_file_check(const hb_model *file, bool vocab_only, int32_t max_blocks, hb_error *err);

/* The number in metadata "ARCHITECTURE.KEY", if it is above 0 and below 1e30; else 0. */
double hb_model_file_number(const hb_model *file, const char *key);

/* A tensor of the file. */
typedef struct hb_gguf_tensor hb_gguf_tensor;

/* The tensor with this name; NULL if there is none, or one of another shape or of a type that hbar
 * cannot unpack. A vector has 1 row. Valid as long as the file. */
const hb_gguf_tensor *hb_model_file_tensor(const hb_model *file, const char *name, int32_t cols,
                                           int32_t rows);

/* Unpacks one row. */
void hb_model_file_row(const hb_gguf_tensor *tensor, int32_t row, float *out);

#endif
