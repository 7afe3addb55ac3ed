/* Calibrated parameters as JSON, written. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/buffer.h"
#include "base/file.h"
#include "base/utf8.h"
#include "report/params.h"
#include "report/validation.h"
#include "report/values.h"

/* ---- Writing ------------------------------------------------------------------------------------ */

/* A string, made valid UTF-8 where a path is not; null when there is none. */
static json_t *text_json(const char *text)
{
    if (!text || !*text) return json_null();
    hb_buffer clean = {0};
    bool ok = true;
    hb_utf8_clean(&clean, text, strlen(text), true, &ok);
    json_t *string = ok ? json_string(clean.data) : NULL;
    hb_buffer_free(&clean);
    return string;
}

static json_t *model_json(const hb_run_settings *run)
{
    if (!run) return json_null();
    return json_pack("{s:o, s:o, s:o, s:I, s:o}", "name", text_json(run->model_name), "architecture",
                     text_json(run->model_architecture), "path", text_json(run->model_path),
                     "file_size", (json_int_t)run->model_size, "sha256", text_json(run->model_sha256));
}

static json_t *data_json(const hb_params_source *source)
{
    const hb_run_settings *run = source->run;
    const hb_run_counts *c = &source->counts;
    if (!run)
        return json_pack("{s:o, s:o, s:I}", "path", text_json(source->data_path), "sha256",
                         text_json(source->data_sha256), "broken_rows", (json_int_t)source->n_broken);
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I}", "path", text_json(run->data_path),
                     "sha256", text_json(run->data_sha256), "format", text_json(run->data_format),
                     "rows", (json_int_t)run->data_rows, "broken_rows", (json_int_t)run->data_broken,
                     "samples", (json_int_t)c->total, "scored", (json_int_t)c->scored, "skipped",
                     (json_int_t)c->skipped, "failed", (json_int_t)c->failed);
}

static json_t *settings_json(const hb_params_source *source)
{
    static const char *const grids[] = {"quantiles", "range", "exact"};
    static const char *const directions[] = {"high", "low", "auto"};
    const hb_sweep_options *sweep = source->sweep;
    json_t *settings = json_pack("{s:f, s:s, s:s}", "min_recall", sweep->min_recall, "direction",
                                 directions[sweep->direction], "tau_grid", grids[sweep->grid]);
    if (settings && sweep->grid == HB_GRID_RANGE) {
        json_object_set_new(settings, "tau_start", json_real(sweep->start));
        json_object_set_new(settings, "tau_stop", json_real(sweep->stop));
        json_object_set_new(settings, "tau_step", json_real(sweep->step));
    }
    const hb_run_settings *run = source->run;
    if (settings && run) {
        json_object_set_new(settings, "n_samples", json_integer((json_int_t)run->n_samples));
        json_object_set_new(settings, "seed", json_integer((json_int_t)run->seed));
        json_object_set_new(settings, "max_tokens", json_integer(run->max_tokens));
        json_object_set_new(settings, "context", json_integer(run->n_ctx));
        json_object_set_new(settings, "alpha", json_real(run->alpha));
        json_object_set_new(settings, "chat", text_json(run->chat));
        json_object_set_new(settings, "system", text_json(run->system));
    }
    if (settings && source->grading) {
        json_object_set_new(settings, "grade", json_string(hb_grade_rule_name(source->grading->rule)));
        if (source->grading->rule == HB_GRADE_F1)
            json_object_set_new(settings, "min_f1", json_real(source->grading->min_f1));
    }
    return settings;
}

/* What the score is of its sample: the aggregation of a run's, by name. */
static const char *aggregation_text(const hb_params_source *source)
{
    hb_score_id id;
    if (source->joint) return "log-odds out of fold";
    if (!source->run || !hb_score_find(source->score, &id)) return "as given";
    return hb_aggregation_name(id.aggregation);
}

static json_t *score_json(const hb_params_source *source, const hb_sweep_result *r)
{
    return json_pack("{s:o, s:s, s:I, s:f, s:f, s:f, s:o, s:o, s:o}", "name", text_json(source->score),
                     "aggregation", aggregation_text(source), "n", (json_int_t)r->n, "min",
                     r->score_min, "max", r->score_max, "hallucination_rate", r->hallucination_rate,
                     "label_0", hb_json_class(&r->by_label[0]), "label_1",
                     hb_json_class(&r->by_label[1]), "cohens_d", hb_json_number(r->cohens_d));
}

static const char *const guarantee_kinds[] = {"none", "risk", "recall"};

static json_t *guarantee_json(const hb_guarantee *p)
{
    if (p->kind == HB_GUARANTEE_NONE) return json_null();
    return json_pack("{s:s, s:f, s:f, s:f, s:I, s:I, s:f}", "kind", guarantee_kinds[p->kind], "target",
                     p->target, "delta", p->delta, "level", p->level, "n", (json_int_t)p->n, "k",
                     (json_int_t)p->k, "p", p->p);
}

static json_t *threshold_json(const hb_sweep_result *r)
{
    static const char *const selections[] = {"precision at recall", "best F1", "guarantee"};
    json_t *threshold = hb_json_point(&r->best);
    if (!threshold) return NULL;
    json_object_set_new(threshold, "min_recall", json_real(r->min_recall));
    json_object_set_new(threshold, "reached_min_recall",
                        json_boolean(r->best.recall >= r->min_recall * (1 - 1e-12)));
    json_object_set_new(threshold, "chosen_by", json_string(selections[r->selection]));
    json_object_set_new(threshold, "guarantee", guarantee_json(&r->guarantee));
    json_object_set_new(threshold, "wide_grid", json_boolean(r->wide_grid));
    return threshold;
}

/* One score's calibration, short. */
static json_t *calibrated_json(const hb_sweep_result *r)
{
    return json_pack("{s:f, s:s, s:f, s:f, s:f, s:f, s:f, s:o, s:o}", "tau", r->best.tau, "direction",
                     hb_direction_sign(r->direction), "auroc", r->auroc, "pr_auc", r->pr_auc,
                     "precision", r->best.precision, "recall", r->best.recall, "f1", r->best.f1,
                     "label_0", hb_json_class(&r->by_label[0]), "label_1",
                     hb_json_class(&r->by_label[1]));
}

/* Adds the calibration of another of the run's scores, unless its values cannot be calibrated: all may
 * be equal. A range of tau is of the units of the score it was asked for, so here it is quantiles; and
 * what is guaranteed is guaranteed of that one's threshold alone. */
static hb_status add_calibrated(const hb_params_source *source, const char *name, json_t *scores,
                                hb_error *err)
{
    hb_sweep_options o = *source->sweep;
    hb_score_table table;
    hb_sweep_result r;
    hb_error why;
    o.direction = HB_DIRECTION_AUTO;
    o.guarantee.kind = HB_GUARANTEE_NONE;
    if (o.grid == HB_GRID_RANGE) o.grid = HB_GRID_QUANTILES;
    hb_status status = hb_run_scores(source->store, name, source->grading, &table, err);
    if (status) return status;
    status = hb_sweep(table.scores, table.labels, table.n, &o, &r, &why);
    hb_score_table_free(&table);
    if (status) return status == HB_ERR_MEMORY ? hb_fail_memory(err) : HB_OK;
    json_object_set_new(scores, name, calibrated_json(&r));
    hb_sweep_free(&r);
    return HB_OK;
}

/* The score in question, those it was compared with, then the run's signals by their usual
 * aggregations. */
static hb_status scores_json(const hb_params_source *source, const hb_sweep_result *r, json_t **out,
                             hb_error *err)
{
    json_t *scores = json_object();
    hb_status status = HB_OK;
    const hb_comparison *c = source->comparison;
    json_object_set_new(scores, source->score, calibrated_json(r));
    for (size_t k = 1; c && k < c->n; k++)
        json_object_set_new(scores, c->scores[k].name, calibrated_json(&c->scores[k].sweep));
    const hb_signal *signal;
    for (size_t i = 0;
         source->store && !status && (signal = hb_signal_set_at(source->run->signals, i)) != NULL;
         i++) {
        const char *name = hb_signal_name(signal);
        if (!json_object_get(scores, name)) status = add_calibrated(source, name, scores, err);
    }
    *out = scores;
    return status;
}

static hb_status add_id(void *user, const hb_run_sample *sample)
{
    if (sample->status != HB_SAMPLE_SCORED) return HB_OK;
    return json_array_append_new(user, text_json(sample->id)) ? HB_ERR_MEMORY : HB_OK;
}

static json_t *uncertainty_json(const hb_uncertainty *u)
{
    if (!u) return json_null();
    return json_pack("{s:o, s:o}", "auroc_delong", hb_json_interval(&u->auroc_delong), "bootstrap",
                     hb_json_bootstrap(u));
}

static json_t *compared_json(const hb_compared_score *s)
{
    const hb_sweep_result *r = &s->sweep;
    return json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:o}", "name", s->name, "direction",
                     hb_direction_sign(r->direction), "auroc", r->auroc, "pr_auc", r->pr_auc, "tau",
                     r->best.tau, "precision", r->best.precision, "recall", r->best.recall,
                     "uncertainty", uncertainty_json(&s->uncertainty), "p_difference",
                     hb_json_number(s->difference.p), "p_difference_holm", hb_json_number(s->p_holm));
}

/* Adds how the score came out first: the ranking, and how the scores go together. */
static hb_status add_comparison(const hb_comparison *c, json_t *root, hb_error *err)
{
    json_t *ranking = json_array();
    const char **names = calloc(c->n + 1, sizeof *names);
    bool ok = ranking && names;
    for (size_t k = 0; k < c->n && ok; k++) {
        names[k] = c->scores[k].name;
        ok = json_array_append_new(ranking, compared_json(&c->scores[k])) == 0;
    }
    if (ok)
        ok = json_object_set(root, "ranking", ranking) == 0 &&
             json_object_set_new(root, "correlations",
                                 hb_json_correlations(names, c->correlations, c->n)) == 0;
    json_decref(ranking);
    free(names);
    return ok ? HB_OK : hb_fail_memory(err);
}

static json_t *sweep_json(const hb_sweep_result *r)
{
    json_t *points = json_array();
    for (size_t i = 0; points && i < r->n_points; i++)
        json_array_append_new(points, hb_json_point(&r->points[i]));
    return points;
}

static json_t *reals_json(const double *values, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(list, json_real(values[i]));
    return list;
}

static json_t *map_json(const hb_map *map)
{
    json_t *object = json_pack("{s:s}", "kind", hb_map_kind_name(map ? map->kind : HB_MAP_LAMBDA));
    if (map && map->kind == HB_MAP_PLATT) {
        json_object_set_new(object, "a", json_real(map->a));
        json_object_set_new(object, "b", json_real(map->b));
    }
    if (map && map->kind == HB_MAP_ISOTONIC) {
        json_object_set_new(object, "scores", reals_json(map->scores, map->n_knots));
        json_object_set_new(object, "p", reals_json(map->p, map->n_knots));
    }
    return object;
}

static json_t *joint_json(const hb_joint *joint)
{
    if (!joint) return json_null();
    json_t *features = json_array(), *trials = json_array();
    for (size_t j = 0; j < joint->n_features; j++) {
        const hb_joint_feature *f = &joint->features[j];
        json_array_append_new(features, json_pack("{s:o, s:f, s:f, s:f}", "score", text_json(f->score),
                                                  "mean", f->mean, "sd", f->sd, "weight", f->weight));
    }
    for (size_t t = 0; t < joint->n_trials; t++)
        json_array_append_new(trials,
                              json_pack("{s:f, s:f, s:f}", "c", joint->trials[t].c, "log_loss",
                                        joint->trials[t].log_loss, "auroc", joint->trials[t].auroc));
    return json_pack("{s:o, s:f, s:f, s:I, s:I, s:o}", "features", features, "intercept",
                     joint->intercept, "c", joint->trials[joint->best].c, "folds",
                     (json_int_t)joint->options.n_folds, "seed", (json_int_t)joint->options.seed,
                     "trials", trials);
}

static json_t *params_json(const hb_params_source *source, const hb_sweep_result *r, json_t *scores,
                           json_t *ids)
{
    char created[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    const double lambda = source->map ? source->map->lambda : HB_DEFAULT_LAMBDA;
    return json_pack(
        "{s:s, s:i, s:s, s:s, s:o, s:o, s:o, s:o, s:f, s:f, s:o, s:f, s:f, s:f, s:b, s:s, s:o,"
        " s:f, s:o, s:o, s:o, s:o, s:o}",
        "schema", HB_PARAMS_SCHEMA, "schema_version", HB_PARAMS_VERSION, "hbar_version", hb_version(),
        "created", created, "model", model_json(source->run), "data", data_json(source), "settings",
        settings_json(source), "score", score_json(source, r), "auroc", r->auroc, "pr_auc", r->pr_auc,
        "uncertainty", uncertainty_json(source->uncertainty), "auroc_high", r->auroc_high, "auroc_low",
        r->auroc_low, "auroc_null_se", r->auroc_null_se, "within_noise", (int)r->within_noise,
        "direction", hb_direction_sign(r->direction), "threshold", threshold_json(r), "lambda", lambda,
        "map", map_json(source->map), "joint", joint_json(source->joint), "scores", scores,
        "sample_ids", ids, "sweep", sweep_json(r));
}

hb_status hb_params_json(const hb_params_source *source, const hb_sweep_result *result, char **json,
                         hb_error *err)
{
    json_t *scores, *ids = json_array();
    hb_error why = {HB_OK, ""};
    hb_status status = scores_json(source, result, &scores, err);
    if (!status && source->store) status = hb_run_each(source->store, add_id, ids, &why);
    if (status) {
        json_decref(scores);
        json_decref(ids);
        if (*why.message) return hb_fail(err, status, "%s", why.message);
        return status;
    }
    json_t *root = params_json(source, result, scores, ids);
    if (root && source->halting) json_object_set_new(root, "halting", hb_halting_json(source->halting));
    if (root && source->comparison) status = add_comparison(source->comparison, root, err);
    char *text = root && !status ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    if (status) return status;
    if (!text) return hb_fail_memory(err);
    *json = text;
    return HB_OK;
}

/* ---- Saving ------------------------------------------------------------------------------------- */

static hb_status check_name(const char *name, hb_error *err)
{
    if (*name && *name != '.' && !strchr(name, '/') && strlen(name) <= 128) return HB_OK;
    return hb_fail(err, HB_ERR_ARGUMENT, "'%s' cannot be part of a file name", name);
}

/* Writes, and waits until it is on the disk. */
static bool write_all(int fd, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        ssize_t n = write(fd, text, left);
        if (n < 0 && errno != EINTR) return false;
        if (n > 0) {
            text += n;
            left -= (size_t)n;
        }
    }
    return fsync(fd) == 0;
}

/* Gives the finished temporary file its name. The name carries the second; where it is taken, the next
 * second's is tried, so that nothing is ever written over. */
static hb_status give_name(const char *temporary, const char *dir, const char *name, uint64_t n,
                           char **path, hb_error *err)
{
    for (int attempt = 0; attempt < 5; attempt++) {
        char stamp[32];
        time_t now = time(NULL);
        struct tm local;
        strftime(stamp, sizeof stamp, "%Y%m%d_%H%M%S", localtime_r(&now, &local));
        if (asprintf(path, "%s/%s_%s_n%llu.json", dir, name, stamp, (unsigned long long)n) < 0)
            return hb_fail_memory(err);
        if (link(temporary, *path) == 0) return HB_OK;
        int reason = errno;
        free(*path);
        if (reason != EEXIST)
            return hb_fail(err, HB_ERR_IO, "%s: cannot name the file: %s", dir, strerror(reason));
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    }
    return hb_fail(err, HB_ERR_IO, "%s: no free file name for '%s'", dir, name);
}

static hb_status save_text(const char *dir, const char *name, uint64_t n, const char *text, char **path,
                           hb_error *err)
{
    char *temporary;
    if (asprintf(&temporary, "%s/.%s.XXXXXX", dir, name) < 0) return hb_fail_memory(err);
    int fd = hb_move_descriptor(mkstemp(temporary));
    hb_status status = HB_OK;
    if (fd < 0) {
        status = hb_fail(err, HB_ERR_IO, "%s: cannot write there: %s", dir, strerror(errno));
    } else {
        bool ok = fchmod(fd, 0644) == 0 && write_all(fd, text);
        int reason = errno;
        if (close(fd) != 0 && ok) ok = false;
        if (!ok) status = hb_fail(err, HB_ERR_IO, "%s: %s", temporary, strerror(reason));
        if (!status) status = give_name(temporary, dir, name, n, path, err);
        unlink(temporary);
    }
    free(temporary);
    return status;
}

hb_status hb_params_save(const char *dir, const char *name, const hb_params_source *source,
                         const hb_sweep_result *result, char **path, hb_error *err)
{
    char *json = NULL;
    hb_status status = check_name(name, err);
    if (!status) status = hb_make_directory(dir, err);
    if (!status) status = hb_params_json(source, result, &json, err);
    if (status) return status;
    uint64_t n = source->run ? source->run->n_samples : result->n;
    status = save_text(dir, name, n, json, path, err);
    free(json);
    return status;
}
