/* A session that libllama evaluates: a context, and the accounts of its cells. */
#ifndef HB_ENGINE_LLAMA_SESSION_H
#define HB_ENGINE_LLAMA_SESSION_H

#include "engine_llama/cells.h"
#include "engine_llama/model.h"
#include "engine_llama/tap.h"

typedef struct hb_llama_session {
    hb_session base;
    const hb_llama_model *model;
    struct llama_context *context;
    hb_cells cells;
    hb_llama_tap tap;
    struct llama_batch batch; /* room for n_batch tokens */
    int32_t *before;          /* [n_sequences], positions before the call that is evaluated */
    float *room; /* [n_threads][n_layers + 1][n_embd]: normed states and a row of the head, for the
                    lens; NULL without a lens */
} hb_llama_session;

static inline hb_llama_session *hb_llama_session_of(hb_session *session)
{
    return (hb_llama_session *)(void *)session;
}

/* The table's operations (session.c, eval.c). */
hb_status hb_llama_memory(const hb_model *model, const hb_session_options *options, hb_memory *memory,
                          hb_error *err);
hb_status hb_llama_open_session(const hb_model *model, const hb_session_options *options, hb_pool *pool,
                                hb_session **session, hb_error *err);
void hb_llama_close_session(hb_session *session);
int64_t hb_llama_n_free(const hb_session *session);
int32_t hb_llama_n_past(const hb_session *session, int32_t sequence);
void hb_llama_drop(hb_session *session, int32_t sequence);
hb_status hb_llama_fork(hb_session *session, int32_t from, int32_t n, int32_t to, hb_error *err);
hb_status hb_llama_eval(hb_session *session, const int32_t *tokens, const int32_t *sequences,
                        int32_t n_tokens, const hb_tap *tap, hb_error *err);

/* Fills the lens, and the output head's rows, of rows [from, to) of a tap, whichever are requested. The
 * logits and states of these rows must be filled already (lens.c). */
void hb_llama_lens(const hb_llama_session *session, const hb_tap *tap, int32_t from, int32_t to);

#endif
