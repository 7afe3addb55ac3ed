/* GGUF files: metadata and tensors, memory-mapped. Every count, offset and size is checked against the
 * file before it is used (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). A model may be
 * split into files named NAME-00001-of-0000N.gguf. The first part has the metadata, and every part has
 * tensors; together they open as one model. */
#ifndef HB_ENGINE_GGUF_H
#define HB_ENGINE_GGUF_H

#include "base/error.h"
#include "base/text.h"
#include "engine/types.h"

/* Metadata value types, numbered as in the specification. */
typedef enum hb_gguf_kind {
    HB_GGUF_UINT8,
    HB_GGUF_INT8,
    HB_GGUF_UINT16,
    HB_GGUF_INT16,
    HB_GGUF_UINT32,
    HB_GGUF_INT32,
    HB_GGUF_FLOAT32,
    HB_GGUF_BOOL,
    HB_GGUF_STRING,
    HB_GGUF_ARRAY,
    HB_GGUF_UINT64,
    HB_GGUF_INT64,
    HB_GGUF_FLOAT64,
    HB_GGUF_KINDS
} hb_gguf_kind;

/* Texts are in the mapped file. */
typedef struct hb_gguf_value {
    hb_text key;
    hb_gguf_kind kind;
    hb_gguf_kind element; /* element type of an array */
    uint64_t count;       /* number of elements of an array; 1 for other types */
    const uint8_t *data;  /* the value or the first element, unaligned; all elements are in bounds */
} hb_gguf_value;

typedef struct hb_gguf_tensor hb_gguf_tensor;
struct hb_gguf_tensor {
    hb_text name;
    uint32_t type; /* as in the file; possibly an unsupported type */
    uint32_t n_dims;
    uint64_t dims[4];    /* dims[0] is the length of a row; unused dimensions are 1 */
    const uint8_t *data; /* NULL for an unsupported type */
    uint64_t row_bytes;  /* bytes of dims[0] weights; 0 for an unsupported type */
    uint64_t offset;     /* byte offset in the data section of its part */
    uint32_t part;       /* index of the file that holds it, from 0 */
    bool used;           /* set by hb_gguf_take_tensor */
};

typedef struct hb_gguf hb_gguf;

/* Opens a file. A tensor of an unsupported type is not an error here; hb_gguf_take_tensor refuses it.
 */
hb_status hb_gguf_open(const char *path, hb_gguf **gguf, hb_error *err);
void hb_gguf_close(hb_gguf *gguf);
const char *hb_gguf_path(
    const hb_gguf *gguf); /* as the caller gave it; for a split model, the path of the first part */
uint64_t hb_gguf_file_size(const hb_gguf *gguf); /* bytes of all parts together */
uint64_t hb_gguf_n_weights(const hb_gguf *gguf); /* weights of all tensors; at most 2^60 */
uint32_t hb_gguf_version(const hb_gguf *gguf);   /* version of the format: 2 or 3 */
uint32_t hb_gguf_n_parts(const hb_gguf *gguf);   /* 1 for a file that is not split */
const char *hb_gguf_part_path(const hb_gguf *gguf, uint32_t part);

/* HB_ERR_IO, naming the part, if its path now names another file, or if the file was written to since
 * it was opened. A part that was removed is no error. */
hb_status hb_gguf_check_unchanged(const hb_gguf *gguf, hb_error *err);

/* Metadata sorted by key, and tensors sorted by name. */
const hb_gguf_value *hb_gguf_values(const hb_gguf *gguf, uint64_t *n);
const hb_gguf_tensor *hb_gguf_tensors(const hb_gguf *gguf, uint64_t *n);

/* NULL when there is no such key. */
const hb_gguf_value *hb_gguf_find(const hb_gguf *gguf, const char *key);

/* These functions read a scalar into *out. They return HB_ERR_FORMAT for a value of another type or
 * outside [min, max]; a float must be above 0 and below 1e30. A missing key leaves *out as it is, or is
 * HB_ERR_FORMAT when `required`. */
hb_status hb_gguf_get_int(const hb_gguf *gguf, const char *key, bool required, int64_t min, int64_t max,
                          int64_t *out, hb_error *err);
hb_status hb_gguf_get_float(const hb_gguf *gguf, const char *key, bool required, double *out,
                            hb_error *err);
hb_status hb_gguf_get_bool(const hb_gguf *gguf, const char *key, bool *out, hb_error *err);
/* NULL bytes when the key is missing or not a string. */
hb_text hb_gguf_get_text(const hb_gguf *gguf, const char *key);

uint32_t hb_gguf_kind_bytes(hb_gguf_kind kind); /* bytes of a value; 0 for strings and arrays */

/* Reads the next text of a string array at *cursor and advances *cursor. Start at value->data and call
 * it at most value->count times. */
hb_text hb_gguf_next_text(const uint8_t **cursor);

/* The shape that a tensor must have: dims[0], dims[1] and dims[2]. A vector has 1 row, and all but
 * experts have a depth of 1. */
typedef struct hb_gguf_shape {
    int32_t cols, rows, depth;
} hb_gguf_shape;

/* Finds the tensor with this name, checks its shape and marks it as used. If it is absent and not
 * `required`, *tensor becomes NULL. */
hb_status hb_gguf_take_tensor(hb_gguf *gguf, const char *name, hb_gguf_shape shape, bool required,
                              const hb_gguf_tensor **tensor, hb_error *err);

/* Returns HB_ERR_UNSUPPORTED, naming the tensor, when the file has a tensor that was not taken: results
 * would be wrong without it. */
hb_status hb_gguf_check_all_used(const hb_gguf *gguf, hb_error *err);

#endif
