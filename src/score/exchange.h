/* What pass 1 exchanges with the outside: samples come in, results go out. Behind it is a dataset with
 * a run (ledger.h), or the process that leads a team (member.c). */
#ifndef HB_SCORE_EXCHANGE_H
#define HB_SCORE_EXCHANGE_H

#include "base/error.h"

/* Everything that a run keeps of a finished sample. */
typedef struct hb_finished {
    hb_run_sample sample;
    const hb_run_tokens *tokens;          /* NULL: none */
    const hb_run_features *features;      /* NULL: none */
    const hb_run_generation *generations; /* [n_generations] */
    size_t n_generations;
} hb_finished;

typedef enum hb_supply {
    HB_SUPPLY_SAMPLE,
    HB_SUPPLY_LATER, /* there is no sample now, but one may come */
    HB_SUPPLY_END    /* there are no more samples */
} hb_supply;

typedef struct hb_exchange {
    void *user;
    /* Finds the next sample, which is valid until the next call. With `wait`, waits for one. */
    hb_status (*next)(void *user, bool wait, hb_sample *sample, hb_supply *supply, hb_error *err);
    hb_status (*keep)(void *user, const hb_finished *finished, hb_error *err);
    /* Called after each evaluation: hands on what was kept. */
    hb_status (*settle)(void *user, hb_error *err);
    const struct hb_ledger *ledger; /* what is known of the run; NULL: the leader of the team knows */
} hb_exchange;

#endif
