/* What a model file holds, as JSON. Files are hostile: texts are cleaned and cut, arrays shown by their
 * first elements. */
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "base/utf8.h"
#include "engine/gguf.h"
#include "report/values.h"

enum { SHOWN_ELEMENTS = 8, SHOWN_ELEMENT_BYTES = 200, SHOWN_TEXT_BYTES = 1 << 16 };

static const char *const kinds[HB_GGUF_KINDS] = {
    [HB_GGUF_UINT8] = "u8",    [HB_GGUF_INT8] = "i8",    [HB_GGUF_UINT16] = "u16",
    [HB_GGUF_INT16] = "i16",   [HB_GGUF_UINT32] = "u32", [HB_GGUF_INT32] = "i32",
    [HB_GGUF_FLOAT32] = "f32", [HB_GGUF_BOOL] = "bool",  [HB_GGUF_STRING] = "string",
    [HB_GGUF_ARRAY] = "array", [HB_GGUF_UINT64] = "u64", [HB_GGUF_INT64] = "i64",
    [HB_GGUF_FLOAT64] = "f64",
};

/* A text of any bytes, cut to `most` with an ellipsis after it. */
static json_t *text_json(hb_gguf_text text, size_t most)
{
    hb_buffer clean = {0};
    bool ok = hb_buffer_add(&clean, "", 0), whole = text.length <= most;
    hb_utf8_clean(&clean, text.bytes, whole ? text.length : most, whole, &ok);
    if (ok && !whole) ok = hb_buffer_add_text(&clean, "\xE2\x80\xA6");
    json_t *string = ok ? json_stringn(clean.data, clean.length) : NULL;
    hb_buffer_free(&clean);
    return string;
}

/* A number of up to 8 bytes, little-endian as in the file. */
static json_t *number_json(hb_gguf_kind kind, const uint8_t *data)
{
    uint64_t bits = 0;
    float single;
    double full;
    unsigned n = hb_gguf_kind_bytes(kind);
    memcpy(&bits, data, n);
    bool is_signed = kind == HB_GGUF_INT8 || kind == HB_GGUF_INT16 || kind == HB_GGUF_INT32;
    switch (kind) {
    case HB_GGUF_BOOL:
        return json_boolean(bits != 0);
    case HB_GGUF_FLOAT32:
        memcpy(&single, data, sizeof single);
        return hb_json_number((double)single);
    case HB_GGUF_FLOAT64:
        memcpy(&full, data, sizeof full);
        return hb_json_number(full);
    case HB_GGUF_UINT64:
        if (bits > INT64_MAX) return json_real((double)bits);
        return json_integer((json_int_t)bits);
    default:
        if (is_signed && bits >> (8 * n - 1)) bits |= UINT64_MAX << (8 * n);
        return json_integer((json_int_t)bits);
    }
}

/* {"type", "value"}, or of an array {"type", "of", "count", "first"}. */
static json_t *value_json(const hb_gguf_value *v)
{
    const uint8_t *cursor = v->data;
    if (v->kind == HB_GGUF_STRING)
        return json_pack("{s:s, s:o}", "type", kinds[v->kind], "value",
                         text_json(hb_gguf_next_text(&cursor), SHOWN_TEXT_BYTES));
    if (v->kind != HB_GGUF_ARRAY)
        return json_pack("{s:s, s:o}", "type", kinds[v->kind], "value", number_json(v->kind, v->data));
    json_t *first = json_array();
    for (uint64_t i = 0; i < v->count && i < SHOWN_ELEMENTS; i++) {
        if (v->element == HB_GGUF_STRING) {
            json_array_append_new(first, text_json(hb_gguf_next_text(&cursor), SHOWN_ELEMENT_BYTES));
        } else {
            json_array_append_new(first, number_json(v->element, cursor));
            cursor += hb_gguf_kind_bytes(v->element);
        }
    }
    return json_pack("{s:s, s:s, s:I, s:o}", "type", kinds[v->kind], "of", kinds[v->element], "count",
                     (json_int_t)v->count, "first", first);
}

static json_t *metadata_json(const hb_gguf *g)
{
    uint64_t n;
    const hb_gguf_value *values = hb_gguf_values(g, &n);
    json_t *metadata = json_object();
    for (uint64_t i = 0; i < n; i++)
        json_object_setn_new(metadata, values[i].key.bytes, values[i].key.length,
                             value_json(&values[i]));
    return metadata;
}

/* ---- Tensors ------------------------------------------------------------------------------------- */

/* The type's name, or its number where it has none. */
static json_t *type_json(uint32_t type)
{
    const char *name = hb_type_get_info(type)->name;
    return name ? json_string(name) : json_sprintf("type %u", type);
}

static uint64_t n_weights(const hb_gguf_tensor *t)
{
    return t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
}

/* Null where the type's size is not known. */
static json_t *bytes_json(const hb_gguf_tensor *t)
{
    if (!t->data) return json_null();
    return json_integer((json_int_t)(t->row_bytes * t->dims[1] * t->dims[2] * t->dims[3]));
}

static json_t *tensors_json(const hb_gguf *g)
{
    uint64_t n;
    const hb_gguf_tensor *tensors = hb_gguf_tensors(g, &n);
    json_t *list = json_array();
    for (uint64_t i = 0; i < n; i++) {
        const hb_gguf_tensor *t = &tensors[i];
        json_t *shape = json_array();
        for (uint32_t k = 0; k < t->n_dims; k++)
            json_array_append_new(shape, json_integer((json_int_t)t->dims[k]));
        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:o, s:o, s:I, s:i}", "name",
                                        text_json(t->name, SHOWN_TEXT_BYTES), "type",
                                        type_json(t->type), "shape", shape, "bytes", bytes_json(t),
                                        "offset", (json_int_t)t->offset, "part", (int)t->part + 1));
    }
    return list;
}

/* Adds a number to an object's field; a null on either side makes it null. */
static void add_to(json_t *object, const char *field, json_t *number)
{
    const json_t *sum = json_object_get(object, field);
    bool known = json_is_integer(number) && (!sum || json_is_integer(sum));
    json_int_t total = json_integer_value(sum) + json_integer_value(number);
    json_object_set_new(object, field, known ? json_integer(total) : json_null());
    json_decref(number);
}

/* For each type that comes, how many tensors and weights are of it, and their bytes. */
static json_t *types_json(const hb_gguf *g)
{
    uint64_t n;
    const hb_gguf_tensor *tensors = hb_gguf_tensors(g, &n);
    json_t *types = json_object();
    for (uint64_t i = 0; i < n; i++) {
        json_t *name = type_json(tensors[i].type);
        const char *key = json_string_value(name);
        if (!json_object_get(types, key)) json_object_set_new(types, key, json_object());
        json_t *type = json_object_get(types, key);
        add_to(type, "tensors", json_integer(1));
        add_to(type, "weights", json_integer((json_int_t)n_weights(&tensors[i])));
        add_to(type, "bytes", bytes_json(&tensors[i]));
        json_decref(name);
    }
    return types;
}

/* ---- Whether it runs ----------------------------------------------------------------------------- */

/* Fills in "runs", "why_not" and "memory". */
static hb_status add_verdict(json_t *root, const hb_gguf *g, const char *path, int32_t n_ctx,
                             hb_error *err)
{
    hb_error why = {HB_OK, ""};
    hb_model *model = NULL;
    hb_memory m;
    uint64_t n_tensors;
    hb_session_options o = {.n_ctx = n_ctx};
    hb_gguf_tensors(g, &n_tensors);
    hb_status status = n_tensors ? hb_model_open(path, &model, &why)
                                 : hb_fail(&why, HB_ERR_UNSUPPORTED,
                                           "%s: holds no tensors, at most a vocabulary", path);
    if (!status) status = hb_session_memory(model, &o, &m, &why);
    hb_model_close(model);
    if (status == HB_ERR_MEMORY || status == HB_ERR_ARGUMENT)
        return hb_fail(err, status, "%s", why.message);
    json_object_set_new(root, "runs", json_boolean(!status));
    const hb_gguf_text reason = {why.message, strlen(why.message)};
    json_object_set_new(root, "why_not", status ? text_json(reason, SHOWN_TEXT_BYTES) : json_null());
    json_t *memory = json_null();
    if (!status) {
        uint64_t file = hb_gguf_file_size(g);
        memory = json_pack("{s:i, s:I, s:I, s:I, s:I}", "context", m.n_ctx, "file", (json_int_t)file,
                           "cache", (json_int_t)m.cache, "work", (json_int_t)m.work, "total",
                           (json_int_t)(file + m.cache + m.work));
    }
    json_object_set_new(root, "memory", memory);
    return HB_OK;
}

/* The format that --chat would apply; null for none. */
static json_t *chat_json(const hb_gguf *g)
{
    hb_gguf_text template = hb_gguf_get_text(g, "tokenizer.chat_template");
    const char *format = template.bytes ? hb_chat_recognise(template.bytes, template.length) : NULL;
    return format ? json_string(format) : json_null();
}

static json_t *file_json(const hb_gguf *g)
{
    const hb_gguf_text path = {hb_gguf_path(g), strlen(hb_gguf_path(g))};
    hb_gguf_text architecture = hb_gguf_get_text(g, "general.architecture");
    hb_gguf_text name = hb_gguf_get_text(g, "general.name");
    return json_pack("{s:o, s:I, s:I, s:I, s:o, s:o, s:o, s:I, s:o, s:o, s:o}", "path",
                     text_json(path, SHOWN_TEXT_BYTES), "file_size", (json_int_t)hb_gguf_file_size(g),
                     "parts", (json_int_t)hb_gguf_n_parts(g), "gguf_version",
                     (json_int_t)hb_gguf_version(g), "architecture",
                     architecture.bytes ? text_json(architecture, SHOWN_ELEMENT_BYTES) : json_null(),
                     "name", name.bytes ? text_json(name, SHOWN_ELEMENT_BYTES) : json_null(),
                     "chat_format", chat_json(g), "parameters", (json_int_t)hb_gguf_n_weights(g),
                     "types", types_json(g), "metadata", metadata_json(g), "tensors", tensors_json(g));
}

/* The document as text without any control character: Jansson leaves DEL as it is. Takes root. */
static char *dump(json_t *root)
{
    hb_buffer text = {0};
    char *raw = json_dumps(root, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    bool ok = raw != NULL;
    for (const char *c = raw; ok && *c; c++)
        ok = *c == 0x7F ? hb_buffer_add_text(&text, "\\u007F") : hb_buffer_add(&text, c, 1);
    json_decref(root);
    free(raw);
    if (ok) return text.data;
    hb_buffer_free(&text);
    return NULL;
}

hb_status hb_inspect(const char *path, int32_t n_ctx, char **json, hb_error *err)
{
    hb_gguf *g;
    hb_status status = hb_gguf_open(path, &g, err);
    if (status) return status;
    json_t *root = file_json(g);
    status = root ? add_verdict(root, g, path, n_ctx, err) : hb_fail_memory(err);
    hb_gguf_close(g);
    if (status) {
        json_decref(root);
        return status;
    }
    *json = dump(root);
    return *json ? HB_OK : hb_fail_memory(err);
}
