/* What a model file holds, as JSON. Files are hostile: texts are cleaned and cut, arrays shown by their
 * first elements. */
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "base/utf8.h"
#include "engine/engine.h"
#include "report/values.h"

enum { SHOWN_ELEMENT_BYTES = 200, SHOWN_TEXT_BYTES = 1 << 16 };

/* A text of any bytes, cut to `most` with an ellipsis after it. */
static json_t *text_json(hb_text text, size_t most)
{
    hb_buffer clean = {0};
    bool ok = hb_buffer_add(&clean, "", 0), whole = text.length <= most;
    hb_utf8_clean(&clean, text.bytes, whole ? text.length : most, whole, &ok);
    if (ok && !whole) ok = hb_buffer_add_text(&clean, "\xE2\x80\xA6");
    json_t *string = ok ? json_stringn(clean.data, clean.length) : NULL;
    hb_buffer_free(&clean);
    return string;
}

static json_t *scalar_json(const hb_file_value *v, size_t most)
{
    switch (v->kind) {
    case HB_FILE_TEXT:
        return text_json(v->text, most);
    case HB_FILE_INTEGER:
        return json_integer(v->integer);
    case HB_FILE_REAL:
        return hb_json_number(v->real);
    default:
        return json_boolean(v->boolean);
    }
}

/* {"type", "value"}, or of an array {"type", "of", "count", "first"}. */
static json_t *value_json(const hb_file_entry *e)
{
    if (!e->element)
        return json_pack("{s:s, s:o}", "type", e->type, "value",
                         scalar_json(&e->values[0], SHOWN_TEXT_BYTES));
    json_t *first = json_array();
    for (size_t i = 0; i < e->n_values; i++)
        json_array_append_new(first, scalar_json(&e->values[i], SHOWN_ELEMENT_BYTES));
    return json_pack("{s:s, s:s, s:I, s:o}", "type", e->type, "of", e->element, "count",
                     (json_int_t)e->count, "first", first);
}

static json_t *metadata_json(const hb_file_description *f)
{
    json_t *metadata = json_object();
    for (size_t i = 0; i < f->n_entries; i++)
        json_object_setn_new(metadata, f->entries[i].key.bytes, f->entries[i].key.length,
                             value_json(&f->entries[i]));
    return metadata;
}

/* ---- Tensors ------------------------------------------------------------------------------------- */

/* The type's name, or its number where it has none. */
static json_t *type_json(const hb_file_tensor *t)
{
    return t->type ? json_string(t->type) : json_sprintf("type %u", t->type_number);
}

/* Null where the type's size is not known. */
static json_t *bytes_json(const hb_file_tensor *t)
{
    return t->bytes < 0 ? json_null() : json_integer(t->bytes);
}

static json_t *tensors_json(const hb_file_description *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->n_tensors; i++) {
        const hb_file_tensor *t = &f->tensors[i];
        json_t *shape = json_array();
        for (uint32_t k = 0; k < t->n_dims; k++)
            json_array_append_new(shape, json_integer((json_int_t)t->dims[k]));
        json_array_append_new(list,
                              json_pack("{s:o, s:o, s:o, s:o, s:I, s:i}", "name",
                                        text_json(t->name, SHOWN_TEXT_BYTES), "type", type_json(t),
                                        "shape", shape, "bytes", bytes_json(t), "offset",
                                        (json_int_t)t->offset, "part", (int)t->part + 1));
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
static json_t *types_json(const hb_file_description *f)
{
    json_t *types = json_object();
    for (size_t i = 0; i < f->n_tensors; i++) {
        const hb_file_tensor *t = &f->tensors[i];
        json_t *name = type_json(t);
        const char *key = json_string_value(name);
        if (!json_object_get(types, key)) json_object_set_new(types, key, json_object());
        json_t *type = json_object_get(types, key);
        add_to(type, "tensors", json_integer(1));
        add_to(type, "weights", json_integer(t->n_weights));
        add_to(type, "bytes", bytes_json(t));
        json_decref(name);
    }
    return types;
}

/* ---- Whether it runs ----------------------------------------------------------------------------- */

static json_t *memory_json(const hb_file_description *f, const hb_memory *m)
{
    return json_pack("{s:i, s:I, s:I, s:I, s:I}", "context", m->n_ctx, "file", (json_int_t)f->size,
                     "cache", (json_int_t)m->cache, "work", (json_int_t)m->work, "total",
                     (json_int_t)(f->size + m->cache + m->work));
}

/* What hbar had to guess about a model that it can run. */
static json_t *warnings_json(const hb_model *model)
{
    json_t *list = json_array();
    const char *warning;
    for (size_t i = 0; model && (warning = hb_model_warning(model, i)); i++)
        json_array_append_new(list, text_json((hb_text){warning, strlen(warning)}, SHOWN_TEXT_BYTES));
    return list;
}

/* Fills in "runs", "why_not", "warnings" and "memory". */
static hb_status add_verdict(json_t *root, const hb_file_description *f, int32_t n_ctx, hb_error *err)
{
    hb_error why = {HB_OK, ""};
    hb_model *model = NULL;
    hb_memory m;
    hb_session_options o = {.n_ctx = n_ctx};
    hb_status status = f->n_tensors ? hb_model_open(f->path, &model, &why)
                                    : hb_fail(&why, HB_ERR_UNSUPPORTED,
                                              "%s: holds no tensors, at most a vocabulary", f->path);
    if (!status) status = hb_session_memory(model, &o, &m, &why);
    const hb_text reason = {why.message, strlen(why.message)};
    json_object_set_new(root, "runs", json_boolean(!status));
    json_object_set_new(root, "why_not", status ? text_json(reason, SHOWN_TEXT_BYTES) : json_null());
    json_object_set_new(root, "warnings", warnings_json(model));
    json_object_set_new(root, "memory", status ? json_null() : memory_json(f, &m));
    hb_model_close(model);
    if (status == HB_ERR_MEMORY || status == HB_ERR_ARGUMENT)
        return hb_fail(err, status, "%s", why.message);
    return HB_OK;
}

/* The format that --chat would apply; null for none. */
static json_t *chat_json(const hb_file_description *f)
{
    hb_text t = f->chat_template;
    const char *format = t.bytes ? hb_chat_recognise(t.bytes, t.length) : NULL;
    return format ? json_string(format) : json_null();
}

static json_t *short_text_json(hb_text text)
{
    return text.bytes ? text_json(text, SHOWN_ELEMENT_BYTES) : json_null();
}

static json_t *file_json(const hb_file_description *f)
{
    const hb_text path = {f->path, strlen(f->path)};
    return json_pack("{s:o, s:I, s:I, s:I, s:o, s:o, s:o, s:I, s:o, s:o, s:o}", "path",
                     text_json(path, SHOWN_TEXT_BYTES), "file_size", (json_int_t)f->size, "parts",
                     (json_int_t)f->n_parts, "gguf_version", (json_int_t)f->version, "architecture",
                     short_text_json(f->architecture), "name", short_text_json(f->name), "chat_format",
                     chat_json(f), "parameters", (json_int_t)f->n_weights, "types", types_json(f),
                     "metadata", metadata_json(f), "tensors", tensors_json(f));
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
    hb_file_description *f;
    hb_status status = hb_describe_file(path, &f, err);
    if (status) return status;
    json_t *root = file_json(f);
    status = root ? add_verdict(root, f, n_ctx, err) : hb_fail_memory(err);
    hb_describe_free(f);
    if (status) {
        json_decref(root);
        return status;
    }
    *json = dump(root);
    return *json ? HB_OK : hb_fail_memory(err);
}
