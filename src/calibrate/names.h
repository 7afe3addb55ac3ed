/* The way back from the names that files and options use to values; false for a name that none has. */
#ifndef HB_CALIBRATE_NAMES_H
#define HB_CALIBRATE_NAMES_H

#include "hbar.h"

bool hb_direction_by_sign(const char *sign, hb_direction *direction);
bool hb_map_kind_find(const char *name, hb_map_kind *kind);
bool hb_guarantee_kind_find(const char *name, hb_guarantee_kind *kind);

#endif
