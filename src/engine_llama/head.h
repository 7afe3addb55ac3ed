/* The output head of a model as hbar applies it: to any block's state, for a few tokens. libllama does
 * not give its head away, so this one is read from the model's file, and checked against libllama's
 * logits. */
#ifndef HB_ENGINE_LLAMA_HEAD_H
#define HB_ENGINE_LLAMA_HEAD_H

#include "engine/model_file.h"

typedef struct hb_llama_head {
    const hb_gguf_tensor *output; /* [n_vocab][n_embd]; NULL: the head is not known */
    int32_t n_embd;
    float *gain;  /* [n_embd], of the final norm */
    float *shift; /* [n_embd], of a norm that subtracts the mean; NULL: an RMS norm */
    float eps;
    float scale; /* of the products */
    float cap;   /* softcap of the logits; 0: none */
} hb_llama_head;

/* Reads the head and checks that it turns the last block's `state` [n_embd] into `logits` [n_vocab]. A
 * head of another form is no error: head->output is then NULL. Start from a zeroed struct; call
 * hb_llama_head_close also after a failure. `file` must outlive the head. */
hb_status hb_llama_head_open(hb_llama_head *head, const hb_model *file, int32_t n_vocab, int32_t n_embd,
                             const float *state, const float *logits, hb_error *err);
void hb_llama_head_close(hb_llama_head *head);

/* Unpacks the head's row of a token into row [n_embd]. */
void hb_llama_head_row(const hb_llama_head *head, int32_t token, float *row);

/* Applies the final norm to a block's state; both [n_embd]. */
void hb_llama_head_norm(const hb_llama_head *head, const float *state, float *normed);

/* The logit of a token, whose row of the head is given, after a normed state. */
float hb_llama_head_logit(const hb_llama_head *head, const float *row, const float *normed);

#endif
