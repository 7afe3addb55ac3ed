/* Passes over the rows of a dataset's files, file by file. */
#include "base/error.h"
#include "data/dataset.h"

void hb_pass_begin(hb_dataset *dataset)
{
    hb_records_close(dataset->records);
    dataset->records = NULL;
    dataset->record = (hb_record){0};
    dataset->file = 0;
    dataset->n_places = dataset->n_good = 0;
}

hb_data_file *hb_pass_file(hb_dataset *dataset)
{
    return &dataset->files[dataset->file];
}

hb_status hb_fail_changed(const hb_data_file *file, hb_error *err)
{
    return hb_fail(err, HB_ERR_IO, "%s: changed while being read", file->input.path);
}

static hb_status open_file(hb_dataset *dataset, hb_error *err)
{
    hb_data_file *file = hb_pass_file(dataset);
    hb_status status =
        hb_detected_open(&file->input, &file->detected, dataset->hash, &dataset->records, err);
    if (status == HB_OK && dataset->hash) file->stamp = hb_records_source(dataset->records)->stamp;
    return status;
}

/* Closes a file that was read to its end and moves to the next one. */
static hb_status end_file(hb_dataset *dataset, hb_error *err)
{
    hb_data_file *file = hb_pass_file(dataset);
    hb_source *source = hb_records_source(dataset->records);
    hb_status status = dataset->hash ? hb_source_finish(source, err) : HB_OK;
    if (status == HB_OK && hb_source_changed(source, &file->stamp)) status = hb_fail_changed(file, err);
    hb_records_close(dataset->records);
    dataset->records = NULL;
    dataset->file++;
    return status;
}

/* Reads the next record of this file or of the next one. */
static hb_status next_record(hb_dataset *dataset, bool *found, hb_error *err)
{
    hb_status status = HB_OK;
    *found = false;
    while (status == HB_OK && !*found && dataset->file < dataset->n_files) {
        if (!dataset->records) status = open_file(dataset, err);
        if (status == HB_OK) status = hb_records_next(dataset->records, &dataset->record, found, err);
        if (status == HB_OK && !*found) status = end_file(dataset, err);
    }
    return status;
}

/* Reads the row of the scope. Makes its prompts to check that this works. */
static bool read_row(hb_dataset *dataset, const hb_mapping *mapping, hb_error *why)
{
    hb_row *row = &dataset->row;
    if (!hb_row_read(mapping, row, why)) return false;
    for (int k = 0; k < mapping->per_row && !row->left_out; k++) {
        hb_buffer_clear(&dataset->own_prompt);
        if (!hb_row_prompt(mapping, row, k, &dataset->own_prompt, why)) return false;
    }
    return !row->left_out;
}

hb_status hb_pass_next(hb_dataset *dataset, bool *found, bool *good, hb_error *why, hb_error *err)
{
    hb_status status = HB_OK;
    *why = (hb_error){HB_OK, ""};
    *found = true;
    *good = false;
    hb_row_forget(&dataset->row);
    while (!dataset->record.object || !hb_rows_next(&dataset->rows, &dataset->row.scope)) {
        status = next_record(dataset, found, err);
        if (status != HB_OK || !*found) return status;
        const hb_data_file *file = hb_pass_file(dataset);
        const json_t *object = dataset->record.object;
        dataset->rows = (hb_rows){.mapping = &file->mapping, .record = object};
        if (object && !hb_join_find(&file->join, object, &dataset->rows.outer))
            return hb_fail_memory(err);
        if (object) continue;
        hb_fail(why, HB_ERR_FORMAT, "%s", dataset->record.reason);
        dataset->n_places++;
        return HB_OK;
    }
    dataset->n_places++;
    *good = read_row(dataset, &hb_pass_file(dataset)->mapping, why);
    if (why->status == HB_ERR_MEMORY) return hb_fail_memory(err);
    if (*good) dataset->n_good++;
    return HB_OK;
}
