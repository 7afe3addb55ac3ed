/* Finds the values of a row and converts them to text. */
#include "data/row_parts.h"

#include "base/text.h"
#include "data/records.h"

bool hb_row_no_memory(hb_error *why)
{
    hb_fail_memory(why);
    return false;
}

bool hb_row_find(const hb_path *path, hb_row *row, hb_values *values, hb_error *why)
{
    bool found = false;
    if (path && !hb_path_find(path, &row->scope, values, &found)) return hb_row_no_memory(why);
    if (!found) hb_fail(why, HB_ERR_FORMAT, "field '%.80s' is missing", path ? hb_path_text(path) : "");
    return found;
}

bool hb_row_add_values(const hb_path *path, const hb_values *values, bool objects, hb_buffer *out,
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
    return ok || hb_row_no_memory(why);
}

bool hb_row_add_path(const hb_path *path, hb_row *row, bool objects, hb_buffer *out, hb_error *why)
{
    hb_values values = {0};
    bool ok =
        hb_row_find(path, row, &values, why) && hb_row_add_values(path, &values, objects, out, why);
    hb_values_free(&values);
    return ok;
}

bool hb_row_check_response(const hb_mapping *mapping, const hb_row *row, int k, hb_error *why)
{
    const hb_buffer *response = &row->responses[k];
    size_t i = 0;
    while (i < response->length && hb_is_space(response->data[i])) i++;
    if (i < response->length || !mapping->evaluates) return true;
    hb_fail(why, HB_ERR_FORMAT, "the response is empty");
    return false;
}

size_t hb_list_size(const hb_values *values)
{
    return values->n == 1 && json_is_array(values->list[0]) ? json_array_size(values->list[0])
                                                            : values->n;
}

const json_t *hb_list_get(const hb_values *values, size_t i)
{
    return values->n == 1 && json_is_array(values->list[0]) ? json_array_get(values->list[0], i)
                                                            : values->list[i];
}
