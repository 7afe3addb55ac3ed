/* Parses a preset and the options that change its fields. */
#include <stdlib.h>
#include <string.h>
#include "base/names.h"
#include "data/rows.h"

/* Parses a list of paths separated by commas. */
static hb_status parse_paths(const char *text, hb_path **paths, hb_error *err)
{
    hb_status status = HB_OK;
    for (size_t i = 0; text && i < HB_PATHS_MAX && status == HB_OK; i++) {
        size_t length = strcspn(text, ",");
        char *one = strndup(text, length);
        status = one ? hb_path_parse(one, &paths[i], err) : hb_fail_memory(err);
        free(one);
        text = text[length] ? text + length + 1 : NULL;
    }
    return status;
}

/* Parses the caller's path, which may contain a comma, or without one the preset's path. */
static hb_status parse_path(const char *own, const char *preset, hb_path **path, hb_error *err)
{
    const char *text = own ? own : preset;
    return text ? hb_path_parse(text, path, err) : HB_OK;
}

/* Parses "path=word". */
static hb_status parse_where(const char *text, hb_mapping *m, hb_error *err)
{
    const char *equals = text ? strchr(text, '=') : NULL;
    if (!text) return HB_OK;
    if (!equals) return hb_fail(err, HB_ERR_ARGUMENT, "'%.60s' is not FIELD=WORD", text);
    char *path = strndup(text, (size_t)(equals - text));
    m->where_word = strdup(equals + 1);
    hb_status status =
        path && m->where_word ? hb_path_parse(path, &m->where, err) : hb_fail_memory(err);
    free(path);
    return status;
}

static hb_status parse_each(const char *text, hb_mapping *m, hb_error *err)
{
    while (text && m->n_each < HB_EACH_MAX) {
        size_t length = strcspn(text, ".");
        if (!(m->each[m->n_each++] = strndup(text, length))) return hb_fail_memory(err);
        text = text[length] ? text + length + 1 : NULL;
    }
    return HB_OK;
}

/* Parses a template that is one placeholder. */
static hb_status parse_placeholder(const char *path, hb_prompt_template **t, hb_error *err)
{
    char *text = malloc(strlen(path) + 3);
    if (!text) return hb_fail_memory(err);
    text[0] = '{';
    strcpy(text + 1, path);
    strcat(text, "}");
    hb_status status = hb_prompt_template_parse(text, t, err);
    free(text);
    return status;
}

static hb_status parse_templates(const hb_dataset_options *o, hb_mapping *m, hb_error *err)
{
    const hb_preset *p = m->preset;
    hb_status status = o->prompt ? parse_placeholder(o->prompt, &m->task, err)
                                 : hb_prompt_template_parse(p->prompt, &m->task, err);
    m->own_frame = o->prompt_template != NULL;
    const char *frame = o->prompt_template ? o->prompt_template : m->judges ? p->judge : NULL;
    if (status == HB_OK && frame) status = hb_prompt_template_parse(frame, &m->frame, err);
    return status;
}

const char *hb_read_as_name(hb_read_as read_as)
{
    static const char *const names[] = {
        [HB_READ_USUAL] = "", [HB_READ_JUDGEMENT] = "judgement", [HB_READ_RESPONSE] = "response"};
    return HB_NAME(names, read_as);
}

/* Decides whether prompts show responses or samples have them. A template of the caller's that shows
 * the response asks about it. */
static hb_status choose_reading(const hb_dataset_options *o, hb_mapping *m, hb_error *err)
{
    const hb_preset *p = m->preset;
    bool asked = p->messages && p->label_by == HB_BY_GRADE && p->answers &&
                 o->read_as == HB_READ_RESPONSE; /* to grade the reply instead of an own answer */
    bool has = p->judge || p->response || (p->messages && p->label_by == HB_BY_NOTHING) || asked;
    bool shows = has && o->prompt_template && strstr(o->prompt_template, "{response}");
    m->per_row = p->label_by == HB_BY_PAIR ? 2 : 1;
    m->judges =
        o->read_as == HB_READ_JUDGEMENT || (o->read_as == HB_READ_USUAL && (p->judged || shows));
    m->evaluates = o->read_as == HB_READ_RESPONSE || (o->read_as == HB_READ_USUAL && has && !m->judges);
    if (m->evaluates && !has)
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "data of format %s have no responses to evaluate; map them: --field "
                       "response=PATH",
                       p->name);
    if (m->judges && !p->judge && !shows)
        return hb_fail(err, HB_ERR_ARGUMENT, "data of format %s have no responses to judge", p->name);
    return HB_OK;
}

static hb_status parse(const hb_dataset_options *o, hb_mapping *m, hb_error *err)
{
    const hb_preset *p = m->preset;
    const char *label = o->label ? o->label : p->label;
    const struct {
        const char *own, *preset;
        hb_path **path;
    } paths[] = {{o->id, p->id, &m->id},
                 {NULL, label, &m->label},
                 {o->response, p->response, &m->response},
                 {o->context, p->context, &m->context},
                 {o->spans, p->spans, &m->spans},
                 {o->group, NULL, &m->group},
                 {NULL, p->messages, &m->messages},
                 {NULL, p->right, &m->right},
                 {NULL, p->wrong, &m->wrong},
                 {NULL, p->questions, &m->questions},
                 {NULL, p->replies, &m->replies}};
    hb_status status = choose_reading(o, m, err);
    for (size_t i = 0; i < sizeof paths / sizeof *paths && status == HB_OK; i++)
        status = parse_path(paths[i].own, paths[i].preset, paths[i].path, err);
    if (status == HB_OK)
        status = o->answers ? parse_path(o->answers, NULL, &m->answers[0], err)
                            : parse_paths(p->answers, m->answers, err);
    if (status == HB_OK) status = parse_paths(p->choices, m->choices, err);
    if (status == HB_OK) status = parse_each(p->each, m, err);
    if (status == HB_OK) status = parse_where(o->where ? o->where : p->where, m, err);
    const char *separator = o->answers_separator ? o->answers_separator : p->separator;
    if (status == HB_OK && separator && *separator && !(m->separator = strdup(separator)))
        status = hb_fail_memory(err);
    if (status == HB_OK) status = parse_templates(o, m, err);
    return status == HB_OK ? hb_label_rule_open(o->positive, o->label_is_correct, &m->rule, err)
                           : status;
}

hb_status hb_mapping_open(const hb_preset *preset, const hb_dataset_options *options,
                          hb_mapping *mapping, hb_error *err)
{
    *mapping = (hb_mapping){.preset = preset, .unlabelled = options->unlabelled};
    hb_status status = parse(options, mapping, err);
    if (status) hb_mapping_close(mapping);
    return status;
}

void hb_mapping_close(hb_mapping *m)
{
    hb_path *const paths[] = {m->id,       m->label, m->response, m->context,   m->spans,   m->group,
                              m->messages, m->right, m->wrong,    m->questions, m->replies, m->where};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) hb_path_free(paths[i]);
    for (size_t i = 0; i < HB_PATHS_MAX; i++) {
        hb_path_free(m->answers[i]);
        hb_path_free(m->choices[i]);
    }
    for (size_t i = 0; i < m->n_each; i++) free(m->each[i]);
    hb_prompt_template_free(m->task);
    hb_prompt_template_free(m->frame);
    hb_label_rule_close(&m->rule);
    free(m->separator);
    free(m->where_word);
    *m = (hb_mapping){0};
}

/* ---- What a preset needs ------------------------------------------------------------------------- */

/* The path of a role in the user's own rows, as mapped by the options. NULL if the role is not needed,
 * because a template makes the prompt. */
static const char *mapped(const char *need, const hb_dataset_options *o)
{
    const struct {
        const char *role, *own;
    } roles[] = {{"prompt", o->prompt},
                 {"answers", o->answers},
                 {"label", o->label},
                 {"response", o->response},
                 {"context", o->context}};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        if (strcmp(need, roles[i].role) != 0) continue;
        if (i == 0 && o->prompt_template) return NULL;
        return roles[i].own ? roles[i].own : need;
    }
    return need;
}

/* Whether the record has a needed field, "path" or "path~text". */
static hb_status has(const char *need, const hb_dataset_options *o, bool own, hb_scope *scope,
                     bool *found, hb_error *err)
{
    char path_text[160];
    hb_path *path;
    hb_values values = {0};
    const char *text = strchr(need, '~');
    snprintf(path_text, sizeof path_text, "%.*s", (int)(text ? text - need : (long)strlen(need)), need);
    const char *mapped_path = own ? mapped(path_text, o) : path_text;
    *found = true;
    if (!mapped_path) return HB_OK;
    hb_status status = hb_path_parse(mapped_path, &path, err);
    if (status) return status;
    bool ok = hb_path_find(path, scope, &values, found);
    *found &= values.n > 0; /* an empty list does not tell whether its elements have the field */
    if (*found && text) {
        const char *string = values.n == 1 ? json_string_value(values.list[0]) : NULL;
        *found = string && strstr(string, text + 1);
    }
    hb_values_free(&values);
    hb_path_free(path);
    return ok ? HB_OK : hb_fail_memory(err);
}

hb_status hb_preset_fits(const hb_preset *preset, const hb_dataset_options *options,
                         const json_t *record, char *missing, size_t size, size_t *n_missing,
                         size_t *n_needs, hb_error *err)
{
    hb_scope scope = {.levels = {record}, .n_levels = 1};
    hb_status status = HB_OK;
    bool own = preset >= hb_presets + hb_own_presets;
    *n_missing = *n_needs = 0;
    for (const char *need = preset->needs; need && status == HB_OK;) {
        char one[160];
        bool found = false;
        size_t length = strcspn(need, ",");
        snprintf(one, sizeof one, "%.*s", (int)length, need);
        status = has(one, options, own, &scope, &found, err);
        if (!found && ++*n_missing == 1) snprintf(missing, size, "%s", one);
        ++*n_needs;
        need = need[length] ? need + length + 1 : NULL;
    }
    json_decref(scope.made);
    return status;
}
