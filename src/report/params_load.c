/* Calibrated parameters as JSON, read: what a monitor needs of them, and all that a validation does.
 * Files are hostile: every field is checked. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "calibrate/guarantee.h"
#include "report/params.h"

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
static hb_status load_guarantee(const loading *l, const json_t *guarantee, hb_guarantee *p)
{
    const json_t *kind = json_object_get(guarantee, "kind");
    const char *text = json_is_string(kind) ? json_string_value(kind) : "";
    if (!guarantee || json_is_null(guarantee)) return HB_OK;
    if (strcmp(text, "risk") == 0) p->kind = HB_GUARANTEE_RISK;
    else if (strcmp(text, "recall") == 0) p->kind = HB_GUARANTEE_RECALL;
    else return bad_field(l, "threshold.guarantee.kind", "\"risk\" or \"recall\"");
    hb_status status = load_number(l, guarantee, "threshold.guarantee.target", "target", &p->target);
    if (!status) status = load_number(l, guarantee, "threshold.guarantee.delta", "delta", &p->delta);
    if (!status) status = load_number(l, guarantee, "threshold.guarantee.level", "level", &p->level);
    if (!status) status = load_number(l, guarantee, "threshold.guarantee.p", "p", &p->p);
    if (!status) status = load_count(l, guarantee, "threshold.guarantee.n", "n", &p->n);
    if (!status) status = load_count(l, guarantee, "threshold.guarantee.k", "k", &p->k);
    if (status) return status;
    hb_error why;
    if (hb_check_guarantee(p, &why))
        return hb_fail(l->err, HB_ERR_FORMAT, "%s: 'threshold.guarantee': %s", l->path, why.message);
    if (!(p->level > 0 && p->level <= p->delta))
        return bad_field(l, "threshold.guarantee.level", "above 0 and at most delta");
    if (!(p->p >= 0 && p->p <= p->level))
        return bad_field(l, "threshold.guarantee.p", "from 0 to the level");
    if (p->k > p->n) return bad_field(l, "threshold.guarantee.k", "at most n");
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
    if (!*name) return bad_field(l, "joint.features.*.score", "the name of a score");
    f->score = strdup(name);
    if (!f->score) return hb_fail_memory(l->err);
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
    if (json_array_size(features) < 1) return bad_field(l, "joint.features", "a list of scores");
    joint->features = calloc(json_array_size(features), sizeof *joint->features);
    if (!joint->features) return hb_fail_memory(l->err);
    hb_status status = load_moderate(l, object, "joint.intercept", "intercept", &joint->intercept);
    json_array_foreach(features, j, feature)
    {
        if (!status) status = load_feature(l, feature, &joint->features[joint->n_features++]);
    }
    return status;
}

/* A copy of a text, released with free(); of anything else, an empty one. */
static hb_status copy_text(const loading *l, const json_t *value, const char **out)
{
    *out = strdup(json_is_string(value) ? json_string_value(value) : "");
    return *out ? HB_OK : hb_fail_memory(l->err);
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
    hb_status status = copy_text(l, json_object_get(settings, "chat"), &p->chat);
    if (status) return status;
    const char *text = json_is_string(system) ? json_string_value(system) : "";
    return hash_text(text, p->system_sha256) ? HB_OK : hb_fail_memory(l->err);
}

static hb_status load_fields(const loading *l, const json_t *root, hb_params *p)
{
    const json_t *schema = json_object_get(root, "schema"),
                 *version = json_object_get(root, "schema_version");
    if (!json_is_string(schema) || strcmp(json_string_value(schema), HB_PARAMS_SCHEMA) != 0)
        return hb_fail(l->err, HB_ERR_FORMAT, "%s: not a parameters file of hbar", l->path);
    if (!json_is_integer(version)) return bad_field(l, "schema_version", "an integer");
    if (json_integer_value(version) < 1 || json_integer_value(version) > HB_PARAMS_VERSION)
        return hb_fail(l->err, HB_ERR_UNSUPPORTED,
                       "%s: schema_version %lld is not supported (1 to %d are)", l->path,
                       (long long)json_integer_value(version), HB_PARAMS_VERSION);
    const json_t *threshold = json_object_get(root, "threshold");
    hb_status status = load_number(l, threshold, "threshold.tau", "tau", &p->tau);
    const char *guarantee = json_integer_value(version) < 3 ? "promise" : "guarantee";
    if (!status) status = load_guarantee(l, json_object_get(threshold, guarantee), &p->guarantee);
    if (!status) status = load_number(l, root, "lambda", "lambda", &p->lambda);
    if (status) return status;
    if (!(p->lambda > 0)) return bad_field(l, "lambda", "above 0");

    status = load_direction(l, root, "direction", &p->direction);
    if (!status) status = load_map(l, json_object_get(root, "map"), p, &p->map);
    if (status) return status;

    const json_t *score = json_object_get(json_object_get(root, "score"), "name");
    if (!json_is_string(score)) return bad_field(l, "score.name", "a string");
    status = copy_text(l, score, &p->score);
    if (!status) status = load_joint(l, json_object_get(root, "joint"), p, &p->joint);
    if (status) return status;

    const json_t *alpha = json_object_get(json_object_get(root, "settings"), "alpha");
    p->alpha = json_is_number(alpha) ? json_number_value(alpha) : hb_generate_defaults().monitor.alpha;
    if (!(p->alpha >= 0)) return bad_field(l, "settings.alpha", "at least 0");

    status = load_chat(l, json_object_get(root, "settings"), p);
    if (status) return status;

    const json_t *model = json_object_get(root, "model"), *size = json_object_get(model, "file_size");
    p->model_size = json_is_integer(size) ? (uint64_t)json_integer_value(size) : 0;
    status = copy_text(l, json_object_get(model, "name"), &p->model_name);
    if (status) return status;
    return copy_text(l, json_object_get(model, "architecture"), &p->model_architecture);
}

static hb_status read_root(const char *path, json_t **root, hb_error *err)
{
    int fd;
    hb_status status = hb_open_regular(path, &fd, err);
    if (status) return status;
    FILE *file = fdopen(fd, "rb");
    if (!file) {
        close(fd);
        return hb_fail_memory(err);
    }
    json_error_t why;
    *root = json_loadf(file, JSON_REJECT_DUPLICATES, &why);
    fclose(file);
    return *root ? HB_OK : hb_fail(err, HB_ERR_FORMAT, "%s:%d: %s", path, why.line, why.text);
}

bool hb_params_same_chat(const hb_params *params, const char *chat, const char *system)
{
    char sha256[65];
    return strcmp(params->chat, chat ? chat : "") == 0 && hash_text(system ? system : "", sha256) &&
           strcmp(params->system_sha256, sha256) == 0;
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
    s->name = strdup(name);
    if (!s->name) return hb_fail_memory(l->err);
    hb_status status = load_number(l, object, "scores.*.tau", "tau", &s->tau);
    if (!status) status = load_direction(l, object, "scores.*.direction", &s->direction);
    const json_t *auroc = json_object_get(object, "auroc");
    s->auroc = json_is_number(auroc) ? json_number_value(auroc) : NAN;
    load_class(json_object_get(object, "label_0"), &s->by_label[0]);
    load_class(json_object_get(object, "label_1"), &s->by_label[1]);
    return status;
}

/* The file's scores, the one it is about first: that one may be told by the threshold alone. */
static hb_status load_scores(const loading *l, json_t *root, hb_params *p)
{
    json_t *scores = json_object_get(root, "scores"), *value;
    const json_t *about = json_object_get(root, "score"), *auroc = json_object_get(root, "auroc");
    const char *name;
    hb_status status = HB_OK;
    p->scores = calloc(json_object_size(scores) + 1, sizeof *p->scores);
    if (!p->scores) return hb_fail_memory(l->err);
    hb_calibrated_score *first = &p->scores[p->n_scores++];
    first->name = strdup(p->score);
    if (!first->name) return hb_fail_memory(l->err);
    first->tau = p->tau;
    first->direction = p->direction;
    first->auroc = json_is_number(auroc) ? json_number_value(auroc) : NAN;
    load_class(json_object_get(about, "label_0"), &first->by_label[0]);
    load_class(json_object_get(about, "label_1"), &first->by_label[1]);
    json_object_foreach(scores, name, value) if (!status && strcmp(name, first->name) != 0) status =
        load_score(l, name, value, &p->scores[p->n_scores++]);
    return status;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static hb_status load_ids(const loading *l, const json_t *root, hb_params *p)
{
    const json_t *ids = json_object_get(root, "sample_ids"), *id;
    size_t i;
    p->ids = calloc(json_array_size(ids) + 1, sizeof *p->ids);
    if (!p->ids) return hb_fail_memory(l->err);
    json_array_foreach(ids, i, id)
    {
        if (!json_is_string(id)) return bad_field(l, "sample_ids", "a list of strings");
        p->ids[p->n_ids] = strdup(json_string_value(id));
        if (!p->ids[p->n_ids++]) return hb_fail_memory(l->err);
    }
    qsort(p->ids, p->n_ids, sizeof *p->ids, compare_ids);
    return HB_OK;
}

/* What judging the parameters on other data takes. */
static hb_status load_calibration(const loading *l, json_t *root, hb_params *p)
{
    const json_t *settings = json_object_get(root, "settings"),
                 *recall = json_object_get(settings, "min_recall"),
                 *tokens = json_object_get(settings, "max_tokens"),
                 *sha256 = json_object_get(json_object_get(root, "data"), "sha256");
    p->min_recall = json_is_number(recall) ? json_number_value(recall) : hb_sweep_defaults().min_recall;
    if (!(p->min_recall > 0 && p->min_recall <= 1))
        return bad_field(l, "settings.min_recall", "above 0 and at most 1");
    json_int_t max_tokens = json_is_integer(tokens) ? json_integer_value(tokens) : 0;
    if (tokens && !(max_tokens >= 1 && max_tokens <= 1 << 24))
        return bad_field(l, "settings.max_tokens", "from 1 to 16777216");
    p->max_tokens = (int32_t)max_tokens;
    snprintf(p->data_sha256, sizeof p->data_sha256, "%s",
             json_is_string(sha256) ? json_string_value(sha256) : "");
    hb_status status = load_scores(l, root, p);
    return status ? status : load_ids(l, root, p);
}

hb_status hb_params_load(const char *path, hb_params **params, hb_error *err)
{
    json_t *root;
    hb_status status = read_root(path, &root, err);
    if (status) return status;
    const loading l = {path, err};
    hb_params *p = calloc(1, sizeof *p);
    status = p ? load_fields(&l, root, p) : hb_fail_memory(err);
    if (!status) status = load_calibration(&l, root, p);
    json_decref(root);
    if (status) hb_params_free(p);
    else *params = p;
    return status;
}

static void free_text(const char *text)
{
    free((char *)(uintptr_t)text);
}

void hb_params_free(hb_params *params)
{
    if (!params) return;
    for (size_t i = 0; i < params->n_ids; i++) free(params->ids[i]);
    for (size_t i = 0; i < params->n_scores; i++) free_text(params->scores[i].name);
    free(params->ids);
    free(params->scores);
    free_text(params->score);
    free_text(params->model_name);
    free_text(params->model_architecture);
    free_text(params->chat);
    hb_map_free(&params->map);
    hb_joint_free(&params->joint);
    free(params);
}
