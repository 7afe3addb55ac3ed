#include "engine/model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/kernels/kernels.h"
#include "engine/model.h"

/* Writes "ARCHITECTURE.KEY". Returns false if it is too long. */
static bool full_key(const hb_model *file, const char *key, char full[128])
{
    int n = snprintf(full, 128, "%s.%s", file->info.architecture, key);
    return n >= 0 && n < 128;
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

/* ---- What libraries may not check --------------------------------------------------------------- */

static hb_status check_epsilons(const hb_model *file, hb_error *err)
{
    static const char *const epsilons[] = {"attention.layer_norm_rms_epsilon",
                                           "attention.layer_norm_epsilon",
                                           "attention.group_norm_epsilon"};
    char full[128];
    double epsilon = 0;
    hb_status status = HB_OK;
    for (size_t i = 0; i < sizeof epsilons / sizeof *epsilons && !status; i++)
        if (full_key(file, epsilons[i], full))
            status = hb_gguf_get_float(hb_native(file)->gguf, full, false, &epsilon, err);
    return status;
}

/* The number of dimensions of a head that are rotated. */
static hb_status check_rotated(const hb_model *file, hb_error *err)
{
    const hb_gguf *gguf = hb_native(file)->gguf;
    double heads = hb_model_file_number(file, "attention.head_count");
    double width = hb_model_file_number(file, "embedding_length");
    int64_t head = (int64_t)(heads > 0 ? width / heads : width), rotated = 2;
    char full[128];
    hb_status status = HB_OK;
    if (full_key(file, "attention.key_length", full))
        status = hb_gguf_get_int(gguf, full, false, 1, INT32_MAX, &head, err);
    if (status || !full_key(file, "rope.dimension_count", full)) return status;
    status = hb_gguf_get_int(gguf, full, false, 1, head, &rotated, err);
    if (status || rotated % 2 == 0) return status;
    return hb_fail(err, HB_ERR_FORMAT, "%s: metadata '%s' is %lld, an odd number", file->info.path,
                   full, (long long)rotated);
}

/* A token to be sorted by its text. */
typedef struct token {
    hb_text text;
    uint64_t id;
} token;

static int compare_tokens(const void *a, const void *b)
{
    const token *x = a, *y = b;
    int order = hb_text_compare(x->text, y->text);
    return order ? order : (x->id > y->id) - (x->id < y->id);
}

/* Refuses two tokens with the same text. Libraries end a text at a zero byte, and give tokens without a
 * text one of their own. */
static hb_status check_tokens(const hb_model *file, hb_error *err)
{
    const hb_gguf_value *value = hb_gguf_find(hb_native(file)->gguf, "tokenizer.ggml.tokens");
    if (!value || value->kind != HB_GGUF_ARRAY || value->element != HB_GGUF_STRING) return HB_OK;
    const uint8_t *at = value->data;
    token *list = calloc(value->count + 1, sizeof *list);
    if (!list) return hb_fail_memory(err);
    for (uint64_t i = 0; i < value->count; i++) {
        list[i] = (token){hb_gguf_next_text(&at), i};
        list[i].text.length = strnlen(list[i].text.bytes, list[i].text.length);
    }
    qsort(list, value->count, sizeof *list, compare_tokens);
    hb_status status = HB_OK;
    for (uint64_t i = 1; i < value->count && !status; i++)
        if (list[i].text.length && hb_text_compare(list[i - 1].text, list[i].text) == 0)
            status = hb_fail(err, HB_ERR_FORMAT, "%s: tokens %llu and %llu have the same text",
                             file->info.path, (unsigned long long)list[i - 1].id,
                             (unsigned long long)list[i].id);
    free(list);
    return status;
}

hb_status hb_model_file_check(const hb_model *file, bool vocab_only, int32_t max_blocks, hb_error *err)
{
    char full[128];
    int64_t blocks = 0;
    hb_status status = check_tokens(file, err);
    if (status || vocab_only) return status;
    if (full_key(file, "block_count", full))
        status = hb_gguf_get_int(hb_native(file)->gguf, full, false, 1, max_blocks, &blocks, err);
    if (!status) status = check_epsilons(file, err);
    return status ? status : check_rotated(file, err);
}

/* ---- Tensors ------------------------------------------------------------------------------------- */

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
