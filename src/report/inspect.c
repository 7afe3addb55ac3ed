#include "report/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/utf8.h"

const char *hb_type_text(const hb_file_tensor *tensor, char out[32])
{
    if (tensor->type) return tensor->type;
    snprintf(out, 32, "type %u", tensor->type_number);
    return out;
}

/* ---- Types --------------------------------------------------------------------------------------- */

static int compare_types(const void *a, const void *b)
{
    const hb_file_tensor *x = ((const hb_inspected_type *)a)->first,
                         *y = ((const hb_inspected_type *)b)->first;
    if (x->type_number != y->type_number) return x->type_number < y->type_number ? -1 : 1;
    return (x > y) - (x < y);
}

static int compare_firsts(const void *a, const void *b)
{
    const hb_file_tensor *x = ((const hb_inspected_type *)a)->first,
                         *y = ((const hb_inspected_type *)b)->first;
    return (x > y) - (x < y);
}

/* Sums up tensors by type. Sorting makes tensors of one type adjacent. */
static hb_status sum_types(hb_inspection *in, hb_error *err)
{
    const hb_file_description *f = in->file;
    hb_inspected_type *types = calloc(f->n_tensors + 1, sizeof *types);
    if (!types) return hb_fail_memory(err);
    for (size_t i = 0; i < f->n_tensors; i++) {
        const hb_file_tensor *t = &f->tensors[i];
        types[i] = (hb_inspected_type){t, 1, t->n_weights, t->bytes};
    }
    qsort(types, f->n_tensors, sizeof *types, compare_types);
    for (size_t i = 0; i < f->n_tensors; i++) {
        hb_inspected_type *last = in->n_types ? &types[in->n_types - 1] : NULL;
        if (!last || last->first->type_number != types[i].first->type_number) {
            types[in->n_types++] = types[i];
            continue;
        }
        last->tensors++;
        last->weights += types[i].weights;
        if (last->bytes >= 0) last->bytes += types[i].bytes;
    }
    qsort(types, in->n_types, sizeof *types, compare_firsts);
    in->types = types;
    return HB_OK;
}

/* ---- Chat ---------------------------------------------------------------------------------------- */

/* Writes a conversation, with a system message if the template takes one. Without the model it lacks
 * the tokens that begin and end a text. */
static hb_status render_sample(const hb_chat *chat, char **text, size_t *length, hb_error *err)
{
    static const hb_message talk[] = {{HB_ROLE_SYSTEM, "Be brief.", 9},
                                      {HB_ROLE_USER, "Hello", 5},
                                      {HB_ROLE_ASSISTANT, "Hi.", 3},
                                      {HB_ROLE_USER, "How are you?", 12}};
    hb_status status = hb_chat_render(chat, talk, 4, true, text, length, err);
    if (!status || status == HB_ERR_MEMORY) return status;
    return hb_chat_render(chat, talk + 1, 3, true, text, length, err);
}

static hb_status try_chat(hb_inspection *in, hb_error *err)
{
    const hb_text template = in->file->chat_template;
    const hb_chat_options o = {.template_text = template.bytes, .template_length = template.length};
    hb_chat *chat = NULL;
    hb_buffer clean = {0};
    hb_error why;
    char *text = NULL;
    size_t length = 0;
    if (!template.bytes) return HB_OK;
    in->chat_format = hb_chat_recognise(template.bytes, template.length);
    hb_status status = hb_chat_open(NULL, &o, &chat, &why);
    if (!status) status = render_sample(chat, &text, &length, &why);
    bool ok = status != HB_ERR_MEMORY && hb_buffer_add(&clean, "", 0);
    if (status) in->chat_error = strdup(why.message);
    else hb_utf8_clean(&clean, text, length, true, &ok);
    if (status || !ok) hb_buffer_free(&clean);
    in->chat_sample = clean.data;
    free(text);
    hb_chat_close(chat);
    return ok && (in->chat_sample || in->chat_error) ? HB_OK : hb_fail_memory(err);
}

/* ---- Whether it runs ----------------------------------------------------------------------------- */

static hb_status judge(hb_inspection *in, int32_t n_ctx, hb_error *err)
{
    hb_error why = {HB_OK, ""};
    const hb_file_description *f = in->file;
    const hb_session_options o = {.n_ctx = n_ctx};
    hb_status status = f->n_tensors ? hb_model_open(f->path, &in->model, &why)
                                    : hb_fail(&why, HB_ERR_UNSUPPORTED,
                                              "%s: holds no tensors, at most a vocabulary", f->path);
    if (!status) status = hb_session_memory(in->model, &o, &in->memory, &why);
    if (status == HB_ERR_MEMORY || status == HB_ERR_ARGUMENT)
        return hb_fail(err, status, "%s", why.message);
    in->runs = !status;
    snprintf(in->why_not, sizeof in->why_not, "%s", why.message);
    return HB_OK;
}

hb_status hb_inspection_open(const char *path, int32_t n_ctx, hb_inspection *inspection, hb_error *err)
{
    hb_inspection in = {0};
    hb_status status = hb_describe_file(path, &in.file, err);
    if (status) return status;
    status = sum_types(&in, err);
    if (!status) status = try_chat(&in, err);
    if (!status) status = judge(&in, n_ctx, err);
    if (status) hb_inspection_close(&in);
    else *inspection = in;
    return status;
}

void hb_inspection_close(hb_inspection *inspection)
{
    hb_model_close(inspection->model);
    hb_describe_free(inspection->file);
    free(inspection->types);
    free(inspection->chat_sample);
    free(inspection->chat_error);
}
