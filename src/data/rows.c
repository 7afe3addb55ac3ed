#include "data/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/text.h"
#include "data/records.h"

#define MAX_ANSWERS  4096
#define MAX_MESSAGES 1024
#define MAX_TURNS    1024 /* of a conversation that {history} shows */
#define MAX_SPANS    65536

/* ---- Rows of a record ---------------------------------------------------------------------------- */

/* Moves on to the next element there is, unless at one; false at the end. */
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

/* ---- Values -------------------------------------------------------------------------------------- */

static bool out_of_memory(hb_error *why)
{
    hb_fail_memory(why);
    return false;
}

/* What a path leads to, or why it leads nowhere. */
static bool find(const hb_path *path, hb_row *row, hb_values *values, hb_error *why)
{
    bool found = false;
    if (path && !hb_path_find(path, &row->scope, values, &found)) return out_of_memory(why);
    if (!found) hb_fail(why, HB_ERR_FORMAT, "field '%.80s' is missing", path ? hb_path_text(path) : "");
    return found;
}

/* Appends the values as text, line by line. Objects are text only where `objects` says so. */
static bool add_values(const hb_path *path, const hb_values *values, bool objects, hb_buffer *out,
                       hb_error *why)
{
    bool ok = hb_buffer_add_text(out, "");
    for (size_t i = 0; i < values->n && ok; i++) {
        if (json_is_object(values->list[i]) && !objects) {
            hb_fail(why, HB_ERR_FORMAT,
                    "field '%.60s' is an object: name a field of it, like '%.60s.x'",
                    hb_path_text(path), hb_path_text(path));
            return false;
        }
        ok = (i == 0 || hb_buffer_add_text(out, "\n")) && hb_value_text(out, values->list[i]);
        if (out->length > HB_RECORD_MAX) {
            hb_fail(why, HB_ERR_FORMAT, "the prompt is larger than 16 MiB");
            return false;
        }
    }
    return ok || out_of_memory(why);
}

static bool add_path(const hb_path *path, hb_row *row, bool objects, hb_buffer *out, hb_error *why)
{
    hb_values values = {0};
    bool ok = find(path, row, &values, why) && add_values(path, &values, objects, out, why);
    hb_values_free(&values);
    return ok;
}

/* The same of a field that need not be there; *has says whether it is. */
static bool add_optional(const hb_path *path, hb_row *row, hb_buffer *out, bool *has, hb_error *why)
{
    hb_values values = {0};
    *has = false;
    hb_buffer_clear(out);
    if (!path) return true;
    bool ok = hb_path_find(path, &row->scope, &values, has) || out_of_memory(why);
    if (ok && *has) ok = add_values(path, &values, true, out, why);
    hb_values_free(&values);
    return ok;
}

/* ---- Lists of texts ------------------------------------------------------------------------------ */

static void clear_texts(hb_texts *texts)
{
    for (size_t i = 0; i < texts->n; i++) free(texts->list[i]);
    texts->n = 0;
}

static bool add_text(hb_texts *texts, const char *text, size_t length)
{
    if (texts->n == texts->room) {
        size_t room = texts->room ? texts->room * 2 : 16;
        char **list = realloc(texts->list, room * sizeof *list);
        if (!list) return false;
        texts->list = list;
        texts->room = room;
    }
    texts->list[texts->n] = strndup(text, length);
    return texts->list[texts->n++] != NULL;
}

/* ---- Answers ------------------------------------------------------------------------------------- */

/* One answer, or several with a separator between them, without what stands around it. */
static bool add_answers(const hb_mapping *m, hb_row *row, const char *text, hb_error *why)
{
    const hb_preset *p = m->preset;
    if (p->after) {
        const char *mark = NULL;
        for (const char *next = text; (next = strstr(next, p->after)); next++) mark = next;
        text = mark ? mark + strlen(p->after) : "";
    }
    for (const char *end; text; text = end) {
        const char *separator = m->separator ? strstr(text, m->separator) : NULL;
        size_t length = separator ? (size_t)(separator - text) : strlen(text);
        const char *cut = p->before ? strstr(text, p->before) : NULL;
        end = separator ? separator + strlen(m->separator) : NULL;
        if (cut && (size_t)(cut - text) < length) length = (size_t)(cut - text);
        for (; length && hb_is_space(*text); length--) text++;
        while (length && hb_is_space(text[length - 1])) length--;
        if (row->answers.n == MAX_ANSWERS) {
            hb_fail(why, HB_ERR_FORMAT, "it has more than %d answers", MAX_ANSWERS);
            return false;
        }
        if (length && !add_text(&row->answers, text, length)) return out_of_memory(why);
    }
    return true;
}

/* The answers in a value: a text, a list of them, or a list that a string spells. */
static bool add_answer_value(const hb_mapping *m, hb_row *row, const json_t *value, hb_error *why)
{
    json_t *spelled = json_is_string(value) ? hb_spelled_list(json_string_value(value)) : NULL;
    const json_t *list = spelled ? spelled : value;
    hb_buffer text = {0};
    bool ok = true;
    for (size_t i = 0; i < json_array_size(list) && ok; i++) {
        const json_t *element = json_array_get(list, i);
        hb_buffer_clear(&text);
        if (json_is_null(element) || json_is_object(element)) continue;
        ok = hb_value_text(&text, element) || out_of_memory(why);
        if (ok) ok = add_answers(m, row, text.data, why);
    }
    if (!json_is_array(list) && !json_is_object(list)) {
        ok = hb_value_text(&text, list) || out_of_memory(why);
        if (ok) ok = add_answers(m, row, text.data, why);
    }
    hb_buffer_free(&text);
    json_decref(spelled);
    return ok;
}

/* Keeps the answers that can match something. */
static bool keep_gradable(hb_row *row, hb_error *why)
{
    hb_texts *answers = &row->answers;
    size_t kept = 0, n = answers->n;
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        bool gradable = false;
        if (ok && hb_answer_is_gradable(answers->list[i], &gradable, why)) ok = false;
        if (ok && gradable) {
            char *answer = answers->list[i];
            answers->list[i] = answers->list[kept];
            answers->list[kept++] = answer;
        }
    }
    char shown[40];
    if (ok && !kept)
        hb_fail(why, HB_ERR_FORMAT, "answer '%s' has no word",
                hb_printable(shown, sizeof shown, answers->list[0], strlen(answers->list[0])));
    for (size_t i = kept; i < n; i++) free(answers->list[i]);
    answers->n = kept;
    return ok && kept;
}

/* The texts of the choices of a question with letters. */
static bool find_choices(const hb_mapping *m, hb_row *row, hb_texts *choices, hb_error *why)
{
    hb_row all = {.scope = row->scope};
    static const hb_preset plain = {0};
    const hb_mapping as_they_are = {.preset = &plain};
    bool ok = true;
    for (size_t i = 0; i < HB_PATHS_MAX && m->choices[i] && ok; i++) {
        hb_values values = {0};
        bool found;
        ok = hb_path_find(m->choices[i], &all.scope, &values, &found) || out_of_memory(why);
        for (size_t k = 0; k < values.n && ok; k++)
            ok = add_answer_value(&as_they_are, &all, values.list[k], why);
        hb_values_free(&values);
    }
    row->scope.made = all.scope.made;
    *choices = all.answers;
    if (ok && (choices->n < 2 || choices->n > 26)) {
        hb_fail(why, HB_ERR_FORMAT, "it has %zu choices", choices->n);
        return false;
    }
    return ok;
}

/* The place of the right choice, told by a letter or counted from 0. */
static bool right_choice(const hb_mapping *m, hb_row *row, size_t n, size_t *place, hb_error *why)
{
    hb_buffer text = {0};
    char shown[40];
    bool ok = add_path(m->answers[0], row, false, &text, why);
    if (ok) {
        char *end, first = text.data[0];
        unsigned long number = strtoul(text.data, &end, 10);
        bool digits = first >= '0' && first <= '9' && !*end;
        *place = digits ? number : (size_t)((first | 0x20) - 'a');
        ok = *place < n && (digits || text.length == 1);
        if (!ok)
            hb_fail(why, HB_ERR_FORMAT, "answer '%s' is none of the choices",
                    hb_printable(shown, sizeof shown, text.data, text.length));
    }
    hb_buffer_free(&text);
    return ok;
}

/* The right letter, and the text behind it. */
static bool read_choice(const hb_mapping *m, hb_row *row, hb_error *why)
{
    hb_texts choices = {0};
    size_t place;
    bool ok = find_choices(m, row, &choices, why) && right_choice(m, row, choices.n, &place, why);
    if (ok) {
        char letter = (char)('A' + place);
        ok = (add_text(&row->answers, &letter, 1) &&
              add_text(&row->answers, choices.list[place], strlen(choices.list[place]))) ||
             out_of_memory(why);
    }
    clear_texts(&choices);
    free(choices.list);
    return ok;
}

static bool read_answers(const hb_mapping *m, hb_row *row, hb_error *why)
{
    if (m->choices[0]) return read_choice(m, row, why) && keep_gradable(row, why);
    bool any = false, ok = true;
    for (size_t i = 0; i < HB_PATHS_MAX && m->answers[i] && ok; i++) {
        hb_values values = {0};
        bool found;
        ok = hb_path_find(m->answers[i], &row->scope, &values, &found) || out_of_memory(why);
        for (size_t k = 0; k < values.n && ok; k++) ok = add_answer_value(m, row, values.list[k], why);
        any |= found;
        hb_values_free(&values);
    }
    if (!ok) return false;
    if (!row->answers.n && m->preset->otherwise && any)
        return add_text(&row->answers, m->preset->otherwise, strlen(m->preset->otherwise)) ||
               out_of_memory(why);
    if (row->answers.n) return keep_gradable(row, why);
    hb_fail(why, HB_ERR_FORMAT, "field '%.80s' %s",
            m->answers[0] ? hb_path_text(m->answers[0]) : "answers",
            any ? "has no answer" : "is missing");
    return false;
}

/* ---- Conversations ------------------------------------------------------------------------------- */

static bool role_of(const char *name, hb_role *role)
{
    static const struct {
        const char *name;
        hb_role role;
    } roles[] = {{"system", HB_ROLE_SYSTEM},       {"developer", HB_ROLE_SYSTEM},
                 {"user", HB_ROLE_USER},           {"human", HB_ROLE_USER},
                 {"assistant", HB_ROLE_ASSISTANT}, {"model", HB_ROLE_ASSISTANT}};
    for (size_t i = 0; name && i < sizeof roles / sizeof *roles; i++)
        if (strcmp(name, roles[i].name) == 0) {
            *role = roles[i].role;
            return true;
        }
    return false;
}

/* A message's text: a string, or a list of parts of which those with text count. */
static bool add_content(hb_texts *contents, const json_t *content, hb_error *why)
{
    hb_buffer text = {0};
    bool ok = hb_buffer_add_text(&text, "");
    if (json_is_string(content)) ok = ok && hb_value_text(&text, content);
    for (size_t i = 0; i < json_array_size(content) && ok; i++) {
        const json_t *part = json_array_get(content, i), *own = json_object_get(part, "text");
        if (json_is_string(part)) own = part;
        if (json_is_string(own))
            ok = (!text.length || hb_buffer_add_text(&text, "\n")) && hb_value_text(&text, own);
    }
    ok = ok && add_text(contents, text.data, text.length);
    hb_buffer_free(&text);
    return ok || out_of_memory(why);
}

static bool add_message(hb_row *row, const json_t *message, hb_error *why)
{
    hb_role role;
    char shown[40];
    const char *name = json_string_value(json_object_get(message, "role"));
    if (!role_of(name, &role)) {
        hb_fail(why, HB_ERR_FORMAT, "a message's role '%s' is not system, user or assistant",
                hb_printable(shown, sizeof shown, name ? name : "", name ? strlen(name) : 0));
        return false;
    }
    if (row->n_messages == row->messages_room) {
        size_t room = row->messages_room ? row->messages_room * 2 : 8;
        hb_message *messages = realloc(row->messages, room * sizeof *messages);
        if (!messages) return out_of_memory(why);
        row->messages = messages;
        row->messages_room = room;
    }
    if (!add_content(&row->contents, json_object_get(message, "content"), why)) return false;
    row->messages[row->n_messages++] = (hb_message){.role = role};
    return true;
}

/* What the conversation looks like where no chat format applies: one question is just that. */
static bool write_conversation(hb_row *row, hb_error *why)
{
    static const char *const names[] = {[HB_ROLE_USER] = "User: ", [HB_ROLE_ASSISTANT] = "Assistant: "};
    hb_buffer *out = &row->conversation;
    bool single = row->n_messages == 1, ok = hb_buffer_add_text(out, "");
    for (size_t i = 0; i < row->n_messages && ok; i++) {
        const hb_message *m = &row->messages[i];
        if (m->role != HB_ROLE_SYSTEM && !single) ok = hb_buffer_add_text(out, names[m->role]);
        ok =
            ok && hb_buffer_add(out, m->text, m->length) && (single || hb_buffer_add_text(out, "\n\n"));
    }
    ok = ok && (single || hb_buffer_add_text(out, "Assistant:"));
    return ok || out_of_memory(why);
}

/* Reads the messages; the assistant's last one is a response, and the right answer where no label or
 * answers say otherwise. */
static bool read_messages(const hb_mapping *m, hb_row *row, hb_error *why)
{
    hb_values values = {0};
    bool ok = find(m->messages, row, &values, why);
    const json_t *list = ok && values.n ? values.list[0] : NULL;
    hb_values_free(&values);
    if (ok && json_array_size(list) > MAX_MESSAGES) {
        hb_fail(why, HB_ERR_FORMAT, "it has more than %d messages", MAX_MESSAGES);
        return false;
    }
    for (size_t i = 0; i < json_array_size(list) && ok; i++)
        ok = add_message(row, json_array_get(list, i), why);
    if (!ok) return false;
    for (size_t i = 0; i < row->n_messages; i++) {
        row->messages[i].text = row->contents.list[i];
        row->messages[i].length = strlen(row->contents.list[i]);
    }
    size_t n = row->n_messages;
    row->has_response = n > 1 && row->messages[n - 1].role == HB_ROLE_ASSISTANT;
    if (row->has_response) {
        row->n_messages = --n;
        if (!hb_buffer_add_text(&row->responses[0], row->contents.list[n])) return out_of_memory(why);
    }
    if (n && row->messages[n - 1].role == HB_ROLE_USER) return write_conversation(row, why);
    hb_fail(why, HB_ERR_FORMAT, "the last message before an answer is not the user's");
    return false;
}

static bool answer_is_reply(const hb_mapping *m, hb_row *row, hb_error *why)
{
    const hb_buffer *reply = &row->responses[0];
    if (!row->has_response) {
        hb_fail(why, HB_ERR_FORMAT,
                "the last message is not the assistant's, and there are no answers");
        return false;
    }
    return add_answers(m, row, reply->data, why) && keep_gradable(row, why);
}

/* ---- Spans --------------------------------------------------------------------------------------- */

static size_t count_characters(const char *text, size_t length)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

static bool add_span(hb_row *row, double start, double end, size_t length, hb_error *why)
{
    if (!(start >= 0)) start = 0;
    if (!(end <= (double)length)) end = (double)length;
    if (!(start < end) || row->n_spans == MAX_SPANS) return true;
    if (row->n_spans == row->spans_room) {
        size_t room = row->spans_room ? row->spans_room * 2 : 8;
        hb_response_span *spans = realloc(row->spans, room * sizeof *spans);
        if (!spans) return out_of_memory(why);
        row->spans = spans;
        row->spans_room = room;
    }
    row->spans[row->n_spans++] = (hb_response_span){(uint64_t)start, (uint64_t)end};
    return true;
}

/* Looks for a text in the response, after those found before; *from moves behind it. */
static bool find_span(hb_row *row, const char *text, size_t *from, bool add, size_t length,
                      hb_error *why)
{
    const char *response = row->responses[0].data, *at = *text ? strstr(response + *from, text) : NULL;
    if (!at) return true;
    size_t start = count_characters(response, (size_t)(at - response));
    *from = (size_t)(at - response) + strlen(text);
    if (!add) return true;
    return add_span(row, (double)start, (double)(start + count_characters(text, strlen(text))), length,
                    why);
}

/* {"start": 0, "end": 3}, [0, 3], or the text itself. */
static bool read_span(hb_row *row, const json_t *span, bool add, size_t *from, size_t length,
                      hb_error *why)
{
    const json_t *start = json_object_get(span, "start"), *end = json_object_get(span, "end");
    if (json_is_string(span)) return find_span(row, json_string_value(span), from, add, length, why);
    if (json_array_size(span) == 2) {
        start = json_array_get(span, 0);
        end = json_array_get(span, 1);
    }
    if (!add || !json_is_number(start) || !json_is_number(end)) return true;
    return add_span(row, json_number_value(start), json_number_value(end), length, why);
}

/* A list's elements, of values of which one may be the list itself. */
static size_t list_size(const hb_values *values)
{
    return values->n == 1 && json_is_array(values->list[0]) ? json_array_size(values->list[0])
                                                            : values->n;
}

static const json_t *list_get(const hb_values *values, size_t i)
{
    return values->n == 1 && json_is_array(values->list[0]) ? json_array_get(values->list[0], i)
                                                            : values->list[i];
}

/* The hallucinated spans of the response, which truths, where there are any, tell from the others. */
static bool read_spans(const hb_mapping *m, hb_row *row, const hb_values *truths, hb_error *why)
{
    hb_values values = {0};
    bool found = false, ok = true;
    size_t from = 0, length = count_characters(row->responses[0].data, row->responses[0].length);
    if (m->spans) ok = hb_path_find(m->spans, &row->scope, &values, &found) || out_of_memory(why);
    for (size_t i = 0; i < list_size(&values) && ok; i++) {
        bool hallucinated = !truths || json_is_false(list_get(truths, i));
        if (!truths && json_is_string(list_get(&values, i))) from = 0;
        ok = read_span(row, list_get(&values, i), hallucinated, &from, length, why);
    }
    hb_values_free(&values);
    return ok;
}

/* ---- Labels -------------------------------------------------------------------------------------- */

/* A single value, or why it is none. */
static const json_t *single(const hb_path *path, hb_row *row, hb_error *why)
{
    hb_values values = {0};
    const json_t *value = NULL;
    if (find(path, row, &values, why)) {
        if (values.n == 1) value = values.list[0];
        else hb_fail(why, HB_ERR_FORMAT, "field '%.80s' has %zu values", hb_path_text(path), values.n);
    }
    hb_values_free(&values);
    return value;
}

static bool read_label(const hb_mapping *m, hb_row *row, hb_error *why)
{
    const json_t *value = single(m->label, row, why);
    if (!value) return false;
    row->labels[0] = hb_label_of_json(&m->rule, value);
    if (row->labels[0] >= 0) return true;
    hb_buffer text = {0};
    char shown[64];
    if (!hb_buffer_add_text(&text, "") || !hb_value_text(&text, value)) out_of_memory(why);
    else
        hb_fail(why, HB_ERR_FORMAT, "label '%s' is neither 0 nor 1",
                hb_printable(shown, sizeof shown, text.data, text.length));
    hb_buffer_free(&text);
    return false;
}

/* The label that spans make, there being any, or segments, one being false. */
static bool read_marks(const hb_mapping *m, hb_row *row, hb_error *why)
{
    bool truths = m->preset->label_by == HB_BY_TRUTHS;
    hb_values values = {0};
    bool ok = find(truths ? m->label : m->spans, row, &values, why);
    size_t n = list_size(&values);
    row->labels[0] = !truths && n > 0;
    for (size_t i = 0; i < n && ok && truths; i++)
        row->labels[0] |= json_is_false(list_get(&values, i));
    if (ok && truths && !n) {
        hb_fail(why, HB_ERR_FORMAT, "field '%.80s' is empty", hb_path_text(m->label));
        ok = false;
    }
    if (ok) ok = read_spans(m, row, truths ? &values : NULL, why);
    hb_values_free(&values);
    return ok;
}

/* The right response, then the hallucinated one. */
static bool read_pair(const hb_mapping *m, hb_row *row, hb_error *why)
{
    row->has_response = true;
    for (int k = 0; k < 2; k++) {
        row->labels[k] = k;
        if (!add_path(k ? m->wrong : m->right, row, false, &row->responses[k], why)) return false;
    }
    return true;
}

static bool read_response(const hb_mapping *m, hb_row *row, hb_error *why)
{
    if (!m->response || m->messages) return true;
    row->has_response = true;
    return add_path(m->response, row, false, &row->responses[0], why);
}

static bool read_by(const hb_mapping *m, hb_row *row, hb_error *why)
{
    switch (m->preset->label_by) {
    case HB_BY_PAIR:
        return read_pair(m, row, why);
    case HB_BY_WORD:
        return read_label(m, row, why) && (!row->has_response || read_spans(m, row, NULL, why));
    case HB_BY_SPANS:
    case HB_BY_TRUTHS:
        return read_marks(m, row, why);
    default:
        row->labels[0] = HB_LABEL_BY_GRADE;
        return m->messages && !m->answers[0] ? answer_is_reply(m, row, why) : read_answers(m, row, why);
    }
}

/* ---- Rows ---------------------------------------------------------------------------------------- */

static bool read_id(const hb_mapping *m, hb_row *row, hb_error *why)
{
    hb_values values = {0};
    bool found = false, ok = true;
    hb_buffer_clear(&row->id);
    if (m->id) ok = hb_path_find(m->id, &row->scope, &values, &found) || out_of_memory(why);
    const json_t *id = ok && found && values.n == 1 ? values.list[0] : NULL;
    hb_values_free(&values);
    if (id && !json_is_string(id) && !json_is_number(id)) {
        hb_fail(why, HB_ERR_FORMAT, "field '%.80s' is neither a string nor a number",
                hb_path_text(m->id));
        return false;
    }
    if (id && !hb_value_text(&row->id, id)) return out_of_memory(why);
    row->has_id = row->id.length > 0;
    return ok;
}

/* Whether the mapping's `where` leaves the row out. */
static bool read_where(const hb_mapping *m, hb_row *row, hb_error *why)
{
    hb_values values = {0};
    bool found, ok;
    if (!m->where) return true;
    ok = hb_path_find(m->where, &row->scope, &values, &found) || out_of_memory(why);
    row->left_out = true;
    for (size_t i = 0; i < list_size(&values) && ok && row->left_out; i++) {
        hb_buffer text = {0};
        ok = hb_value_text(&text, list_get(&values, i)) || out_of_memory(why);
        row->left_out = ok && strcmp(text.length ? text.data : "", m->where_word) != 0;
        hb_buffer_free(&text);
    }
    hb_values_free(&values);
    return ok;
}

static void clear_row(hb_row *row)
{
    row->left_out = row->has_id = row->has_context = row->has_response = false;
    row->n_messages = row->n_spans = 0;
    clear_texts(&row->answers);
    clear_texts(&row->contents);
    hb_buffer_clear(&row->conversation);
    for (int k = 0; k < HB_PER_ROW_MAX; k++) hb_buffer_clear(&row->responses[k]);
}

bool hb_row_read(const hb_mapping *m, hb_row *row, hb_error *why)
{
    clear_row(row);
    if (!read_where(m, row, why)) return false;
    if (row->left_out) return true;
    if (m->messages && !read_messages(m, row, why)) return false;
    return read_id(m, row, why) &&
           add_optional(m->context, row, &row->context, &row->has_context, why) &&
           read_response(m, row, why) && read_by(m, row, why);
}

/* ---- Prompts ------------------------------------------------------------------------------------- */

typedef struct filling {
    const hb_mapping *mapping;
    hb_row *row;
    int k;
    bool framed; /* {prompt} is the task's prompt, not a field */
} filling;

/* What was asked and answered before, turn by turn. */
static bool add_history(const filling *f, hb_buffer *out, hb_error *why)
{
    hb_values questions = {0}, replies = {0};
    bool found, ok = f->row->scope.index <= MAX_TURNS;
    if (!ok) hb_fail(why, HB_ERR_FORMAT, "more than %d questions were asked before", MAX_TURNS);
    if (ok)
        ok = (hb_path_find(f->mapping->questions, &f->row->scope, &questions, &found) &&
              hb_path_find(f->mapping->replies, &f->row->scope, &replies, &found)) ||
             out_of_memory(why);
    for (size_t i = 0; i < questions.n && i < replies.n && ok; i++)
        ok = (hb_buffer_add_text(out, "Q: ") && hb_value_text(out, questions.list[i]) &&
              hb_buffer_add_text(out, "\nA: ") && hb_value_text(out, replies.list[i]) &&
              hb_buffer_add_text(out, "\n")) ||
             out_of_memory(why);
    hb_values_free(&questions);
    hb_values_free(&replies);
    return ok;
}

/* "A. one\nB. two\n" */
static bool add_choices(const filling *f, hb_buffer *out, hb_error *why)
{
    hb_texts choices = {0};
    bool ok = find_choices(f->mapping, f->row, &choices, why);
    for (size_t i = 0; i < choices.n && ok; i++) {
        const char letter[] = {(char)('A' + i), '.', ' ', '\0'};
        ok = (hb_buffer_add_text(out, letter) && hb_buffer_add_text(out, choices.list[i]) &&
              hb_buffer_add_text(out, "\n")) ||
             out_of_memory(why);
    }
    clear_texts(&choices);
    free(choices.list);
    return ok;
}

static bool add_buffer(hb_buffer *out, const hb_buffer *buffer, hb_error *why)
{
    return hb_buffer_add(out, buffer->data, buffer->length) || out_of_memory(why);
}

static hb_fill_place fill_place;

static bool add_task(filling f, hb_buffer *out, hb_error *why)
{
    f.framed = false;
    if (f.mapping->messages) return add_buffer(out, &f.row->conversation, why);
    return hb_template_fill(f.mapping->task, fill_place, &f, out, why);
}

/* A place is a role where the mapping has it, else a field. */
static bool fill_place(void *user, const hb_path *path, hb_buffer *out, hb_error *why)
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
    return add_path(path, f->row, false, out, why);
}

bool hb_row_prompt(const hb_mapping *m, hb_row *row, int k, hb_buffer *out, hb_error *why)
{
    filling f = {m, row, k, true};
    size_t before = out->length;
    /* Where there is nothing to judge, the prompt is just asked. */
    bool bare = !m->frame || (m->messages && m->judges && !row->has_response && !m->own_frame);
    if (bare ? !add_task(f, out, why) : !hb_template_fill(m->frame, fill_place, &f, out, why))
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
    clear_row(row);
    free(row->answers.list);
    free(row->contents.list);
    free(row->messages);
    free(row->spans);
    hb_buffer_free(&row->id);
    hb_buffer_free(&row->context);
    hb_buffer_free(&row->conversation);
    for (int k = 0; k < HB_PER_ROW_MAX; k++) hb_buffer_free(&row->responses[k]);
    *row = (hb_row){0};
}
