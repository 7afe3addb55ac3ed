#include "engine/model_file.h"

#include <stdio.h>
#include <string.h>
#include "engine/kernels/kernels.h"
#include "engine/model.h"

double hb_model_file_number(const hb_model *file, const char *key)
{
    char full[128];
    double real = 0;
    int64_t whole = 0;
    const hb_gguf *gguf = hb_native(file)->gguf;
    int n = snprintf(full, sizeof full, "%s.%s", file->info.architecture, key);
    if (n < 0 || (size_t)n >= sizeof full) return 0;
    if (!hb_gguf_get_float(gguf, full, true, &real, NULL)) return real;
    return hb_gguf_get_int(gguf, full, true, 1, INT32_MAX, &whole, NULL) ? 0 : (double)whole;
}

const hb_gguf_tensor *hb_model_file_tensor(const hb_model *file, const char *name, int32_t cols,
                                           int32_t rows)
{
    const hb_gguf_tensor *tensor;
    hb_status status = hb_gguf_take_tensor(hb_native(file)->gguf, name, (hb_gguf_shape){cols, rows, 1},
                                           true, &tensor, NULL);
    return status ? NULL : tensor;
}

void hb_model_file_row(const hb_gguf_tensor *tensor, int32_t row, float *out)
{
    const uint8_t *from = tensor->data + (uint64_t)row * tensor->row_bytes;
    if (tensor->type == HB_TYPE_F32) memcpy(out, from, tensor->dims[0] * sizeof *out);
    else hb_kernels_portable.to_f32[tensor->type](from, out, tensor->dims[0]);
}
