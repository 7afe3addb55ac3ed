/* What the token loop shares with pass 1. */
#ifndef HB_MONITOR_H
#define HB_MONITOR_H

#include "base/error.h"

/* Whether a token ends the first line that is not blank; *begun, false at first, tells that something
 * that is no white space has come. */
bool hb_ends_line(const hb_model *model, int32_t token, bool *begun);

#endif
