/* The input is a run: an SQLite file, opened and read by everything that reads runs. */
#include "fuzz.h"

static char path[64];

static hb_status look(void *user, const hb_run_sample *s)
{
    (void)user;
    require(s->id && hb_sample_status_name(s->status));
    if (s->status == HB_SAMPLE_SCORED) require(s->text && s->scores);
    else require(s->reason);
    return HB_OK;
}

static hb_status look_at_tokens(void *user, const hb_run_tokens *t)
{
    double *sum = user;
    for (size_t i = 0; i < t->n; i++)
        *sum += (double)t->values[i] + (double)(t->characters ? t->characters[i].end : 0);
    for (size_t i = 0; i < t->n_spans; i++) *sum += (double)t->spans[i].end;
    return HB_OK;
}

static hb_status look_at_features(void *user, const hb_run_features *f)
{
    double *sum = user;
    for (size_t k = 0; k < HB_N_FEATURES; k++)
        for (size_t i = 0; i < f->n[k]; i++) *sum += (double)f->values[k][i];
    return HB_OK;
}

static hb_status look_at_generation(void *user, const hb_run_generation *g)
{
    (void)user;
    require(g->text && g->k >= 0 && g->n_tokens >= 0);
    return HB_OK;
}

/* The tables beside those of samples and scores. */
static void read_parts(hb_run *run)
{
    hb_error err;
    double sum = 0;
    size_t length;
    if (hb_run_each_tokens(run, look_at_tokens, &sum, &err)) require(err.message[0]);
    if (hb_run_each_steps(run, look_at_tokens, &sum, &err)) require(err.message[0]);
    if (hb_run_each_features(run, ~0u, look_at_features, &sum, &err)) require(err.message[0]);
    if (hb_run_each_generation(run, look_at_generation, NULL, &err)) require(err.message[0]);
    for (int i = 0; i < HB_N_FEATURES; i++)
        if (hb_run_feature_length(run, (hb_feature)i, &length, &err)) require(err.message[0]);
}

static void read_run(hb_run *run)
{
    hb_error err;
    hb_run_counts counts;
    hb_score_table table;
    hb_calibration_result result;
    hb_calibrate_options o = hb_calibrate_defaults();
    o.bootstrap.n_draws = 0;
    const char *score = hb_run_score_name(run, 0);
    if (hb_run_count(run, &counts, &err)) require(err.message[0]);
    if (hb_run_each(run, look, NULL, &err)) require(err.message[0]);
    read_parts(run);
    if (score && !hb_run_table(run, &score, 1, NULL, &table, &err)) hb_score_table_free(&table);
    if (score && !hb_calibrate_run(run, &score, 1, NULL, &o, &result, &err))
        hb_calibration_result_free(&result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    hb_error err;
    hb_run *run;
    if (!*path) snprintf(path, sizeof path, "/dev/shm/hbar-fuzz-%ld.db", (long)getpid());
    FILE *file = fopen(path, "wb");
    require(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
    if (!hb_run_open(path, &run, &err)) {
        read_run(run);
        hb_run_close(run);
    }
    unlink(path);
    return 0;
}
