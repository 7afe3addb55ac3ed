/* Does with a model's file what hbar does: describes it, opens it, evaluates tokens. */
#ifndef HB_FUZZ_RUN_MODEL_H
#define HB_FUZZ_RUN_MODEL_H

#include "fuzz.h"

enum { MODEL_CONTEXT = 24, MODEL_TOKENS = 12 };
#define MODEL_MEMORY ((uint64_t)64 << 20) /* larger sessions are left out */

static inline void eval_model(const hb_model *model)
{
    hb_error err;
    hb_session *session;
    hb_memory memory;
    const hb_session_options o = {.n_ctx = MODEL_CONTEXT, .n_threads = 1};
    const hb_model_info *info = hb_model_get_info(model);
    if (hb_session_memory(model, &o, &memory, &err) || memory.cache + memory.work > MODEL_MEMORY ||
        hb_session_open(model, &o, &session, &err))
        return;
    int32_t tokens[MODEL_TOKENS], last = 0;
    size_t n_logits = (size_t)info->n_vocab, n_states = (size_t)info->n_layers * (size_t)info->n_embd;
    float *outputs = calloc(n_logits + n_states + 1, sizeof *outputs);
    hb_tap tap = hb_tap_defaults();
    tap.rows = &last;
    tap.n_rows = 1;
    tap.logits = outputs;
    tap.states = outputs + n_logits;
    require(outputs);
    for (int32_t i = 0; i < MODEL_TOKENS; i++) tokens[i] = i * 7 % info->n_vocab;
    for (int32_t n = 1; n <= MODEL_TOKENS - 1; n += MODEL_TOKENS - 2) { /* one token, then many */
        last = n - 1;
        if (hb_eval(session, tokens, n, &tap, &err)) break;
    }
    free(outputs);
    hb_session_close(session);
}

static inline void run_model(const char *path)
{
    hb_error err;
    hb_model *model;
    char *text;
    if (!hb_inspect(path, MODEL_CONTEXT, &text, &err)) free(text);
    if (!hb_inspect_text(path, MODEL_CONTEXT, &text, &err)) free(text);
    if (hb_model_open(path, &model, &err)) {
        require(err.message[0] && !strchr(err.message, '\n'));
        return;
    }
    eval_model(model);
    hb_model_close(model);
}

#endif
