/* Constants shared by writing and loading parameters files. docs/parameters.md describes the format. */
#ifndef HB_REPORT_PARAMS_H
#define HB_REPORT_PARAMS_H

#include <jansson.h>
#include "base/error.h"

#define HB_PARAMS_SCHEMA "hbar-params"
/* Until version 5, no trained model halts. Until version 4, there is no halt. Until version 3, the name
 * of a signal alone meant its score with top5; now it means tail5. Version 2 calls the guarantee
 * "promise". Version 1 has no guarantees, maps or joint models. */
#define HB_PARAMS_VERSION 6

/* Loads the probes of a file, if it has any (params_probes.c). `path` is for messages. */
hb_status hb_params_load_probes(const char *path, json_t *root, hb_params *params, hb_error *err);
/* Loads the probe of a halt's model. */
hb_status hb_params_load_halt_probe(const char *path, const json_t *object, hb_probe **probe,
                                    hb_error *err);

/* The "schema" of a validation. */
#define HB_VALIDATION_SCHEMA "hbar-validation"

#endif
