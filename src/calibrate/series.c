/* Reads the values at each step of a run's answers. */
#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "calibrate/halts.h"
#include "calibrate/metrics.h"
#include "signals/running.h"
#include "signals/set.h"

typedef struct reading {
    const hb_score_table *table;
    hb_series series;
    size_t room, place, n_signals; /* place: index of the signal among the run's */
    size_t next;                   /* the first sample of the table whose steps have not come */
    bool gaps;                     /* a sample has no steps */
} reading;

/* Adds an answer's value, which belongs to the last answer begun. */
static bool add_value(reading *r, size_t n, float value)
{
    float *values = hb_grown(r->series.values, n, sizeof *values, &r->room);
    if (!values) return false;
    r->series.values = values;
    values[n] = value;
    return true;
}

/* Steps come in the order of the samples' indices, as the table does. */
static hb_status gather(void *user, const hb_run_tokens *steps)
{
    reading *r = user;
    hb_series *s = &r->series;
    while (r->next < r->table->n && r->table->indices[r->next] < steps->index) {
        s->starts[r->next + 1] = s->starts[r->next];
        r->next++;
        r->gaps = true;
    }
    if (r->next == r->table->n || r->table->indices[r->next] != steps->index) return HB_OK;
    size_t n = s->starts[r->next];
    bool ok = true;
    for (size_t i = 0; i < steps->n && ok; i++)
        ok = add_value(r, n++, steps->values[i * r->n_signals + r->place]);
    s->starts[++r->next] = n;
    return ok ? HB_OK : HB_ERR_MEMORY;
}

/* Replaces the steps by one value for each answer. */
static hb_status take_extremes(reading *r, const double *extremes, hb_error *err)
{
    hb_series *s = &r->series;
    s->extremes = true;
    for (size_t i = 0; i < s->n; i++) {
        if (!add_value(r, i, hb_running_round(extremes[i]))) return hb_fail_memory(err);
        s->starts[i + 1] = i + 1;
    }
    return HB_OK;
}

static hb_status copy_labels(reading *r, hb_error *err)
{
    const hb_score_table *t = r->table;
    hb_series *s = &r->series;
    s->n = t->n;
    s->starts = calloc(t->n + 1, sizeof *s->starts);
    s->labels = malloc(t->n + 1);
    if (t->groups) s->groups = malloc((t->n + 1) * sizeof *s->groups);
    if (!s->starts || !s->labels || (t->groups && !s->groups)) return hb_fail_memory(err);
    memcpy(s->labels, t->labels, t->n);
    if (t->groups) memcpy(s->groups, t->groups, t->n * sizeof *s->groups);
    return HB_OK;
}

static hb_status read_steps(hb_run *run, reading *r, hb_error *err)
{
    hb_error why;
    hb_status status = hb_run_each_steps(run, gather, r, &why);
    if (status == HB_ERR_CALLBACK || status == HB_ERR_MEMORY) return hb_fail_memory(err);
    if (status) return hb_fail(err, status, "%s", why.message);
    r->gaps = r->gaps || r->next < r->table->n;
    return HB_OK;
}

/* Reads the steps of the samples. *gaps: some have none. */
static hb_status read_series(hb_run *run, const hb_signal *signal, const hb_score_table *table,
                             reading *r, hb_error *err)
{
    const hb_signal_set *signals = hb_run_get_settings(run)->signals;
    *r = (reading){.table = table, .n_signals = hb_signal_set_count(signals)};
    if (signal && !hb_signal_set_find(signals, signal, &r->place))
        return hb_fail(err, HB_ERR_ARGUMENT, "the run does not measure '%s'", hb_signal_name(signal));
    hb_status status = copy_labels(r, err);
    return status ? status : read_steps(run, r, err);
}

hb_status hb_read_steps(hb_run *run, const hb_signal *signal, const hb_score_table *table,
                        hb_series *series, hb_error *err)
{
    reading r;
    hb_status status = read_series(run, signal, table, &r, err);
    if (!status && r.gaps)
        status = hb_fail(err, HB_ERR_ARGUMENT,
                         "the run does not keep the values at each step, which the halt of a trained "
                         "score needs");
    if (status) hb_series_free(&r.series);
    else *series = r.series;
    return status;
}

hb_status hb_read_series(hb_run *run, const hb_signal *signal, const hb_score_table *table,
                         const double *extremes, hb_series *series, hb_error *err)
{
    reading r;
    hb_status status = read_series(run, signal, table, &r, err);
    if (!status && r.gaps) status = take_extremes(&r, extremes, err);
    if (status) hb_series_free(&r.series);
    else *series = r.series;
    return status;
}

hb_status hb_run_series(hb_run *run, const hb_signal *signal, hb_direction direction,
                        const hb_grading *grading, hb_series *series, hb_error *err)
{
    hb_score_table table;
    if (direction != HB_DIRECTION_HIGH && direction != HB_DIRECTION_LOW)
        return hb_fail(err, HB_ERR_ARGUMENT, "the direction of a halt must be high or low");
    char *name = hb_score_name(
        (hb_score_id){signal, direction == HB_DIRECTION_LOW ? HB_AGGREGATION_MIN : HB_AGGREGATION_MAX});
    if (!name) return hb_fail_memory(err);
    hb_status status = hb_run_scores(run, name, grading, &table, err);
    free(name);
    if (status) return status;
    status = hb_read_series(run, signal, &table, table.scores, series, err);
    hb_score_table_free(&table);
    return status;
}
