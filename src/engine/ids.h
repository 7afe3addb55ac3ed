#ifndef HB_ENGINE_IDS_H
#define HB_ENGINE_IDS_H

#include "base/error.h"

/* A growing list of token ids. Start from a zeroed struct; release `ids` with free(). */
typedef struct hb_ids {
    int32_t *ids;
    size_t n, room;
} hb_ids;

hb_status hb_ids_add(hb_ids *ids, int32_t token, hb_error *err);

#endif
