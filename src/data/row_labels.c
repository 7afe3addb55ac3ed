/* Reads a row's labels and the hallucinated spans of its response. */
#include "data/row_parts.h"

#include <stdlib.h>
#include <string.h>
#include "base/memory.h"
#include "base/text.h"

#define MAX_SPANS 65536

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
    hb_response_span *spans = hb_grown(row->spans, row->n_spans, sizeof *spans, &row->spans_room);
    if (!spans) return hb_row_no_memory(why);
    row->spans = spans;
    spans[row->n_spans++] = (hb_response_span){(uint64_t)start, (uint64_t)end};
    return true;
}

/* Looks for a text in the response from *from on, and moves *from past it. */
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

/* Reads a span: {"start": 0, "end": 3}, [0, 3], or its text. */
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

/* Reads the hallucinated spans of the response. With `truths`, only the spans whose truth value is
 * false. */
static bool read_spans(const hb_mapping *m, hb_row *row, const hb_values *truths, hb_error *why)
{
    hb_values values = {0};
    bool found = false, ok = true;
    size_t from = 0, length = count_characters(row->responses[0].data, row->responses[0].length);
    if (m->spans) ok = hb_path_find(m->spans, &row->scope, &values, &found) || hb_row_no_memory(why);
    row->has_spans = found;
    for (size_t i = 0; i < hb_list_size(&values) && ok; i++) {
        bool hallucinated = !truths || json_is_false(hb_list_get(truths, i));
        if (!truths && json_is_string(hb_list_get(&values, i))) from = 0;
        ok = read_span(row, hb_list_get(&values, i), hallucinated, &from, length, why);
    }
    hb_values_free(&values);
    return ok;
}

/* Finds out whether the row has no label. False when memory runs out. */
static bool lacks_label(const hb_mapping *m, hb_row *row, bool *lacks)
{
    hb_values values = {0};
    bool found, ok = hb_path_find(m->label, &row->scope, &values, &found);
    *lacks = !found;
    hb_values_free(&values);
    return ok;
}

/* Finds a single value. NULL with the reason in `why` if there is not exactly one. */
static const json_t *single(const hb_path *path, hb_row *row, hb_error *why)
{
    hb_values values = {0};
    const json_t *value = NULL;
    if (hb_row_find(path, row, &values, why)) {
        if (values.n == 1) value = values.list[0];
        else hb_fail(why, HB_ERR_FORMAT, "field '%.80s' has %zu values", hb_path_text(path), values.n);
    }
    hb_values_free(&values);
    return value;
}

/* Reads the label. A row that may lack one and does gets none. */
static bool read_label(const hb_mapping *m, hb_row *row, hb_error *why)
{
    bool lacks = false;
    if (m->unlabelled && !lacks_label(m, row, &lacks)) return hb_row_no_memory(why);
    row->labels[0] = HB_LABEL_NONE;
    if (lacks) return true;
    const json_t *value = single(m->label, row, why);
    if (!value) return false;
    row->labels[0] = hb_label_of_json(&m->rule, value);
    if (row->labels[0] >= 0) return true;
    hb_buffer text = {0};
    char shown[64];
    if (!hb_buffer_add_text(&text, "") || !hb_value_text(&text, value)) hb_row_no_memory(why);
    else
        hb_fail(why, HB_ERR_FORMAT, "label '%s' is neither 0 nor 1",
                hb_printable(shown, sizeof shown, text.data, text.length));
    hb_buffer_free(&text);
    return false;
}

/* The label is 1 if there is any hallucinated span or any false segment. */
static bool read_marks(const hb_mapping *m, hb_row *row, hb_error *why)
{
    bool truths = m->preset->label_by == HB_BY_TRUTHS;
    hb_values values = {0};
    bool ok = hb_row_find(truths ? m->label : m->spans, row, &values, why);
    size_t n = hb_list_size(&values);
    row->labels[0] = !truths && n > 0;
    for (size_t i = 0; i < n && ok && truths; i++)
        row->labels[0] |= json_is_false(hb_list_get(&values, i));
    if (ok && truths && !n) {
        hb_fail(why, HB_ERR_FORMAT, "field '%.80s' is empty", hb_path_text(m->label));
        ok = false;
    }
    if (ok) ok = read_spans(m, row, truths ? &values : NULL, why);
    hb_values_free(&values);
    return ok;
}

/* Reads the right response, then the hallucinated one. */
static bool read_pair(const hb_mapping *m, hb_row *row, hb_error *why)
{
    row->has_response = true;
    for (int k = 0; k < 2; k++) {
        row->labels[k] = k;
        if (!hb_row_add_path(k ? m->wrong : m->right, row, false, &row->responses[k], why) ||
            !hb_row_check_response(m, row, k, why))
            return false;
    }
    return true;
}

bool hb_row_read_labels(const hb_mapping *m, hb_row *row, hb_error *why)
{
    switch (m->preset->label_by) {
    case HB_BY_PAIR:
        return read_pair(m, row, why);
    case HB_BY_WORD:
        return read_label(m, row, why) && (!row->has_response || read_spans(m, row, NULL, why));
    case HB_BY_NOTHING:
        row->labels[0] = HB_LABEL_NONE;
        return true;
    case HB_BY_SPANS:
    case HB_BY_TRUTHS:
        return read_marks(m, row, why);
    default:
        row->labels[0] = HB_LABEL_BY_GRADE;
        if (row->has_response && m->response && !read_spans(m, row, NULL, why)) return false;
        return m->messages && !m->answers[0] ? hb_row_read_reply(m, row, why)
                                             : hb_row_read_answers(m, row, why);
    }
}
