/* Describes a GGUF file. Texts point into the mapped file. */
#include <stdlib.h>
#include <string.h>
#include "engine/engine.h"
#include "engine/gguf.h"

static const char *const kinds[HB_GGUF_KINDS] = {
    [HB_GGUF_UINT8] = "u8",    [HB_GGUF_INT8] = "i8",    [HB_GGUF_UINT16] = "u16",
    [HB_GGUF_INT16] = "i16",   [HB_GGUF_UINT32] = "u32", [HB_GGUF_INT32] = "i32",
    [HB_GGUF_FLOAT32] = "f32", [HB_GGUF_BOOL] = "bool",  [HB_GGUF_STRING] = "string",
    [HB_GGUF_ARRAY] = "array", [HB_GGUF_UINT64] = "u64", [HB_GGUF_INT64] = "i64",
    [HB_GGUF_FLOAT64] = "f64",
};

/* A description and the memory that it points to. */
typedef struct described {
    hb_file_description base;
    hb_gguf *gguf;
    hb_file_value *values;
    hb_file_entry *entries;
    hb_file_tensor *tensors;
} described;

/* Reads a number of up to 8 bytes, little-endian. */
static hb_file_value read_number(hb_gguf_kind kind, const uint8_t *data)
{
    uint64_t bits = 0;
    float single;
    hb_file_value v = {.kind = HB_FILE_INTEGER};
    unsigned n = hb_gguf_kind_bytes(kind);
    memcpy(&bits, data, n);
    bool is_signed = kind == HB_GGUF_INT8 || kind == HB_GGUF_INT16 || kind == HB_GGUF_INT32;
    if (kind == HB_GGUF_BOOL) {
        v.kind = HB_FILE_BOOLEAN;
        v.boolean = bits != 0;
    } else if (kind == HB_GGUF_FLOAT32) {
        memcpy(&single, data, sizeof single);
        v.kind = HB_FILE_REAL;
        v.real = (double)single;
    } else if (kind == HB_GGUF_FLOAT64) {
        v.kind = HB_FILE_REAL;
        memcpy(&v.real, data, sizeof v.real);
    } else if (kind == HB_GGUF_UINT64 && bits > INT64_MAX) {
        v.kind = HB_FILE_REAL;
        v.real = (double)bits;
    } else {
        if (is_signed && bits >> (8 * n - 1)) bits |= UINT64_MAX << (8 * n);
        v.integer = (int64_t)bits;
    }
    return v;
}

/* Reads the value at *cursor and advances *cursor. */
static hb_file_value read_value(hb_gguf_kind kind, const uint8_t **cursor)
{
    if (kind == HB_GGUF_STRING)
        return (hb_file_value){.kind = HB_FILE_TEXT, .text = hb_gguf_next_text(cursor)};
    hb_file_value v = read_number(kind, *cursor);
    *cursor += hb_gguf_kind_bytes(kind);
    return v;
}

/* The number of values of an entry that are described. */
static size_t n_shown(const hb_gguf_value *v)
{
    return v->count < HB_FILE_SHOWN ? (size_t)v->count : HB_FILE_SHOWN;
}

static bool describe_entries(described *d)
{
    uint64_t n;
    size_t total = 0;
    const hb_gguf_value *from = hb_gguf_values(d->gguf, &n);
    for (uint64_t i = 0; i < n; i++) total += n_shown(&from[i]);
    d->entries = calloc(n + 1, sizeof *d->entries);
    d->values = calloc(total + 1, sizeof *d->values);
    if (!d->entries || !d->values) return false;
    hb_file_value *next = d->values;
    for (uint64_t i = 0; i < n; i++) {
        const hb_gguf_value *v = &from[i];
        bool array = v->kind == HB_GGUF_ARRAY;
        const uint8_t *cursor = v->data;
        d->entries[i] = (hb_file_entry){.key = v->key,
                                        .type = kinds[v->kind],
                                        .element = array ? kinds[v->element] : NULL,
                                        .count = v->count,
                                        .values = next,
                                        .n_values = n_shown(v)};
        for (size_t k = 0; k < d->entries[i].n_values; k++)
            *next++ = read_value(array ? v->element : v->kind, &cursor);
    }
    d->base.entries = d->entries;
    d->base.n_entries = n;
    return true;
}

static bool describe_tensors(described *d)
{
    uint64_t n;
    const hb_gguf_tensor *from = hb_gguf_tensors(d->gguf, &n);
    d->tensors = calloc(n + 1, sizeof *d->tensors);
    if (!d->tensors) return false;
    for (uint64_t i = 0; i < n; i++) {
        const hb_gguf_tensor *t = &from[i];
        uint64_t rows = t->dims[1] * t->dims[2] * t->dims[3];
        d->tensors[i] = (hb_file_tensor){.name = t->name,
                                         .type = hb_type_get_info(t->type)->name,
                                         .type_number = t->type,
                                         .n_dims = t->n_dims,
                                         .n_weights = (int64_t)(t->dims[0] * rows),
                                         .bytes = t->data ? (int64_t)(t->row_bytes * rows) : -1,
                                         .offset = t->offset,
                                         .part = t->part};
        memcpy(d->tensors[i].dims, t->dims, sizeof t->dims);
    }
    d->base.tensors = d->tensors;
    d->base.n_tensors = n;
    return true;
}

hb_status hb_describe_file(const char *path, hb_file_description **description, hb_error *err)
{
    hb_gguf *g;
    hb_status status = hb_gguf_open(path, &g, err);
    if (status) return status;
    described *d = calloc(1, sizeof *d);
    if (!d) {
        hb_gguf_close(g);
        return hb_fail_memory(err);
    }
    d->gguf = g;
    d->base = (hb_file_description){.path = hb_gguf_path(g),
                                    .size = hb_gguf_file_size(g),
                                    .n_parts = hb_gguf_n_parts(g),
                                    .version = hb_gguf_version(g),
                                    .n_weights = (int64_t)hb_gguf_n_weights(g),
                                    .architecture = hb_gguf_get_text(g, "general.architecture"),
                                    .name = hb_gguf_get_text(g, "general.name"),
                                    .chat_template = hb_gguf_get_text(g, "tokenizer.chat_template")};
    if (!describe_entries(d) || !describe_tensors(d)) {
        hb_describe_free(&d->base);
        return hb_fail_memory(err);
    }
    *description = &d->base;
    return HB_OK;
}

void hb_describe_free(hb_file_description *description)
{
    described *d = (described *)(void *)description;
    if (!d) return;
    hb_gguf_close(d->gguf);
    free(d->values);
    free(d->entries);
    free(d->tensors);
    free(d);
}
