/* The native engine's session: the KV cache of its sequences, and the workspace that evaluates a batch.
 */
#ifndef HB_ENGINE_SESSION_H
#define HB_ENGINE_SESSION_H

#include "engine/workspace.h"

typedef struct hb_native_session {
    hb_session base;
    const hb_native_model *model;
    hb_kv_cache cache;
    hb_workspace work;
    hb_batch batch;              /* the current batch */
    const hb_tap *attention_tap; /* the current tap, if its attention is wanted and the batch has rows
                                    of it; else NULL */
    int32_t tap_rows[HB_BATCH];  /* set if so: the tap's row of each row of the batch; -1: none */
    double *frequencies[2];      /* [n_rot / 2], for model->rope and model->window_rope */
    double magnitude[2];         /* factors of their cosines and sines */
} hb_native_session;

/* The table's operations (session.c, forward.c). */
hb_status hb_native_memory(const hb_model *model, const hb_session_options *options, hb_memory *memory,
                           hb_error *err);
hb_status hb_native_open_session(const hb_model *model, const hb_session_options *options,
                                 hb_pool *pool, hb_session **session, hb_error *err);
void hb_native_close_session(hb_session *session);
int64_t hb_native_n_free(const hb_session *session);
int32_t hb_native_n_past(const hb_session *session, int32_t sequence);
void hb_native_drop(hb_session *session, int32_t sequence);
hb_status hb_native_fork(hb_session *session, int32_t from, int32_t n, int32_t to, hb_error *err);
hb_status hb_native_eval(hb_session *session, const int32_t *tokens, const int32_t *sequences,
                         int32_t n_tokens, const hb_tap *tap, hb_error *err);

#endif
