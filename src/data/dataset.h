/* An open dataset. dataset.c, passes.c and shots.c share this struct. */
#ifndef HB_DATA_DATASET_H
#define HB_DATA_DATASET_H

#include "data/detect.h"
#include "data/draw.h"
#include "data/join.h"
#include "data/rows.h"

typedef struct hb_data_file {
    hb_input input;
    hb_detected detected;
    hb_mapping mapping;
    hb_join join; /* its rows are NULL if there is no joined file */
    hb_stamp stamp;
    hb_buffer common; /* the bytes with which all prompts begin; only for shards */
} hb_data_file;

/* A few-shot example. */
typedef struct hb_shot {
    char *prompt, *answer;
} hb_shot;

/* The list has one example more than is shown, because a sample never shows itself. */
typedef struct hb_shots {
    hb_shot *list; /* [n] */
    size_t n, shown;
} hb_shots;

/* Whether any row has an optional field, and whether any label means hallucinated. */
typedef struct hb_seen {
    bool id, context, spans, hallucinated;
} hb_seen;

struct hb_dataset {
    hb_dataset_info info;
    hb_data_file *files; /* [n_files] */
    size_t n_files;
    bool borrowed; /* the files belong to another dataset */
    hb_breakages breakages;
    hb_buffer path, format, recipe;
    char broken[400]; /* message about the first broken row */
    int per_row;
    bool marked; /* some row tells of a hallucinated span */
    bool talks;  /* some row is a conversation of several messages */
    hb_seen seen;
    hb_draw draw;
    hb_shots shots;

    /* The current pass. */
    hb_sha256 *hash; /* hashes the files' bytes; NULL: no hash */
    size_t file;
    hb_records *records; /* of the current file; NULL: not open yet */
    hb_record record;
    hb_rows rows;      /* of the record */
    uint64_t n_places; /* rows and broken records read so far */
    uint64_t n_good;   /* good rows read so far */
    hb_row row;

    /* Samples. */
    uint64_t samples_left; /* samples not returned yet */
    int next_of_row;       /* next sample of the current row; per_row: none is left */
    hb_buffer id, prompt, own_prompt;
    char sha256[65];
};

/* Starts a new pass. */
void hb_pass_begin(hb_dataset *dataset);

/* Reads the next row or broken record of the files. *good becomes whether dataset->row has a row. If
 * not, `why` has the reason; its status is HB_OK for a row that is left out. */
hb_status hb_pass_next(hb_dataset *dataset, bool *found, bool *good, hb_error *why, hb_error *err);

/* The file of the current row. */
hb_data_file *hb_pass_file(hb_dataset *dataset);

hb_status hb_fail_changed(const hb_data_file *file, hb_error *err);

/* Sets how many rows and samples are drawn (dataset.c). */
void hb_dataset_plan(hb_dataset *dataset, const hb_dataset_options *options);

/* Releases everything that a dataset owns, except the struct itself. */
void hb_dataset_release(hb_dataset *dataset);

/* Notes what the prompt of the current row has in common with those before it (shard.c). */
hb_status hb_shard_look(hb_dataset *dataset, hb_error *err);
/* Whether the current row belongs to the dataset's shard; true without shards. */
hb_status hb_shard_takes(hb_dataset *dataset, bool *takes, hb_error *err);
/* Counts the drawn samples of the shard, at the beginning of a pass, and begins another pass. */
hb_status hb_shard_count(hb_dataset *dataset, hb_error *err);

/* Draws the examples that the options ask for, from the dataset itself or from another file. */
hb_status hb_shots_draw(hb_dataset *dataset, const hb_dataset_options *options, hb_shots *shots,
                        hb_error *err);

/* Appends the examples that are shown before a prompt. Leaves out an example with the same prompt. */
bool hb_shots_add(const hb_shots *shots, const char *prompt, hb_buffer *out);

void hb_shots_free(hb_shots *shots);

#endif
