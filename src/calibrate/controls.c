#include "calibrate/controls.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "calibrate/folds.h"
#include "calibrate/metrics.h"

/* A control with fewer samples is left out. */
#define MIN_SAMPLES 10

static const char *const names[HB_N_CONTROLS] = {[HB_CONTROL_ANSWER_LENGTH] = "answer_length",
                                                 [HB_CONTROL_PROMPT_LENGTH] = "prompt_length",
                                                 [HB_CONTROL_OVERLAP] = "overlap"};

/* The samples that have a control. */
typedef struct known {
    double *columns; /* [2][n], the control and the score, both oriented */
    uint8_t *labels;
    uint32_t *groups, *first;
    size_t n, n_label[2];
} known;

static void free_known(known *k)
{
    free(k->columns);
    free(k->labels);
    free(k->groups);
    free(k->first);
}

/* Gathers the samples with their groups, numbered anew. */
static hb_status gather(const hb_score_table *t, const double *control, const double *values,
                        hb_direction direction, known *k, hb_error *err)
{
    size_t n = 0;
    *k = (known){.columns = calloc(2 * t->n + 1, sizeof *k->columns),
                 .labels = calloc(t->n + 1, 1),
                 .groups = calloc(t->n + 1, sizeof *k->groups),
                 .first = calloc(t->n + 1, sizeof *k->first)};
    if (!k->columns || !k->labels || !k->groups || !k->first) return hb_fail_memory(err);
    for (size_t i = 0; i < t->n; i++) n += isfinite(control[i]) != 0;
    for (size_t i = 0; i < t->n; i++) {
        if (!isfinite(control[i])) continue;
        uint32_t *number = &k->first[hb_group_of(t->groups, i)]; /* plus 1; 0: not met yet */
        if (!*number) *number = (uint32_t)k->n + 1;
        k->columns[k->n] = control[i];
        k->columns[n + k->n] = direction == HB_DIRECTION_LOW ? -values[i] : values[i];
        k->labels[k->n] = t->labels[i];
        k->n_label[t->labels[i]]++;
        k->groups[k->n++] = *number - 1;
    }
    return HB_OK;
}

/* Judges a control in its better direction, and tests the score against it. */
static hb_status judge(known *k, hb_control *out, hb_error *err)
{
    double auroc, se, p_holm[2];
    hb_auroc_difference tests[2];
    hb_status status = hb_delong_grouped(k->columns, k->labels, k->groups, k->n, &auroc, &se, err);
    if (status) return status;
    out->direction = auroc >= 0.5 ? HB_DIRECTION_HIGH : HB_DIRECTION_LOW;
    for (size_t i = 0; i < k->n && auroc < 0.5; i++) k->columns[i] = -k->columns[i];
    out->n = k->n;
    out->auroc = fmax(auroc, 1 - auroc);
    out->interval = hb_auroc_interval(out->auroc, se);
    status = hb_delong_compare_grouped(k->columns, 2, k->labels, k->groups, k->n, tests, p_holm, err);
    if (!status) out->difference = tests[1];
    return status;
}

static hb_status measure(const hb_score_table *t, int which, const double *values,
                         hb_direction direction, hb_control *out, bool *found, hb_error *err)
{
    known k;
    hb_control control = {.name = names[which]};
    hb_status status = gather(t, t->controls + (size_t)which * t->n, values, direction, &k, err);
    *found = !status && k.n >= MIN_SAMPLES && k.n_label[0] && k.n_label[1];
    if (*found) status = judge(&k, &control, err);
    free_known(&k);
    if (*found) *out = control;
    return status;
}

hb_status hb_measure_controls(const hb_score_table *t, const double *values, hb_direction direction,
                              const hb_nested *nested, hb_control **controls, size_t *n, hb_error *err)
{
    hb_control *list = calloc(HB_N_CONTROLS + 1, sizeof *list);
    hb_status status = list ? HB_OK : hb_fail_memory(err);
    size_t count = 0;
    for (int which = 0; which < HB_N_CONTROLS && t->controls && !status; which++) {
        bool found;
        status = measure(t, which, values, direction, &list[count], &found, err);
        count += !status && found;
    }
    if (!status && nested && nested->n_shuffles)
        list[count++] = (hb_control){.name = "shuffled_labels",
                                     .n = nested->n_shuffles,
                                     .auroc = nested->shuffled_auroc,
                                     .interval = nested->shuffled,
                                     .difference = {NAN, NAN, NAN, NAN}};
    if (status) {
        free(list);
        return status;
    }
    *controls = list;
    *n = count;
    return HB_OK;
}
