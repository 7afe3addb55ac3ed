/* The data sets that hbar knows by name. A preset describes the rows of a data set. */
#ifndef HB_DATA_PRESETS_H
#define HB_DATA_PRESETS_H

#include <stdbool.h>
#include <stddef.h>

/* What decides the label of a sample. */
typedef enum hb_label_by {
    HB_BY_GRADE,  /* the grade of the model's answer */
    HB_BY_WORD,   /* a word or number in the row */
    HB_BY_PAIR,   /* the position of the response: each row has a right and a hallucinated one */
    HB_BY_SPANS,  /* any span is hallucinated */
    HB_BY_TRUTHS, /* any segment is false */
    HB_BY_NOTHING /* rows have no label */
} hb_label_by;

/* Paths are as in path.h; commas separate a list of paths. NULL: none. */
typedef struct hb_preset {
    const char *name;
    const char *id_prefix; /* prefix of the ids of rows without an id */
    const char *needs;     /* paths that a row must have; "a~text": a string that has that text */
    hb_label_by label_by;
    const char *prompt;    /* template of the task */
    const char *judge;     /* template that shows a response and asks about it */
    bool judged;           /* responses are judged by default; otherwise they are evaluated */
    const char *answers;   /* right answers, the best first */
    const char *separator; /* between answers in one string */
    const char *after;     /* text before the answer in its string */
    const char *before;    /* text after the answer */
    const char *otherwise; /* right answer of a row without answers */
    const char *choices;   /* choices of a multiple-choice question; `answers` is then a letter or a
                              number from 0 */
    const char *id, *label, *response, *context, *spans, *messages;
    const char *right, *wrong;       /* the responses of HB_BY_PAIR */
    const char *questions, *replies; /* lists of the earlier questions and replies, for {history} */
    const char *each;                /* the list in a record that holds the rows */
    const char *where;               /* "path=word": other rows are left out */
    const char *join, *join_key; /* file beside the data that has the rest of each row, and the field
                                    that identifies a row */
    const char *columns;         /* columns of a CSV file without a header */
    const char *variant;         /* preset for rows that have no answers */
} hb_preset;

/* In the order in which they are tried: presets with more specific fields first. From hb_own_presets
 * on, they describe the user's own rows; their fields are roles, which options map. */
extern const hb_preset hb_presets[];
extern const size_t hb_n_presets, hb_own_presets;

/* NULL for an unknown name. */
const hb_preset *hb_preset_find(const char *name);

/* The preset for the user's own rows with these contents. */
const hb_preset *hb_preset_own(hb_label_by label_by, bool has_response, bool has_context);

#endif
