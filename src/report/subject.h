/* One of the results that a report shows: a document of hb_params_json or hb_validation_json, read as a
 * hostile file. What is missing or of another kind counts as unknown; a number out of its range is
 * refused (ranges.h). */
#ifndef HB_REPORT_SUBJECT_H
#define HB_REPORT_SUBJECT_H

#include <jansson.h>
#include "base/error.h"

/* A sample as the page shows it. */
typedef struct hb_shown {
    hb_judged_sample judged;
    char *id, *prompt, *text; /* cut to what the page shows; `prompt` is NULL when unknown */
    size_t text_length;       /* of the whole text */
    int32_t n_tokens;
    uint8_t *levels; /* [n_steps], P_fail of each step in tenths, 0 to 9; NULL: unknown */
    hb_response_span
        *characters; /* [n_steps], the characters of the text of each step; NULL: unknown */
    size_t n_steps;
} hb_shown;

typedef struct hb_subject {
    char *name;
    json_t *root;
    bool is_validation;
    const json_t *main; /* the object that has the calibrated score's AUROC */
    const char *score;  /* its name */
    double tau;
    hb_curves curves; /* set if has_curves; of malloc'd parts */
    bool has_curves;
    bool has_samples; /* a run was given */
    size_t n_judged;  /* its labelled samples */
    hb_shown *shown;  /* [n_shown], the most wrong first */
    size_t n_shown;
    bool coloured; /* some samples have levels */
} hb_subject;

/* Reads a document. `name` is what the report calls it, `path` is for messages. HB_ERR_FORMAT for
 * anything else, HB_ERR_UNSUPPORTED for a newer version. On failure nothing is left to free. */
hb_status hb_subject_read(const char *name, const char *path, const char *json, size_t length,
                          hb_subject *subject, hb_error *err);
/* The same for a file; its base name becomes the subject's name. HB_ERR_IO. */
hb_status hb_subject_read_file(const char *path, hb_subject *subject, hb_error *err);
void hb_subject_free(hb_subject *subject);

/* The value at a path of names such as "uncertainty.auroc_delong"; NULL: there is none. */
const json_t *hb_member(const json_t *object, const char *path);
double hb_member_number(const json_t *object, const char *path);    /* NaN: no number */
const char *hb_member_text(const json_t *object, const char *path); /* NULL: no text */
/* The bounds at a path; NaN: unknown. */
hb_interval hb_member_interval(const json_t *object, const char *path);

/* The numbers of a list, NaN for what is none, and their number, at most `most`. Release with free().
 * NULL when memory runs out. */
double *hb_member_numbers(const json_t *list, size_t most, size_t *n);

#endif
