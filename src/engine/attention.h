#ifndef HB_ENGINE_ATTENTION_H
#define HB_ENGINE_ATTENTION_H

#include "engine/workspace.h"

/* Computes causal attention for a batch in one block: stores the keys w->k and values w->v in the
 * cache, then attends with the queries w->q and writes the result to w->attention. */
void hb_attention(const hb_workspace *w, const hb_native_model *model, const hb_kv_cache *cache,
                  const hb_batch *batch, int32_t layer);

#endif
