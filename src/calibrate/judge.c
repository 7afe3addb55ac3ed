/* Validates calibrated parameters on other samples: first each score with hb_validate, then comparisons
 * of all scores. */
#include <stdlib.h>
#include <string.h>
#include "base/error.h"
#include "base/names.h"
#include "calibrate/columns.h"
#include "calibrate/controls.h"
#include "calibrate/curves.h"

/* ---- Which scores -------------------------------------------------------------------------------- */

/* The column that holds a calibrated score: the one of its name or, for a tail5, the one of the tail in
 * its direction. NULL if there is none. */
static const char *column_of(const char *const *columns, size_t n, const hb_calibrated_score *s)
{
    if (hb_name_place(columns, n, s->name) < n) return s->name;
    return hb_name_place(columns, n, s->tail) < n ? s->tail : NULL;
}

hb_status hb_params_columns(const hb_params *params, const char *const *available, size_t n_available,
                            const char ***names, size_t *n, hb_error *err)
{
    const hb_joint *joint = &params->joint;
    const char **list = calloc(joint->n_features + params->n_scores + 1, sizeof *list);
    size_t count = 0;
    if (!list) return hb_fail_memory(err);
    for (size_t j = 0; j < joint->n_features; j++) list[count++] = joint->features[j].score;
    for (size_t i = joint->n_features ? 1 : 0; i < params->n_scores; i++) {
        const hb_calibrated_score *s = &params->scores[i];
        const char *name = column_of(available, n_available, s);
        if (i == 0 && !name) name = s->name; /* reading it will fail and say what there is */
        if (name && hb_name_place(list, count, name) == count) list[count++] = name;
    }
    *names = list;
    *n = count;
    return HB_OK;
}

/* State of a validation. */
typedef struct judging {
    const hb_params *params;
    const hb_score_table *table;
    const char *const *names; /* [table->n_scores] */
    hb_bootstrap_options bootstrap;
    double *log_odds;      /* [table->n], log-odds of the joint model, if there is one */
    const double **values; /* [result->n_scores], values of each validated score [table->n] */
    hb_validation_result *result;
    hb_error *err;
} judging;

/* The values of a column; NULL when the table lacks it. */
static const double *values_of(const judging *j, const char *name, hb_direction direction)
{
    size_t n = j->table->n_scores, place = name ? hb_name_place(j->names, n, name) : n;
    return place < n ? hb_tail(hb_table_tails(j->table, place), direction) : NULL;
}

static hb_status lacks(const judging *j, const char *name)
{
    return hb_fail(j->err, HB_ERR_DATA, "the score '%s' of the parameters is missing", name);
}

/* Computes the joint model's log-odds. */
static hb_status join(judging *j)
{
    const hb_joint *joint = &j->params->joint;
    size_t n = j->table->n, d = joint->n_features;
    double *x = calloc(d, sizeof *x);
    const double **columns = calloc(d, sizeof *columns);
    j->log_odds = calloc(n + 1, sizeof *j->log_odds);
    hb_status status = x && columns && j->log_odds ? HB_OK : hb_fail_memory(j->err);
    for (size_t k = 0; k < d && !status; k++) {
        columns[k] = values_of(j, joint->features[k].score, HB_DIRECTION_HIGH);
        if (!columns[k]) status = lacks(j, joint->features[k].score);
    }
    for (size_t i = 0; i < n && !status; i++) {
        for (size_t k = 0; k < d; k++) x[k] = columns[k][i];
        j->log_odds[i] = hb_joint_log_odds(joint, x);
    }
    free(x);
    free(columns);
    return status;
}

/* ---- Each score ---------------------------------------------------------------------------------- */

static hb_status validate(const judging *j, const hb_calibrated_score *s, const double *values,
                          hb_validation *out, hb_error *err)
{
    const hb_params *p = j->params;
    hb_validation_options o = {
        .tau = s->tau, .lambda = p->lambda, .direction = s->direction, .bootstrap = j->bootstrap};
    if (s == j->params->scores) {
        o.guarantee = p->guarantee;
        o.map = &p->map;
    }
    return hb_validate(values, j->table->labels, j->table->n, &o, out, err);
}

/* Records that a score was not validated. `reason` may be NULL. */
static hb_status pass_over(judging *j, const hb_calibrated_score *s, const char *reason)
{
    hb_unjudged_score u = {s, reason ? strdup(reason) : NULL};
    if (reason && !u.reason) return hb_fail_memory(j->err);
    j->result->unjudged[j->result->n_unjudged++] = u;
    return HB_OK;
}

/* Validates one score. Fails if this is impossible for the calibrated score; records the reason for any
 * other score. */
static hb_status judge(judging *j, const hb_calibrated_score *s)
{
    hb_error why = {HB_OK, ""};
    hb_validation_result *r = j->result;
    bool first = s == j->params->scores;
    const double *values = first && j->log_odds
                               ? j->log_odds
                               : values_of(j, column_of(j->names, j->table->n_scores, s), s->direction);
    if (!values) return first ? lacks(j, s->name) : pass_over(j, s, NULL);
    hb_judged_score judged = {.calibrated = s};
    hb_status status = validate(j, s, values, &judged.validation, &why);
    if (status == HB_ERR_DATA && !first) return pass_over(j, s, why.message);
    if (status) return hb_fail(j->err, status, "%s", why.message);
    j->values[r->n_scores] = values;
    r->scores[r->n_scores++] = judged;
    return HB_OK;
}

/* ---- All of them --------------------------------------------------------------------------------- */

/* Tests each score's AUROC against the first score's and computes all correlations. */
static hb_status compare(judging *j)
{
    hb_validation_result *r = j->result;
    size_t n = r->n_scores;
    hb_column *columns = calloc(n, sizeof *columns);
    hb_auroc_difference *differences = calloc(n, sizeof *differences);
    double *p_holm = calloc(n, sizeof *p_holm);
    hb_status status = columns && differences && p_holm ? HB_OK : hb_fail_memory(j->err);
    for (size_t i = 0; i < n && !status; i++)
        columns[i] = (hb_column){j->values[i], r->scores[i].calibrated->direction};
    if (!status)
        status = hb_test_columns(columns, n, j->table->labels, j->table->groups, j->table->n,
                                 differences, p_holm, j->err);
    for (size_t i = 0; i < n && !status; i++) {
        r->scores[i].difference = differences[i];
        r->scores[i].p_holm = p_holm[i];
    }
    if (!status) status = hb_correlate_columns(columns, n, j->table->n, &r->correlations, j->err);
    free(columns);
    free(differences);
    free(p_holm);
    return status;
}

/* The index of a validated score; n_scores when it is missing. */
static size_t find(const hb_validation_result *r, const char *name)
{
    size_t i = 0;
    while (i < r->n_scores && strcmp(r->scores[i].calibrated->name, name) != 0) i++;
    return i;
}

static bool flags(const judging *j, size_t score, size_t sample)
{
    const hb_calibrated_score *s = j->result->scores[score].calibrated;
    return hb_is_flagged(j->values[score][sample], s->tau, s->direction);
}

/* Counts the samples in the quadrants of the hbar_s and pri thresholds. */
static void divide(judging *j)
{
    hb_validation_result *r = j->result;
    size_t hbar_s = find(r, "hbar_s"), pri = find(r, "pri");
    r->has_quadrants = hbar_s < r->n_scores && pri < r->n_scores;
    for (size_t i = 0; i < j->table->n && r->has_quadrants; i++) {
        bool a = flags(j, hbar_s, i), b = flags(j, pri, i);
        r->quadrants.count[a][b]++;
        r->quadrants.hallucinated[a][b] += j->table->labels[i];
    }
}

/* Adds what figures show of the first score. */
static hb_status draw(judging *j)
{
    hb_validation_result *r = j->result;
    hb_validation_options o = r->scores[0].validation.options;
    o.bootstrap.groups = j->table->groups;
    hb_status status =
        hb_find_curves(j->values[0], j->table->labels, j->table->n, &o, &r->curves, j->err);
    return status ? status
                  : hb_list_judged(j->table, j->values[0], &o, &r->judged, &r->n_judged, j->err);
}

static hb_status judge_all(judging *j)
{
    const hb_params *p = j->params;
    hb_validation_result *r = j->result;
    r->n = j->table->n;
    r->scores = calloc(p->n_scores, sizeof *r->scores);
    r->unjudged = calloc(p->n_scores, sizeof *r->unjudged);
    j->values = calloc(p->n_scores, sizeof *j->values);
    hb_status status = r->scores && r->unjudged && j->values ? HB_OK : hb_fail_memory(j->err);
    if (!status && p->joint.n_features) status = join(j);
    for (size_t i = 0; i < p->n_scores && !status; i++) status = judge(j, &p->scores[i]);
    if (!status) status = compare(j);
    if (!status) divide(j);
    if (!status)
        status = hb_measure_controls(j->table, j->values[0], r->scores[0].calibrated->direction, NULL,
                                     &r->controls, &r->n_controls, j->err);
    return status ? status : draw(j);
}

hb_status hb_validate_scores(const hb_params *params, const hb_score_table *table,
                             const char *const *names, const hb_bootstrap_options *bootstrap,
                             hb_validation_result *result, hb_error *err)
{
    hb_validation_result r = {.params = params};
    judging j = {.params = params,
                 .table = table,
                 .names = names,
                 .bootstrap = bootstrap ? *bootstrap : hb_bootstrap_defaults(),
                 .result = &r,
                 .err = err};
    if (!bootstrap || bootstrap->min_recall == 0) j.bootstrap.min_recall = params->min_recall;
    j.bootstrap.groups = table->groups;
    hb_status status = judge_all(&j);
    free(j.values);
    free(j.log_odds);
    if (status) hb_validation_result_free(&r);
    else *result = r;
    return status;
}

void hb_validation_result_free(hb_validation_result *result)
{
    if (!result) return;
    for (size_t i = 0; i < result->n_scores; i++) hb_validation_free(&result->scores[i].validation);
    for (size_t i = 0; i < result->n_unjudged; i++) free(result->unjudged[i].reason);
    free(result->scores);
    free(result->unjudged);
    free(result->controls);
    free(result->no_halt);
    free(result->correlations);
    hb_curves_free(result->curves);
    free(result->judged);
    hb_token_report_free(&result->tokens);
    *result = (hb_validation_result){0};
}
