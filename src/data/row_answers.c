/* Reads a row's right answers. */
#include "data/row_parts.h"

#include <stdlib.h>
#include <string.h>
#include "base/text.h"

#define MAX_ANSWERS 4096

/* Adds one answer, or several with a separator between them. Removes white space and the preset's text
 * around the answer. */
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
        if (length && !hb_texts_add(&row->answers, text, length)) return hb_row_no_memory(why);
    }
    return true;
}

/* Adds the answers of a value: a text, a list of texts, or a string that spells a list. */
static bool add_answer_value(const hb_mapping *m, hb_row *row, const json_t *value, hb_error *why)
{
    json_t *spelled = NULL;
    if (json_is_string(value) && !hb_spelled_list(json_string_value(value), &spelled))
        return hb_row_no_memory(why);
    const json_t *list = spelled ? spelled : value;
    hb_buffer text = {0};
    bool ok = true;
    for (size_t i = 0; i < json_array_size(list) && ok; i++) {
        const json_t *element = json_array_get(list, i);
        hb_buffer_clear(&text);
        if (json_is_null(element) || json_is_object(element)) continue;
        ok = hb_value_text(&text, element) || hb_row_no_memory(why);
        if (ok) ok = add_answers(m, row, text.data, why);
    }
    if (!json_is_array(list) && !json_is_object(list)) {
        ok = hb_value_text(&text, list) || hb_row_no_memory(why);
        if (ok) ok = add_answers(m, row, text.data, why);
    }
    hb_buffer_free(&text);
    json_decref(spelled);
    return ok;
}

/* Keeps the answers that can match a model's answer. */
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

bool hb_row_find_choices(const hb_mapping *m, hb_row *row, hb_texts *choices, hb_error *why)
{
    hb_row all = {.scope = row->scope};
    static const hb_preset plain = {0};
    const hb_mapping as_they_are = {.preset = &plain};
    bool ok = true;
    for (size_t i = 0; i < HB_PATHS_MAX && m->choices[i] && ok; i++) {
        hb_values values = {0};
        bool found;
        ok = hb_path_find(m->choices[i], &all.scope, &values, &found) || hb_row_no_memory(why);
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

/* The index of the right choice, given as a letter or as a number from 0. */
static bool right_choice(const hb_mapping *m, hb_row *row, size_t n, size_t *place, hb_error *why)
{
    hb_buffer text = {0};
    char shown[40];
    bool ok = hb_row_add_path(m->answers[0], row, false, &text, why);
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

/* Adds the letter and the text of the right choice. */
static bool read_choice(const hb_mapping *m, hb_row *row, hb_error *why)
{
    hb_texts choices = {0};
    size_t place;
    bool ok =
        hb_row_find_choices(m, row, &choices, why) && right_choice(m, row, choices.n, &place, why);
    if (ok) {
        char letter = (char)('A' + place);
        ok = (hb_texts_add(&row->answers, &letter, 1) &&
              hb_texts_add(&row->answers, choices.list[place], strlen(choices.list[place]))) ||
             hb_row_no_memory(why);
    }
    hb_texts_free(&choices);
    return ok;
}

bool hb_row_read_answers(const hb_mapping *m, hb_row *row, hb_error *why)
{
    if (m->choices[0]) return read_choice(m, row, why) && keep_gradable(row, why);
    bool any = false, ok = true;
    for (size_t i = 0; i < HB_PATHS_MAX && m->answers[i] && ok; i++) {
        hb_values values = {0};
        bool found;
        ok = hb_path_find(m->answers[i], &row->scope, &values, &found) || hb_row_no_memory(why);
        for (size_t k = 0; k < values.n && ok; k++) ok = add_answer_value(m, row, values.list[k], why);
        any |= found;
        hb_values_free(&values);
    }
    if (!ok) return false;
    if (!row->answers.n && m->preset->otherwise && any)
        return hb_texts_add(&row->answers, m->preset->otherwise, strlen(m->preset->otherwise)) ||
               hb_row_no_memory(why);
    if (row->answers.n) return keep_gradable(row, why);
    hb_fail(why, HB_ERR_FORMAT, "field '%.80s' %s",
            m->answers[0] ? hb_path_text(m->answers[0]) : "answers",
            any ? "has no answer" : "is missing");
    return false;
}

bool hb_row_read_reply(const hb_mapping *m, hb_row *row, hb_error *why)
{
    const hb_buffer *reply = &row->responses[0];
    if (!row->has_response) {
        hb_fail(why, HB_ERR_FORMAT,
                "the last message is not the assistant's, and there are no answers");
        return false;
    }
    return add_answers(m, row, reply->data, why) && keep_gradable(row, why);
}
