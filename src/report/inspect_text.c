/* Writes the contents of a model file as human-readable text. Files are untrusted: texts are quoted and
 * cut, and only the first elements of arrays are shown. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/writer.h"
#include "report/inspect.h"

enum { SHOWN_TEXT = 160, SHOWN_CHAT = 4096 }; /* maximum bytes shown of a text */

/* ---- Values -------------------------------------------------------------------------------------- */

/* Writes a size in a human-readable unit; -1 means unknown. */
static void write_size(hb_writer *w, int64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double size = (double)bytes;
    int unit = 0;
    while (size >= 1024 && unit < 4) size /= 1024, unit++;
    if (bytes < 0) hb_write(w, "unknown size");
    else hb_write(w, unit ? "%.2f %s" : "%.0f %s", size, units[unit]);
}

/* Writes a text in quotes. Long text is cut between two characters. */
static void write_text(hb_writer *w, hb_text text, size_t most)
{
    size_t length = text.length, shown = length < most ? length : most;
    while (shown < length && shown > 0 && ((unsigned char)text.bytes[shown] & 0xC0) == 0x80) shown--;
    hb_write_quoted(w, text.bytes, shown);
    if (shown < length) hb_write(w, "... (%zu bytes)", length);
}

static void write_string(hb_writer *w, const char *text)
{
    hb_write_quoted(w, text, strlen(text));
}

static void write_value(hb_writer *w, const hb_file_value *v)
{
    if (v->kind == HB_FILE_TEXT) write_text(w, v->text, SHOWN_TEXT);
    else if (v->kind == HB_FILE_INTEGER) hb_write(w, "%lld", (long long)v->integer);
    else if (v->kind == HB_FILE_BOOLEAN) hb_write(w, v->boolean ? "true" : "false");
    else if (isfinite(v->real)) hb_write(w, "%.9g", v->real);
    else hb_write(w, "not a number");
}

static void write_entry(hb_writer *w, const hb_file_entry *e)
{
    hb_write(w, "  ");
    hb_write_printable(w, e->key.bytes, e->key.length);
    hb_write(w, e->element ? " = [" : " = ");
    for (size_t i = 0; i < e->n_values; i++) {
        if (i) hb_write(w, ", ");
        write_value(w, &e->values[i]);
    }
    if (e->element)
        hb_write(w, "%s] (%llu of %s)\n", e->count > e->n_values ? ", ..." : "",
                 (unsigned long long)e->count, e->element);
    else hb_write(w, " (%s)\n", e->type);
}

/* ---- Parts of the report ------------------------------------------------------------------------- */

static void write_file(hb_writer *w, const hb_file_description *f)
{
    write_string(w, f->path);
    hb_write(w, ": GGUF version %u, ", f->version);
    write_size(w, (int64_t)f->size);
    if (f->n_parts > 1) hb_write(w, " in %u parts", f->n_parts);
    hb_write(w, "\nArchitecture  ");
    if (f->architecture.bytes) write_text(w, f->architecture, SHOWN_TEXT);
    else hb_write(w, "not given");
    if (f->name.bytes) {
        hb_write(w, ", name ");
        write_text(w, f->name, SHOWN_TEXT);
    }
    hb_write(w, "\nParameters    %lld in %zu tensors\n", (long long)f->n_weights, f->n_tensors);
}

static void write_memory(hb_writer *w, const hb_inspection *in)
{
    const hb_memory *m = &in->memory;
    hb_write(w, "Memory        ");
    write_size(w, (int64_t)(in->file->size + m->cache + m->work));
    hb_write(w, " for a context of %d: the file, mapped, ", m->n_ctx);
    write_size(w, (int64_t)in->file->size);
    hb_write(w, ", keys and values ");
    write_size(w, (int64_t)m->cache);
    hb_write(w, ", work ");
    write_size(w, (int64_t)m->work);
    hb_write(w, "\n");
}

/* What --chat makes of a conversation. */
static void write_chat(hb_writer *w, const hb_inspection *in)
{
    const char *shown = in->chat_sample ? in->chat_sample : in->chat_error;
    hb_write(w, "Chat          %s", shown ? "the file's template" : "no template");
    if (in->chat_format) hb_write(w, ", similar to %s", in->chat_format);
    hb_write(w, "\n");
    if (!shown) return;
    hb_write(w, in->chat_sample ? "Chat sample   " : "Chat error    ");
    write_text(w, (hb_text){shown, strlen(shown)}, SHOWN_CHAT);
    hb_write(w, "\n");
}

static void write_verdict(hb_writer *w, const hb_inspection *in)
{
    const char *warning;
    write_chat(w, in);
    hb_write(w, in->runs ? "Runs          yes" : "Runs          no: ");
    if (in->runs && strcmp(hb_model_engine(in->model), hb_engine_name(HB_ENGINE_NATIVE)) != 0)
        hb_write(w, ", with the engine %s", hb_model_engine(in->model));
    if (!in->runs) write_string(w, in->why_not);
    hb_write(w, "\n");
    for (size_t i = 0; in->model && (warning = hb_model_warning(in->model, i)); i++) {
        hb_write(w, "Warning       ");
        write_string(w, warning);
        hb_write(w, "\n");
    }
    if (in->runs) write_memory(w, in);
}

static void write_types(hb_writer *w, const hb_inspection *in)
{
    char name[32];
    hb_write(w, "Types\n");
    for (size_t i = 0; i < in->n_types; i++) {
        const hb_inspected_type *t = &in->types[i];
        hb_write(w, "  %-8s %5lld tensors, %lld weights, ", hb_type_text(t->first, name),
                 (long long)t->tensors, (long long)t->weights);
        write_size(w, t->bytes);
        hb_write(w, "\n");
    }
}

static void write_tensors(hb_writer *w, const hb_file_description *f)
{
    char type[32], shape[96];
    hb_write(w, "Tensors (%zu)\n", f->n_tensors);
    for (size_t i = 0; i < f->n_tensors; i++) {
        const hb_file_tensor *t = &f->tensors[i];
        size_t length = 0;
        for (uint32_t k = 0; k < t->n_dims; k++)
            length += (size_t)snprintf(shape + length, sizeof shape - length, "%s%llu", k ? " x " : "",
                                       (unsigned long long)t->dims[k]);
        hb_write(w, "  %-32.*s %-7s %-18s ", (int)t->name.length, t->name.bytes, hb_type_text(t, type),
                 shape);
        write_size(w, t->bytes);
        hb_write(w, "\n");
    }
}

hb_status hb_inspect_text(const char *path, int32_t n_ctx, char **text, hb_error *err)
{
    hb_inspection in;
    hb_writer w = {0};
    hb_status status = hb_inspection_open(path, n_ctx, &in, err);
    if (status) return status;
    write_file(&w, in.file);
    write_verdict(&w, &in);
    write_types(&w, &in);
    hb_write(&w, "Metadata (%zu)\n", in.file->n_entries);
    for (size_t i = 0; i < in.file->n_entries; i++) write_entry(&w, &in.file->entries[i]);
    write_tensors(&w, in.file);
    hb_inspection_close(&in);
    return hb_writer_finish(&w, text, err);
}
