/* Rows of records, and what samples are made of them, by a preset and what the options map otherwise.
 */
#ifndef HB_DATA_ROWS_H
#define HB_DATA_ROWS_H

#include "base/texts.h"
#include "data/labels.h"
#include "data/path.h"
#include "data/presets.h"
#include "data/prompt_template.h"
#include "hbar.h"

#define HB_PER_ROW_MAX   2
#define HB_PATHS_MAX     4 /* in a list of paths */
#define HB_EACH_MAX      2 /* lists within lists that hold rows */
#define HB_TEMPLATES_MAX 2

/* A preset whose paths and templates are parsed. */
typedef struct hb_mapping {
    const hb_preset *preset;
    int per_row;               /* samples that a row makes */
    bool judges;               /* prompts show a response and ask about it */
    bool evaluates;            /* samples carry the response, which is evaluated instead of generated */
    hb_prompt_template *task;  /* of the prompt */
    hb_prompt_template *frame; /* around it; NULL: none */
    bool own_frame;            /* it is the caller's */
    hb_path *answers[HB_PATHS_MAX], *choices[HB_PATHS_MAX];
    hb_path *id, *label, *response, *context, *spans, *messages;
    hb_path *right, *wrong, *questions, *replies, *where;
    char *separator;  /* between answers in one string; NULL: none */
    char *where_word; /* rows without it at `where` are left out */
    char *each[HB_EACH_MAX];
    size_t n_each;
    hb_label_rule rule;
} hb_mapping;

/* HB_ERR_ARGUMENT for options that hold no path or template, or ask for what the preset has not. */
hb_status hb_mapping_open(const hb_preset *preset, const hb_dataset_options *options,
                          hb_mapping *mapping, hb_error *err);
void hb_mapping_close(hb_mapping *mapping);

/* The rows of a record, one after the other. Start from a zeroed struct with mapping, record and outer.
 */
typedef struct hb_rows {
    const hb_mapping *mapping;
    const json_t *record;
    const json_t *outer; /* what was joined to the record; NULL: nothing */
    const json_t *lists[HB_EACH_MAX];
    size_t at[HB_EACH_MAX];
    bool begun;
} hb_rows;

/* Sets the scope to the next row; false when there is none. */
bool hb_rows_next(hb_rows *rows, hb_scope *scope);

/* What the samples of a row are made of; kept from row to row for its memory. Start from a zeroed one.
 */
typedef struct hb_row {
    hb_scope scope;
    bool left_out; /* by the mapping's `where` */
    bool has_id, has_context, has_response;
    hb_buffer id, context, conversation;
    hb_buffer responses[HB_PER_ROW_MAX];
    int labels[HB_PER_ROW_MAX];
    hb_texts answers, contents; /* contents: of the messages */
    hb_message *messages;       /* [n_messages], of the prompt */
    size_t n_messages, messages_room;
    hb_response_span *spans; /* [n_spans] */
    size_t n_spans, spans_room;
} hb_row;

/* Reads the row of row->scope. False with the reason in `why` for a row that cannot be used, with
 * HB_ERR_MEMORY when memory ran out. */
bool hb_row_read(const hb_mapping *mapping, hb_row *row, hb_error *why);

/* Appends the prompt of sample k. As hb_row_read. */
bool hb_row_prompt(const hb_mapping *mapping, hb_row *row, int k, hb_buffer *out, hb_error *why);

void hb_row_forget(hb_row *row); /* releases what its scope made */
void hb_row_free(hb_row *row);

/* Whether a record has what the preset needs, as the options map it; *missing, for one that lacks a
 * path, is set to the first of them, *n_missing to how many. HB_ERR_MEMORY. */
hb_status hb_preset_fits(const hb_preset *preset, const hb_dataset_options *options,
                         const json_t *record, char *missing, size_t size, size_t *n_missing,
                         size_t *n_needs, hb_error *err);

#endif
