#ifndef HB_ENGINE_ATTENTION_H
#define HB_ENGINE_ATTENTION_H

#include "engine/workspace.h"

/* Stores the keys w->k and values w->v of one row of the batch in the cache, for one block of the
 * model. */
void hb_attention_store(const hb_workspace *w, const hb_kv_cache *cache, const hb_batch *batch,
                        int32_t layer, int32_t row);

/* Computes causal attention for a batch in one block of the model, after its rows are stored: attends
 * with the queries w->q and writes the result to w->attention. If `tap` is not NULL, fills the block's
 * part of tap->attention, too. tap_rows [batch->n_rows] has the tap's row of each row of the batch; -1
 * for none. */
void hb_attention(const hb_workspace *w, const hb_native_model *model, const hb_kv_cache *cache,
                  const hb_batch *batch, int32_t layer, const hb_tap *tap, const int32_t *tap_rows);

#endif
