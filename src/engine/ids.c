#include "engine/ids.h"

#include "base/memory.h"

hb_status hb_ids_add(hb_ids *ids, int32_t token, hb_error *err)
{
    int32_t *list = hb_grown(ids->ids, ids->n, sizeof *list, &ids->room);
    if (!list) return hb_fail_memory(err);
    ids->ids = list;
    list[ids->n++] = token;
    return HB_OK;
}
