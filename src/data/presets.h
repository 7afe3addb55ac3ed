/* The data sets known by name: for each, a line that says what its rows hold, and nothing else. */
#ifndef HB_DATA_PRESETS_H
#define HB_DATA_PRESETS_H

#include <stdbool.h>
#include <stddef.h>

/* What tells the label of a sample. */
typedef enum hb_label_by {
    HB_BY_GRADE, /* the model's answer, compared with the right ones */
    HB_BY_WORD,  /* the label's word or number */
    HB_BY_PAIR,  /* which of the row's two responses it is */
    HB_BY_SPANS, /* whether any span is hallucinated */
    HB_BY_TRUTHS /* whether any segment is false */
} hb_label_by;

/* Paths are as in path.h; lists of paths are divided by commas. NULL: nothing of the kind. */
typedef struct hb_preset {
    const char *name;
    const char *id_prefix; /* of rows without an id */
    const char *needs;     /* paths that a row must have; "a~text": a string that has that text */
    hb_label_by label_by;
    const char *prompt;    /* template of the task */
    const char *judge;     /* template that shows a response and asks about it */
    const char *answers;   /* the right ones, the best first */
    const char *separator; /* between answers in one string */
    const char *after;     /* what stands before the answer in its string */
    const char *before;    /* what stands after it */
    const char *otherwise; /* the answer where there is none */
    const char *choices; /* of a question with letters; `answers` is then a letter or a number from 0 */
    const char *id, *label, *response, *context, *spans, *messages;
    const char *right, *wrong;       /* responses of a row that makes two samples */
    const char *questions, *replies; /* {history}: what was said before, question by question */
    const char *each;                /* the list in a record whose elements are rows */
    const char *where;               /* "path=word": other rows are left out */
    const char *join, *join_key; /* the file beside this one with the rest of each row, by that field */
    const char *columns;         /* of a CSV file without a header */
    const char *variant;         /* the preset to take where a row has no answers */
} hb_preset;

/* In the order in which they are tried: those with more particular fields first. The last ones, from
 * hb_own_presets on, describe rows of one's own: their fields are roles, which options map. */
extern const hb_preset hb_presets[];
extern const size_t hb_n_presets, hb_own_presets;

/* NULL when there is none of that name. */
const hb_preset *hb_preset_find(const char *name);

/* The preset for rows of one's own that hold these. */
const hb_preset *hb_preset_own(hb_label_by label_by, bool has_response, bool has_context);

#endif
