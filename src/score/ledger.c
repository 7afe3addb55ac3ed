#include "score/ledger.h"

#include "store/run.h"

hb_status hb_ledger_open(hb_ledger *l, hb_error *err)
{
    return hb_run_count(l->run, &l->counts, err);
}

hb_status hb_ledger_next(hb_ledger *l, hb_sample *sample, hb_supply *supply, hb_error *err)
{
    bool found, has = false;
    hb_status status = hb_dataset_next(l->dataset, sample, &found, err);
    if (!status && found) status = hb_run_has(l->run, sample->index, &has, err);
    *supply = has ? HB_SUPPLY_LATER : HB_SUPPLY_SAMPLE;
    if (!status && !found) *supply = HB_SUPPLY_END;
    return status;
}

/* Counts a recorded sample and calls the progress hook. */
static void count(hb_ledger *l, const hb_run_sample *s)
{
    hb_run_counts *c = &l->counts;
    if (s->status == HB_SAMPLE_SKIPPED) c->skipped++;
    else if (s->status == HB_SAMPLE_FAILED) c->failed++;
    else {
        c->scored++;
        c->graded += s->answers != NULL;
        c->abstained += s->answers && s->grade.abstained;
    }
    l->done++;
    if (l->options->on_progress) l->options->on_progress(l->options->user, c, l->done);
}

hb_status hb_ledger_keep(hb_ledger *l, const hb_finished *f, hb_error *err)
{
    hb_status status = hb_run_add(l->run, &f->sample, err);
    if (!status && f->tokens) status = hb_run_add_tokens(l->run, f->tokens, err);
    if (!status && f->features) status = hb_run_add_features(l->run, f->features, err);
    for (size_t i = 0; i < f->n_generations && !status; i++)
        status = hb_run_add_generation(l->run, &f->generations[i], err);
    if (!status) count(l, &f->sample);
    return status;
}

hb_status hb_ledger_close(hb_ledger *l, hb_status status, hb_error *err)
{
    hb_status kept = hb_run_commit(l->run, status ? NULL : err);
    if (status || kept) return status ? status : kept;
    return hb_run_finish(l->run, err);
}
