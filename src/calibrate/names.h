/* Convert names from files and options to enum values. False for an unknown name. */
#ifndef HB_CALIBRATE_NAMES_H
#define HB_CALIBRATE_NAMES_H

#include "hbar.h"

bool hb_direction_by_sign(const char *sign, hb_direction *direction);
bool hb_map_kind_find(const char *name, hb_map_kind *kind);
bool hb_guarantee_kind_find(const char *name, hb_guarantee_kind *kind);

#endif
