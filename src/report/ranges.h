/* The ranges of the numbers in documents: parameters and validations. */
#ifndef HB_REPORT_RANGES_H
#define HB_REPORT_RANGES_H

#include <jansson.h>
#include "base/error.h"

/* Checks every number of a document whose field has a range, such as an AUROC, a probability, a share
 * or a count. HB_ERR_FORMAT, naming the file `path` and the field. Values of other types, and fields
 * that are unknown, are not checked. */
hb_status hb_check_ranges(const char *path, const json_t *root, hb_error *err);

#endif
