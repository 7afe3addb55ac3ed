#include "calibrate/trained.h"

#include <stdlib.h>
#include <string.h>
#include "signals/features.h"
#include "signals/probe.h"

/* The features of a table's samples. */
typedef struct source {
    hb_run *run;
    const hb_score_table *table;
    const hb_probe_kind *kind;
    hb_feature_plan plan;
    size_t length, d; /* of a sample's vector, and of a block's part of it */
    size_t at;        /* part that is read */
    float *x;         /* [table->n][d], where features are read to; NULL: they are judged */
    const hb_probe *probe;
    double *values; /* [table->n], what the probe says */
    size_t n;       /* samples read */
} source;

/* Finds the length of the vectors. */
static hb_status open_source(source *s, hb_error *err)
{
    const char *features = hb_run_get_settings(s->run)->features;
    hb_status status = hb_feature_plan_open(features, NULL, &s->plan, err);
    if (!status) status = hb_run_feature_length(s->run, s->kind->feature, &s->length, err);
    if (status) return status;
    size_t parts = s->kind->of_block ? (size_t)s->plan.n_blocks : 1;
    s->d = parts ? s->length / parts : 0;
    return HB_OK;
}

/* Reads the features of the next sample if it is one of the table's. */
static hb_status take(void *user, const hb_run_features *features)
{
    source *s = user;
    const float *x = features->values[s->kind->feature];
    if (s->n == s->table->n || s->table->indices[s->n] != features->index) return HB_OK;
    if (features->n[s->kind->feature] != s->length) return HB_ERR_FORMAT;
    x += s->at * s->d;
    if (s->x) memcpy(s->x + s->n * s->d, x, s->d * sizeof *x);
    else s->values[s->n] = hb_probe_log_odds(s->probe, x);
    s->n++;
    return HB_OK;
}

static hb_status read_features(source *s, size_t at, hb_error *err)
{
    s->at = at;
    s->n = 0;
    hb_status status = hb_run_each_features(s->run, 1U << s->kind->feature, take, s, err);
    if (status || s->n == s->table->n) return status;
    return hb_fail(err, HB_ERR_FORMAT, "the run has no features of sample %llu",
                   (unsigned long long)s->table->indices[s->n]);
}

static hb_status load(void *user, size_t i, float *x, hb_error *err)
{
    source *s = user;
    s->x = x;
    return read_features(s, i, err);
}

hb_status hb_train_probe(hb_run *run, const char *name, const hb_score_table *table, hb_probe **probe,
                         double *values, hb_error *err)
{
    static const int32_t none = -1;
    source s = {.run = run, .table = table, .kind = hb_probe_kind_find(name)};
    hb_joint_options o = hb_joint_defaults();
    o.groups = table->groups;
    hb_status status = open_source(&s, err);
    const hb_probe_samples samples = {.n = table->n,
                                      .d = s.d,
                                      .labels = table->labels,
                                      .blocks = s.kind->of_block ? s.plan.blocks : &none,
                                      .n_blocks = s.kind->of_block ? (size_t)s.plan.n_blocks : 1,
                                      .load = load,
                                      .user = &s};
    if (!status) status = hb_probe_fit(name, &samples, &o, probe, values, err);
    hb_feature_plan_free(&s.plan);
    return status;
}

hb_status hb_apply_probe(hb_run *run, const hb_probe *probe, const hb_score_table *table,
                         double *values, hb_error *err)
{
    source s = {.run = run, .table = table, .kind = probe->kind, .probe = probe, .values = values};
    hb_status status = open_source(&s, err);
    size_t at = 0;
    while (!status && s.kind->of_block && at < (size_t)s.plan.n_blocks &&
           s.plan.blocks[at] != probe->block)
        at++;
    if (!status && s.kind->of_block && at == (size_t)s.plan.n_blocks)
        status = hb_fail(err, HB_ERR_MISMATCH, "%s: the run has no states after block %d",
                         hb_probe_name(probe), probe->block + 1);
    if (!status && s.d != probe->n)
        status = hb_fail(err, HB_ERR_MISMATCH, "%s: the run's features have %zu numbers, not %zu",
                         hb_probe_name(probe), s.d, probe->n);
    if (!status) status = read_features(&s, at, err);
    hb_feature_plan_free(&s.plan);
    return status;
}
