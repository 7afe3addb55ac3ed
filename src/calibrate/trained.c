#include "calibrate/trained.h"

#include <stdlib.h>
#include <string.h>
#include "signals/features.h"
#include "signals/halt_model.h"
#include "signals/probe.h"
#include "signals/running.h"

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
    if (s->length == s->d * parts && (s->kind->feature != HB_FEATURE_TOPK || s->d == 2 * HB_RANKS))
        return HB_OK;
    return hb_fail(err, HB_ERR_FORMAT, "%s: the run's features '%s' cannot have %zu numbers",
                   s->kind->name, hb_feature_name(s->kind->feature), s->length);
}

/* Says that a sample's features were refused, unless reading failed for another reason. */
static hb_status refuse_features(hb_status status, const hb_error *why, hb_feature feature,
                                 const hb_score_table *table, size_t i, hb_error *err)
{
    if (status != HB_ERR_CALLBACK) return hb_fail(err, status, "%s", why->message);
    return hb_fail(err, HB_ERR_FORMAT,
                   "the run is damaged: the features '%s' of sample %llu have another length than they "
                   "must have; score the data again into a new run",
                   hb_feature_name(feature), (unsigned long long)table->indices[i]);
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
    hb_error why;
    hb_status status = hb_run_each_features(s->run, 1U << s->kind->feature, take, s, &why);
    if (status) return refuse_features(status, &why, s->kind->feature, s->table, s->n, err);
    if (s->n == s->table->n) return HB_OK;
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

/* ---- States of each step ------------------------------------------------------------------------- */

/* The states of a table's steps, as they are read. */
typedef struct states {
    const hb_score_table *table;
    const hb_probe *probe; /* measures each step; NULL: the means are collected */
    hb_series *steps;
    float *means; /* [table->n][d] */
    size_t d, n;  /* numbers of a state, 0: not yet known; samples read */
} states;

/* Finds the length of a state, which is the same in all samples. */
static hb_status find_length(states *s, size_t n_numbers, size_t n_steps)
{
    const size_t d = n_numbers / n_steps;
    size_t cells;
    if (d == 0 || d * n_steps != n_numbers || (s->d && s->d != d)) return HB_ERR_FORMAT;
    s->d = d;
    if (s->probe && s->probe->n != d) return HB_ERR_MISMATCH;
    if (s->probe || s->means) return HB_OK;
    if (__builtin_mul_overflow(s->table->n, d, &cells)) return HB_ERR_MEMORY;
    s->means = calloc(cells, sizeof *s->means);
    return s->means ? HB_OK : HB_ERR_MEMORY;
}

/* Adds the states x [n_steps][d] of one sample. */
static void add_sample(states *s, const float *x, size_t n_steps)
{
    for (size_t t = 0; t < n_steps; t++) {
        const float *state = x + t * s->d;
        if (s->probe)
            s->steps->values[s->steps->starts[s->n] + t] =
                hb_running_round(hb_halt_probe_value(s->probe, state));
        for (size_t j = 0; j < s->d && !s->probe; j++)
            s->means[s->n * s->d + j] += state[j] / (float)n_steps;
    }
}

static hb_status take_states(void *user, const hb_run_features *features)
{
    states *s = user;
    if (s->n == s->table->n || s->table->indices[s->n] != features->index) return HB_OK;
    const size_t n_steps = s->steps->starts[s->n + 1] - s->steps->starts[s->n];
    hb_status status =
        n_steps ? find_length(s, features->n[HB_FEATURE_STATES], n_steps) : HB_ERR_FORMAT;
    if (status) return status;
    add_sample(s, features->values[HB_FEATURE_STATES], n_steps);
    s->n++;
    return HB_OK;
}

/* Finds the block whose states the run keeps. */
static hb_status find_block(hb_run *run, int32_t *block, hb_error *err)
{
    hb_feature_plan plan;
    hb_status status = hb_feature_plan_open(hb_run_get_settings(run)->features, NULL, &plan, err);
    if (status) return status;
    *block = plan.states ? plan.states_block : -1;
    hb_feature_plan_free(&plan);
    if (*block >= 0) return HB_OK;
    return hb_fail(err, HB_ERR_ARGUMENT,
                   "the halt of a probe needs the states of each step, which the run does not keep "
                   "(--features states)");
}

static hb_status read_states(hb_run *run, states *s, hb_error *err)
{
    hb_error why;
    hb_status status = hb_run_each_features(run, 1U << HB_FEATURE_STATES, take_states, s, &why);
    if (status && s->probe && s->d && s->d != s->probe->n)
        return hb_fail(err, HB_ERR_MISMATCH,
                       "the halt's probe reads %zu numbers, and the run's states have %zu", s->probe->n,
                       s->d);
    bool no_memory = s->d && !s->probe && !s->means;
    if (status && no_memory) return hb_fail_memory(err);
    if (status) return refuse_features(status, &why, HB_FEATURE_STATES, s->table, s->n, err);
    if (s->n == s->table->n) return HB_OK;
    return hb_fail(err, HB_ERR_FORMAT, "the run has no states of sample %llu",
                   (unsigned long long)s->table->indices[s->n]);
}

static hb_status load_means(void *user, size_t i, float *x, hb_error *err)
{
    const states *s = user;
    (void)i;
    (void)err;
    memcpy(x, s->means, s->table->n * s->d * sizeof *x);
    return HB_OK;
}

hb_status hb_train_halt_probe(hb_run *run, const hb_score_table *table, const hb_series *steps,
                              uint64_t seed, hb_probe **probe, double *values, hb_error *err)
{
    hb_series starts = *steps;
    states s = {.table = table, .steps = &starts};
    int32_t block;
    hb_joint_options o = hb_joint_defaults();
    o.groups = table->groups;
    o.seed = seed;
    hb_status status = find_block(run, &block, err);
    if (!status) status = read_states(run, &s, err);
    const hb_probe_samples samples = {.n = table->n,
                                      .d = s.d,
                                      .labels = table->labels,
                                      .blocks = &block,
                                      .n_blocks = 1,
                                      .load = load_means,
                                      .user = &s};
    if (!status) status = hb_probe_fit("probe", &samples, &o, probe, values, err);
    free(s.means);
    return status;
}

hb_status hb_probe_steps(hb_run *run, const hb_probe *probe, const hb_score_table *table,
                         hb_series *series, hb_error *err)
{
    states s = {.table = table, .steps = series, .probe = probe};
    int32_t block;
    hb_status status = find_block(run, &block, err);
    if (!status && block != probe->block)
        status = hb_fail(err, HB_ERR_ARGUMENT,
                         "the halt's probe reads block %d, and the run keeps the states of block %d "
                         "(--features states:%d)",
                         probe->block + 1, block + 1, probe->block + 1);
    return status ? status : read_states(run, &s, err);
}
