#include "data/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/error.h"
#include "base/shard.h"
#include "data/groups.h"

hb_dataset_options hb_dataset_defaults(void)
{
    return (hb_dataset_options){0};
}

/* ---- First pass: check every row, count, hash ---------------------------------------------------- */

static hb_status report(hb_dataset *dataset, const char *reason, hb_error *err)
{
    const char *path = hb_pass_file(dataset)->input.path;
    uint64_t line = dataset->record.line;
    if (!dataset->broken[0])
        snprintf(dataset->broken, sizeof dataset->broken, "%s:%" PRIu64 ": %.200s", path, line, reason);
    return hb_breakage(&dataset->breakages, path, line, reason, err);
}

/* Whether samples of the row have its messages. Otherwise the messages are part of a longer prompt. */
static bool has_messages(const hb_mapping *mapping, const hb_row *row)
{
    return mapping->messages && !mapping->own_frame && !(row->has_response && mapping->judges);
}

static void look_at(hb_dataset *dataset)
{
    const hb_row *row = &dataset->row;
    hb_seen *seen = &dataset->seen;
    seen->id |= row->has_id;
    seen->context |= row->has_context;
    seen->spans |= row->has_spans;
    seen->hallucinated |= row->labels[0] == 1;
    dataset->marked |= row->n_spans > 0;
    dataset->talks |= row->n_messages > 1 && has_messages(&hb_pass_file(dataset)->mapping, row);
}

static hb_status first_pass(hb_dataset *dataset, hb_error *err)
{
    hb_error why;
    hb_sha256 hash;
    bool found = true, good;
    if (!hb_sha256_init(&hash)) return hb_fail_memory(err);
    dataset->hash = &hash;
    hb_pass_begin(dataset);
    hb_status status = HB_OK;
    while (status == HB_OK) {
        status = hb_pass_next(dataset, &found, &good, &why, err);
        if (status != HB_OK || !found) break;
        if (good) look_at(dataset);
        if (good) status = hb_shard_look(dataset, err);
        if (!good && why.status) status = report(dataset, why.message, err);
        else if (!good) dataset->info.n_left_out++;
    }
    dataset->hash = NULL;
    if (status == HB_OK) hb_sha256_finish(&hash, dataset->info.sha256);
    else hb_sha256_free(&hash);
    dataset->info.n_rows = dataset->n_good;
    dataset->info.n_broken = dataset->breakages.n;
    return status;
}

/* Fails for data without a usable row. */
static hb_status fail_unusable(const hb_dataset *dataset, hb_error *err)
{
    const hb_data_file *file = &dataset->files[0];
    const hb_preset *preset = file->detected.preset;
    const hb_dataset_info *info = &dataset->info;
    if (preset->join && !file->join.rows)
        return hb_fail(err, HB_ERR_DATA,
                       "%s: data of format %s need the file %s for their prompts; put it beside the "
                       "data or name it with --join",
                       info->path, preset->name, preset->join);
    if (info->n_broken)
        return hb_fail(err, HB_ERR_DATA,
                       "%s: no usable row of format %s (%" PRIu64 " broken); the first: %s", info->path,
                       info->format, info->n_broken, dataset->broken);
    if (info->n_left_out)
        return hb_fail(err, HB_ERR_DATA, "%s: all %" PRIu64 " rows are left out", info->path,
                       info->n_left_out);
    return hb_fail(err, HB_ERR_DATA, "%s: has no records", info->path);
}

/* ---- Opening files ------------------------------------------------------------------------------- */

/* Opens the file that completes the rows: the named file, or the file beside the data if it exists. */
static hb_status open_join(hb_data_file *file, const hb_dataset_options *options, hb_error *err)
{
    const hb_preset *preset = file->detected.preset;
    const char *data = file->input.path, *slash = strrchr(data, '/');
    char *beside;
    if (!preset->join) {
        if (!options->join) return HB_OK;
        return hb_fail(err, HB_ERR_ARGUMENT, "data of format %s need no second file", preset->name);
    }
    if (options->join) return hb_join_open(options->join, preset->join_key, &file->join, err);
    if (asprintf(&beside, "%.*s%s", slash ? (int)(slash - data + 1) : 0, data, preset->join) < 0)
        return hb_fail_memory(err);
    hb_status status = HB_OK;
    if (access(beside, F_OK) == 0) status = hb_join_open(beside, preset->join_key, &file->join, err);
    free(beside);
    return status;
}

static hb_status open_file(hb_data_file *file, const char *path, const hb_dataset_options *options,
                           hb_error *err)
{
    *file = (hb_data_file){.input.fd = -1};
    hb_status status = hb_input_open(path, &file->input, err);
    if (status == HB_OK) status = hb_detect(&file->input, options, &file->detected, err);
    if (status == HB_OK) status = hb_mapping_open(file->detected.preset, options, &file->mapping, err);
    return status == HB_OK ? open_join(file, options, err) : status;
}

static const char *reading_of(const hb_mapping *m)
{
    return m->judges ? "judged" : m->evaluates ? "evaluated" : "missing";
}

/* Checks that all files have the same number of samples per row and the same kind of labels, and that
 * their responses are read alike. */
static hb_status check_alike(const hb_dataset *dataset, hb_error *err)
{
    const hb_data_file *first = &dataset->files[0];
    for (size_t i = 1; i < dataset->n_files; i++) {
        const hb_data_file *file = &dataset->files[i];
        const hb_preset *a = first->detected.preset, *b = file->detected.preset;
        if (first->mapping.per_row != file->mapping.per_row ||
            (a->label_by == HB_BY_GRADE) != (b->label_by == HB_BY_GRADE))
            return hb_fail(err, HB_ERR_ARGUMENT,
                           "%s has format %s and %s has format %s; they cannot be read together",
                           first->input.path, a->name, file->input.path, b->name);
        if (first->mapping.judges != file->mapping.judges ||
            first->mapping.evaluates != file->mapping.evaluates)
            return hb_fail(err, HB_ERR_ARGUMENT,
                           "the responses of %s are %s, but those of %s are %s; they cannot be read "
                           "together",
                           first->input.path, reading_of(&first->mapping), file->input.path,
                           reading_of(&file->mapping));
    }
    return HB_OK;
}

static hb_status open_files(hb_dataset *dataset, const char *const *paths, size_t n,
                            const hb_dataset_options *options, hb_error *err)
{
    dataset->files = calloc(n, sizeof *dataset->files);
    if (!dataset->files) return hb_fail_memory(err);
    hb_status status = HB_OK;
    while (dataset->n_files < n && status == HB_OK) {
        status = open_file(&dataset->files[dataset->n_files], paths[dataset->n_files], options, err);
        dataset->n_files++;
    }
    if (status == HB_OK) status = check_alike(dataset, err);
    if (status) return status;
    const hb_mapping *m = &dataset->files[0].mapping;
    dataset->per_row = m->per_row;
    dataset->info.is_graded = dataset->files[0].detected.preset->label_by == HB_BY_GRADE;
    dataset->info.read_as = m->judges      ? HB_READ_JUDGEMENT
                            : m->evaluates ? HB_READ_RESPONSE
                                           : HB_READ_USUAL;
    return HB_OK;
}

/* ---- What the dataset tells of itself ------------------------------------------------------------ */

static bool name_files(hb_dataset *dataset)
{
    bool ok = true;
    for (size_t i = 0; i < dataset->n_files && ok; i++) {
        const char *format = dataset->files[i].detected.preset->name;
        bool again = false;
        for (size_t k = 0; k < i; k++) again |= dataset->files[k].detected.preset->name == format;
        ok = (i == 0 || hb_buffer_add_text(&dataset->path, ", ")) &&
             hb_buffer_add_text(&dataset->path, dataset->files[i].input.path) &&
             (again || ((i == 0 || hb_buffer_add_text(&dataset->format, "+")) &&
                        hb_buffer_add_text(&dataset->format, format)));
    }
    dataset->info.path = dataset->path.data;
    dataset->info.format = dataset->format.data;
    return ok;
}

static bool add_setting(hb_buffer *out, const char *name, const char *value)
{
    return !value || (hb_buffer_add_text(out, " ") && hb_buffer_add_text(out, name) &&
                      hb_buffer_add_text(out, "=") && hb_buffer_add_text(out, value));
}

/* The same for a long text: adds the first 16 digits of its hash. */
static bool add_hash(hb_buffer *out, const char *name, const char *text)
{
    hb_sha256 hash;
    char hex[65];
    if (!text) return true;
    if (!hb_sha256_init(&hash)) return false;
    hb_sha256_add(&hash, text, strlen(text));
    hb_sha256_finish(&hash, hex);
    hex[16] = '\0';
    return add_setting(out, name, hex);
}

/* Adds the examples. They are part of every prompt. */
static bool add_shots(hb_dataset *dataset, hb_buffer *out)
{
    hb_buffer shown = {0};
    char number[24];
    if (!dataset->shots.shown) return true;
    snprintf(number, sizeof number, "%zu", dataset->shots.shown);
    bool ok = hb_shots_add(&dataset->shots, "", &shown) && add_setting(out, "shots", number) &&
              add_hash(out, "examples", shown.data);
    hb_buffer_free(&shown);
    return ok;
}

static hb_status write_recipe(hb_dataset *dataset, const hb_dataset_options *o, hb_error *err)
{
    hb_buffer *out = &dataset->recipe;
    const hb_join *join = &dataset->files[0].join;
    bool ok = hb_buffer_add_text(out, dataset->info.format) && add_setting(out, "prompt", o->prompt) &&
              add_setting(out, "answers", o->answers) && add_setting(out, "id", o->id) &&
              add_setting(out, o->label_is_correct ? "correct" : "label", o->label) &&
              add_setting(out, "response", o->response) && add_setting(out, "context", o->context) &&
              add_setting(out, "spans", o->spans) && add_setting(out, "group", o->group) &&
              add_setting(out, "separator", o->answers_separator) &&
              add_hash(out, "template", o->prompt_template) && add_setting(out, "where", o->where) &&
              add_setting(out, "positive", o->positive) &&
              add_setting(out, "as", o->read_as ? hb_read_as_name(o->read_as) : NULL) &&
              add_setting(out, "messages", dataset->talks ? "turns" : NULL) &&
              add_hash(out, "join", join->rows ? join->sha256 : NULL) && add_shots(dataset, out);
    dataset->info.recipe = out->data;
    return ok ? HB_OK : hb_fail_memory(err);
}

/* ---- Opening ------------------------------------------------------------------------------------- */

/* Whole rows are drawn, so that pairs stay together. */
void hb_dataset_plan(hb_dataset *dataset, const hb_dataset_options *options)
{
    hb_dataset_info *info = &dataset->info;
    uint64_t per_row = (uint64_t)dataset->per_row, asked = options->n_samples, rows = info->n_rows;
    if (asked && asked / per_row + (asked % per_row != 0) < rows)
        rows = asked / per_row + (asked % per_row != 0);
    info->n_samples = info->n_rows * per_row;
    info->n_drawn = info->n_selected = dataset->samples_left = rows * per_row;
    dataset->draw = hb_draw_rows(options->seed, info->n_rows, rows);
    dataset->next_of_row = dataset->per_row;
}

static hb_status check_options(const hb_dataset_options *o, size_t n, hb_error *err)
{
    if (n == 0) return hb_fail(err, HB_ERR_ARGUMENT, "no data file is given");
    if (o->shots > HB_SHOTS_MAX)
        return hb_fail(err, HB_ERR_ARGUMENT, "%zu examples are too many (at most %d)", o->shots,
                       HB_SHOTS_MAX);
    if (o->shots_path && !o->shots)
        return hb_fail(err, HB_ERR_ARGUMENT,
                       "a file of examples is given, but the number of examples is 0");
    if (o->read_as < HB_READ_USUAL || o->read_as > HB_READ_RESPONSE)
        return hb_fail(err, HB_ERR_ARGUMENT, "unknown value of read_as");
    if ((o->shard || o->shards) && !hb_is_shard(o->shard, o->shards))
        return hb_fail(err, HB_ERR_ARGUMENT, "there is no shard %d of %d (of at most %d)", o->shard,
                       o->shards, HB_SHARDS_MAX);
    return HB_OK;
}

/* Warns of a mapped field that no row has, and of a positive word that no label is: probably a spelling
 * mistake. Missing fields that rows need make the rows broken. */
static void warn_of_absent(const hb_dataset *dataset, const hb_dataset_options *o)
{
    const hb_seen *seen = &dataset->seen;
    const struct {
        const char *path, *role;
        bool seen;
    } fields[] = {{o->id, "id", seen->id},
                  {o->context, "context", seen->context},
                  {o->spans, "spans", seen->spans}};
    char message[256];
    for (size_t i = 0; i < sizeof fields / sizeof *fields && o->on_warning; i++) {
        if (!fields[i].path || fields[i].seen) continue;
        snprintf(message, sizeof message, "%.100s: no row has the field '%.60s' for %s",
                 dataset->info.path, fields[i].path, fields[i].role);
        o->on_warning(o->user, message);
    }
    if (!o->on_warning || !o->positive || seen->hallucinated) return;
    snprintf(message, sizeof message, "%.100s: no label is '%.60s', so all samples count as faithful",
             dataset->info.path, o->positive);
    o->on_warning(o->user, message);
}

static hb_status open_dataset(hb_dataset *dataset, const char *const *paths, size_t n,
                              const hb_dataset_options *options, hb_error *err)
{
    dataset->breakages = (hb_breakages){options->strict, options->on_broken, options->user, 0};
    hb_status status = check_options(options, n, err);
    dataset->info.shard = options->shard;
    dataset->info.shards = options->shards;
    if (status == HB_OK) status = open_files(dataset, paths, n, options, err);
    if (status == HB_OK && !name_files(dataset)) status = hb_fail_memory(err);
    if (status == HB_OK) status = first_pass(dataset, err);
    if (status != HB_OK) return status;
    if (!dataset->info.n_rows) return fail_unusable(dataset, err);
    for (size_t i = 0; i < n && options->shots; i++)
        if (dataset->files[i].mapping.messages)
            return hb_fail(err, HB_ERR_ARGUMENT, "%s: examples cannot be shown before conversations",
                           dataset->files[i].input.path);
    if (options->shots) status = hb_shots_draw(dataset, options, &dataset->shots, err);
    if (status == HB_OK) status = write_recipe(dataset, options, err);
    if (status != HB_OK) return status;
    warn_of_absent(dataset, options);
    if (!options->label_is_correct && !options->positive)
        hb_warn_of_label(dataset->info.path, options->label, options->on_warning, options->user);
    hb_pass_begin(dataset);
    hb_dataset_plan(dataset, options);
    return hb_shard_count(dataset, err);
}

hb_status hb_dataset_open_files(const char *const *paths, size_t n, const hb_dataset_options *options,
                                hb_dataset **out, hb_error *err)
{
    static const hb_dataset_options none = {0};
    hb_dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset) return hb_fail_memory(err);
    hb_status status = open_dataset(dataset, paths, n, options ? options : &none, err);
    if (status == HB_OK) *out = dataset;
    else hb_dataset_close(dataset);
    return status;
}

hb_status hb_dataset_open(const char *path, const hb_dataset_options *options, hb_dataset **dataset,
                          hb_error *err)
{
    return hb_dataset_open_files(&path, 1, options, dataset, err);
}

void hb_dataset_release(hb_dataset *dataset)
{
    hb_records_close(dataset->records);
    hb_row_free(&dataset->row);
    hb_shots_free(&dataset->shots);
    for (size_t i = 0; i < dataset->n_files && !dataset->borrowed; i++) {
        hb_data_file *file = &dataset->files[i];
        hb_input_close(&file->input);
        hb_mapping_close(&file->mapping);
        hb_join_close(&file->join);
        hb_buffer_free(&file->common);
    }
    if (!dataset->borrowed) free(dataset->files);
    hb_buffer *const buffers[] = {&dataset->path, &dataset->format, &dataset->recipe,
                                  &dataset->id,   &dataset->prompt, &dataset->own_prompt};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) hb_buffer_free(buffers[i]);
}

void hb_dataset_close(hb_dataset *dataset)
{
    if (!dataset) return;
    hb_dataset_release(dataset);
    free(dataset);
}

const hb_dataset_info *hb_dataset_get_info(const hb_dataset *dataset)
{
    return &dataset->info;
}

/* ---- Second pass: draw --------------------------------------------------------------------------- */

/* Reads up to the next drawn row. If it is missing, a file has changed. */
static hb_status draw_row(hb_dataset *dataset, hb_error *err)
{
    hb_error why;
    bool found, good, taken;
    hb_status status;
    do {
        status = hb_pass_next(dataset, &found, &good, &why, err);
        const hb_data_file *file =
            &dataset->files[dataset->file < dataset->n_files ? dataset->file : dataset->n_files - 1];
        if (status == HB_ERR_FORMAT || (status == HB_OK && !found)) return hb_fail_changed(file, err);
        if (status != HB_OK) return status;
        taken = good && hb_draw_takes(&dataset->draw, dataset->n_good - 1);
        if (taken) status = hb_shard_takes(dataset, &taken, err);
        if (status != HB_OK) return status;
    } while (!taken);
    if (dataset->n_good > dataset->info.n_rows) return hb_fail_changed(hb_pass_file(dataset), err);
    dataset->next_of_row = 0;
    return HB_OK;
}

/* Sets the sample's id: the row's own id, or one made from its place in the data. */
static bool make_id(hb_dataset *dataset, int k)
{
    const hb_row *row = &dataset->row;
    char number[32];
    hb_buffer_clear(&dataset->id);
    snprintf(number, sizeof number, "_%" PRIu64, dataset->n_places - 1);
    const char *prefix = hb_pass_file(dataset)->detected.preset->id_prefix;
    return hb_buffer_add_text(&dataset->id, row->has_id ? row->id.data : prefix) &&
           (row->has_id || hb_buffer_add_text(&dataset->id, number)) &&
           (dataset->per_row == 1 || hb_buffer_add_text(&dataset->id, hb_pair_suffixes[k]));
}

/* Sets the sample's prompt, with the examples before it, and the hash of the row's own prompt. */
static hb_status make_prompt(hb_dataset *dataset, int k, hb_error *err)
{
    hb_error why;
    hb_sha256 hash;
    hb_buffer *own = &dataset->own_prompt;
    hb_buffer_clear(own);
    hb_buffer_clear(&dataset->prompt);
    if (!hb_row_prompt(&hb_pass_file(dataset)->mapping, &dataset->row, k, own, &why) ||
        !hb_shots_add(&dataset->shots, own->data, &dataset->prompt) ||
        !hb_buffer_add(&dataset->prompt, own->data, own->length) || !hb_sha256_init(&hash))
        return hb_fail_memory(err);
    hb_sha256_add(&hash, own->data, own->length);
    hb_sha256_finish(&hash, dataset->sha256);
    return HB_OK;
}

static void make_sample(hb_dataset *dataset, int k, hb_sample *sample)
{
    static const hb_response_span no_span;
    const hb_mapping *mapping = &hb_pass_file(dataset)->mapping;
    const hb_row *row = &dataset->row;
    *sample = (hb_sample){
        .index = (dataset->n_good - 1) * (uint64_t)dataset->per_row + (uint64_t)k,
        .id = dataset->id.data,
        .prompt = dataset->prompt.data,
        .prompt_sha256 = dataset->sha256,
        .label = row->labels[k],
        .context = row->has_context ? row->context.data : NULL,
        .group = row->has_group ? row->group.data : NULL,
    };
    if (sample->label == HB_LABEL_BY_GRADE) {
        sample->answers = (const char *const *)row->answers.list;
        sample->n_answers = row->answers.n;
    }
    if (has_messages(mapping, row)) {
        sample->messages = row->messages;
        sample->n_messages = row->n_messages;
    }
    if (!mapping->evaluates || !row->has_response) return;
    sample->response = row->responses[k].data;
    /* Where other rows have spans, a response that is not hallucinated has none. */
    bool known = row->has_spans || (dataset->marked && row->labels[k] == 0);
    sample->spans = row->n_spans ? row->spans : known ? &no_span : NULL;
    sample->n_spans = row->n_spans;
}

hb_status hb_dataset_next(hb_dataset *dataset, hb_sample *sample, bool *found, hb_error *err)
{
    hb_status status = HB_OK;
    if (!dataset->samples_left) {
        *found = false;
        return HB_OK;
    }
    if (dataset->next_of_row == dataset->per_row) status = draw_row(dataset, err);
    if (status != HB_OK) return status;
    const hb_data_file *file = hb_pass_file(dataset);
    if (hb_source_changed(hb_records_source(dataset->records), &file->stamp))
        return hb_fail_changed(file, err);
    int k = dataset->next_of_row;
    if (!make_id(dataset, k)) return hb_fail_memory(err);
    status = make_prompt(dataset, k, err);
    if (status != HB_OK) return status;
    dataset->next_of_row++;
    dataset->samples_left--;
    make_sample(dataset, k, sample);
    *found = true;
    return HB_OK;
}
