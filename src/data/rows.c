#include "data/rows.h"

#include <stdlib.h>
#include <string.h>
#include "data/records.h"
#include "data/row_parts.h"

#define MAX_TURNS 1024 /* maximum number of turns that {history} shows */

/* ---- Rows of a record ---------------------------------------------------------------------------- */

/* Moves forward to an existing element. False at the end. */
static bool settle(hb_rows *rows)
{
    _Static_assert(HB_EACH_MAX == 2, "lists within lists are two deep");
    for (; rows->at[0] < json_array_size(rows->lists[0]); rows->at[0]++, rows->at[1] = 0) {
        if (rows->mapping->n_each == 1) return true;
        const json_t *around = json_array_get(rows->lists[0], rows->at[0]);
        rows->lists[1] = json_object_get(around, rows->mapping->each[1]);
        if (rows->at[1] < json_array_size(rows->lists[1])) return true;
    }
    return false;
}

static void add_level(hb_scope *scope, const json_t *object)
{
    if (json_is_object(object)) scope->levels[scope->n_levels++] = object;
}

bool hb_rows_next(hb_rows *rows, hb_scope *scope)
{
    size_t n = rows->mapping->n_each;
    const json_t *list = n ? json_object_get(rows->record, rows->mapping->each[0]) : NULL;
    bool begun = rows->begun;
    rows->begun = true;
    scope->n_levels = scope->index = 0;
    add_level(scope, rows->outer);
    add_level(scope, rows->record);
    if (!json_is_array(list)) return !begun;
    rows->lists[0] = list;
    if (begun) rows->at[n - 1]++;
    if (!settle(rows)) return false;
    for (size_t d = 0; d < n; d++) add_level(scope, json_array_get(rows->lists[d], rows->at[d]));
    scope->index = rows->at[n - 1];
    return true;
}

/* ---- Rows ---------------------------------------------------------------------------------------- */

/* Reads a field that may be missing. *has becomes whether it is there. */
static bool add_optional(const hb_path *path, hb_row *row, hb_buffer *out, bool *has, hb_error *why)
{
    hb_values values = {0};
    *has = false;
    hb_buffer_clear(out);
    if (!path) return true;
    bool ok = hb_path_find(path, &row->scope, &values, has) || hb_row_no_memory(why);
    if (ok && *has) ok = hb_row_add_values(path, &values, true, out, why);
    hb_values_free(&values);
    return ok;
}

static bool read_id(const hb_mapping *m, hb_row *row, hb_error *why)
{
    hb_values values = {0};
    bool found = false, ok = true;
    hb_buffer_clear(&row->id);
    if (m->id) ok = hb_path_find(m->id, &row->scope, &values, &found) || hb_row_no_memory(why);
    const json_t *id = ok && found && values.n == 1 ? values.list[0] : NULL;
    hb_values_free(&values);
    if (id && !json_is_string(id) && !json_is_number(id)) {
        hb_fail(why, HB_ERR_FORMAT, "field '%.80s' is neither a string nor a number",
                hb_path_text(m->id));
        return false;
    }
    if (id && !hb_value_text(&row->id, id)) return hb_row_no_memory(why);
    row->has_id = row->id.length > 0;
    return ok;
}

/* Finds out whether the mapping's `where` leaves the row out. */
static bool read_where(const hb_mapping *m, hb_row *row, hb_error *why)
{
    hb_values values = {0};
    bool found, ok;
    if (!m->where) return true;
    ok = hb_path_find(m->where, &row->scope, &values, &found) || hb_row_no_memory(why);
    row->left_out = true;
    for (size_t i = 0; i < hb_list_size(&values) && ok && row->left_out; i++) {
        hb_buffer text = {0};
        ok = hb_value_text(&text, hb_list_get(&values, i)) || hb_row_no_memory(why);
        row->left_out = ok && strcmp(text.length ? text.data : "", m->where_word) != 0;
        hb_buffer_free(&text);
    }
    hb_values_free(&values);
    return ok;
}

static void clear_row(hb_row *row)
{
    row->left_out = row->has_id = row->has_context = row->has_response = row->has_spans = false;
    row->has_group = false;
    row->n_messages = row->n_spans = 0;
    hb_texts_clear(&row->answers);
    hb_texts_clear(&row->contents);
    hb_buffer_clear(&row->conversation);
    hb_buffer_clear(&row->group);
    for (int k = 0; k < HB_PER_ROW_MAX; k++) hb_buffer_clear(&row->responses[k]);
}

static bool read_response(const hb_mapping *m, hb_row *row, hb_error *why)
{
    if (!m->response || m->messages) return true;
    row->has_response = true;
    return hb_row_add_path(m->response, row, false, &row->responses[0], why) &&
           hb_row_check_response(m, row, 0, why);
}

static bool read_group(const hb_mapping *m, hb_row *row, hb_error *why)
{
    if (!m->group) return true;
    row->has_group = true;
    return hb_row_add_path(m->group, row, false, &row->group, why);
}

bool hb_row_read(const hb_mapping *m, hb_row *row, hb_error *why)
{
    clear_row(row);
    if (!read_where(m, row, why)) return false;
    if (row->left_out) return true;
    if (m->messages && !hb_row_read_messages(m, row, why)) return false;
    return read_id(m, row, why) && read_group(m, row, why) &&
           add_optional(m->context, row, &row->context, &row->has_context, why) &&
           read_response(m, row, why) && hb_row_read_labels(m, row, why);
}

/* ---- Prompts ------------------------------------------------------------------------------------- */

typedef struct filling {
    const hb_mapping *mapping;
    hb_row *row;
    int k;
    bool framed; /* {prompt} means the task's prompt instead of a field */
} filling;

/* Adds the earlier questions and replies, turn by turn. */
static bool add_history(const filling *f, hb_buffer *out, hb_error *why)
{
    hb_values questions = {0}, replies = {0};
    bool found, ok = f->row->scope.index <= MAX_TURNS;
    if (!ok) hb_fail(why, HB_ERR_FORMAT, "more than %d earlier questions", MAX_TURNS);
    if (ok)
        ok = (hb_path_find(f->mapping->questions, &f->row->scope, &questions, &found) &&
              hb_path_find(f->mapping->replies, &f->row->scope, &replies, &found)) ||
             hb_row_no_memory(why);
    for (size_t i = 0; i < questions.n && i < replies.n && ok; i++)
        ok = (hb_buffer_add_text(out, "Q: ") && hb_value_text(out, questions.list[i]) &&
              hb_buffer_add_text(out, "\nA: ") && hb_value_text(out, replies.list[i]) &&
              hb_buffer_add_text(out, "\n")) ||
             hb_row_no_memory(why);
    hb_values_free(&questions);
    hb_values_free(&replies);
    return ok;
}

/* Adds "A. one\nB. two\n". */
static bool add_choices(const filling *f, hb_buffer *out, hb_error *why)
{
    hb_texts choices = {0};
    bool ok = hb_row_find_choices(f->mapping, f->row, &choices, why);
    for (size_t i = 0; i < choices.n && ok; i++) {
        const char letter[] = {(char)('A' + i), '.', ' ', '\0'};
        ok = (hb_buffer_add_text(out, letter) && hb_buffer_add_text(out, choices.list[i]) &&
              hb_buffer_add_text(out, "\n")) ||
             hb_row_no_memory(why);
    }
    hb_texts_free(&choices);
    return ok;
}

static bool add_buffer(hb_buffer *out, const hb_buffer *buffer, hb_error *why)
{
    return hb_buffer_add(out, buffer->data, buffer->length) || hb_row_no_memory(why);
}

static hb_fill_placeholder fill_placeholder;

static bool add_task(filling f, hb_buffer *out, hb_error *why)
{
    f.framed = false;
    if (f.mapping->messages) return add_buffer(out, &f.row->conversation, why);
    return hb_prompt_template_fill(f.mapping->task, fill_placeholder, &f, out, why);
}

/* Fills a placeholder. It is a role if the mapping has this role, otherwise a field. */
static bool fill_placeholder(void *user, const hb_path *path, hb_buffer *out, hb_error *why)
{
    filling *f = user;
    const hb_mapping *m = f->mapping;
    const char *name = hb_path_text(path);
    if (f->framed && strcmp(name, "prompt") == 0) return add_task(*f, out, why);
    if (f->row->has_response && strcmp(name, "response") == 0)
        return add_buffer(out, &f->row->responses[f->k], why);
    if (f->row->has_context && strcmp(name, "context") == 0)
        return add_buffer(out, &f->row->context, why);
    if (m->context && strcmp(name, "context") == 0) path = m->context;
    if (m->questions && strcmp(name, "history") == 0) return add_history(f, out, why);
    if (m->choices[0] && strcmp(name, "choices") == 0) return add_choices(f, out, why);
    return hb_row_add_path(path, f->row, false, out, why);
}

bool hb_row_prompt(const hb_mapping *m, hb_row *row, int k, hb_buffer *out, hb_error *why)
{
    filling f = {m, row, k, true};
    size_t before = out->length;
    /* If there is no response to judge, the prompt is asked without a frame. */
    bool bare = !m->frame || (m->messages && m->judges && !row->has_response && !m->own_frame);
    if (bare ? !add_task(f, out, why)
             : !hb_prompt_template_fill(m->frame, fill_placeholder, &f, out, why))
        return false;
    if (out->length - before > HB_RECORD_MAX) {
        hb_fail(why, HB_ERR_FORMAT, "the prompt is larger than 16 MiB");
        return false;
    }
    const char *text = out->data ? out->data + before : "";
    if (text[strspn(text, " \t\r\n")]) return true;
    hb_fail(why, HB_ERR_FORMAT, "the prompt is empty");
    return false;
}

void hb_row_forget(hb_row *row)
{
    json_decref(row->scope.made);
    row->scope = (hb_scope){0};
}

void hb_row_free(hb_row *row)
{
    hb_row_forget(row);
    hb_texts_free(&row->answers);
    hb_texts_free(&row->contents);
    free(row->messages);
    free(row->spans);
    hb_buffer_free(&row->id);
    hb_buffer_free(&row->context);
    hb_buffer_free(&row->conversation);
    hb_buffer_free(&row->group);
    for (int k = 0; k < HB_PER_ROW_MAX; k++) hb_buffer_free(&row->responses[k]);
    *row = (hb_row){0};
}
