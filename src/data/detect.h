/* Detects the preset of a file. */
#ifndef HB_DATA_DETECT_H
#define HB_DATA_DETECT_H

#include "data/presets.h"
#include "data/records.h"

/* How to read the records of a file. */
typedef struct hb_detected {
    const hb_preset *preset;
    const char *columns; /* the preset's columns for CSV without a header; otherwise NULL */
} hb_detected;

/* Finds the preset that the options name or, without a name, the first preset whose fields a record
 * has. HB_ERR_FORMAT when no preset fits; the message has the nearest preset and the missing field.
 * HB_ERR_DATA for a file without records. HB_ERR_ARGUMENT for an unknown name. */
hb_status hb_detect(const hb_input *input, const hb_dataset_options *options, hb_detected *detected,
                    hb_error *err);

/* Opens a file in the detected way. `hash` may be NULL. */
hb_status hb_detected_open(const hb_input *input, const hb_detected *detected, hb_sha256 *hash,
                           hb_records **records, hb_error *err);

#endif
