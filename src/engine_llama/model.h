/* A model that libllama evaluates. */
#ifndef HB_ENGINE_LLAMA_MODEL_H
#define HB_ENGINE_LLAMA_MODEL_H

#include "engine_llama/head.h"
#include "engine_llama/library.h"
#include "engine_llama/vocabulary.h"

typedef struct hb_llama_model {
    hb_model base;
    hb_model *file; /* the same file, as hbar's own reader has it */
    struct llama_model *model;
    hb_llama_vocabulary *vocabulary; /* NULL: the tokenizer of `file` is used */
    hb_llama_head head;
    bool on_gpu;
    /* A recurrent state cannot be shortened: a fork within a sequence evaluates its tokens again, and
     * the sequences of a batch are evaluated one by one. */
    bool recurrent;
} hb_llama_model;

static inline const hb_llama_model *hb_llama(const hb_model *model)
{
    return (const hb_llama_model *)(const void *)model;
}

/* The parameters of a context of this model with n_cells cells, whose keys and values have the type
 * `cache`. It has no flash attention, so that scores agree with those of the native engine. */
struct llama_context_params hb_llama_context_params(const hb_llama_model *model, enum ggml_type cache,
                                                    int32_t n_cells, int32_t n_batch,
                                                    int32_t n_sequences);

/* The table's operations (model.c). */
hb_status hb_llama_open(const char *path, bool vocab_only, const hb_model_options *options,
                        hb_model **model, hb_error *err);
void hb_llama_close(hb_model *model);

/* Evaluates two tokens, to find which outputs of a tap this model's graph has, and reads its head
 * (trial.c). Sets base.lacks and head. */
hb_status hb_llama_try(hb_llama_model *model, hb_error *err);

#endif
