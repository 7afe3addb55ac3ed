/* The logit lens, computed by hbar from the states that libllama's graph gives. */
#include <string.h>
#include "base/greatest.h"
#include "engine_llama/session.h"

typedef struct call {
    const hb_llama_session *s;
    const hb_tap *tap;
    int32_t from;
} call;

static int32_t block_at(const hb_tap *tap, int32_t b)
{
    return tap->blocks ? tap->blocks[b] : b;
}

/* Fills one row of the tap. For the last block the lens is the model's own logits. */
static void read_row(const void *context, int32_t item, int32_t thread)
{
    const call *c = context;
    const hb_tap *tap = c->tap;
    const hb_model_info *info = &c->s->model->base.info;
    const hb_llama_head *head = &c->s->model->head;
    size_t d = (size_t)info->n_embd, k = (size_t)tap->n_lens, r = (size_t)(c->from + item);
    size_t blocks = tap->lens ? (size_t)tap->n_blocks : 0;
    const float *logits = tap->logits + r * (size_t)info->n_vocab;
    float *normed = c->s->room + (size_t)thread * (size_t)(info->n_layers + 1) * d;
    float *unpacked = normed + (size_t)info->n_layers * d;
    int32_t *tokens = tap->lens_tokens + r * k;
    hb_greatest(logits, info->n_vocab, tokens, tap->n_lens);
    for (size_t b = 0; b < blocks; b++)
        hb_llama_head_norm(head, tap->states + (r * blocks + b) * d, normed + b * d);
    for (size_t t = 0; t < k; t++) {
        float *row = tap->head ? tap->head + (r * k + t) * d : unpacked;
        hb_llama_head_row(head, tokens[t], row);
        for (size_t b = 0; b < blocks; b++) {
            bool last = block_at(tap, (int32_t)b) == info->n_layers - 1;
            tap->lens[(r * blocks + b) * k + t] =
                last ? logits[tokens[t]] : hb_llama_head_logit(head, row, normed + b * d);
        }
    }
}

void hb_llama_lens(const hb_llama_session *s, const hb_tap *tap, int32_t from, int32_t to)
{
    hb_pool_each(s->base.pool, to - from, read_row, &(call){s, tap, from});
}
