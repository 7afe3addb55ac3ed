#ifndef HB_ENGINE_ATTENTION_H
#define HB_ENGINE_ATTENTION_H

#include "engine/workspace.h"

/* Causal attention of a batch in one block: puts its keys w->k and values w->v into the cache, and then
 * fills w->attention by its queries w->q. */
void hb_attention(const hb_workspace *w, const hb_native_model *model, const hb_kv_cache *cache,
                  const hb_batch *batch, int32_t layer);

#endif
