#ifndef HB_BASE_FILE_H
#define HB_BASE_FILE_H

#include "base/error.h"

/* Makes a directory and those above it; one that is there is fine. */
hb_status hb_make_directory(const char *dir, hb_error *err);

#endif
