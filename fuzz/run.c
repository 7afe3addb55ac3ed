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
    for (size_t i = 0; i < t->n; i++) *sum += (double)t->values[i] + (double)t->characters[i].end;
    return HB_OK;
}

static void read_run(hb_run *run)
{
    hb_error err;
    hb_run_counts counts;
    hb_score_table table;
    hb_calibration_result result;
    hb_calibrate_options o = hb_calibrate_defaults();
    double sum = 0;
    o.bootstrap.n_draws = 0;
    const char *score = hb_run_score_name(run, 0);
    if (hb_run_count(run, &counts, &err)) require(err.message[0]);
    if (hb_run_each(run, look, NULL, &err)) require(err.message[0]);
    if (hb_run_each_tokens(run, look_at_tokens, &sum, &err)) require(err.message[0]);
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
