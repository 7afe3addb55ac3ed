/* Reads columns of a run's scores for pass 2. */
#include <stdlib.h>
#include <string.h>
#include "base/hashes.h"
#include "base/texts.h"
#include "data/groups.h"
#include "store/store.h"

typedef struct gathering {
    hb_score_table *table;
    size_t room;
    size_t *high, *low; /* [table->n_scores], index of each score among the run's scores, where high and
                           where low values are risky */
    hb_grading grading;
    hb_texts keys; /* of the samples' groups */
    bool failed;   /* memory ran out */
} gathering;

static hb_status gather(void *user, const hb_run_sample *sample)
{
    gathering *g = user;
    hb_score_table *t = g->table;
    if (sample->status != HB_SAMPLE_SCORED || t->n == g->room) return HB_OK;
    int label = hb_run_label(sample, &g->grading);
    if (label == HB_LABEL_NONE) return HB_OK;
    if (t->prompts) t->prompts[t->n] = hb_hash_of_sha256(sample->prompt_sha256);
    bool ok = sample->group ? hb_texts_add(&g->keys, sample->group, strlen(sample->group))
                            : hb_groups_add_id(&g->keys, sample->id);
    t->ids[t->n] = ok ? strdup(sample->id) : NULL;
    t->indices[t->n] = sample->index;
    g->failed = !t->ids[t->n];
    if (g->failed) return HB_ERR_MEMORY;
    for (size_t k = 0; k < t->n_scores; k++) {
        t->scores[k * g->room + t->n] = hb_scores_at(sample->scores, g->high[k]);
        if (t->low) t->low[k * g->room + t->n] = hb_scores_at(sample->scores, g->low[k]);
    }
    const double controls[HB_N_CONTROLS] = {sample->n_tokens, sample->n_prompt, sample->overlap};
    for (size_t k = 0; k < HB_N_CONTROLS; k++) t->controls[k * g->room + t->n] = controls[k];
    t->labels[t->n++] = (uint8_t)label;
    return HB_OK;
}

/* Appends the names of the aggregations: ":tail5, :top5 ... or :sum". */
static bool add_aggregations(hb_buffer *out)
{
    bool ok = true;
    size_t n = hb_aggregation_count();
    for (size_t i = 0; i < n && ok; i++)
        ok = hb_buffer_add_text(out, i == 0      ? ":"
                                     : i + 1 < n ? ", :"
                                                 : " or :") &&
             hb_buffer_add_text(out, hb_aggregation_name((hb_aggregation)i));
    return ok;
}

/* Appends the names of the run's scores that do not belong to a signal, each preceded by "; ". */
static bool add_others(hb_buffer *out, const hb_run *run)
{
    bool ok = true;
    const char *name;
    hb_score_id id;
    for (size_t i = 0; ok && (name = hb_run_score_name(run, i)) != NULL; i++)
        if (!hb_score_find(name, &id))
            ok = hb_buffer_add_text(out, "; ") && hb_buffer_add_text(out, name);
    return ok;
}

/* A run of an earlier version has the mean of the five largest values alone. */
static hb_status no_tail(const hb_run *run, const char *name, hb_error *err)
{
    char *top = hb_score_tail_name(name, HB_DIRECTION_HIGH);
    hb_status status =
        top ? hb_fail(err, HB_ERR_ARGUMENT,
                      "%s: an earlier version of hbar made this run (schema %d), without the five "
                      "smallest values that '%s' needs where low ones are risky; it has '%s'",
                      run->path, run->schema, name, top)
            : hb_fail_memory(err);
    free(top);
    return status;
}

static hb_status no_score(const hb_run *run, const char *name, hb_error *err)
{
    hb_buffer known = {0};
    size_t place;
    if (hb_scores_find_tail(run->scores, name, HB_DIRECTION_HIGH, &place))
        return no_tail(run, name, err);
    char *signals = hb_signal_set_names(run->settings.signals);
    bool ok = signals && hb_buffer_add_text(&known, signals) &&
              hb_buffer_add_text(&known, ", each alone or with ") && add_aggregations(&known) &&
              add_others(&known, run);
    hb_status status = ok ? hb_fail(err, HB_ERR_ARGUMENT, "%s: no score '%s'; there are %s", run->path,
                                    name, known.data)
                          : hb_fail_memory(err);
    free(signals);
    hb_buffer_free(&known);
    return status;
}

/* Allocates room for every scored sample. A run that is being written may get more samples afterwards;
 * gather() ignores them. */
static hb_status make_table(hb_run *run, size_t n_scores, gathering *g, hb_error *err)
{
    hb_run_counts counts;
    hb_status status = hb_run_count(run, &counts, err);
    if (status) return status;
    g->room = (size_t)counts.scored;
    *g->table = (hb_score_table){.scores = calloc(g->room * n_scores + 1, sizeof(double)),
                                 .labels = calloc(g->room + 1, 1),
                                 .ids = calloc(g->room + 1, sizeof(char *)),
                                 .indices = calloc(g->room + 1, sizeof(uint64_t)),
                                 .controls = calloc(g->room * HB_N_CONTROLS + 1, sizeof(double)),
                                 .n_scores = n_scores};
    hb_score_table *t = g->table;
    bool tails = false, hashed = run->schema >= HB_RUN_WITH_PROMPTS;
    for (size_t k = 0; k < n_scores; k++) tails = tails || g->low[k] != g->high[k];
    if (tails) t->low = calloc(g->room * n_scores + 1, sizeof *t->low);
    if (hashed) t->prompts = calloc(g->room + 1, sizeof *t->prompts);
    bool ok = t->scores && t->labels && t->ids && t->indices && t->controls && (t->low || !tails) &&
              (t->prompts || !hashed);
    return ok ? HB_OK : hb_fail_memory(err);
}

static hb_status find_scores(const hb_run *run, const char *const *scores, size_t n_scores,
                             const gathering *g, hb_error *err)
{
    for (size_t k = 0; k < n_scores; k++)
        if (!hb_scores_find_tail(run->scores, scores[k], HB_DIRECTION_HIGH, &g->high[k]) ||
            !hb_scores_find_tail(run->scores, scores[k], HB_DIRECTION_LOW, &g->low[k]))
            return no_score(run, scores[k], err);
    return HB_OK;
}

/* Moves columns [n_columns][g->room] together where fewer samples came than there was room for. */
static void close_gaps(const gathering *g, double *columns, size_t n_columns)
{
    size_t n = g->table->n;
    for (size_t k = 1; columns && k < n_columns && n < g->room; k++)
        memmove(columns + k * n, columns + k * g->room, n * sizeof *columns);
}

hb_status hb_run_table(hb_run *run, const char *const *scores, size_t n_scores,
                       const hb_grading *grading, hb_score_table *table, hb_error *err)
{
    hb_score_table t = {0};
    gathering g = {.table = &t, .grading = grading ? *grading : hb_run_grading(run)};
    hb_status status = hb_grading_check(&g.grading, err);
    if (status) return status;
    g.high = calloc(2 * n_scores + 1, sizeof *g.high);
    if (!g.high) return hb_fail_memory(err);
    g.low = g.high + n_scores;
    status = find_scores(run, scores, n_scores, &g, err);
    if (!status) status = make_table(run, n_scores, &g, err);
    if (!status) status = hb_run_each(run, gather, &g, err);
    if (g.failed) status = hb_fail_memory(err);
    if (!status) {
        close_gaps(&g, t.scores, n_scores);
        close_gaps(&g, t.low, n_scores);
        close_gaps(&g, t.controls, HB_N_CONTROLS);
    }
    if (!status) status = hb_groups_number(&g.keys, &t.groups, err);
    hb_texts_free(&g.keys);
    free(g.high);
    if (status) hb_score_table_free(&t);
    else *table = t;
    return status;
}

hb_status hb_run_scores(hb_run *run, const char *score, const hb_grading *grading,
                        hb_score_table *table, hb_error *err)
{
    return hb_run_table(run, &score, 1, grading, table, err);
}
