#include "engine/model_file.h"

#include <stdio.h>
#include <string.h>
#include "engine/kernels/kernels.h"
#include "engine/model.h"

/* Writes "ARCHITECTURE.KEY". Returns false if it is too long. */
static bool full_key(const hb_model *file, const char *key, char full[128])
{
    int n = snprintf(full, 128, "%s.%s", file->info.architecture, key);
    return n >= 0 && n < 128;
}

hb_status hb_model_file_check(const hb_model *file, int32_t max_blocks, hb_error *err)
{
    static const char *const epsilons[] = {"attention.layer_norm_rms_epsilon",
                                           "attention.layer_norm_epsilon",
                                           "attention.group_norm_epsilon"};
    const hb_gguf *gguf = hb_native(file)->gguf;
    char full[128];
    int64_t blocks = 0;
    double epsilon = 0;
    hb_status status = HB_OK;
    if (full_key(file, "block_count", full))
        status = hb_gguf_get_int(gguf, full, false, 1, max_blocks, &blocks, err);
    for (size_t i = 0; i < sizeof epsilons / sizeof *epsilons && !status; i++)
        if (full_key(file, epsilons[i], full))
            status = hb_gguf_get_float(gguf, full, false, &epsilon, err);
    return status;
}

double hb_model_file_number(const hb_model *file, const char *key)
{
    char full[128];
    double real = 0;
    int64_t whole = 0;
    const hb_gguf *gguf = hb_native(file)->gguf;
    if (!full_key(file, key, full)) return 0;
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
