/* Writes the contents of a model file as JSON. Files are untrusted: texts are cleaned and cut, and only
 * the first elements of arrays are shown. */
#include <string.h>
#include "base/json.h"
#include "base/utf8.h"
#include "report/inspect.h"

enum { ELEMENT_BYTES = 200, TEXT_BYTES = 1 << 16 }; /* maximum bytes shown of a text */

/* Adds a text of any bytes. A text longer than `most` is cut and ends in an ellipsis. No text becomes
 * null. */
static void add_text(hb_json *j, const char *key, hb_text text, size_t most)
{
    hb_buffer clean = {0};
    bool ok = hb_buffer_add(&clean, "", 0), whole = text.length <= most;
    if (text.bytes) hb_utf8_clean(&clean, text.bytes, whole ? text.length : most, whole, &ok);
    if (ok && !whole) ok = hb_buffer_add_text(&clean, "\xE2\x80\xA6");
    if (ok) hb_json_text(j, key, text.bytes ? clean.data : NULL);
    else j->out.failed = true;
    hb_buffer_free(&clean);
}

/* Adds a count, limited to the largest number that JSON readers accept. */
static void add_count(hb_json *j, const char *key, uint64_t value)
{
    hb_json_whole(j, key, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

/* Adds a number of bytes; null when unknown. */
static void add_bytes(hb_json *j, const char *key, int64_t bytes)
{
    if (bytes < 0) hb_json_null(j, key);
    else hb_json_whole(j, key, bytes);
}

/* ---- Metadata ----------------------------------------------------------------------------------- */

static void add_scalar(hb_json *j, const char *key, const hb_file_value *v, size_t most)
{
    if (v->kind == HB_FILE_TEXT) add_text(j, key, v->text, most);
    else if (v->kind == HB_FILE_INTEGER) hb_json_whole(j, key, v->integer);
    else if (v->kind == HB_FILE_REAL) hb_json_number(j, key, v->real);
    else hb_json_bool(j, key, v->boolean);
}

/* Adds {"type", "value"}, or for an array {"type", "of", "count", "first"}. */
static void add_entry(hb_json *j, const char *key, const hb_file_entry *e)
{
    hb_json_row(j, key);
    hb_json_text(j, "type", e->type);
    if (e->element) {
        hb_json_text(j, "of", e->element);
        add_count(j, "count", e->count);
        hb_json_list(j, "first");
        for (size_t i = 0; i < e->n_values; i++) add_scalar(j, NULL, &e->values[i], ELEMENT_BYTES);
        hb_json_end(j);
    } else {
        add_scalar(j, "value", &e->values[0], TEXT_BYTES);
    }
    hb_json_end(j);
}

static void add_metadata(hb_json *j, const hb_file_description *f)
{
    hb_json_object(j, "metadata");
    for (size_t i = 0; i < f->n_entries; i++) {
        hb_buffer key = {0};
        if (hb_buffer_add(&key, f->entries[i].key.bytes, f->entries[i].key.length))
            add_entry(j, key.data, &f->entries[i]);
        else j->out.failed = true;
        hb_buffer_free(&key);
    }
    hb_json_end(j);
}

/* ---- Tensors ------------------------------------------------------------------------------------ */

static void add_tensors(hb_json *j, const hb_file_description *f)
{
    char type[32];
    hb_json_array(j, "tensors");
    for (size_t i = 0; i < f->n_tensors; i++) {
        const hb_file_tensor *t = &f->tensors[i];
        hb_json_row(j, NULL);
        add_text(j, "name", t->name, TEXT_BYTES);
        hb_json_text(j, "type", hb_type_text(t, type));
        hb_json_list(j, "shape");
        for (uint32_t k = 0; k < t->n_dims; k++) add_count(j, NULL, t->dims[k]);
        hb_json_end(j);
        add_bytes(j, "bytes", t->bytes);
        add_count(j, "offset", t->offset);
        hb_json_whole(j, "part", (int64_t)t->part + 1);
        hb_json_end(j);
    }
    hb_json_end(j);
}

static void add_types(hb_json *j, const hb_inspection *in)
{
    char name[32];
    hb_json_object(j, "types");
    for (size_t i = 0; i < in->n_types; i++) {
        const hb_inspected_type *t = &in->types[i];
        hb_json_row(j, hb_type_text(t->first, name));
        hb_json_whole(j, "tensors", t->tensors);
        hb_json_whole(j, "weights", t->weights);
        add_bytes(j, "bytes", t->bytes);
        hb_json_end(j);
    }
    hb_json_end(j);
}

/* ---- The document ------------------------------------------------------------------------------- */

/* {"text", "error"}, one of them null; null without a template. */
static void add_chat_sample(hb_json *j, const hb_inspection *in)
{
    const hb_text text = {in->chat_sample, in->chat_sample ? strlen(in->chat_sample) : 0};
    if (!in->chat_sample && !in->chat_error) {
        hb_json_null(j, "chat_sample");
        return;
    }
    hb_json_row(j, "chat_sample");
    add_text(j, "text", text, TEXT_BYTES);
    hb_json_text(j, "error", in->chat_error);
    hb_json_end(j);
}

static void add_file(hb_json *j, const hb_inspection *in)
{
    const hb_file_description *f = in->file;
    hb_json_text(j, "path", f->path);
    add_count(j, "file_size", f->size);
    add_count(j, "parts", f->n_parts);
    add_count(j, "gguf_version", f->version);
    add_text(j, "architecture", f->architecture, ELEMENT_BYTES);
    add_text(j, "name", f->name, ELEMENT_BYTES);
    hb_json_text(j, "chat_format", in->chat_format);
    add_chat_sample(j, in);
    hb_json_whole(j, "parameters", f->n_weights);
}

static void add_memory(hb_json *j, const hb_inspection *in)
{
    const hb_memory *m = &in->memory;
    hb_json_row(j, "memory");
    hb_json_whole(j, "context", m->n_ctx);
    add_count(j, "file", in->file->size);
    add_count(j, "cache", m->cache);
    add_count(j, "work", m->work);
    add_count(j, "total", in->file->size + m->cache + m->work);
    hb_json_end(j);
}

static void add_verdict(hb_json *j, const hb_inspection *in)
{
    const char *warning;
    hb_json_bool(j, "runs", in->runs);
    hb_json_text(j, "engine", in->runs ? hb_model_engine(in->model) : NULL);
    hb_json_text(j, "why_not", in->runs ? NULL : in->why_not);
    hb_json_array(j, "warnings");
    for (size_t i = 0; in->model && (warning = hb_model_warning(in->model, i)); i++)
        hb_json_text(j, NULL, warning);
    hb_json_end(j);
    if (in->runs) add_memory(j, in);
    else hb_json_null(j, "memory");
}

hb_status hb_inspect(const char *path, int32_t n_ctx, char **json, hb_error *err)
{
    hb_inspection in;
    hb_json j = {.ascii = true};
    hb_status status = hb_inspection_open(path, n_ctx, &in, err);
    if (status) return status;
    hb_json_object(&j, NULL);
    add_file(&j, &in);
    add_types(&j, &in);
    add_metadata(&j, in.file);
    add_tensors(&j, in.file);
    add_verdict(&j, &in);
    hb_json_end(&j);
    hb_inspection_close(&in);
    return hb_json_finish(&j, json, err);
}
