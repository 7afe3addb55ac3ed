/* The contents of a model file. Both reports are written from this struct. */
#ifndef HB_REPORT_INSPECT_H
#define HB_REPORT_INSPECT_H

#include "engine/engine.h"

/* The tensors of one type. */
typedef struct hb_inspected_type {
    const hb_file_tensor *first; /* gives the type's name or number */
    int64_t tensors, weights;
    int64_t bytes; /* -1 when the size of the type is unknown */
} hb_inspected_type;

typedef struct hb_inspection {
    hb_file_description *file;
    hb_inspected_type *types; /* [n_types], in the order of their first tensors */
    size_t n_types;
    const char *chat_format; /* the known format that the template looks like; NULL: none */
    char *chat_sample;       /* a conversation as the template writes it, clean UTF-8; NULL: none */
    char *chat_error;        /* why there is no sample; NULL without a template */
    hb_model *model;         /* source of the warnings; NULL when the model cannot be opened */
    bool runs;
    char why_not[480]; /* set if hbar cannot run the model */
    hb_memory memory;  /* set if hbar can run the model */
} hb_inspection;

hb_status hb_inspection_open(const char *path, int32_t n_ctx, hb_inspection *inspection, hb_error *err);
void hb_inspection_close(hb_inspection *inspection);

/* The name of the tensor's type, or "type N" for an unknown type. */
const char *hb_type_text(const hb_file_tensor *tensor, char out[32]);

#endif
