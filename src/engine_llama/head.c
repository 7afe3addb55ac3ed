#include "engine_llama/head.h"

#include <math.h>
#include <stdlib.h>
#include "base/greatest.h"

/* Unpacks a vector of n floats; NULL when the file has none, or when memory runs out. */
static float *read_vector(const hb_model *file, const char *name, int32_t n)
{
    const hb_gguf_tensor *tensor = hb_model_file_tensor(file, name, n, 1);
    float *vector = tensor ? calloc((size_t)n, sizeof *vector) : NULL;
    if (vector) hb_model_file_row(tensor, 0, vector);
    return vector;
}

void hb_llama_head_row(const hb_llama_head *h, int32_t token, float *row)
{
    hb_model_file_row(h->output, token, row);
}

void hb_llama_head_norm(const hb_llama_head *h, const float *state, float *normed)
{
    double mean = 0, squares = 0, d = h->n_embd;
    for (int32_t i = 0; h->shift && i < h->n_embd; i++) mean += state[i] / d;
    for (int32_t i = 0; i < h->n_embd; i++) squares += (state[i] - mean) * (state[i] - mean);
    float inverse = (float)(1 / sqrt(squares / d + h->eps)), centre = (float)mean;
    for (int32_t i = 0; i < h->n_embd; i++) normed[i] = (state[i] - centre) * inverse * h->gain[i];
    for (int32_t i = 0; h->shift && i < h->n_embd; i++) normed[i] += h->shift[i];
}

float hb_llama_head_logit(const hb_llama_head *h, const float *row, const float *normed)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int32_t i = 0; i < h->n_embd; i++) sum += row[i] * normed[i];
    sum *= h->scale;
    return h->cap > 0 ? h->cap * tanhf(sum / h->cap) : sum;
}

enum { CHECKED = 16 }; /* tokens, most probable first */

/* Whether the head, with this scale, gives libllama's logits of some tokens. The tolerance covers
 * activations that are rounded to 8 bits; another norm, scale or cap is farther off. */
static bool fits(hb_llama_head *h, float scale, const int32_t *tokens, int32_t n, float *row,
                 const float *normed, const float *logits)
{
    float range = 0;
    h->scale = scale;
    for (int32_t i = 0; i < n; i++) range = fmaxf(range, fabsf(logits[tokens[i]]));
    for (int32_t i = 0; i < n; i++) {
        hb_llama_head_row(h, tokens[i], row);
        float here = hb_llama_head_logit(h, row, normed);
        if (!(fabsf(here - logits[tokens[i]]) <= 0.03F * range)) return false;
    }
    return true;
}

/* Checks the head. Some architectures multiply the products by the scale of the file, and others divide
 * by it. `room` is [2][n_embd]. */
static bool check(hb_llama_head *h, double given, int32_t n_vocab, const float *state,
                  const float *logits, float *room)
{
    int32_t tokens[CHECKED], n = n_vocab < CHECKED ? n_vocab : CHECKED;
    const float s = given > 0 ? (float)given : 1, scales[] = {1, s, 1 / s};
    float *normed = room + h->n_embd;
    hb_greatest(logits, n_vocab, tokens, n);
    hb_llama_head_norm(h, state, normed);
    for (int i = 0; i < 3; i++)
        if (fits(h, scales[i], tokens, n, room, normed, logits)) return true;
    return false;
}

hb_status hb_llama_head_open(hb_llama_head *h, const hb_model *file, int32_t n_vocab, int32_t n_embd,
                             const float *state, const float *logits, hb_error *err)
{
    const hb_gguf_tensor *output = hb_model_file_tensor(file, "output.weight", n_embd, n_vocab);
    if (!output) output = hb_model_file_tensor(file, "token_embd.weight", n_embd, n_vocab);
    float *room = calloc(2 * (size_t)n_embd, sizeof *room);
    if (!room) return hb_fail_memory(err);
    h->n_embd = n_embd;
    h->gain = read_vector(file, "output_norm.weight", n_embd);
    h->shift = read_vector(file, "output_norm.bias", n_embd);
    h->eps = (float)hb_model_file_number(file, h->shift ? "attention.layer_norm_epsilon"
                                                        : "attention.layer_norm_rms_epsilon");
    h->cap = (float)hb_model_file_number(file, "final_logit_softcapping");
    h->output = output;
    double scale = hb_model_file_number(file, "logit_scale");
    if (!output || !h->gain || !check(h, scale, n_vocab, state, logits, room)) h->output = NULL;
    free(room);
    return HB_OK;
}

void hb_llama_head_close(hb_llama_head *h)
{
    free(h->gain);
    free(h->shift);
}
