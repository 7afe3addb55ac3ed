/* Loads calibrated parameters: the fields that a monitor and a validation need. Files are untrusted, so
 * every field is checked. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/hashes.h"
#include "base/json_read.h"
#include "base/sha256.h"
#include "calibrate/guarantee.h"
#include "calibrate/names.h"
#include "report/params.h"
#include "report/ranges.h"
#include "signals/halt_model.h"
#include "signals/probe.h"
#include "signals/scores.h"

typedef struct loading {
    const char *path;
    hb_error *err;
    bool top5; /* a signal's name alone means its score with top5 (today) */
} loading;

/* ---- Fields -------------------------------------------------------------------------------------- */

/* Reports an invalid field: `key` of the object `parent`, or of the root if `parent` is NULL. */
static hb_status bad_field(const loading *l, const char *parent, const char *key, const char *expected)
{
    return hb_fail(l->err, HB_ERR_FORMAT, "%s: '%s%s%s' is missing or not %s", l->path,
                   parent ? parent : "", parent ? "." : "", key, expected);
}

static hb_status load_number(const loading *l, const json_t *object, const char *parent,
                             const char *key, double *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) return bad_field(l, parent, key, "a number");
    *out = json_number_value(value);
    return HB_OK;
}

/* Loads a number small enough that the product of two does not overflow. */
static hb_status load_moderate(const loading *l, const json_t *object, const char *parent,
                               const char *key, double *out)
{
    hb_status status = load_number(l, object, parent, key, out);
    if (status || fabs(*out) <= 1e100) return status;
    return bad_field(l, parent, key, "from -1e100 to 1e100");
}

static hb_status load_count(const loading *l, const json_t *object, const char *parent, const char *key,
                            size_t *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return bad_field(l, parent, key, "a whole number");
    *out = (size_t)json_integer_value(value);
    return HB_OK;
}

/* Loads a text; empty when the file lacks it. Release with free(). */
static hb_status load_text(const loading *l, const json_t *object, const char *parent, const char *key,
                           char **out)
{
    const json_t *value = json_object_get(object, key);
    if (json_string_length(value) > HB_NAME_BYTES)
        return bad_field(l, parent, key, "a text of at most 65535 bytes");
    *out = strdup(json_is_string(value) ? json_string_value(value) : "");
    return *out ? HB_OK : hb_fail_memory(l->err);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static double number_or_nan(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static hb_status load_direction(const loading *l, const json_t *object, const char *parent,
                                hb_direction *out)
{
    if (hb_direction_by_sign(text_of(object, "direction"), out)) return HB_OK;
    return bad_field(l, parent, "direction", "\">=\" or \"<=\"");
}

/* Loads a SHA-256 in hexadecimal; empty when the file lacks it. */
static void load_hash(const json_t *object, const char *key, char hex[65])
{
    const char *text = text_of(object, key);
    if (strlen(text) < 65) strcpy(hex, text);
}

/* The name that a score of the file has today. Until version 3, the usual aggregation was the mean of
 * the five largest values in both directions. Tables keep the names of their columns. Release with
 * free(). NULL when memory runs out. */
static char *today(const loading *l, const char *name)
{
    return l->top5 ? hb_score_tail_name(name, HB_DIRECTION_HIGH) : strdup(name);
}

/* Loads the name of a score. Release with free(). */
static hb_status load_score_name(const loading *l, const json_t *object, const char *parent,
                                 const char *key, char **out)
{
    char *given;
    hb_status status = load_text(l, object, parent, key, &given);
    if (status) return status;
    *out = today(l, given);
    free(given);
    return *out ? HB_OK : hb_fail_memory(l->err);
}

/* ---- The threshold ------------------------------------------------------------------------------- */

static hb_status check_guarantee(const loading *l, const char *parent, const hb_guarantee *g)
{
    hb_error why;
    if (hb_check_guarantee(g, &why))
        return hb_fail(l->err, HB_ERR_FORMAT, "%s: '%s': %s", l->path, parent, why.message);
    if (!(g->level > 0 && g->level <= g->delta))
        return bad_field(l, parent, "level", "above 0 and at most delta");
    if (!(g->p >= 0 && g->p <= g->level)) return bad_field(l, parent, "p", "from 0 to the level");
    if (g->k > g->n) return bad_field(l, parent, "k", "at most n");
    return HB_OK;
}

/* Loads a guarantee, of halting or of whole answers, which may be missing or null. `parent` is its
 * place in the file. */
static hb_status load_guarantee(const loading *l, const json_t *object, const char *parent,
                                bool halting, hb_guarantee *g)
{
    if (!object || json_is_null(object)) return HB_OK;
    if (!hb_guarantee_kind_find(text_of(object, "kind"), &g->kind) || g->kind == HB_GUARANTEE_NONE ||
        halting != (g->kind > HB_GUARANTEE_RECALL))
        return bad_field(l, parent, "kind",
                         halting ? "\"false-halts\" or \"halts\"" : "\"risk\" or \"recall\"");
    hb_status status = load_number(l, object, parent, "target", &g->target);
    if (!status) status = load_number(l, object, parent, "delta", &g->delta);
    if (!status) status = load_number(l, object, parent, "level", &g->level);
    if (!status) status = load_number(l, object, parent, "p", &g->p);
    if (!status) status = load_count(l, object, parent, "n", &g->n);
    if (!status) status = load_count(l, object, parent, "k", &g->k);
    return status ? status : check_guarantee(l, parent, g);
}

/* Loads the threshold. Version 2 calls the guarantee a promise; version 1 has none. */
static hb_status load_threshold(const loading *l, const json_t *root, json_int_t version, hb_params *p)
{
    const json_t *threshold = json_object_get(root, "threshold");
    hb_status status = load_number(l, threshold, "threshold", "tau", &p->tau);
    if (status) return status;
    if (version < 3)
        return load_guarantee(l, json_object_get(threshold, "promise"), "threshold.promise", false,
                              &p->guarantee);
    return load_guarantee(l, json_object_get(threshold, "guarantee"), "threshold.guarantee", false,
                          &p->guarantee);
}

/* ---- The map ------------------------------------------------------------------------------------- */

/* Loads a list of numbers. Release it with free(), also on failure. */
static hb_status load_numbers(const loading *l, const json_t *object, const char *parent,
                              const char *key, double **out, size_t *n)
{
    const json_t *list = json_object_get(object, key), *value;
    size_t i;
    *n = json_array_size(list);
    *out = calloc(*n + 1, sizeof **out);
    if (!*out) return hb_fail_memory(l->err);
    json_array_foreach(list, i, value)
    {
        if (!json_is_number(value)) return bad_field(l, parent, key, "a list of numbers");
        (*out)[i] = json_number_value(value);
    }
    return *n ? HB_OK : bad_field(l, parent, key, "a list of numbers");
}

/* Loads an isotonic map. Scores must ascend, and probabilities must not decrease with the risk. */
static hb_status load_isotonic(const loading *l, const json_t *object, hb_map *map)
{
    size_t n_p = 0;
    double sign = map->direction == HB_DIRECTION_LOW ? -1 : 1;
    hb_status status = load_numbers(l, object, "map", "scores", &map->scores, &map->n_knots);
    if (!status) status = load_numbers(l, object, "map", "p", &map->p, &n_p);
    if (status) return status;
    if (n_p != map->n_knots) return bad_field(l, "map", "p", "as long as map.scores");
    for (size_t i = 0; i < n_p; i++) {
        if (i > 0 && !(map->scores[i] > map->scores[i - 1]))
            return bad_field(l, "map", "scores", "ascending");
        if (!(map->p[i] >= 0 && map->p[i] <= 1)) return bad_field(l, "map", "p", "between 0 and 1");
        if (i > 0 && sign * map->p[i] < sign * map->p[i - 1])
            return bad_field(l, "map", "p", "rising with the risk");
    }
    return HB_OK;
}

/* Loads the map. A missing map means HB_MAP_LAMBDA. */
static hb_status load_map(const loading *l, const json_t *object, const hb_params *p, hb_map *map)
{
    *map = (hb_map){.tau = p->tau, .lambda = p->lambda, .direction = p->direction};
    if (!object) return HB_OK;
    if (!hb_map_kind_find(text_of(object, "kind"), &map->kind))
        return bad_field(l, "map", "kind", "\"lambda\", \"fit-lambda\", \"platt\" or \"isotonic\"");
    if (map->kind == HB_MAP_ISOTONIC) return load_isotonic(l, object, map);
    if (map->kind != HB_MAP_PLATT) return HB_OK;
    hb_status status = load_number(l, object, "map", "a", &map->a);
    return status ? status : load_number(l, object, "map", "b", &map->b);
}

/* ---- The joint model ----------------------------------------------------------------------------- */

static hb_status load_feature(const loading *l, const json_t *object, hb_joint_feature *f)
{
    static const char parent[] = "joint.features.*";
    const char *name = text_of(object, "score");
    if (!*name) return bad_field(l, parent, "score", "the name of a score");
    hb_status status = load_score_name(l, object, parent, "score", &f->score);
    if (!status) status = load_moderate(l, object, parent, "mean", &f->mean);
    if (!status) status = load_moderate(l, object, parent, "sd", &f->sd);
    if (!status) status = load_moderate(l, object, parent, "weight", &f->weight);
    if (!status && !(f->sd >= 1e-100)) status = bad_field(l, parent, "sd", "at least 1e-100");
    return status;
}

/* Loads a joint model. */
static hb_status load_joint(const loading *l, const json_t *object, hb_joint *joint)
{
    const json_t *features = json_object_get(object, "features"), *feature;
    size_t j;
    if (json_array_size(features) < 1) return bad_field(l, "joint", "features", "a list of scores");
    joint->features = calloc(json_array_size(features), sizeof *joint->features);
    if (!joint->features) return hb_fail_memory(l->err);
    hb_status status = load_moderate(l, object, "joint", "intercept", &joint->intercept);
    json_array_foreach(features, j, feature)
    {
        if (!status) status = load_feature(l, feature, &joint->features[joint->n_features++]);
    }
    return status;
}

/* ---- What halts -----------------------------------------------------------------------------------
 */

/* Loads the rule of a halt. */
static hb_status load_rule(const loading *l, const json_t *object, hb_halt_rule *rule)
{
    if (!hb_halt_rule_parse(text_of(object, "rule"), rule) || rule->kind == HB_HALT_NONE)
        return bad_field(l, "halt", "rule", "\"token\", \"window:K\", \"ewma:A\" or \"cusum\"");
    if (rule->kind != HB_HALT_CUSUM) return HB_OK;
    if (strcmp(text_of(object, "direction"), "<=") == 0)
        return bad_field(l, "halt", "direction", "\">=\", which a cusum requires");
    hb_status status = load_moderate(l, object, "halt", "mean_0", &rule->mean[0]);
    if (!status) status = load_moderate(l, object, "halt", "mean_1", &rule->mean[1]);
    if (!status) status = load_moderate(l, object, "halt", "sd", &rule->sd);
    if (!status && !(rule->sd >= 1e-100)) status = bad_field(l, "halt", "sd", "at least 1e-100");
    return status;
}

/* Loads the trained model that a halt runs over, which may be missing. */
static hb_status load_halt_model(const loading *l, const json_t *object, hb_params *p)
{
    const json_t *probe = json_object_get(object, "probe"), *joint = json_object_get(object, "joint");
    hb_halt_model *m;
    hb_status status = HB_OK;
    if (!object) return HB_OK;
    p->halt.model = p->halt_model = m = calloc(1, sizeof *m);
    if (!m) return hb_fail_memory(l->err);
    if (probe) status = hb_params_load_halt_probe(l->path, probe, &m->probe, l->err);
    if (!status && joint && !json_is_null(joint)) status = load_joint(l, joint, &m->joint);
    if (!status && !m->probe && !m->joint.n_features)
        status = bad_field(l, "halt", "model", "a probe or a joint model");
    for (size_t k = 0; k < m->joint.n_features && !status; k++) {
        const hb_signal *signal;
        bool known = hb_halt_feature(m->joint.features[k].score, &signal) && (signal || m->probe);
        if (!known) status = bad_field(l, "halt.model.joint", "features", "means over the steps");
    }
    return status;
}

/* Checks that the halt runs over what the score is made of: the values of its signal or, if the score
 * is a probe or a joint model, those of a trained model of the same kind. */
static hb_status check_halt_model(const loading *l, const hb_params *p)
{
    const hb_halt_model *m = p->halt_model;
    hb_score_id id;
    bool joint = p->joint.n_features, probe = !joint && strcmp(p->score, "probe") == 0;
    if (!m && hb_score_find(p->score, &id)) return HB_OK;
    if (!m) return bad_field(l, "halt", "model", "the model that a halt by this score needs");
    if (!joint && !probe)
        return hb_fail(l->err, HB_ERR_FORMAT,
                       "%s: 'halt.model' goes with the score 'probe' or a joint model, not with '%s'",
                       l->path, p->score);
    if (joint != (m->joint.n_features > 0))
        return bad_field(l, "halt", "model",
                         joint ? "a joint model, as the score is" : "a probe alone, as the score is");
    return HB_OK;
}

/* Loads the halt, which may be missing or null. */
static hb_status load_halt(const loading *l, const json_t *object, hb_params *p)
{
    if (!object || json_is_null(object)) return HB_OK;
    hb_status status = load_rule(l, object, &p->halt.rule);
    if (!status) status = load_direction(l, object, "halt", &p->halt.direction);
    if (!status) status = load_number(l, object, "halt", "tau", &p->halt.tau);
    if (!status)
        status = load_guarantee(l, json_object_get(object, "guarantee"), "halt.guarantee", true,
                                &p->halt_guarantee);
    if (!status) status = load_halt_model(l, json_object_get(object, "model"), p);
    if (!status) status = check_halt_model(l, p);
    if (!status && p->halt_guarantee.kind == HB_GUARANTEE_NONE)
        status = bad_field(l, "halt", "guarantee", "a guarantee");
    return status;
}

/* ---- What a monitor needs ------------------------------------------------------------------------ */

/* SHA-256 of a text; an empty text gives an empty hash. False when memory runs out. */
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

static hb_status load_schema(const loading *l, const json_t *root, json_int_t *version)
{
    const json_t *given = json_object_get(root, "schema_version");
    if (strcmp(text_of(root, "schema"), HB_PARAMS_SCHEMA) != 0)
        return hb_fail(l->err, HB_ERR_FORMAT, "%s: not a parameters file of hbar", l->path);
    if (!json_is_integer(given)) return bad_field(l, NULL, "schema_version", "an integer");
    *version = json_integer_value(given);
    if (*version >= 1 && *version <= HB_PARAMS_VERSION) return HB_OK;
    return hb_fail(l->err, HB_ERR_UNSUPPORTED, "%s: schema_version %lld is not supported (1 to %d are)",
                   l->path, (long long)*version, HB_PARAMS_VERSION);
}

static hb_status load_score(const loading *l, const json_t *root, hb_params *p)
{
    const json_t *score = json_object_get(root, "score");
    if (!json_is_string(json_object_get(score, "name")))
        return bad_field(l, "score", "name", "a string");
    hb_status status = load_score_name(l, score, "score", "name", &p->score);
    const json_t *joint = json_object_get(root, "joint");
    if (status || !joint || json_is_null(joint)) return status;
    if (strcmp(p->score, "joint") != 0)
        return bad_field(l, "score", "name", "\"joint\" with a joint model");
    return load_joint(l, joint, &p->joint);
}

static bool is_count(const json_t *value, json_int_t most)
{
    return json_is_integer(value) && json_integer_value(value) >= 1 &&
           json_integer_value(value) <= most;
}

/* Loads how samples were drawn beside the answers; missing if none were. */
static hb_status load_samples(const loading *l, const json_t *samples, hb_params *p)
{
    static const char parent[] = "settings.samples";
    const json_t *n = json_object_get(samples, "n"), *limit = json_object_get(samples, "max_tokens");
    if (!samples) return HB_OK;
    if (!is_count(n, 1000)) return bad_field(l, parent, "n", "a whole number from 1 to 1000");
    if (!is_count(limit, 1 << 24)) return bad_field(l, parent, "max_tokens", "at least 1");
    p->samples = (int32_t)json_integer_value(n);
    p->sample_max_tokens = (int32_t)json_integer_value(limit);
    p->sample_temperature = number_or_nan(samples, "temperature");
    p->sample_top_p = number_or_nan(samples, "top_p");
    if (!(p->sample_temperature > 0 && p->sample_temperature <= 100))
        return bad_field(l, parent, "temperature", "above 0 and at most 100");
    if (!(p->sample_top_p > 0 && p->sample_top_p <= 1))
        return bad_field(l, parent, "top_p", "above 0 and at most 1");
    return HB_OK;
}

static hb_status load_settings(const loading *l, const json_t *settings, hb_params *p)
{
    p->alpha = number_or_nan(settings, "alpha");
    if (isnan(p->alpha)) p->alpha = hb_monitor_defaults().alpha;
    if (!(p->alpha >= 0)) return bad_field(l, "settings", "alpha", "at least 0");
    const json_t *exact = json_object_get(settings, "exact");
    p->knows_exact = json_is_boolean(exact);
    p->exact = json_is_true(exact);
    const char *kv_type = text_of(settings, "kv_type");
    if (*kv_type && !hb_kv_type_find(kv_type, &p->kv_type))
        return bad_field(l, "settings", "kv_type", "\"f16\", \"f32\" or \"q8_0\"");
    if (!hash_text(text_of(settings, "system"), p->system_sha256)) return hb_fail_memory(l->err);
    hb_status status = load_samples(l, json_object_get(settings, "samples"), p);
    if (!status) status = load_text(l, settings, "settings", "asks", &p->asks);
    if (!status) status = load_text(l, settings, "settings", "engine", &p->engine);
    if (!status) status = load_text(l, settings, "settings", "chat", &p->chat);
    if (status || !json_object_get(settings, "read_as")) return status;
    return load_text(l, settings, "settings", "read_as", &p->read_as);
}

static hb_status load_model(const loading *l, const json_t *model, hb_params *p)
{
    json_int_t size = json_integer_value(json_object_get(model, "file_size"));
    p->model_size = size > 0 ? (uint64_t)size : 0;
    load_hash(model, "sha256", p->model_sha256);
    hb_status status = load_text(l, model, "model", "name", &p->model_name);
    return status ? status : load_text(l, model, "model", "architecture", &p->model_architecture);
}

static hb_status load_fields(loading *l, const json_t *root, hb_params *p)
{
    json_int_t version = 0;
    hb_status status = load_schema(l, root, &version);
    l->top5 = version < 4 && json_is_object(json_object_get(root, "model"));
    if (!status) status = load_threshold(l, root, version, p);
    if (!status) status = load_number(l, root, NULL, "lambda", &p->lambda);
    if (!status && !(p->lambda > 0)) status = bad_field(l, NULL, "lambda", "above 0");
    if (!status) status = load_direction(l, root, NULL, &p->direction);
    if (!status) status = load_map(l, json_object_get(root, "map"), p, &p->map);
    if (!status) status = load_score(l, root, p);
    if (!status) status = load_halt(l, json_object_get(root, "halt"), p);
    if (!status) status = load_settings(l, json_object_get(root, "settings"), p);
    if (strlen(text_of(root, "created")) < sizeof p->created)
        strcpy(p->created, text_of(root, "created"));
    return status ? status : load_model(l, json_object_get(root, "model"), p);
}

/* ---- What they are for --------------------------------------------------------------------------- */

bool hb_params_same_model(const hb_params *params, const hb_model_info *model)
{
    return strcmp(params->model_name, model->name) == 0 && params->model_size == model->file_size &&
           strcmp(params->model_architecture, model->architecture) == 0;
}

bool hb_params_same_chat(const hb_params *params, const char *chat, const char *system)
{
    char sha256[65];
    return strcmp(params->chat, chat ? chat : "") == 0 && hash_text(system ? system : "", sha256) &&
           strcmp(params->system_sha256, sha256) == 0;
}

/* ---- What a validation needs -------------------------------------------------------------------- */

static void load_class(const json_t *object, hb_class_summary *c)
{
    json_int_t n = json_integer_value(json_object_get(object, "n"));
    c->n = n > 0 ? (size_t)n : 0;
    c->mean = json_number_value(json_object_get(object, "mean"));
    c->sd = json_number_value(json_object_get(object, "sd"));
}

/* Loads the optional metrics of a score. */
static void load_curves(const json_t *curves, const json_t *point, hb_calibrated_score *s)
{
    s->auroc = number_or_nan(curves, "auroc");
    s->pr_auc = number_or_nan(curves, "pr_auc");
    s->precision = number_or_nan(point, "precision");
    s->recall = number_or_nan(point, "recall");
    s->f1 = number_or_nan(point, "f1");
}

/* Names a score whose direction is known. */
static hb_status name_score(const loading *l, const char *name, hb_calibrated_score *s)
{
    s->name = today(l, name);
    s->tail = s->name ? hb_score_tail_name(s->name, s->direction) : NULL;
    return s->tail ? HB_OK : hb_fail_memory(l->err);
}

static hb_status load_calibrated(const loading *l, const char *name, const json_t *object,
                                 hb_calibrated_score *s)
{
    if (strlen(name) > HB_NAME_BYTES)
        return hb_fail(l->err, HB_ERR_FORMAT, "%s: 'scores' has a name of more than %d bytes", l->path,
                       HB_NAME_BYTES);
    load_curves(object, object, s);
    load_class(json_object_get(object, "label_0"), &s->by_label[0]);
    load_class(json_object_get(object, "label_1"), &s->by_label[1]);
    hb_status status = load_number(l, object, "scores.*", "tau", &s->tau);
    if (!status) status = load_direction(l, object, "scores.*", &s->direction);
    return status ? status : name_score(l, name, s);
}

/* Loads the file's scores. The calibrated score comes first and is read from its own fields; a short
 * file has only these. */
static hb_status load_scores(const loading *l, json_t *root, hb_params *p)
{
    json_t *scores = json_object_get(root, "scores"), *value;
    const json_t *about = json_object_get(root, "score");
    const char *name;
    hb_status status = HB_OK;
    p->scores = calloc(json_object_size(scores) + 1, sizeof *p->scores);
    if (!p->scores) return hb_fail_memory(l->err);
    hb_calibrated_score *first = &p->scores[p->n_scores++];
    first->tau = p->tau;
    first->direction = p->direction;
    status = name_score(l, p->score, first);
    load_curves(root, json_object_get(root, "threshold"), first);
    load_class(json_object_get(about, "label_0"), &first->by_label[0]);
    load_class(json_object_get(about, "label_1"), &first->by_label[1]);
    json_object_foreach(scores, name, value)
    {
        if (!status && strcmp(name, text_of(about, "name")) != 0)
            status = load_calibrated(l, name, value, &p->scores[p->n_scores++]);
    }
    return status;
}

/* Loads the hashes of prompts, which files of a table and of earlier versions lack. */
static hb_status load_prompts(const loading *l, const json_t *root, hb_params *p)
{
    const json_t *text = json_object_get(root, "prompt_hashes");
    hb_error why = {HB_ERR_FORMAT, ""};
    if (!text) return HB_OK;
    if (json_is_string(text))
        hb_hashes_decode(json_string_value(text), &p->prompts, &p->n_prompts, &why);
    if (p->prompts) return HB_OK;
    return why.status == HB_ERR_MEMORY
               ? hb_fail_memory(l->err)
               : bad_field(l, NULL, "prompt_hashes", "base64 of hashes of 8 bytes");
}

/* The index in names 0 to n - 1 of the text of a field; n for any other value. */
static int load_name(const json_t *object, const char *key, int n, const char *(*name_of)(int i))
{
    const char *text = text_of(object, key);
    int i = 0;
    while (i < n && strcmp(text, name_of(i)) != 0) i++;
    return i;
}

static const char *rule_name(int i)
{
    return hb_grade_rule_name((hb_grade_rule)i);
}

static const char *treatment_name(int i)
{
    return hb_abstain_as_name((hb_abstain_as)i);
}

/* The limit of the rule, where it has one. */
static hb_status load_limit(const loading *l, const json_t *settings, hb_grading *g)
{
    hb_status status = HB_OK;
    if (g->rule == HB_GRADE_F1) status = load_number(l, settings, "settings", "min_f1", &g->min_f1);
    if (!status && !(g->min_f1 > 0 && g->min_f1 <= 1))
        return bad_field(l, "settings", "min_f1", "above 0 and at most 1");
    if (g->rule == HB_GRADE_NUMBER)
        status = load_number(l, settings, "settings", "tolerance", &g->tolerance);
    if (!status && !(g->tolerance >= 0))
        return bad_field(l, "settings", "tolerance", "a number from 0");
    return status;
}

/* Loads how answers were graded, if they were. Parameters of earlier versions lack some of the fields.
 */
static hb_status load_grading(const loading *l, const json_t *settings, hb_params *p)
{
    hb_grading *g = &p->grading;
    const json_t *lines = json_object_get(settings, "answer_lines");
    *g = hb_grading_defaults();
    json_int_t n_lines = lines ? json_integer_value(lines) : g->answer_lines;
    p->is_graded = json_object_get(settings, "grade") != NULL;
    if (!p->is_graded) return HB_OK;
    int rule = load_name(settings, "grade", HB_N_GRADE_RULES, rule_name);
    if (rule == HB_N_GRADE_RULES)
        return bad_field(l, "settings", "grade",
                         "\"exact\", \"contains\", \"f1\", \"number\" or \"choice\"");
    if (json_object_get(settings, "abstain_as"))
        g->abstain_as =
            (hb_abstain_as)load_name(settings, "abstain_as", HB_N_ABSTAIN_AS, treatment_name);
    if (g->abstain_as == HB_N_ABSTAIN_AS)
        return bad_field(l, "settings", "abstain_as", "\"out\", \"right\" or \"wrong\"");
    if (n_lines < HB_ALL_LINES || n_lines > 1 << 24 || (lines && !json_is_integer(lines)))
        return bad_field(l, "settings", "answer_lines", "from -1 to 16777216");
    g->rule = (hb_grade_rule)rule;
    g->answer_lines = (int32_t)n_lines;
    hb_status status = load_limit(l, settings, g);
    if (status || !json_object_get(settings, "abstain_sha256")) return status;
    return load_text(l, settings, "settings", "abstain_sha256", &p->abstain_sha256);
}

static hb_status load_calibration_settings(const loading *l, const json_t *settings, hb_params *p)
{
    const json_t *tokens = json_object_get(settings, "max_tokens");
    json_int_t max_tokens = json_integer_value(tokens);
    p->min_recall = number_or_nan(settings, "min_recall");
    if (isnan(p->min_recall)) p->min_recall = hb_sweep_defaults().min_recall;
    if (!(p->min_recall > 0 && p->min_recall <= 1))
        return bad_field(l, "settings", "min_recall", "above 0 and at most 1");
    if (tokens && !(max_tokens >= 1 && max_tokens <= 1 << 24))
        return bad_field(l, "settings", "max_tokens", "from 1 to 16777216");
    p->max_tokens = (int32_t)max_tokens;
    return load_grading(l, settings, p);
}

/* Loads the fields that a validation needs. */
static hb_status load_calibration(const loading *l, json_t *root, hb_params *p)
{
    load_hash(json_object_get(root, "data"), "sha256", p->data_sha256);
    hb_status status = load_calibration_settings(l, json_object_get(root, "settings"), p);
    if (!status) status = load_scores(l, root, p);
    return status ? status : load_prompts(l, root, p);
}

/* ---- The file ------------------------------------------------------------------------------------ */

static hb_status read_root(const char *path, json_t **root, hb_error *err)
{
    hb_buffer text = {0};
    json_error_t why;
    hb_status status = hb_read_file(path, HB_PARAMS_BYTES, &text, err);
    if (status) return status;
    status = hb_json_load(text.data, text.length, JSON_REJECT_DUPLICATES, root, &why, err);
    hb_buffer_free(&text);
    if (status || *root) return status;
    return hb_fail(err, HB_ERR_FORMAT, "%s:%d: %s", path, why.line, why.text);
}

hb_status hb_params_load(const char *path, hb_params **params, hb_error *err)
{
    json_t *root;
    hb_status status = read_root(path, &root, err);
    if (status) return status;
    loading l = {path, err, false};
    hb_params *p = calloc(1, sizeof *p);
    status = p ? load_fields(&l, root, p) : hb_fail_memory(err);
    if (!status) status = hb_check_ranges(path, root, err);
    if (!status) status = load_calibration(&l, root, p);
    if (!status) status = hb_params_load_probes(path, root, p, err);
    json_decref(root);
    if (status) hb_params_free(p);
    else *params = p;
    return status;
}

void hb_params_free(hb_params *params)
{
    if (!params) return;
    for (size_t i = 0; i < params->n_scores; i++) {
        free(params->scores[i].name);
        free(params->scores[i].tail);
    }
    hb_probes_free(params->probes, params->n_probes);
    free(params->prompts);
    free(params->scores);
    free(params->score);
    free(params->model_name);
    free(params->model_architecture);
    free(params->chat);
    free(params->read_as);
    free(params->asks);
    free(params->engine);
    free(params->abstain_sha256);
    hb_map_free(&params->map);
    hb_joint_free(&params->joint);
    hb_halt_model_free(params->halt_model);
    free(params);
}
