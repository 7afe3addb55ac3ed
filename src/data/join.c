#include "data/join.h"

#include <stdlib.h>
#include "base/json_read.h"
#include "data/path.h"
#include "data/records.h"

/* Sets the text of a record's key. *has becomes whether it has one. False when memory runs out. */
static bool key_of(const char *key, const json_t *record, hb_buffer *text, bool *has)
{
    const json_t *value = json_object_get(record, key);
    hb_buffer_clear(text);
    *has = json_is_string(value) || json_is_number(value);
    return !*has || hb_value_text(text, value);
}

/* Keeps a row by its key. False when memory runs out. */
static bool add_row(hb_join *join, const json_t *row, hb_buffer *text)
{
    bool has;
    if (!key_of(join->key, row, text, &has)) return false;
    return !has || json_object_set_new_nocheck(join->rows, text->data, hb_json_copy(row)) == 0;
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
        else if (record.object && !add_row(join, record.object, &text)) status = hb_fail_memory(err);
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

bool hb_join_find(const hb_join *join, const json_t *record, const json_t **row)
{
    hb_buffer text = {0};
    bool has = false, ok = !join->rows || key_of(join->key, record, &text, &has);
    *row = ok && has ? json_object_get(join->rows, text.data) : NULL;
    hb_buffer_free(&text);
    return ok;
}

void hb_join_close(hb_join *join)
{
    json_decref(join->rows);
    *join = (hb_join){0};
}
