/* The samples of a run that a report shows. */
#ifndef HB_REPORT_COLLECT_H
#define HB_REPORT_COLLECT_H

#include "report/subject.h"

/* How the calibrated score judges. */
typedef struct hb_judge_rule {
    const char *score;
    double tau, lambda;
    hb_direction direction;
    const hb_map *map;
} hb_judge_rule;

/* Sets subject->shown to the most wrong of the judged samples [n], at most `most`, with their texts and
 * with P_fail at each step, if the score's signal has values there. Reads the run twice. On failure the
 * subject keeps what hb_subject_free frees. */
hb_status hb_collect_samples(hb_subject *subject, hb_run *run, const hb_judged_sample *judged, size_t n,
                             const hb_judge_rule *rule, size_t most, hb_error *err);

#endif
