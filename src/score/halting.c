/* Halting, as it would have been: P_fail rises or falls with the signal watched, so it reached the
 * cutoff at a step if it does at one of the extremes, which a run keeps of every signal. */
#include <math.h>
#include "base/error.h"
#include "hbar.h"

static double p_fail(const hb_monitor *m, double value)
{
    return hb_p_fail_by(m->map, value, m->tau, m->lambda, m->direction);
}

hb_status hb_run_halting(hb_run *run, const hb_monitor *m, const hb_grading *grading,
                         hb_halting *halting, hb_error *err)
{
    char low[HB_SCORE_NAME_MAX], high[HB_SCORE_NAME_MAX];
    const char *const names[] = {low, high};
    hb_score_table t;
    hb_halting h = {.cutoff = m->cutoff};
    if (m->joint)
        return hb_fail(err, HB_ERR_ARGUMENT, "a joint model's scores of the steps are not in the run");
    hb_score_name((hb_score_id){m->watched, HB_AGGREGATION_MIN}, low);
    hb_score_name((hb_score_id){m->watched, HB_AGGREGATION_MAX}, high);
    hb_status status = hb_run_table(run, names, 2, grading, &t, err);
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
