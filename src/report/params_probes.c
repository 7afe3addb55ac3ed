/* Loads the probes of a parameters file. The file is untrusted. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include "base/base64.h"
#include "report/params.h"
#include "signals/probe.h"

/* Where a probe stands in the file, for messages. */
typedef struct place {
    const char *path, *parent, *name;
} place;

/* A probe's field that is missing or bad. */
static hb_status bad(const place *at, const char *key, const char *expected, hb_error *err)
{
    return hb_fail(err, HB_ERR_FORMAT, "%s: '%s.%s.%s' is missing or not %s", at->path, at->parent,
                   at->name, key, expected);
}

static bool are_moderate(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(values[i]) <= 1e30f)) return false;
    return true;
}

static bool read_numbers(const json_t *array, size_t n, double *values)
{
    if (json_array_size(array) != n) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *number = json_array_get(array, i);
        values[i] = json_number_value(number);
        if (!json_is_number(number) || !(fabs(values[i]) <= 1e100)) return false;
    }
    return true;
}

/* Loads the quadratic part of a density that reads n numbers into a probe without one. */
static hb_status load_quadratic(const place *at, const json_t *object, hb_probe *p, hb_error *err)
{
    const json_t *factors = json_object_get(object, "factors");
    const char *text = json_string_value(json_object_get(object, "rows"));
    size_t rank = json_array_size(factors), n = 0;
    if (rank < 1 || rank > HB_DENSITY_RANK || rank > p->n)
        return bad(at, "factors", "a list of numbers", err);
    hb_error why = {HB_ERR_FORMAT, ""};
    float *rows = NULL;
    hb_status status = text ? hb_base64_floats(text, &rows, &n, &why) : HB_ERR_FORMAT;
    if (status == HB_ERR_MEMORY) return hb_fail_memory(err);
    if (status || n / rank != p->n || n % rank || !are_moderate(rows, n)) {
        free(rows);
        return bad(at, "rows", "base64 of its rows", err);
    }
    free(p->rows);
    p->rows = rows;
    p->rank = rank;
    if (!read_numbers(factors, rank, p->factors)) return bad(at, "factors", "a list of numbers", err);
    if (!read_numbers(json_object_get(object, "offsets"), rank, p->offsets))
        return bad(at, "offsets", "as many numbers", err);
    return HB_OK;
}

/* Loads a probe of a known kind. */
static hb_status load_probe(const place *at, const hb_probe_kind *kind, const json_t *object,
                            hb_probe **probe, hb_error *err)
{
    const json_t *block = json_object_get(object, "block");
    const json_t *intercept = json_object_get(object, "intercept");
    const char *text = json_string_value(json_object_get(object, "weights"));
    json_int_t number = json_integer_value(block);
    float *weights = NULL;
    size_t n = 0;
    if (kind->of_block && !(json_is_integer(block) && number >= 1 && number <= HB_MAX_LAYERS))
        return bad(at, "block", "the number of a block", err);
    if (!json_is_number(intercept) || !(fabs(json_number_value(intercept)) <= 1e100))
        return bad(at, "intercept", "a number", err);
    hb_error why = {HB_ERR_FORMAT, ""};
    hb_status status = text ? hb_base64_floats(text, &weights, &n, &why) : HB_ERR_FORMAT;
    if (status == HB_ERR_MEMORY) return hb_fail_memory(err);
    bool sound = !status && n > 0 && are_moderate(weights, n) &&
                 (kind->feature != HB_FEATURE_TOPK || n == 2 * HB_RANKS);
    hb_probe *p = NULL;
    size_t rank = kind->density ? HB_DENSITY_RANK : 0; /* room for as many rows */
    status = sound ? hb_probe_new(kind, kind->of_block ? (int32_t)number - 1 : -1, n, rank, &p, err)
                   : bad(at, "weights", "base64 of its weights", err);
    if (status) {
        free(weights);
        return status;
    }
    free(p->weights);
    p->weights = weights;
    p->intercept = json_number_value(intercept);
    if (kind->density) status = load_quadratic(at, object, p, err);
    if (status) hb_probe_free(p);
    else *probe = p;
    return status;
}

hb_status hb_params_load_halt_probe(const char *path, const json_t *object, hb_probe **probe,
                                    hb_error *err)
{
    return load_probe(&(place){path, "halt.model", "probe"}, hb_probe_kind_find("probe"), object, probe,
                      err);
}

hb_status hb_params_load_probes(const char *path, json_t *root, hb_params *p, hb_error *err)
{
    json_t *probes = json_object_get(root, "probes"), *value;
    const char *name;
    hb_status status = HB_OK;
    p->probes = calloc(json_object_size(probes) + 1, sizeof(hb_probe *));
    if (!p->probes) return hb_fail_memory(err);
    json_object_foreach(probes, name, value)
    {
        const hb_probe_kind *kind = hb_probe_kind_find(name);
        if (status || !kind) continue; /* a later version's kind; its score cannot be measured */
        status = load_probe(&(place){path, "probes", name}, kind, value, &p->probes[p->n_probes], err);
        p->n_probes += !status;
    }
    return status;
}
