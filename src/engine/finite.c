/* Finds the tensor that makes a model's results NaN or infinite. */
#include <math.h>
#include <stdlib.h>
#include "engine/kernels/kernels.h"
#include "engine/model.h"

/* Whether all weights of a row are finite. `floats` has room for a row. */
static bool row_is_finite(const uint8_t *row, uint32_t type, size_t n, float *floats)
{
    const float *weights = floats;
    if (type == HB_TYPE_F32) weights = (const float *)(const void *)row;
    else hb_kernels_portable.to_f32[type](row, floats, n);
    float sum = 0; /* 0 unless a weight is NaN or infinite */
    for (size_t i = 0; i < n; i++) sum += weights[i] * 0;
    return sum == 0;
}

static bool tensor_is_finite(const hb_gguf_tensor *t, float *floats)
{
    uint64_t rows = t->dims[1] * t->dims[2] * t->dims[3];
    for (uint64_t r = 0; r < rows; r++)
        if (!row_is_finite(t->data + r * t->row_bytes, t->type, (size_t)t->dims[0], floats))
            return false;
    return true;
}

static int64_t search(const hb_gguf *gguf)
{
    uint64_t n, longest = 0;
    const hb_gguf_tensor *tensors = hb_gguf_tensors(gguf, &n);
    int64_t found = -1;
    for (uint64_t i = 0; i < n; i++)
        if (tensors[i].data && tensors[i].dims[0] > longest) longest = tensors[i].dims[0];
    float *floats = calloc((size_t)longest + 1, sizeof *floats);
    for (uint64_t i = 0; i < n && floats && found < 0; i++)
        if (tensors[i].data && !tensor_is_finite(&tensors[i], floats)) found = (int64_t)i;
    free(floats);
    return found;
}

/* The result of the search is kept, because each sample of a run may ask. */
hb_text hb_native_not_finite(const hb_model *model)
{
    enum { UNKNOWN, NONE, FIRST };
    hb_native_model *m = (hb_native_model *)(void *)model;
    uint64_t n;
    int64_t known = atomic_load(&m->not_finite);
    if (known == UNKNOWN) {
        int64_t found = search(m->gguf);
        known = found < 0 ? NONE : FIRST + found;
        atomic_store(&m->not_finite, known);
    }
    return known == NONE ? (hb_text){0} : hb_gguf_tensors(m->gguf, &n)[known - FIRST].name;
}
