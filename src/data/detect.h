/* Which preset the records of a file fit. */
#ifndef HB_DATA_DETECT_H
#define HB_DATA_DETECT_H

#include "data/presets.h"
#include "data/records.h"

/* How the records of a file are read. */
typedef struct hb_detected {
    const hb_preset *preset;
    const char *columns; /* the preset's, for CSV that has no header; else NULL */
} hb_detected;

/* The preset that the options name, or the first one that a record has all the fields of.
 * HB_ERR_FORMAT, saying which one is nearest and what lacks, when none fits; HB_ERR_DATA for a file
 * without a record; HB_ERR_ARGUMENT for a name that is not known. */
hb_status hb_detect(const hb_input *input, const hb_dataset_options *options, hb_detected *detected,
                    hb_error *err);

/* Opens a file as it was detected. `hash` may be NULL. */
hb_status hb_detected_open(const hb_input *input, const hb_detected *detected, hb_sha256 *hash,
                           hb_records **records, hb_error *err);

#endif
