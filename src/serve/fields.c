#include "serve/fields.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/json_read.h"

json_t *hb_fields_parse(const char *body, size_t length, hb_problem *problem)
{
    json_error_t why;
    hb_error err;
    json_t *root;
    if (hb_json_load(length ? body : "", length, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &root, &why,
                     &err)) {
        hb_refuse_error(problem, NULL, &err);
        return NULL;
    }
    if (!root) {
        hb_refuse(problem, NULL, "the body is not valid JSON: line %d: %s", why.line, why.text);
        return NULL;
    }
    if (json_is_object(root)) return root;
    json_decref(root);
    hb_refuse(problem, NULL, "the body must be a JSON object");
    return NULL;
}

const json_t *hb_field(const hb_fields *f, const char *name)
{
    const json_t *value = json_object_get(f->object, name);
    return value && !json_is_null(value) ? value : NULL;
}

bool hb_field_refuse(const hb_fields *f, const char *name, const char *format, ...)
{
    char param[sizeof f->problem->param], what[300];
    va_list args;
    snprintf(param, sizeof param, "%s%s", f->before, name);
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return hb_refuse(f->problem, param, "%s %s", param, what);
}

bool hb_field_bool(const hb_fields *f, const char *name, bool *value)
{
    const json_t *v = hb_field(f, name);
    if (!v) return true;
    if (!json_is_boolean(v)) return hb_field_refuse(f, name, "must be true or false");
    *value = json_is_true(v);
    return true;
}

bool hb_field_real(const hb_fields *f, const char *name, double min, double max, double *value)
{
    const json_t *v = hb_field(f, name);
    if (!v) return true;
    if (!json_is_number(v)) return hb_field_refuse(f, name, "must be a number");
    double number = json_number_value(v);
    if (!(number >= min && number <= max))
        return hb_field_refuse(f, name, "must be between %g and %g, but is %g", min, max, number);
    *value = number;
    return true;
}

bool hb_field_int(const hb_fields *f, const char *name, int32_t min, int32_t max, int32_t *value)
{
    const json_t *v = hb_field(f, name);
    if (!v) return true;
    double number = json_number_value(v);
    if (!json_is_number(v) || number != floor(number))
        return hb_field_refuse(f, name, "must be a whole number");
    if (!(number >= min && number <= max))
        return hb_field_refuse(f, name, "must be between %d and %d, but is %g", min, max, number);
    *value = (int32_t)number;
    return true;
}

bool hb_field_text(const hb_fields *f, const char *name, const char **text, size_t *length)
{
    const json_t *v = hb_field(f, name);
    if (!v) return true;
    if (!json_is_string(v)) return hb_field_refuse(f, name, "must be a string");
    if (!length && strlen(json_string_value(v)) != json_string_length(v))
        return hb_field_refuse(f, name, "must not contain a zero byte");
    *text = json_string_value(v);
    if (length) *length = json_string_length(v);
    return true;
}

bool hb_field_choice(const hb_fields *f, const char *name, const char *const *choices, int *value)
{
    const char *text = NULL;
    char list[200] = "";
    if (!hb_field_text(f, name, &text, NULL)) return false;
    if (!text) return true;
    for (int i = 0; choices[i]; i++) {
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s'%s'", i ? ", " : "", choices[i]);
        if (strcmp(text, choices[i]) != 0) continue;
        *value = i;
        return true;
    }
    return hb_field_refuse(f, name, "must be one of %s", list);
}
