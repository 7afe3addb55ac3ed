/* What libllama's graph of a model gives to a tap. The names of its tensors are the only sign, and
 * architectures differ, so a trial decides. */
#include <stdlib.h>
#include "engine_llama/model.h"
#include "engine_llama/tap.h"

enum { TOKENS = 2, CELLS = 256, SMALL = 64 << 20 };

/* The threads of libllama wait for each other at each operation. With a file of less than SMALL bytes
 * they would wait longer than one thread takes for all the work. */
static int32_t n_threads(const hb_model_info *info)
{
    return info->file_size < SMALL ? 1 : hb_usable_processors();
}

/* Evaluates both tokens and taps the second. */
static hb_status evaluate(const hb_llama_model *m, hb_llama_tap *t, float *logits, hb_error *err)
{
    struct llama_context_params p = hb_llama_context_params(m, GGML_TYPE_F32, CELLS, TOKENS, 1);
    hb_status status = HB_OK;
    p.n_threads = p.n_threads_batch = n_threads(&m->base.info);
    p.cb_eval = hb_llama_on_tensor;
    p.cb_eval_user_data = t;
    struct llama_context *context = llama_init_from_model(m->model, p);
    llama_token tokens[TOKENS] = {0, m->base.info.n_vocab > 1};
    int8_t is_output[TOKENS] = {0, 1};
    struct llama_batch batch = llama_batch_get_one(tokens, TOKENS);
    batch.logits = is_output;
    const float *row =
        context && !llama_decode(context, batch) ? llama_get_logits_ith(context, 1) : NULL;
    if (row)
        for (int32_t i = 0; i < m->base.info.n_vocab; i++) logits[i] = row[i];
    else
        status = hb_fail(err, HB_ERR_UNSUPPORTED, "%s: libllama cannot evaluate it: %s",
                         m->base.info.path, hb_llama_why());
    llama_free(context);
    return status;
}

/* Taps everything, and sets what the model lacks. Nothing gives the weights of attention. */
static hb_status try_outputs(hb_llama_model *m, float *states, float *normed, float *logits,
                             hb_error *err)
{
    const hb_model_info *info = &m->base.info;
    const int32_t last = TOKENS - 1;
    const hb_tap tap = {
        .rows = &last, .n_rows = 1, .states = states, .n_blocks = info->n_layers, .normed = normed};
    hb_llama_tap t = {
        .tap = &tap, .n_layers = info->n_layers, .n_embd = info->n_embd, .n = TOKENS, .to = 1};
    hb_status status = evaluate(m, &t, logits, err);
    if (status) return status;
    m->base.lacks = HB_OUTPUT_ATTENTION;
    if (t.odd || t.n_states != info->n_layers) m->base.lacks |= HB_OUTPUT_STATES | HB_OUTPUT_LENS;
    if (t.odd || t.n_normed != 1) m->base.lacks |= HB_OUTPUT_NORMED;
    if (m->base.lacks & HB_OUTPUT_LENS) return HB_OK;
    size_t at = (size_t)(info->n_layers - 1) * (size_t)info->n_embd;
    status =
        hb_llama_head_open(&m->head, m->file, info->n_vocab, info->n_embd, states + at, logits, err);
    if (!m->head.output) m->base.lacks |= HB_OUTPUT_LENS;
    return status;
}

hb_status hb_llama_try(hb_llama_model *m, hb_error *err)
{
    const hb_model_info *info = &m->base.info;
    size_t d = (size_t)info->n_embd;
    float *states = calloc((size_t)info->n_layers * d, sizeof *states);
    float *normed = calloc(d, sizeof *normed), *logits = calloc((size_t)info->n_vocab, sizeof *logits);
    hb_status status =
        states && normed && logits ? try_outputs(m, states, normed, logits, err) : hb_fail_memory(err);
    free(states);
    free(normed);
    free(logits);
    return status;
}
