/* P_fail is monotonic in the watched signal. So it reached the cutoff at some step exactly if it
 * reaches it at the signal's lowest or highest value. A run stores both extremes of every signal. */
#include "calibrate/halting.h"

#include <math.h>
#include <stdlib.h>
#include "base/error.h"

hb_halting hb_count_halting(const double *low, const double *high, const uint8_t *labels, size_t n,
                            const hb_map *map, double cutoff)
{
    hb_halting h = {.cutoff = cutoff};
    for (size_t i = 0; i < n; i++) {
        h.n[labels[i]]++;
        h.halted[labels[i]] += fmax(hb_map_p(map, low[i]), hb_map_p(map, high[i])) >= cutoff;
    }
    return h;
}

/* Reads the lowest and highest value of a signal in each scored sample. */
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
    const hb_map by_hand = {.tau = m->tau, .lambda = m->lambda, .direction = m->direction};
    hb_score_table t;
    if (m->joint)
        return hb_fail(err, HB_ERR_ARGUMENT, "a joint model's scores of the steps are not in the run");
    if (!m->watched) return hb_fail(err, HB_ERR_ARGUMENT, "the monitor watches no signal");
    hb_status status = read_extremes(run, m->watched, grading, &t, err);
    if (status) return status;
    *halting = hb_count_halting(t.scores, t.scores + t.n, t.labels, t.n, m->map ? m->map : &by_hand,
                                m->cutoff);
    hb_score_table_free(&t);
    return HB_OK;
}
