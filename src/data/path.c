#include "data/path.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>
#include "base/json_read.h"
#include "base/memory.h"
#include "base/utf8.h"

#define MAX_STEPS        8
#define MAX_ALTERNATIVES 4
#define MAX_VALUES       ((size_t)1 << 20) /* maximum number of values of a path */

typedef enum step_kind { STEP_NAME, STEP_INDEX, STEP_CURRENT, STEP_BEFORE, STEP_ALL } step_kind;

typedef struct step {
    step_kind kind;
    char *name;
    size_t index;
} step;

typedef struct alternative {
    char *text;
    step steps[MAX_STEPS];
    size_t n_steps;
} alternative;

struct hb_path {
    char *text;
    alternative alternatives[MAX_ALTERNATIVES];
    size_t n;
};

/* ---- Parsing ------------------------------------------------------------------------------------- */

static hb_status no_path(const char *text, const char *why, hb_error *err)
{
    return hb_fail(err, HB_ERR_ARGUMENT, "'%.60s' is not a path of fields: %s", text, why);
}

/* Parses a pair of brackets and moves *text past it. */
static hb_status parse_brackets(const char *whole, const char **text, step *s, hb_error *err)
{
    const char *inside = *text + 1;
    char *end;
    if (strncmp(inside, "i]", 2) == 0) {
        s->kind = STEP_CURRENT;
        *text = inside + 2;
        return HB_OK;
    }
    if (strncmp(inside, "<i]", 3) == 0) {
        s->kind = STEP_BEFORE;
        *text = inside + 3;
        return HB_OK;
    }
    s->kind = STEP_INDEX;
    size_t digits = strspn(inside, "0123456789");
    s->index = strtoul(inside, &end, 10);
    if (digits == 0 || digits > 9 || *end != ']')
        return no_path(whole, "brackets must contain a number, as in [0]", err);
    *text = end + 1;
    return HB_OK;
}

static hb_status parse_name(const char *whole, const char **text, step *s, hb_error *err)
{
    size_t length = strcspn(*text, ".[");
    if (length == 0) return no_path(whole, "a name is empty", err);
    s->kind = length == 1 && **text == '*' ? STEP_ALL : STEP_NAME;
    s->name = strndup(*text, length);
    *text += length;
    return s->name ? HB_OK : hb_fail_memory(err);
}

static hb_status parse_alternative(alternative *a, hb_error *err)
{
    const char *text = a->text;
    bool name = true; /* a name must follow */
    do {
        if (a->n_steps == MAX_STEPS) return no_path(a->text, "it has too many parts", err);
        step *s = &a->steps[a->n_steps++];
        hb_status status =
            name ? parse_name(a->text, &text, s, err) : parse_brackets(a->text, &text, s, err);
        if (status) return status;
        name = *text == '.';
        if (name) text++;
        else if (*text && *text != '[') return no_path(a->text, "a point must follow a bracket", err);
    } while (*text || name);
    return HB_OK;
}

static hb_status parse_all(hb_path *path, const char *text, hb_error *err)
{
    if (!*text) return no_path(text, "it is empty", err);
    path->text = strdup(text);
    if (!path->text) return hb_fail_memory(err);
    for (;; text++) {
        if (path->n == MAX_ALTERNATIVES)
            return no_path(path->text, "it has too many alternatives", err);
        size_t length = strcspn(text, "|");
        alternative *a = &path->alternatives[path->n++];
        a->text = strndup(text, length);
        hb_status status = a->text ? parse_alternative(a, err) : hb_fail_memory(err);
        text += length;
        if (status || !*text) return status;
    }
}

hb_status hb_path_parse(const char *text, hb_path **out, hb_error *err)
{
    hb_path *path = calloc(1, sizeof *path);
    if (!path) return hb_fail_memory(err);
    hb_status status = parse_all(path, text, err);
    if (status == HB_OK) *out = path;
    else hb_path_free(path);
    return status;
}

void hb_path_free(hb_path *path)
{
    if (!path) return;
    for (size_t i = 0; i < path->n; i++) {
        for (size_t k = 0; k < path->alternatives[i].n_steps; k++)
            free(path->alternatives[i].steps[k].name);
        free(path->alternatives[i].text);
    }
    free(path->text);
    free(path);
}

const char *hb_path_text(const hb_path *path)
{
    return path->text;
}

/* ---- Lists spelled in strings -------------------------------------------------------------------- */

/* Appends the character that n hexadecimal digits name, if it is *valid. False when memory runs out. */
static bool add_codepoint(hb_buffer *out, const char *digits, size_t n, bool *valid)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_int32_t c = 0;
    for (size_t i = 0; i < n && *valid; i++) {
        const char *all = "0123456789abcdef";
        const char *digit = digits[i] ? strchr(all, tolower((unsigned char)digits[i])) : NULL;
        *valid = digit && c <= 0x10FFFF;
        if (*valid) c = c * 16 + (utf8proc_int32_t)(digit - all);
    }
    *valid = *valid && c && utf8proc_codepoint_valid(c);
    return !*valid || hb_buffer_add(out, bytes, (size_t)utf8proc_encode_char(c, bytes));
}

/* Appends what an escape of Python stands for, and moves *at from its backslash to its last byte.
 * *valid becomes whether it is one. False when memory runs out. */
static bool add_escape(hb_buffer *out, const char **at, bool *valid)
{
    char c = *++*at;
    size_t n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (n) {
        const char *digits = *at + 1;
        bool ok = add_codepoint(out, digits, n, valid);
        if (*valid) *at += n;
        return ok;
    }
    c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
    return hb_buffer_add(out, &c, 1);
}

/* Adds the Python string that starts at the quote *text, and moves *text past it. *valid becomes
 * whether it is UTF-8 and ends. False when memory runs out. */
static bool add_python_string(json_t *list, const char **text, bool *valid)
{
    char quote = **text;
    hb_buffer value = {0};
    bool ok = hb_buffer_add_text(&value, "");
    const char *at = *text + 1;
    *valid = true;
    for (; *at && *at != quote && ok && *valid; at += *valid)
        ok = *at == '\\' && at[1] ? add_escape(&value, &at, valid) : hb_buffer_add(&value, at, 1);
    *valid = *valid && *at && hb_utf8_valid(value.data, value.length);
    ok =
        ok && (!*valid || !json_array_append_new(list, json_stringn_nocheck(value.data, value.length)));
    hb_buffer_free(&value);
    *text = *at ? at + 1 : at;
    return ok;
}

/* Parses ['a', "b"], also without commas, as NumPy prints it. *list becomes NULL if it is none. False
 * when memory runs out. */
static bool python_list(const char *text, json_t **list)
{
    *list = json_array();
    bool ok = *list != NULL, valid = true;
    for (text++; ok && valid;) {
        text += strspn(text, " \t\r\n,");
        if (*text == ']') break;
        valid = *text == '\'' || *text == '"';
        ok = !valid || add_python_string(*list, &text, &valid);
    }
    if (ok && valid && !text[1 + strspn(text + 1, " \t\r\n")]) return true;
    json_decref(*list);
    *list = NULL;
    return ok;
}

bool hb_spelled_list(const char *text, json_t **list)
{
    json_error_t why;
    text += strspn(text, " \t\r\n");
    *list = NULL;
    if (*text != '[') return true;
    if (hb_json_load(text, strlen(text), 0, list, &why, NULL)) return false;
    return *list || python_list(text, list);
}

/* ---- Finding ------------------------------------------------------------------------------------- */

void hb_values_free(hb_values *values)
{
    free(values->list);
    *values = (hb_values){0};
}

static bool add_value(hb_values *values, const json_t *value)
{
    if (values->n == MAX_VALUES) return true;
    const json_t **list = hb_grown(values->list, values->n, sizeof *list, &values->room);
    if (!list) return false;
    values->list = list;
    list[values->n++] = value;
    return true;
}

/* The field with this name. If there is none, the field whose name differs only in letter case, if
 * there is exactly one. */
static const json_t *field_of(const json_t *object, const char *name)
{
    const json_t *exact = json_object_get(object, name), *alike = NULL;
    const char *key;
    json_t *value;
    if (exact) return exact;
    json_object_foreach((json_t *)object, key, value)
    {
        if (strcasecmp(key, name) != 0) continue;
        if (alike) return NULL;
        alike = value;
    }
    return alike;
}

typedef struct finding {
    const alternative *path;
    hb_scope *scope;
    hb_values *values;
    bool found, ok;
} finding;

static void follow(finding *f, const json_t *value, size_t k);

/* The list for a step into elements: the value itself, or the list that a string spells. */
static const json_t *list_of(finding *f, const json_t *value)
{
    if (!json_is_string(value)) return value;
    json_t *list;
    f->ok = hb_spelled_list(json_string_value(value), &list);
    if (!list) return value;
    if (!f->scope->made) f->scope->made = json_array();
    f->ok = json_array_append_new(f->scope->made, list) == 0;
    return f->ok ? list : value;
}

static void follow_elements(finding *f, const json_t *list, size_t from, size_t to, size_t k)
{
    if (to > json_array_size(list)) to = json_array_size(list);
    if (json_is_array(list))
        f->found |= from == 0 && to == 0 && f->path->steps[k - 1].kind != STEP_INDEX;
    for (size_t i = from; i < to && f->ok; i++) follow(f, json_array_get(list, i), k);
}

static void follow_name(finding *f, const json_t *value, size_t k)
{
    if (json_is_array(value)) {
        f->found |= json_array_size(value) == 0;
        for (size_t i = 0; i < json_array_size(value) && f->ok; i++)
            if (!json_is_array(json_array_get(value, i))) follow(f, json_array_get(value, i), k);
        return;
    }
    const json_t *field = field_of(value, f->path->steps[k].name);
    if (field) follow(f, field, k + 1);
}

static void follow_all(finding *f, const json_t *value, size_t k)
{
    const char *key;
    json_t *member;
    if (json_is_array(value)) follow_elements(f, value, 0, json_array_size(value), k + 1);
    json_object_foreach((json_t *)value, key, member) if (f->ok) follow(f, member, k + 1);
}

/* Follows the path from step k, starting at a value. */
static void follow(finding *f, const json_t *value, size_t k)
{
    if (json_is_null(value)) return;
    if (k == f->path->n_steps) {
        f->found = true;
        f->ok = add_value(f->values, value);
        return;
    }
    const step *s = &f->path->steps[k];
    size_t index = f->scope->index;
    if (s->kind == STEP_NAME) follow_name(f, value, k);
    else if (s->kind == STEP_ALL) follow_all(f, value, k);
    else if (s->kind == STEP_INDEX)
        follow_elements(f, list_of(f, value), s->index, s->index + 1, k + 1);
    else if (s->kind == STEP_CURRENT) follow_elements(f, list_of(f, value), index, index + 1, k + 1);
    else follow_elements(f, list_of(f, value), 0, index, k + 1);
}

bool hb_path_find(const hb_path *path, hb_scope *scope, hb_values *values, bool *found)
{
    *found = false;
    for (size_t a = 0; a < path->n; a++) {
        finding f = {.path = &path->alternatives[a], .scope = scope, .values = values, .ok = true};
        for (size_t level = scope->n_levels; level-- > 0 && !f.found && f.ok;) {
            const json_t *whole = json_object_get(scope->levels[level], f.path->text);
            if (whole) follow(&f, whole, f.path->n_steps);
            else follow(&f, scope->levels[level], 0);
        }
        *found = f.found;
        if (f.found || !f.ok) return f.ok;
    }
    return true;
}

/* ---- Text ---------------------------------------------------------------------------------------- */

static bool add_json(hb_buffer *out, const json_t *value, size_t flags)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | flags);
    bool ok = text && hb_buffer_add_text(out, text);
    free(text);
    return ok;
}

/* Appends a real number. Whole numbers get no point, because pandas writes 3 as 3.0. */
static bool add_real(hb_buffer *out, const json_t *value)
{
    double number = json_real_value(value);
    if (number != floor(number) || fabs(number) > 9007199254740992.0)
        return add_json(out, value, JSON_REAL_PRECISION(15));
    json_t *whole = json_integer((json_int_t)number);
    bool ok = whole && add_json(out, whole, 0);
    json_decref(whole);
    return ok;
}

bool hb_value_text(hb_buffer *out, const json_t *value)
{
    if (json_is_string(value))
        return hb_buffer_add(out, json_string_value(value), json_string_length(value));
    if (json_is_real(value)) return add_real(out, value);
    if (!json_is_array(value)) return add_json(out, value, 0);
    bool ok = true;
    for (size_t i = 0; i < json_array_size(value) && ok; i++)
        ok = (i == 0 || hb_buffer_add_text(out, "\n")) && hb_value_text(out, json_array_get(value, i));
    return ok;
}
