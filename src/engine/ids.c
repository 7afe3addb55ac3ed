#include "engine/ids.h"

#include <stdlib.h>

hb_status hb_ids_add(hb_ids *ids, int32_t token, hb_error *err)
{
    if (ids->n == ids->room) {
        size_t room = ids->room ? 2 * ids->room : 64;
        int32_t *grown = realloc(ids->ids, room * sizeof *grown);
        if (!grown) return hb_fail_memory(err);
        ids->ids = grown;
        ids->room = room;
    }
    ids->ids[ids->n++] = token;
    return HB_OK;
}
