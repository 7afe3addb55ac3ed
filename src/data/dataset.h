/* An open dataset, which dataset.c, passes.c and shots.c share. */
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
    hb_join join; /* its rows are NULL where there is none */
    hb_stamp stamp;
} hb_data_file;

/* An example: a prompt, and the answer to it. */
typedef struct hb_shot {
    char *prompt, *answer;
} hb_shot;

/* One more is kept than is shown, in case that a sample is one of them. */
typedef struct hb_shots {
    hb_shot *list; /* [n] */
    size_t n, shown;
} hb_shots;

struct hb_dataset {
    hb_dataset_info info;
    hb_data_file *files; /* [n_files] */
    size_t n_files;
    bool borrowed; /* the files are another dataset's */
    hb_breakages breakages;
    hb_buffer path, format, recipe;
    char broken[400]; /* the message about the first broken row */
    int per_row;
    hb_draw draw;
    hb_shots shots;

    /* The pass in hand. */
    hb_sha256 *hash; /* gets the files' bytes; NULL: none wanted */
    size_t file;
    hb_records *records; /* of the file; NULL: not open yet */
    hb_record record;
    hb_rows rows;      /* of the record */
    uint64_t n_places; /* rows and broken records read */
    uint64_t n_good;   /* good rows read */
    hb_row row;

    /* Samples. */
    uint64_t samples_left; /* still to be handed out */
    int next_of_row;       /* which sample of the row in hand comes next; per_row: none */
    hb_buffer id, prompt, own_prompt;
    char sha256[65];
};

/* Starts over. */
void hb_pass_begin(hb_dataset *dataset);

/* The next row or broken record of the files; *good says whether dataset->row holds a row, else `why`
 * says why not, with its status HB_OK for one that is left out. */
hb_status hb_pass_next(hb_dataset *dataset, bool *found, bool *good, hb_error *why, hb_error *err);

/* The file of the row in hand. */
hb_data_file *hb_pass_file(hb_dataset *dataset);

hb_status hb_fail_changed(const hb_data_file *file, hb_error *err);

/* Sets how many rows and samples are drawn (dataset.c). */
void hb_dataset_plan(hb_dataset *dataset, const hb_dataset_options *options);

/* Releases all that a dataset owns, but not itself. */
void hb_dataset_release(hb_dataset *dataset);

/* Draws the examples that the options ask for, of the dataset itself or another file. */
hb_status hb_shots_draw(hb_dataset *dataset, const hb_dataset_options *options, hb_shots *shots,
                        hb_error *err);

/* Appends the examples to show before a prompt, none of which has that prompt. */
bool hb_shots_add(const hb_shots *shots, const char *prompt, hb_buffer *out);

void hb_shots_free(hb_shots *shots);

#endif
