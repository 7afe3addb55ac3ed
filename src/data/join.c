#include "data/join.h"

#include <stdlib.h>
#include "data/path.h"
#include "data/records.h"

/* Sets the text of a record's key. False when it has none. */
static bool key_of(const char *key, const json_t *record, hb_buffer *text)
{
    const json_t *value = json_object_get(record, key);
    hb_buffer_clear(text);
    if (!json_is_string(value) && !json_is_number(value)) return false;
    return hb_value_text(text, value);
}

static hb_status read_rows(hb_records *records, const char *path, hb_join *join, hb_error *err)
{
    hb_record record;
    hb_buffer text = {0};
    bool found = true;
    uint64_t total = 0;
    hb_status status = HB_OK;
    while (status == HB_OK) {
        status = hb_records_next(records, &record, &found, err);
        if (status != HB_OK || !found) break;
        total += record.size + HB_JOIN_ROW;
        if (total > HB_JOIN_MAX)
            status = hb_fail(err, HB_ERR_UNSUPPORTED,
                             "%s: has more than 512 MiB of text and rows, too much to join", path);
        else if (record.object && key_of(join->key, record.object, &text) &&
                 json_object_set_new_nocheck(join->rows, text.data, json_copy((json_t *)record.object)))
            status = hb_fail_memory(err);
    }
    hb_buffer_free(&text);
    return status;
}

static hb_status read_file(const hb_input *input, hb_join *join, hb_error *err)
{
    hb_records *records;
    hb_sha256 hash;
    if (!hb_sha256_init(&hash)) return hb_fail_memory(err);
    const hb_records_options options = {.hash = &hash};
    hb_status status = hb_records_open(input, &options, &records, err);
    if (status == HB_OK) {
        status = read_rows(records, input->path, join, err);
        if (status == HB_OK) status = hb_source_finish(hb_records_source(records), err);
        hb_records_close(records);
    }
    if (status == HB_OK) hb_sha256_finish(&hash, join->sha256);
    else hb_sha256_free(&hash);
    return status;
}

hb_status hb_join_open(const char *path, const char *key, hb_join *join, hb_error *err)
{
    hb_input input;
    hb_status status = hb_input_open(path, &input, err);
    if (status != HB_OK) return status;
    *join = (hb_join){.key = key, .rows = json_object()};
    status = join->rows ? read_file(&input, join, err) : hb_fail_memory(err);
    hb_input_close(&input);
    if (status != HB_OK) hb_join_close(join);
    return status;
}

const json_t *hb_join_find(const hb_join *join, const json_t *record)
{
    hb_buffer text = {0};
    const json_t *row = NULL;
    if (join->rows && key_of(join->key, record, &text)) row = json_object_get(join->rows, text.data);
    hb_buffer_free(&text);
    return row;
}

void hb_join_close(hb_join *join)
{
    json_decref(join->rows);
    *join = (hb_join){0};
}
