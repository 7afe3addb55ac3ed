#include "hbar.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "base/error.h"
#include "base/rng.h"
#include "data/records.h"

#define MAX_FIELDS      4
#define MAX_PER_ROW     2
#define MAX_ANSWERS     256
#define DETECTION_LIMIT 100 /* records looked at to tell the format */

/* What the samples of a row are made of, borrowed from the row. */
typedef struct row_samples {
    const char *values[MAX_PER_ROW][MAX_FIELDS]; /* what fills the prompt's gaps, in order */
    int labels[MAX_PER_ROW];
    const char *answers[MAX_ANSWERS];
    size_t n_answers;
    const char *id;  /* the row's own, or NULL */
    char number[24]; /* holds an id that is a number */
} row_samples;

/* One kind of data set: a line of the table below. */
typedef struct format {
    const char *name;
    const char *fields[MAX_FIELDS + 1]; /* what a row must have, NULL-terminated */
    const char *prompt;                 /* with a gap {} for each value */
    const char *id_prefix;
    int per_row; /* samples that a row makes */
    /* Fills `samples`; false, with the reason in `why`, for a row that can't be used. */
    bool (*read)(const struct format *format, const json_t *row, row_samples *samples, hb_error *why);
} format;

static bool read_pair(const format *, const json_t *, row_samples *, hb_error *);
static bool read_general(const format *, const json_t *, row_samples *, hb_error *);
static bool read_generic(const format *, const json_t *, row_samples *, hb_error *);
static bool read_answers(const format *, const json_t *, row_samples *, hb_error *);

/* In the order in which they are tried. A pair's last two fields are the right and the hallucinated
 * text; hb_dataset_formats lists the same names. */
static const format formats[] = {
    {"halueval_qa",
     {"knowledge", "question", "right_answer", "hallucinated_answer"},
     "Context: {}\n\nQuestion: {}\n\nProposed answer: {}\n\n"
     "Is this answer faithful to the context? Answer 'Yes' or 'No':",
     "qa",
     2,
     read_pair},
    {"halueval_dialogue",
     {"knowledge", "dialogue_history", "right_response", "hallucinated_response"},
     "Context: {}\n\nDialogue: {}\n\nProposed response: {}\n\n"
     "Is this response faithful to the context? Answer 'Yes' or 'No':",
     "dialogue",
     2,
     read_pair},
    {"halueval_summarization",
     {"document", "right_summary", "hallucinated_summary"},
     "Document: {}\n\nProposed summary: {}\n\n"
     "Is this summary faithful to the document? Answer 'Yes' or 'No':",
     "summarization",
     2,
     read_pair},
    {"halueval_general",
     {"user_query", "chatgpt_response", "hallucination"},
     "Question: {}\n\nProposed answer: {}\n\nIs this answer truthful? Answer 'Yes' or 'No':",
     "general",
     1,
     read_general},
    {"generic", {"prompt", "label"}, "{}", "sample", 1, read_generic},
    {"answers", {"prompt", "answers"}, "{}", "sample", 1, read_answers},
};
#define N_FORMATS (sizeof formats / sizeof formats[0])

/* The first broken record: its line and what is wrong with it. */
typedef struct first_broken {
    uint64_t line; /* 0: none is broken */
    char reason[256];
} first_broken;

struct hb_dataset {
    hb_dataset_info info;
    char *path;
    const format *format;
    hb_breakages breakages;
    hb_stamp stamp;
    hb_rng rng;

    /* The second pass. */
    hb_records *records;   /* NULL until the first sample is asked for */
    uint64_t n_records;    /* records read, broken ones too */
    uint64_t n_objects;    /* records that were JSON objects */
    first_broken broken;   /* the first record that was none */
    uint64_t n_good;       /* good rows read */
    uint64_t rows_wanted;  /* rows still to be drawn */
    uint64_t samples_left; /* samples still to be handed out */
    int next_of_row;       /* which sample of the row in hand comes next; per_row: none */
    row_samples row;
    hb_buffer id, prompt;
};

const char *const *hb_dataset_formats(void)
{
    static const char *const names[] = {"halueval_qa",
                                        "halueval_dialogue",
                                        "halueval_summarization",
                                        "halueval_general",
                                        "generic",
                                        "answers",
                                        NULL};
    _Static_assert(sizeof names / sizeof names[0] == N_FORMATS + 1, "a name for each format");
    return names;
}

/* ---- Rows -------------------------------------------------------------------------------------- */

static bool has_fields(const format *format, const json_t *row)
{
    for (const char *const *field = format->fields; *field; field++)
        if (!json_object_get(row, *field)) return false;
    return true;
}

/* All the format's fields, which must be strings; HaluEval has no others. */
static bool read_strings(const format *format, const json_t *row, const char **values, hb_error *why)
{
    for (int i = 0; format->fields[i]; i++) {
        const json_t *value = json_object_get(row, format->fields[i]);
        values[i] = json_string_value(value);
        if (!values[i]) {
            hb_fail(why, HB_ERR_FORMAT, "field '%s' is %s", format->fields[i],
                    value ? "not a string" : "missing");
            return false;
        }
    }
    return true;
}

/* HaluEval's pairs: the fields they share, then either the right text (0) or the hallucinated one (1).
 */
static bool read_pair(const format *format, const json_t *row, row_samples *samples, hb_error *why)
{
    const char *values[MAX_FIELDS] = {0};
    if (!read_strings(format, row, values, why)) return false;
    int n_shared = 0;
    while (format->fields[n_shared + 2]) n_shared++;
    for (int k = 0; k < 2; k++) {
        memcpy(samples->values[k], values, (size_t)n_shared * sizeof *values);
        samples->values[k][n_shared] = values[n_shared + k];
        samples->labels[k] = k;
    }
    return true;
}

/* HaluEval's answers to general questions, judged by people. */
static bool read_general(const format *format, const json_t *row, row_samples *samples, hb_error *why)
{
    const char *values[MAX_FIELDS] = {0};
    if (!read_strings(format, row, values, why)) return false;
    bool yes = strcmp(values[2], "yes") == 0;
    if (!yes && strcmp(values[2], "no") != 0) {
        hb_fail(why, HB_ERR_FORMAT, "field 'hallucination' is neither \"yes\" nor \"no\"");
        return false;
    }
    samples->values[0][0] = values[0];
    samples->values[0][1] = values[1];
    samples->labels[0] = yes;
    return true;
}

/* A label of 0 or 1, or -1. */
static int label_of(const json_t *value)
{
    if (json_is_boolean(value)) return json_is_true(value);
    if (!json_is_integer(value)) return -1;
    json_int_t label = json_integer_value(value);
    return label == 0 || label == 1 ? (int)label : -1;
}

/* A row's prompt and, where it has one, its id. */
static bool read_prompt(const json_t *row, row_samples *samples, hb_error *why)
{
    const json_t *prompt = json_object_get(row, "prompt"), *id = json_object_get(row, "id");
    const char *reason = NULL;
    samples->values[0][0] = json_string_value(prompt);
    samples->id = json_string_value(id);
    if (json_is_integer(id)) {
        snprintf(samples->number, sizeof samples->number, "%" JSON_INTEGER_FORMAT,
                 json_integer_value(id));
        samples->id = samples->number;
    }
    if (!prompt) reason = "field 'prompt' is missing";
    else if (!samples->values[0][0]) reason = "field 'prompt' is not a string";
    else if (!samples->values[0][0][0]) reason = "field 'prompt' is empty";
    else if (id && !samples->id) reason = "field 'id' is neither a string nor an integer";
    else if (id && !samples->id[0]) reason = "field 'id' is empty";
    if (reason) hb_fail(why, HB_ERR_FORMAT, "%s", reason);
    return !reason;
}

static bool read_generic(const format *format, const json_t *row, row_samples *samples, hb_error *why)
{
    const json_t *label = json_object_get(row, "label");
    (void)format;
    samples->labels[0] = label_of(label);
    if (!read_prompt(row, samples, why)) return false;
    if (samples->labels[0] >= 0) return true;
    hb_fail(why, HB_ERR_FORMAT, "field 'label' is %s", label ? "neither 0 nor 1" : "missing");
    return false;
}

/* An answer that can match something. */
static bool add_answer(const json_t *value, row_samples *samples, hb_error *why)
{
    const char *answer = json_string_value(value);
    bool gradable = false;
    if (samples->n_answers == MAX_ANSWERS) {
        hb_fail(why, HB_ERR_FORMAT, "field 'answers' holds more than %d", MAX_ANSWERS);
        return false;
    }
    if (!answer) {
        hb_fail(why, HB_ERR_FORMAT, "field 'answers' is no array of strings");
        return false;
    }
    if (hb_answer_is_gradable(answer, &gradable, why)) return false;
    if (!gradable) hb_fail(why, HB_ERR_FORMAT, "answer '%.40s' has no word", answer);
    samples->answers[samples->n_answers++] = answer;
    return gradable;
}

static bool read_answers(const format *format, const json_t *row, row_samples *samples, hb_error *why)
{
    const json_t *answers = json_object_get(row, "answers");
    (void)format;
    samples->labels[0] = HB_LABEL_BY_GRADE;
    if (!read_prompt(row, samples, why)) return false;
    bool ok = json_array_size(answers) > 0;
    if (!ok)
        hb_fail(why, HB_ERR_FORMAT, "field 'answers' is %s",
                answers ? "no array of strings, or empty" : "missing");
    for (size_t i = 0; i < json_array_size(answers) && ok; i++)
        ok = add_answer(json_array_get(answers, i), samples, why);
    return ok;
}

/* Appends `text` with each {} replaced by the next value. */
static bool fill(hb_buffer *out, const char *text, const char *const *values)
{
    const char *gap;
    while ((gap = strstr(text, "{}"))) {
        if (!hb_buffer_add(out, text, (size_t)(gap - text))) return false;
        if (!hb_buffer_add_text(out, *values++)) return false;
        text = gap + 2;
    }
    return hb_buffer_add_text(out, text);
}

bool hb_id_is_place(const char *id)
{
    for (size_t i = 0; i < N_FORMATS; i++) {
        size_t n = strlen(formats[i].id_prefix);
        if (strncmp(id, formats[i].id_prefix, n) != 0 || id[n] != '_') continue;
        const char *rest = id + n + 1 + strspn(id + n + 1, "0123456789");
        if (rest > id + n + 1 && (!*rest || strcmp(rest, "_cor") == 0 || strcmp(rest, "_hal") == 0))
            return true;
    }
    return false;
}

/* The row's own id, or one that its place in the file gives it. */
static bool make_id(hb_dataset *dataset, int k)
{
    static const char *const suffixes[MAX_PER_ROW] = {"_cor", "_hal"};
    const format *format = dataset->format;
    char number[32];
    if (dataset->row.id) return hb_buffer_add_text(&dataset->id, dataset->row.id);
    snprintf(number, sizeof number, "_%" PRIu64, dataset->n_records - 1);
    return hb_buffer_add_text(&dataset->id, format->id_prefix) &&
           hb_buffer_add_text(&dataset->id, number) &&
           hb_buffer_add_text(&dataset->id, format->per_row == 2 ? suffixes[k] : "");
}

/* ---- First pass: find the format, check every row, count, hash --------------------------------- */

/* Names the fields found and every format with its fields. */
static hb_status fail_detection(const char *path, const char *found, hb_error *err)
{
    hb_buffer known = {0};
    bool ok = true;
    for (size_t i = 0; i < N_FORMATS; i++) {
        ok = ok && hb_buffer_add_text(&known, i ? "; " : "") &&
             hb_buffer_add_text(&known, formats[i].name);
        for (int f = 0; formats[i].fields[f]; f++)
            ok = ok && hb_buffer_add_text(&known, f ? " " : ": ") &&
                 hb_buffer_add_text(&known, formats[i].fields[f]);
    }
    if (ok)
        hb_fail(err, HB_ERR_FORMAT, "%s: no known format has the fields found (%s). Known: %s", path,
                found, known.data);
    else hb_fail_memory(err);
    hb_buffer_free(&known);
    return ok ? HB_ERR_FORMAT : HB_ERR_MEMORY;
}

/* The first format that `row` has all the fields of, or NULL. */
static const format *format_of(const json_t *row)
{
    for (size_t i = 0; i < N_FORMATS; i++)
        if (has_fields(&formats[i], row)) return &formats[i];
    return NULL;
}

static void note_broken(first_broken *first, const hb_record *record)
{
    if (first->line) return;
    first->line = record->line;
    snprintf(first->reason, sizeof first->reason, "%s", record->reason);
}

/* Why a file without a single JSON object is refused. */
static hb_status fail_no_object(const char *path, const first_broken *first, hb_error *err)
{
    if (!first->line) return hb_fail(err, HB_ERR_DATA, "%s: holds no record", path);
    return hb_fail(err, HB_ERR_FORMAT,
                   "%s:%" PRIu64 ": %s (the file is neither JSON Lines nor a JSON array of objects)",
                   path, first->line, first->reason);
}

/* The format that the first record to fit any fits. Broken records are not told of here: the whole file
 * is read again. */
static hb_status detect(const char *path, const format **found_format, hb_error *err)
{
    hb_records *records;
    hb_record record;
    char fields[80] = "";
    first_broken first = {0};
    uint64_t n_objects = 0;
    bool found = true;
    hb_status status = hb_records_open(path, false, &records, err);
    if (status != HB_OK) return status;
    *found_format = NULL;
    while (!*found_format && n_objects < DETECTION_LIMIT) {
        status = hb_records_next(records, &record, &found, err);
        if (status != HB_OK || !found) break;
        if (!record.object) note_broken(&first, &record);
        if (!record.object) continue;
        if (n_objects++ == 0) hb_field_names(fields, sizeof fields, record.object);
        *found_format = format_of(record.object);
    }
    hb_records_close(records);
    if (status != HB_OK || *found_format) return status;
    return n_objects ? fail_detection(path, fields, err) : fail_no_object(path, &first, err);
}

/* The format asked for by name. */
static hb_status find_format(const char *name, const format **found, hb_error *err)
{
    char names[200] = "";
    for (size_t i = 0; i < N_FORMATS; i++) {
        if (strcmp(formats[i].name, name) == 0) {
            *found = &formats[i];
            return HB_OK;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", formats[i].name);
    }
    return hb_fail(err, HB_ERR_ARGUMENT, "unknown data format '%s'; known: %s", name, names);
}

/* Reads the next record; *good tells whether `dataset->row` holds a row, else `why` tells why not. */
static hb_status next_row(hb_dataset *dataset, hb_record *record, bool *found, bool *good,
                          hb_error *why, hb_error *err)
{
    *good = false;
    hb_status status = hb_records_next(dataset->records, record, found, err);
    if (status != HB_OK || !*found) return status;
    dataset->n_records++;
    dataset->row = (row_samples){0};
    if (!record->object) hb_fail(why, HB_ERR_FORMAT, "%s", record->reason);
    else *good = dataset->format->read(dataset->format, record->object, &dataset->row, why);
    if (record->object) dataset->n_objects++;
    else note_broken(&dataset->broken, record);
    if (*good) dataset->n_good++;
    return HB_OK;
}

static hb_status fail_changed(const hb_dataset *dataset, hb_error *err)
{
    return hb_fail(err, HB_ERR_IO, "%s: changed while being read", dataset->path);
}

/* Closes the file; a pass starts with opening it. */
static void end_pass(hb_dataset *dataset)
{
    hb_records_close(dataset->records);
    dataset->records = NULL;
    dataset->n_records = dataset->n_good = 0;
}

static hb_status first_pass(hb_dataset *dataset, hb_error *err)
{
    hb_record record;
    hb_error why;
    bool found = true, good;
    hb_status status = hb_records_open(dataset->path, true, &dataset->records, err);
    if (status != HB_OK) return status;
    hb_source *source = hb_records_source(dataset->records);
    dataset->stamp = source->stamp;
    while (status == HB_OK && found) {
        status = next_row(dataset, &record, &found, &good, &why, err);
        if (status == HB_OK && found && !good)
            status = hb_breakage(&dataset->breakages, record.line, why.message, err);
    }
    if (status == HB_OK && hb_source_changed(source, &dataset->stamp))
        status = fail_changed(dataset, err);
    if (status == HB_OK) hb_source_finish_hash(source, dataset->info.sha256);
    dataset->info.n_rows = dataset->n_good;
    end_pass(dataset);
    return status;
}

/* ---- Opening ----------------------------------------------------------------------------------- */

/* How many rows and samples the draw takes. */
static void plan(hb_dataset *dataset, uint64_t asked)
{
    hb_dataset_info *info = &dataset->info;
    uint64_t per_row = (uint64_t)dataset->format->per_row;
    info->n_samples = info->n_rows * per_row;
    info->n_selected = asked && asked < info->n_samples ? asked : info->n_samples;
    dataset->samples_left = info->n_selected;
    dataset->rows_wanted = info->n_selected / per_row + (info->n_selected % per_row != 0);
    dataset->next_of_row = dataset->format->per_row;
}

static hb_status open_dataset(hb_dataset *dataset, const char *path, const hb_dataset_options *options,
                              hb_error *err)
{
    dataset->path = strdup(path);
    if (!dataset->path) return hb_fail_memory(err);
    hb_status status = options->format ? find_format(options->format, &dataset->format, err)
                                       : detect(path, &dataset->format, err);
    if (status != HB_OK) return status;
    dataset->rng.state = options->seed;
    dataset->breakages =
        (hb_breakages){dataset->path, options->strict, options->on_broken, options->user, 0};
    status = first_pass(dataset, err);
    if (status != HB_OK) return status;
    dataset->info.path = dataset->path;
    dataset->info.format = dataset->format->name;
    dataset->info.n_broken = dataset->breakages.n;
    plan(dataset, options->n_samples);
    if (dataset->info.n_rows) return HB_OK;
    if (!dataset->n_objects) return fail_no_object(path, &dataset->broken, err);
    return hb_fail(err, HB_ERR_DATA, "%s: no usable row of format %s (%" PRIu64 " broken)", path,
                   dataset->info.format, dataset->info.n_broken);
}

hb_status hb_dataset_open(const char *path, const hb_dataset_options *options, hb_dataset **out,
                          hb_error *err)
{
    hb_dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset) return hb_fail_memory(err);
    hb_status status = open_dataset(dataset, path, options ? options : &(hb_dataset_options){0}, err);
    if (status == HB_OK) *out = dataset;
    else hb_dataset_close(dataset);
    return status;
}

void hb_dataset_close(hb_dataset *dataset)
{
    if (!dataset) return;
    hb_records_close(dataset->records);
    hb_buffer_free(&dataset->id);
    hb_buffer_free(&dataset->prompt);
    free(dataset->path);
    free(dataset);
}

const hb_dataset_info *hb_dataset_get_info(const hb_dataset *dataset)
{
    return &dataset->info;
}

/* ---- Second pass: draw ------------------------------------------------------------------------- */

/* Selection sampling (Knuth, The Art of Computer Programming 2, 3.4.2, Algorithm S): a row is taken
 * with the probability rows wanted / rows left, so that exactly the wanted number is drawn, each set of
 * rows being equally likely, in file order and with nothing to remember. */
static bool drawn(hb_dataset *dataset)
{
    uint64_t rows_left = dataset->info.n_rows - (dataset->n_good - 1);
    if (hb_rng_below(&dataset->rng, rows_left) >= dataset->rows_wanted) return false;
    dataset->rows_wanted--;
    return true;
}

/* Reads on to the next drawn row. Rows wanted and not there mean that the file changed. */
static hb_status draw_row(hb_dataset *dataset, hb_error *err)
{
    hb_record record;
    hb_error why;
    bool found = true, good = false;
    hb_status status = HB_OK;
    if (!dataset->records) status = hb_records_open(dataset->path, false, &dataset->records, err);
    if (status != HB_OK) return status;
    do {
        status = next_row(dataset, &record, &found, &good, &why, err);
        if (status == HB_ERR_FORMAT || (status == HB_OK && !found)) return fail_changed(dataset, err);
        if (status != HB_OK) return status;
    } while (!good || (dataset->n_good <= dataset->info.n_rows && !drawn(dataset)));
    if (dataset->n_good > dataset->info.n_rows) return fail_changed(dataset, err);
    dataset->next_of_row = 0;
    return HB_OK;
}

hb_status hb_dataset_next(hb_dataset *dataset, hb_sample *sample, bool *found, hb_error *err)
{
    const int per_row = dataset->format->per_row;
    if (!dataset->samples_left) {
        *found = false;
        return HB_OK;
    }
    if (dataset->next_of_row == per_row) {
        hb_status status = draw_row(dataset, err);
        if (status != HB_OK) return status;
    }
    if (hb_source_changed(hb_records_source(dataset->records), &dataset->stamp))
        return fail_changed(dataset, err);
    int k = dataset->next_of_row;
    hb_buffer_clear(&dataset->id);
    hb_buffer_clear(&dataset->prompt);
    if (!make_id(dataset, k) ||
        !fill(&dataset->prompt, dataset->format->prompt, dataset->row.values[k]))
        return hb_fail_memory(err);
    dataset->next_of_row++;
    dataset->samples_left--;
    *sample = (hb_sample){.index = (dataset->n_good - 1) * (uint64_t)per_row + (uint64_t)k,
                          .id = dataset->id.data,
                          .prompt = dataset->prompt.data,
                          .label = dataset->row.labels[k]};
    if (dataset->row.n_answers) {
        sample->answers = dataset->row.answers;
        sample->n_answers = dataset->row.n_answers;
    }
    *found = true;
    return HB_OK;
}
