/* The run store, as pass 1 writes it. */
#ifndef HB_SCORE_RUN_H
#define HB_SCORE_RUN_H

#include "base/error.h"

/* Whether the sample of that index is finished, whatever became of it. */
hb_status hb_run_has(hb_run *run, uint64_t index, bool *has, hb_error *err);

/* Adds a finished sample, in a transaction of its own. */
hb_status hb_run_add(hb_run *run, const hb_run_sample *sample, hb_error *err);

#endif
