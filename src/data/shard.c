/* Splits the rows of a dataset into shards. A hash of the row decides, so the shard does not depend on
 * the draw or on the order of the rows. Rows that belong together have the same hash: those of a group,
 * those with the same context, and those whose prompts have a long prefix in common. A prefix that all
 * prompts of the file have, such as an instruction, does not count. */
#include <stdlib.h>
#include "base/error.h"
#include "base/sha256.h"
#include "data/dataset.h"

/* Prompts that share so many bytes after what all prompts share belong together. */
#define PREFIX_BYTES 256

static bool is_keyed_by_prompt(const hb_row *row)
{
    return !row->has_group && !row->has_context;
}

/* Writes the prompt of the row's first sample to dataset->own_prompt. */
static hb_status write_prompt(hb_dataset *dataset, hb_error *err)
{
    hb_error why;
    hb_buffer *prompt = &dataset->own_prompt;
    hb_buffer_clear(prompt);
    if (hb_row_prompt(&hb_pass_file(dataset)->mapping, &dataset->row, 0, prompt, &why) &&
        hb_buffer_add(prompt, "", 0))
        return HB_OK;
    return hb_fail_memory(err);
}

hb_status hb_shard_look(hb_dataset *dataset, hb_error *err)
{
    hb_data_file *file = hb_pass_file(dataset);
    hb_buffer *common = &file->common;
    const hb_buffer *prompt = &dataset->own_prompt;
    if (!dataset->info.shards || !is_keyed_by_prompt(&dataset->row)) return HB_OK;
    hb_status status = write_prompt(dataset, err);
    if (status) return status;
    if (!common->data)
        return hb_buffer_add(common, prompt->data, prompt->length) ? HB_OK : hb_fail_memory(err);
    size_t same = 0;
    while (same < common->length && same < prompt->length && common->data[same] == prompt->data[same])
        same++;
    common->length = same;
    return HB_OK;
}

hb_status hb_shard_takes(hb_dataset *dataset, bool *takes, hb_error *err)
{
    const hb_row *row = &dataset->row;
    const hb_buffer *key = row->has_group ? &row->group : &row->context;
    size_t skipped = 0, length;
    hb_sha256 hash;
    char hex[65];
    *takes = true;
    if (!dataset->info.shards) return HB_OK;
    if (is_keyed_by_prompt(row)) {
        hb_status status = write_prompt(dataset, err);
        if (status) return status;
        key = &dataset->own_prompt;
        skipped = hb_pass_file(dataset)->common.length;
        if (skipped > key->length) return hb_fail_changed(hb_pass_file(dataset), err);
    }
    length = key->length - skipped;
    if (is_keyed_by_prompt(row) && length > PREFIX_BYTES) length = PREFIX_BYTES;
    if (!hb_sha256_init(&hash)) return hb_fail_memory(err);
    hb_sha256_add(&hash, key->data + skipped, length);
    hb_sha256_finish(&hash, hex);
    hex[16] = '\0';
    *takes =
        strtoull(hex, NULL, 16) % (uint64_t)dataset->info.shards == (uint64_t)dataset->info.shard - 1;
    return HB_OK;
}

hb_status hb_shard_count(hb_dataset *dataset, hb_error *err)
{
    hb_error why;
    bool found = true, good;
    uint64_t rows = 0;
    if (!dataset->info.shards) return HB_OK;
    hb_status status = HB_OK;
    while (!status && found) {
        bool takes = false;
        status = hb_pass_next(dataset, &found, &good, &why, err);
        if (!status && found && good && hb_draw_takes(&dataset->draw, dataset->n_good - 1))
            status = hb_shard_takes(dataset, &takes, err);
        rows += !status && takes;
    }
    hb_pass_begin(dataset);
    dataset->info.n_selected = dataset->samples_left = rows * (uint64_t)dataset->per_row;
    return status;
}
