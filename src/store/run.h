/* The run store, as pass 1 writes it. */
#ifndef HB_STORE_RUN_H
#define HB_STORE_RUN_H

#include "base/error.h"

/* Whether the sample of that index is finished, whatever became of it. */
hb_status hb_run_has(hb_run *run, uint64_t index, bool *has, hb_error *err);

/* Adds a finished sample; the next hb_run_commit keeps it. Samples added between two commits are kept
 * together or, when the process ends or one of them fails, not at all. */
hb_status hb_run_add(hb_run *run, const hb_run_sample *sample, hb_error *err);
hb_status hb_run_commit(hb_run *run, hb_error *err);

#endif
