/* Halting, as it would have been: P_fail rises or falls with the signal watched, so it reached the
 * cutoff at a step if it does at one of the extremes, which a run keeps of every signal. */
#include <math.h>
#include <stdlib.h>
#include "base/error.h"
#include "hbar.h"

static double p_fail(const hb_monitor *m, double value)
{
    return hb_p_fail_by(m->map, value, m->tau, m->lambda, m->direction);
}

/* The least and the greatest value of a signal in each scored sample. */
static hb_status read_extremes(hb_run *run, const hb_signal *signal, const hb_grading *grading,
                               hb_score_table *table, hb_error *err)
{
    char *low = hb_score_name((hb_score_id){signal, HB_AGGREGATION_MIN});
    char *high = hb_score_name((hb_score_id){signal, HB_AGGREGATION_MAX});
    const char *const names[] = {low, high};
    hb_status status =
        low && high ? hb_run_table(run, names, 2, grading, table, err) : hb_fail_memory(err);
    free(low);
    free(high);
    return status;
}

hb_status hb_run_halting(hb_run *run, const hb_monitor *m, const hb_grading *grading,
                         hb_halting *halting, hb_error *err)
{
    hb_score_table t;
    hb_halting h = {.cutoff = m->cutoff};
    if (m->joint)
        return hb_fail(err, HB_ERR_ARGUMENT, "a joint model's scores of the steps are not in the run");
    if (!m->watched) return hb_fail(err, HB_ERR_ARGUMENT, "the monitor watches no signal");
    hb_status status = read_extremes(run, m->watched, grading, &t, err);
    if (status) return status;
    for (size_t i = 0; i < t.n; i++) {
        h.n[t.labels[i]]++;
        h.halted[t.labels[i]] +=
            fmax(p_fail(m, t.scores[i]), p_fail(m, t.scores[t.n + i])) >= m->cutoff;
    }
    hb_score_table_free(&t);
    *halting = h;
    return HB_OK;
}
