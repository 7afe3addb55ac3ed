/* A dataset and the run that keeps its samples. */
#ifndef HB_SCORE_LEDGER_H
#define HB_SCORE_LEDGER_H

#include "score/exchange.h"

typedef struct hb_ledger {
    hb_dataset *dataset;
    hb_run *run;
    const hb_score_options *options; /* its progress hook is called */
    hb_run_counts counts;
    uint64_t done; /* number of samples that this call has recorded */
} hb_ledger;

/* Counts the samples of the run; the other members are set. */
hb_status hb_ledger_open(hb_ledger *ledger, hb_error *err);

/* Reads the next sample that the run lacks. *supply becomes HB_SUPPLY_LATER after a sample that the run
 * has. */
hb_status hb_ledger_next(hb_ledger *ledger, hb_sample *sample, hb_supply *supply, hb_error *err);

/* Adds a finished sample to the run and counts it. hb_run_commit makes it permanent. */
hb_status hb_ledger_keep(hb_ledger *ledger, const hb_finished *finished, hb_error *err);

/* Commits what was added also when `status` is an error, which this then returns. Otherwise finishes
 * the run. */
hb_status hb_ledger_close(hb_ledger *ledger, hb_status status, hb_error *err);

#endif
