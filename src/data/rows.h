/* Rows of records, and the samples made from them. A preset describes the fields; options can map other
 * fields. */
#ifndef HB_DATA_ROWS_H
#define HB_DATA_ROWS_H

#include "base/texts.h"
#include "data/labels.h"
#include "data/path.h"
#include "data/presets.h"
#include "data/prompt_template.h"
#include "hbar.h"

#define HB_PER_ROW_MAX   2
#define HB_PATHS_MAX     4 /* maximum number of paths in a list */
#define HB_EACH_MAX      2 /* maximum nesting of lists of rows */
#define HB_TEMPLATES_MAX 2

/* A preset with parsed paths and templates. */
typedef struct hb_mapping {
    const hb_preset *preset;
    int per_row;     /* samples per row */
    bool judges;     /* prompts show a response and ask about it */
    bool evaluates;  /* samples have the response, which is evaluated instead of generating one */
    bool unlabelled; /* rows may lack a label */
    hb_prompt_template *task;  /* template of the prompt */
    hb_prompt_template *frame; /* template around it; NULL: none */
    bool own_frame;            /* the frame is the caller's */
    hb_path *answers[HB_PATHS_MAX], *choices[HB_PATHS_MAX];
    hb_path *id, *label, *response, *context, *spans, *group, *messages;
    hb_path *right, *wrong, *questions, *replies, *where;
    char *separator;  /* separator between answers in one string; NULL: none */
    char *where_word; /* rows without this word at `where` are left out */
    char *each[HB_EACH_MAX];
    size_t n_each;
    hb_label_rule rule;
} hb_mapping;

/* HB_ERR_ARGUMENT for options with an invalid path or template, and for options that the preset does
 * not support. */
hb_status hb_mapping_open(const hb_preset *preset, const hb_dataset_options *options,
                          hb_mapping *mapping, hb_error *err);
void hb_mapping_close(hb_mapping *mapping);

/* Iterates over the rows of a record. Start from a zeroed struct with mapping, record and outer. */
typedef struct hb_rows {
    const hb_mapping *mapping;
    const json_t *record;
    const json_t *outer; /* the record of the joined file; NULL: none */
    const json_t *lists[HB_EACH_MAX];
    size_t at[HB_EACH_MAX];
    bool begun;
} hb_rows;

/* Sets the scope to the next row. False at the end. */
bool hb_rows_next(hb_rows *rows, hb_scope *scope);

/* The contents of a row, from which its samples are made. Reuse it for the next row to reuse its
 * memory. Start from a zeroed struct. */
typedef struct hb_row {
    hb_scope scope;
    bool left_out; /* the mapping's `where` leaves the row out */
    bool has_id, has_context, has_response, has_group;
    bool has_spans; /* the row tells what of the response is hallucinated, which may be nothing */
    hb_buffer id, context, group, conversation;
    hb_buffer responses[HB_PER_ROW_MAX];
    int labels[HB_PER_ROW_MAX];
    hb_texts answers, contents; /* `contents` has the texts of the messages */
    hb_message *messages;       /* [n_messages], messages of the prompt */
    size_t n_messages, messages_room;
    hb_response_span *spans; /* [n_spans] */
    size_t n_spans, spans_room;
} hb_row;

/* Reads the row of row->scope. For an unusable row, returns false with the reason in `why`; the status
 * is HB_ERR_MEMORY when memory runs out. */
bool hb_row_read(const hb_mapping *mapping, hb_row *row, hb_error *why);

/* Appends the prompt of sample k. Fails like hb_row_read. */
bool hb_row_prompt(const hb_mapping *mapping, hb_row *row, int k, hb_buffer *out, hb_error *why);

void hb_row_forget(hb_row *row); /* releases the values that its scope owns */
void hb_row_free(hb_row *row);

/* Counts the paths that the preset needs in a record, as mapped by the options: *n_needs of them, of
 * which *n_missing are missing. `missing` gets the first missing path. HB_ERR_MEMORY when memory runs
 * out. */
hb_status hb_preset_fits(const hb_preset *preset, const hb_dataset_options *options,
                         const json_t *record, char *missing, size_t size, size_t *n_missing,
                         size_t *n_needs, hb_error *err);

#endif
