/* Kinds of files, for messages about files of the wrong kind. */
#ifndef HB_BASE_KIND_H
#define HB_BASE_KIND_H

#include <stddef.h>

typedef struct hb_kind {
    const char *name;     /* with its article: "a ZIP archive" */
    const char *as_data;  /* what to do with one that was given as data; NULL: nothing to say */
    const char *as_model; /* the same for one that was given as a model */
} hb_kind;

/* The kind that the first n bytes of a file show, or NULL for one that is not known. 512 bytes are
 * enough. JSON and other plain text are not kinds. */
const hb_kind *hb_kind_of(const void *bytes, size_t n);

#endif
