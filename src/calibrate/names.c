#include "calibrate/names.h"

#include <string.h>
#include "base/names.h"

static const char *const directions[] = {"high", "low", "auto"};
static const char *const signs[] = {">=", "<="};
static const char *const map_kinds[] = {"lambda", "fit-lambda", "platt", "isotonic"};
static const char *const grids[] = {"quantiles", "range", "exact"};
static const char *const guarantee_kinds[] = {"none", "risk", "recall", "false-halts", "halts"};
static const char *const selections[] = {"precision at recall", "best F1", "guarantee"};

const char *hb_direction_name(hb_direction direction)
{
    return HB_NAME(directions, direction);
}

const char *hb_direction_sign(hb_direction direction)
{
    return HB_NAME(signs, direction);
}

const char *hb_map_kind_name(hb_map_kind kind)
{
    return HB_NAME(map_kinds, kind);
}

const char *hb_grid_name(hb_grid grid)
{
    return HB_NAME(grids, grid);
}

const char *hb_guarantee_kind_name(hb_guarantee_kind kind)
{
    return HB_NAME(guarantee_kinds, kind);
}

const char *hb_selection_name(hb_selection selection)
{
    return HB_NAME(selections, selection);
}

bool hb_direction_by_sign(const char *sign, hb_direction *direction)
{
    size_t value;
    if (!HB_FIND_NAME(signs, sign, &value)) return false;
    *direction = (hb_direction)value;
    return true;
}

bool hb_map_kind_find(const char *name, hb_map_kind *kind)
{
    size_t value;
    if (!HB_FIND_NAME(map_kinds, name, &value)) return false;
    *kind = (hb_map_kind)value;
    return true;
}

bool hb_guarantee_kind_find(const char *name, hb_guarantee_kind *kind)
{
    size_t value;
    if (!HB_FIND_NAME(guarantee_kinds, name, &value)) return false;
    *kind = (hb_guarantee_kind)value;
    return true;
}
