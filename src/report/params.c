/* Calibrated parameters as JSON; docs/parameters.md describes the schema. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/buffer.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/utf8.h"
#include "calibrate/promise.h"
#include "report/validation.h"
#include "report/values.h"

#define SCHEMA         "hbar-params"
#define SCHEMA_VERSION 2 /* 1 is the same without promises, maps and joint models */

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

static const char *const promise_kinds[] = {"none", "risk", "recall"};

static json_t *promise_json(const hb_promise *p)
{
    if (p->kind == HB_PROMISE_NONE) return json_null();
    return json_pack("{s:s, s:f, s:f, s:f, s:I, s:I, s:f}", "kind", promise_kinds[p->kind], "target",
                     p->target, "delta", p->delta, "level", p->level, "n", (json_int_t)p->n, "k",
                     (json_int_t)p->k, "p", p->p);
}

static json_t *threshold_json(const hb_sweep_result *r)
{
    static const char *const selections[] = {"precision at recall", "best F1", "promise"};
    json_t *threshold = hb_json_point(&r->best);
    if (!threshold) return NULL;
    json_object_set_new(threshold, "min_recall", json_real(r->min_recall));
    json_object_set_new(threshold, "reached_min_recall",
                        json_boolean(r->best.recall >= r->min_recall * (1 - 1e-12)));
    json_object_set_new(threshold, "chosen_by", json_string(selections[r->selection]));
    json_object_set_new(threshold, "promise", promise_json(&r->promise));
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
 * what is promised is promised of that one's threshold alone. */
static hb_status add_calibrated(const hb_params_source *source, const char *name, json_t *scores,
                                hb_error *err)
{
    hb_sweep_options o = *source->sweep;
    hb_score_table table;
    hb_sweep_result r;
    hb_error why;
    o.direction = HB_DIRECTION_AUTO;
    o.promise.kind = HB_PROMISE_NONE;
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
    for (int i = 0; source->store && i < HB_N_SIGNALS && !status; i++) {
        const char *name = hb_signal_get_info((hb_signal)i)->name;
        if (source->run->signals & HB_SIGNAL_BIT(i) && !json_object_get(scores, name))
            status = add_calibrated(source, name, scores, err);
    }
    *out = scores;
    return status;
}

static hb_status add_id(void *user, const hb_run_sample *sample)
{
    if (strcmp(sample->status, "scored") != 0) return HB_OK;
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
    for (int t = 0; t < HB_JOINT_TRIALS; t++)
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
        "schema", SCHEMA, "schema_version", SCHEMA_VERSION, "hbar_version", hb_version(), "created",
        created, "model", model_json(source->run), "data", data_json(source), "settings",
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
        return status == HB_ERR_MEMORY ? hb_fail_memory(err) : status;
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
    int fd = mkstemp(temporary);
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

/* ---- Loading ------------------------------------------------------------------------------------ */

typedef struct loading {
    const char *path;
    hb_error *err;
} loading;

static hb_status bad_field(const loading *l, const char *field, const char *expected)
{
    return hb_fail(l->err, HB_ERR_FORMAT, "%s: '%s' is missing or not %s", l->path, field, expected);
}

static hb_status load_number(const loading *l, const json_t *object, const char *shown, const char *key,
                             double *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) return bad_field(l, shown, "a number");
    *out = json_number_value(value);
    return HB_OK;
}

static hb_status load_direction(const loading *l, const json_t *object, const char *shown,
                                hb_direction *out)
{
    const json_t *direction = json_object_get(object, "direction");
    const char *text = json_is_string(direction) ? json_string_value(direction) : "";
    if (strcmp(text, ">=") == 0) *out = HB_DIRECTION_HIGH;
    else if (strcmp(text, "<=") == 0) *out = HB_DIRECTION_LOW;
    else return bad_field(l, shown, "\">=\" or \"<=\"");
    return HB_OK;
}

static hb_status load_count(const loading *l, const json_t *object, const char *shown, const char *key,
                            size_t *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return bad_field(l, shown, "a whole number");
    *out = (size_t)json_integer_value(value);
    return HB_OK;
}

/* One may be missing, or null. */
static hb_status load_promise(const loading *l, const json_t *promise, hb_promise *p)
{
    const json_t *kind = json_object_get(promise, "kind");
    const char *text = json_is_string(kind) ? json_string_value(kind) : "";
    if (!promise || json_is_null(promise)) return HB_OK;
    if (strcmp(text, "risk") == 0) p->kind = HB_PROMISE_RISK;
    else if (strcmp(text, "recall") == 0) p->kind = HB_PROMISE_RECALL;
    else return bad_field(l, "threshold.promise.kind", "\"risk\" or \"recall\"");
    hb_status status = load_number(l, promise, "threshold.promise.target", "target", &p->target);
    if (!status) status = load_number(l, promise, "threshold.promise.delta", "delta", &p->delta);
    if (!status) status = load_number(l, promise, "threshold.promise.level", "level", &p->level);
    if (!status) status = load_number(l, promise, "threshold.promise.p", "p", &p->p);
    if (!status) status = load_count(l, promise, "threshold.promise.n", "n", &p->n);
    if (!status) status = load_count(l, promise, "threshold.promise.k", "k", &p->k);
    if (status) return status;
    hb_error why;
    if (hb_check_promise(p, &why))
        return hb_fail(l->err, HB_ERR_FORMAT, "%s: 'threshold.promise': %s", l->path, why.message);
    if (!(p->level > 0 && p->level <= p->delta))
        return bad_field(l, "threshold.promise.level", "above 0 and at most delta");
    if (!(p->p >= 0 && p->p <= p->level))
        return bad_field(l, "threshold.promise.p", "from 0 to the level");
    if (p->k > p->n) return bad_field(l, "threshold.promise.k", "at most n");
    return HB_OK;
}

/* A list of numbers, released with free(). */
static hb_status load_reals(const loading *l, const json_t *list, const char *shown, double **out,
                            size_t *n)
{
    const json_t *value;
    size_t i;
    *n = json_array_size(list);
    *out = calloc(*n + 1, sizeof **out);
    if (!*out) return hb_fail_memory(l->err);
    json_array_foreach(list, i, value)
    {
        if (!json_is_number(value)) return bad_field(l, shown, "a list of numbers");
        (*out)[i] = json_number_value(value);
    }
    return *n ? HB_OK : bad_field(l, shown, "a list of numbers");
}

/* Scores ascend; probabilities rise with the risk. */
static hb_status load_isotonic(const loading *l, const json_t *object, hb_map *map)
{
    size_t n_p = 0;
    double sign = map->direction == HB_DIRECTION_LOW ? -1 : 1;
    hb_status status =
        load_reals(l, json_object_get(object, "scores"), "map.scores", &map->scores, &map->n_knots);
    if (!status) status = load_reals(l, json_object_get(object, "p"), "map.p", &map->p, &n_p);
    if (status) return status;
    if (n_p != map->n_knots) return bad_field(l, "map.p", "as long as map.scores");
    for (size_t i = 0; i < n_p; i++) {
        if (i > 0 && !(map->scores[i] > map->scores[i - 1]))
            return bad_field(l, "map.scores", "ascending");
        if (!(map->p[i] >= 0 && map->p[i] <= 1)) return bad_field(l, "map.p", "between 0 and 1");
        if (i > 0 && sign * map->p[i] < sign * map->p[i - 1])
            return bad_field(l, "map.p", "rising with the risk");
    }
    return HB_OK;
}

/* One may be missing: then it is lambda. */
static hb_status load_map(const loading *l, const json_t *object, const hb_params *p, hb_map *map)
{
    const json_t *kind = json_object_get(object, "kind");
    const char *text = json_is_string(kind) ? json_string_value(kind) : "";
    int k = HB_MAP_LAMBDA;
    *map = (hb_map){.tau = p->tau, .lambda = p->lambda, .direction = p->direction};
    if (!object) return HB_OK;
    while (k <= HB_MAP_ISOTONIC && strcmp(text, hb_map_kind_name((hb_map_kind)k)) != 0) k++;
    if (k > HB_MAP_ISOTONIC)
        return bad_field(l, "map.kind", "\"lambda\", \"fit-lambda\", \"platt\" or \"isotonic\"");
    map->kind = (hb_map_kind)k;
    if (map->kind == HB_MAP_ISOTONIC) return load_isotonic(l, object, map);
    if (map->kind != HB_MAP_PLATT) return HB_OK;
    hb_status status = load_number(l, object, "map.a", "a", &map->a);
    return status ? status : load_number(l, object, "map.b", "b", &map->b);
}

/* Numbers of a size that no product of them overflows. */
static hb_status load_moderate(const loading *l, const json_t *object, const char *shown,
                               const char *key, double *out)
{
    hb_status status = load_number(l, object, shown, key, out);
    return status || fabs(*out) <= 1e100 ? status : bad_field(l, shown, "from -1e100 to 1e100");
}

static hb_status load_feature(const loading *l, const json_t *object, hb_joint_feature *f)
{
    const json_t *score = json_object_get(object, "score");
    const char *name = json_is_string(score) ? json_string_value(score) : "";
    if (!*name || strlen(name) >= sizeof f->score)
        return bad_field(l, "joint.features.*.score", "the name of a score");
    strcpy(f->score, name);
    hb_status status = load_moderate(l, object, "joint.features.*.mean", "mean", &f->mean);
    if (!status) status = load_moderate(l, object, "joint.features.*.sd", "sd", &f->sd);
    if (!status) status = load_moderate(l, object, "joint.features.*.weight", "weight", &f->weight);
    if (!status && !(f->sd >= 1e-100)) status = bad_field(l, "joint.features.*.sd", "at least 1e-100");
    return status;
}

/* One may be missing, or null. */
static hb_status load_joint(const loading *l, const json_t *object, const hb_params *p, hb_joint *joint)
{
    const json_t *features = json_object_get(object, "features"), *feature;
    size_t j;
    if (!object || json_is_null(object)) return HB_OK;
    if (strcmp(p->score, "joint") != 0)
        return bad_field(l, "score.name", "\"joint\" with a joint model");
    if (json_array_size(features) < 1 || json_array_size(features) > HB_JOINT_MAX)
        return bad_field(l, "joint.features", "a list of 1 to 128 scores");
    hb_status status = load_moderate(l, object, "joint.intercept", "intercept", &joint->intercept);
    json_array_foreach(features, j, feature)
    {
        if (!status) status = load_feature(l, feature, &joint->features[j]);
    }
    joint->n_features = json_array_size(features);
    return status;
}

static void copy_text(char *out, size_t size, const json_t *value)
{
    snprintf(out, size, "%s", json_is_string(value) ? json_string_value(value) : "");
}

/* SHA-256 of a text, of an empty one nothing; false when memory runs out. */
static bool hash_text(const char *text, char hex[65])
{
    hb_sha256 hash;
    *hex = '\0';
    if (!*text) return true;
    if (!hb_sha256_init(&hash)) return false;
    hb_sha256_add(&hash, text, strlen(text));
    hb_sha256_finish(&hash, hex);
    return true;
}

static hb_status load_chat(const loading *l, const json_t *settings, hb_params *p)
{
    const json_t *system = json_object_get(settings, "system");
    copy_text(p->chat, sizeof p->chat, json_object_get(settings, "chat"));
    const char *text = json_is_string(system) ? json_string_value(system) : "";
    return hash_text(text, p->system_sha256) ? HB_OK : hb_fail_memory(l->err);
}

static hb_status load_fields(const loading *l, const json_t *root, hb_params *p)
{
    const json_t *schema = json_object_get(root, "schema"),
                 *version = json_object_get(root, "schema_version");
    if (!json_is_string(schema) || strcmp(json_string_value(schema), SCHEMA) != 0)
        return hb_fail(l->err, HB_ERR_FORMAT, "%s: not a parameters file of hbar", l->path);
    if (!json_is_integer(version)) return bad_field(l, "schema_version", "an integer");
    if (json_integer_value(version) < 1 || json_integer_value(version) > SCHEMA_VERSION)
        return hb_fail(l->err, HB_ERR_UNSUPPORTED,
                       "%s: schema_version %lld is not supported (1 to %d are)", l->path,
                       (long long)json_integer_value(version), SCHEMA_VERSION);
    const json_t *threshold = json_object_get(root, "threshold");
    hb_status status = load_number(l, threshold, "threshold.tau", "tau", &p->tau);
    if (!status) status = load_promise(l, json_object_get(threshold, "promise"), &p->promise);
    if (!status) status = load_number(l, root, "lambda", "lambda", &p->lambda);
    if (status) return status;
    if (!(p->lambda > 0)) return bad_field(l, "lambda", "above 0");

    status = load_direction(l, root, "direction", &p->direction);
    if (!status) status = load_map(l, json_object_get(root, "map"), p, &p->map);
    if (status) return status;

    const json_t *score = json_object_get(json_object_get(root, "score"), "name");
    if (!json_is_string(score)) return bad_field(l, "score.name", "a string");
    copy_text(p->score, sizeof p->score, score);
    status = load_joint(l, json_object_get(root, "joint"), p, &p->joint);
    if (status) return status;

    const json_t *alpha = json_object_get(json_object_get(root, "settings"), "alpha");
    p->alpha = json_is_number(alpha) ? json_number_value(alpha) : hb_generate_defaults().monitor.alpha;
    if (!(p->alpha >= 0)) return bad_field(l, "settings.alpha", "at least 0");

    status = load_chat(l, json_object_get(root, "settings"), p);
    if (status) return status;

    const json_t *model = json_object_get(root, "model"), *size = json_object_get(model, "file_size");
    copy_text(p->model_name, sizeof p->model_name, json_object_get(model, "name"));
    copy_text(p->model_architecture, sizeof p->model_architecture,
              json_object_get(model, "architecture"));
    p->model_size = json_is_integer(size) ? (uint64_t)json_integer_value(size) : 0;
    return HB_OK;
}

static hb_status read_root(const char *path, json_t **root, hb_error *err)
{
    FILE *file = fopen(path, "rb");
    if (!file) return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    json_error_t why;
    *root = json_loadf(file, JSON_REJECT_DUPLICATES, &why);
    fclose(file);
    return *root ? HB_OK : hb_fail(err, HB_ERR_FORMAT, "%s:%d: %s", path, why.line, why.text);
}

hb_status hb_params_load(const char *path, hb_params *params, hb_error *err)
{
    json_t *root;
    hb_status status = read_root(path, &root, err);
    if (status) return status;
    const loading l = {path, err};
    hb_params p = {0};
    status = load_fields(&l, root, &p);
    json_decref(root);
    if (status) hb_params_free(&p);
    else *params = p;
    return status;
}

bool hb_params_same_chat(const hb_params *params, const char *chat, const char *system)
{
    char sha256[65];
    return strcmp(params->chat, chat ? chat : "") == 0 && hash_text(system ? system : "", sha256) &&
           strcmp(params->system_sha256, sha256) == 0;
}

void hb_params_free(hb_params *params)
{
    if (params) hb_map_free(&params->map);
}

/* ---- A whole calibration ------------------------------------------------------------------------- */

static void load_class(const json_t *object, hb_class_summary *c)
{
    const json_t *n = json_object_get(object, "n");
    c->n = json_is_integer(n) && json_integer_value(n) > 0 ? (size_t)json_integer_value(n) : 0;
    c->mean = json_number_value(json_object_get(object, "mean"));
    c->sd = json_number_value(json_object_get(object, "sd"));
}

static hb_status load_score(const loading *l, const char *name, const json_t *object,
                            hb_calibrated_score *s)
{
    if (strlen(name) >= sizeof s->name)
        return hb_fail(l->err, HB_ERR_FORMAT, "%s: 'scores' has a name that is too long", l->path);
    strcpy(s->name, name);
    hb_status status = load_number(l, object, "scores.*.tau", "tau", &s->tau);
    if (!status) status = load_direction(l, object, "scores.*.direction", &s->direction);
    const json_t *auroc = json_object_get(object, "auroc");
    s->auroc = json_is_number(auroc) ? json_number_value(auroc) : NAN;
    load_class(json_object_get(object, "label_0"), &s->by_label[0]);
    load_class(json_object_get(object, "label_1"), &s->by_label[1]);
    return status;
}

/* The file's scores, the one it is about first: that one may be told by the threshold alone. */
static hb_status load_scores(const loading *l, json_t *root, hb_calibration *c)
{
    json_t *scores = json_object_get(root, "scores"), *value;
    const json_t *about = json_object_get(root, "score"), *auroc = json_object_get(root, "auroc");
    const char *name;
    hb_status status = HB_OK;
    c->scores = calloc(json_object_size(scores) + 1, sizeof *c->scores);
    if (!c->scores) return hb_fail_memory(l->err);
    hb_calibrated_score *first = &c->scores[c->n_scores++];
    snprintf(first->name, sizeof first->name, "%s", c->params.score);
    first->tau = c->params.tau;
    first->direction = c->params.direction;
    first->auroc = json_is_number(auroc) ? json_number_value(auroc) : NAN;
    load_class(json_object_get(about, "label_0"), &first->by_label[0]);
    load_class(json_object_get(about, "label_1"), &first->by_label[1]);
    json_object_foreach(scores, name, value) if (!status && strcmp(name, first->name) != 0) status =
        load_score(l, name, value, &c->scores[c->n_scores++]);
    return status;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static hb_status load_ids(const loading *l, const json_t *root, hb_calibration *c)
{
    const json_t *ids = json_object_get(root, "sample_ids"), *id;
    size_t i;
    c->ids = calloc(json_array_size(ids) + 1, sizeof *c->ids);
    if (!c->ids) return hb_fail_memory(l->err);
    json_array_foreach(ids, i, id)
    {
        if (!json_is_string(id)) return bad_field(l, "sample_ids", "a list of strings");
        c->ids[c->n_ids] = strdup(json_string_value(id));
        if (!c->ids[c->n_ids++]) return hb_fail_memory(l->err);
    }
    qsort(c->ids, c->n_ids, sizeof *c->ids, compare_ids);
    return HB_OK;
}

hb_status hb_calibration_load(const char *path, hb_calibration *calibration, hb_error *err)
{
    json_t *root;
    hb_status status = read_root(path, &root, err);
    if (status) return status;
    const loading l = {path, err};
    const json_t *recall = json_object_get(json_object_get(root, "settings"), "min_recall");
    hb_calibration c = {.min_recall = json_is_number(recall) ? json_number_value(recall)
                                                             : hb_sweep_defaults().min_recall};
    status = load_fields(&l, root, &c.params);
    if (!status && !(c.min_recall > 0 && c.min_recall <= 1))
        status = bad_field(&l, "settings.min_recall", "above 0 and at most 1");
    const json_t *data = json_object_get(root, "data");
    const json_t *tokens = json_object_get(json_object_get(root, "settings"), "max_tokens");
    copy_text(c.data_sha256, sizeof c.data_sha256, json_object_get(data, "sha256"));
    json_int_t max_tokens = json_is_integer(tokens) ? json_integer_value(tokens) : 0;
    if (!status && tokens && !(max_tokens >= 1 && max_tokens <= 1 << 24))
        status = bad_field(&l, "settings.max_tokens", "from 1 to 16777216");
    c.max_tokens = (int32_t)max_tokens;
    if (!status) status = load_scores(&l, root, &c);
    if (!status) status = load_ids(&l, root, &c);
    json_decref(root);
    if (status) hb_calibration_free(&c);
    else *calibration = c;
    return status;
}

void hb_calibration_free(hb_calibration *calibration)
{
    if (!calibration) return;
    for (size_t i = 0; i < calibration->n_ids; i++) free(calibration->ids[i]);
    free(calibration->ids);
    free(calibration->scores);
    hb_params_free(&calibration->params);
    *calibration = (hb_calibration){0};
}
