#include "engine/gguf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/kind.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF files are read in place");

#define MAX_NAME 256 /* longest key or tensor name accepted */

/* Maximum number of weights of a model: far above any real model, and low enough for sums of weights
 * and bytes to fit in 64 bits. */
#define MAX_WEIGHTS (UINT64_C(1) << 60)

struct hb_gguf {
    char *path;
    uint8_t *map;
    uint64_t size;
    hb_stamp stamp;        /* of the mapped file */
    hb_gguf_value *values; /* sorted by key */
    uint64_t n_values;
    hb_gguf_tensor *tensors; /* sorted by name */
    uint64_t n_tensors;
    uint64_t n_weights;
    uint32_t version;
    hb_gguf **others; /* other parts [n_parts - 1] */
    uint32_t n_parts; /* including this one */
};

/* The reading position in the header of the mapped file. */
typedef struct reader {
    const hb_gguf *gguf;
    uint64_t at;
    hb_error *err;
} reader;

static const uint8_t kind_bytes[HB_GGUF_KINDS] = {
    [HB_GGUF_UINT8] = 1,  [HB_GGUF_INT8] = 1,  [HB_GGUF_UINT16] = 2,  [HB_GGUF_INT16] = 2,
    [HB_GGUF_UINT32] = 4, [HB_GGUF_INT32] = 4, [HB_GGUF_FLOAT32] = 4, [HB_GGUF_BOOL] = 1,
    [HB_GGUF_UINT64] = 8, [HB_GGUF_INT64] = 8, [HB_GGUF_FLOAT64] = 8,
};

/* ---- Reading the header ------------------------------------------------------------------------ */

static hb_status truncated(const reader *r, const char *what)
{
    return hb_fail(r->err, HB_ERR_FORMAT,
                   "%s: truncated: the file ends within %s (at byte %llu of %llu)", r->gguf->path, what,
                   (unsigned long long)r->at, (unsigned long long)r->gguf->size);
}

/* The next `length` bytes, or NULL when the file has fewer. */
static const uint8_t *take(reader *r, uint64_t length)
{
    if (length > r->gguf->size - r->at) return NULL;
    const uint8_t *bytes = r->gguf->map + r->at;
    r->at += length;
    return bytes;
}

static bool take_u32(reader *r, uint32_t *value)
{
    const uint8_t *bytes = take(r, sizeof *value);
    if (bytes) memcpy(value, bytes, sizeof *value);
    return bytes != NULL;
}

static bool take_u64(reader *r, uint64_t *value)
{
    const uint8_t *bytes = take(r, sizeof *value);
    if (bytes) memcpy(value, bytes, sizeof *value);
    return bytes != NULL;
}

static bool take_text(reader *r, hb_text *text)
{
    uint64_t length;
    if (!take_u64(r, &length)) return false;
    const char *bytes = (const char *)take(r, length);
    *text = (hb_text){bytes, bytes ? (size_t)length : 0};
    return bytes != NULL;
}

/* A key or tensor name: bounded, and free of control characters so that messages can show it. */
static hb_status take_name(reader *r, const char *what, hb_text *name)
{
    if (!take_text(r, name)) return truncated(r, what);
    bool clean = name->length > 0 && name->length <= MAX_NAME;
    for (uint64_t i = 0; clean && i < name->length; i++)
        clean = name->bytes[i] > 0x20 && name->bytes[i] < 0x7F;
    if (clean) return HB_OK;
    return hb_fail(r->err, HB_ERR_FORMAT, "%s: %s is not a name (%llu bytes, at byte %llu)",
                   r->gguf->path, what, (unsigned long long)name->length,
                   (unsigned long long)(r->at - name->length));
}

static hb_status bad_value(const reader *r, const hb_gguf_value *v, const char *why)
{
    return hb_fail(r->err, HB_ERR_FORMAT, "%s: metadata '%.*s': %s", r->gguf->path, (int)v->key.length,
                   v->key.bytes, why);
}

/* Reads an array's header and skips its elements, which also checks that they are in bounds. */
static hb_status take_array(reader *r, hb_gguf_value *v)
{
    uint32_t element;
    if (!take_u32(r, &element) || !take_u64(r, &v->count)) return bad_value(r, v, "truncated");
    if (element >= HB_GGUF_KINDS) return bad_value(r, v, "unknown array element type");
    if (element == HB_GGUF_ARRAY) return bad_value(r, v, "arrays of arrays are not supported");
    v->element = (hb_gguf_kind)element;
    v->data = r->gguf->map + r->at;
    if (element == HB_GGUF_STRING) {
        hb_text text;
        for (uint64_t i = 0; i < v->count; i++)
            if (!take_text(r, &text)) return bad_value(r, v, "truncated");
        return HB_OK;
    }
    if (v->count > r->gguf->size / kind_bytes[element] || !take(r, v->count * kind_bytes[element]))
        return bad_value(r, v, "truncated");
    return HB_OK;
}

static hb_status take_value(reader *r, hb_gguf_value *v)
{
    hb_status status = take_name(r, "a metadata key", &v->key);
    if (status) return status;
    uint32_t kind;
    if (!take_u32(r, &kind)) return bad_value(r, v, "truncated");
    if (kind >= HB_GGUF_KINDS) return bad_value(r, v, "unknown value type");
    v->kind = (hb_gguf_kind)kind;
    v->count = 1;
    if (kind == HB_GGUF_ARRAY) return take_array(r, v);
    v->data = r->gguf->map + r->at;
    hb_text text;
    bool whole = kind == HB_GGUF_STRING ? take_text(r, &text) : take(r, kind_bytes[kind]) != NULL;
    return whole ? HB_OK : bad_value(r, v, "truncated");
}

static hb_status bad_tensor(const hb_gguf *g, hb_error *err, hb_status status, hb_text name,
                            const char *why)
{
    return hb_fail(err, status, "%s: tensor '%.*s': %s", g->path, (int)name.length, name.bytes, why);
}

/* Reads a tensor's entry; place_tensor later checks where its data lie. */
static hb_status take_tensor(reader *r, hb_gguf_tensor *t)
{
    hb_status status = take_name(r, "a tensor name", &t->name);
    if (status) return status;
    const hb_gguf *g = r->gguf;
    if (!take_u32(r, &t->n_dims)) return truncated(r, "the tensor list");
    if (t->n_dims < 1 || t->n_dims > 4)
        return bad_tensor(g, r->err, HB_ERR_FORMAT, t->name, "must have 1 to 4 dimensions");
    for (int i = 0; i < 4; i++) t->dims[i] = 1;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        if (!take_u64(r, &t->dims[i])) return truncated(r, "the tensor list");
        if (t->dims[i] == 0 || t->dims[i] > INT32_MAX)
            return bad_tensor(g, r->err, HB_ERR_FORMAT, t->name, "dimension out of range");
    }
    if (!take_u32(r, &t->type) || !take_u64(r, &t->offset)) return truncated(r, "the tensor list");
    return HB_OK;
}

/* The error for a tensor of an unsupported type. */
static hb_status bad_type(const hb_gguf *g, const hb_gguf_tensor *t, hb_error *err)
{
    const hb_type_info *info = hb_type_get_info(t->type);
    char why[64];
    if (info->name) snprintf(why, sizeof why, "type %s is not supported", info->name);
    else snprintf(why, sizeof why, "unknown type %u", t->type);
    return bad_tensor(g, err, HB_ERR_UNSUPPORTED, t->name, why);
}

/* Finds a tensor's data and checks that they lie in the file. The size of an unsupported type is
 * unknown, so the data of such a tensor are not checked; nothing reads them. */
static hb_status place_tensor(hb_gguf *g, hb_gguf_tensor *t, uint64_t data_at, uint64_t alignment,
                              hb_error *err)
{
    const hb_type_info *info = hb_type_get_info(t->type);
    char why[128];
    uint64_t weights = t->dims[0];
    for (int i = 1; i < 4; i++)
        if (__builtin_mul_overflow(weights, t->dims[i], &weights))
            return bad_tensor(g, err, HB_ERR_FORMAT, t->name, "size overflows");
    if (weights > MAX_WEIGHTS - g->n_weights)
        return bad_tensor(g, err, HB_ERR_FORMAT, t->name, "more weights than any model has");
    g->n_weights += weights;
    if (!info->block_bytes) return HB_OK;
    if (t->dims[0] % info->block) {
        snprintf(why, sizeof why, "rows of %llu weights are not whole %s blocks of %u",
                 (unsigned long long)t->dims[0], info->name, info->block);
        return bad_tensor(g, err, HB_ERR_FORMAT, t->name, why);
    }
    t->row_bytes = t->dims[0] / info->block * info->block_bytes;
    uint64_t bytes;
    if (__builtin_mul_overflow(weights / info->block, info->block_bytes, &bytes))
        return bad_tensor(g, err, HB_ERR_FORMAT, t->name, "size overflows");
    if (t->offset % alignment) return bad_tensor(g, err, HB_ERR_FORMAT, t->name, "data is not aligned");
    uint64_t room = g->size - data_at;
    if (t->offset > room || bytes > room - t->offset) {
        snprintf(why, sizeof why, "truncated: needs bytes %llu to %llu of a data section of %llu",
                 (unsigned long long)t->offset, (unsigned long long)t->offset + bytes,
                 (unsigned long long)room);
        return bad_tensor(g, err, HB_ERR_FORMAT, t->name, why);
    }
    t->data = g->map + data_at + t->offset;
    return HB_OK;
}

static int compare_values(const void *a, const void *b)
{
    return hb_text_compare(((const hb_gguf_value *)a)->key, ((const hb_gguf_value *)b)->key);
}

static int compare_tensors(const void *a, const void *b)
{
    return hb_text_compare(((const hb_gguf_tensor *)a)->name, ((const hb_gguf_tensor *)b)->name);
}

static hb_status read_values(hb_gguf *g, reader *r)
{
    g->values = calloc(g->n_values ? g->n_values : 1, sizeof *g->values);
    if (!g->values) return hb_fail_memory(r->err);
    for (uint64_t i = 0; i < g->n_values; i++) {
        hb_status status = take_value(r, &g->values[i]);
        if (status) return status;
    }
    qsort(g->values, g->n_values, sizeof *g->values, compare_values);
    for (uint64_t i = 1; i < g->n_values; i++)
        if (compare_values(&g->values[i - 1], &g->values[i]) == 0)
            return bad_value(r, &g->values[i], "given twice");
    return HB_OK;
}

static hb_status sort_tensors(hb_gguf *g, hb_error *err)
{
    qsort(g->tensors, g->n_tensors, sizeof *g->tensors, compare_tensors);
    for (uint64_t i = 1; i < g->n_tensors; i++)
        if (compare_tensors(&g->tensors[i - 1], &g->tensors[i]) == 0)
            return bad_tensor(g, err, HB_ERR_FORMAT, g->tensors[i].name, "given twice");
    return HB_OK;
}

static hb_status read_tensors(hb_gguf *g, reader *r)
{
    g->tensors = calloc(g->n_tensors ? g->n_tensors : 1, sizeof *g->tensors);
    if (!g->tensors) return hb_fail_memory(r->err);
    hb_status status = HB_OK;
    for (uint64_t i = 0; i < g->n_tensors && !status; i++) status = take_tensor(r, &g->tensors[i]);
    if (status) return status;

    int64_t alignment = 32;
    status = hb_gguf_get_int(g, "general.alignment", false, 8, 1 << 20, &alignment, r->err);
    if (status) return status;
    if (alignment & (alignment - 1))
        return hb_fail(r->err, HB_ERR_FORMAT, "%s: general.alignment %lld is not a power of two",
                       g->path, (long long)alignment);
    uint64_t data_at = (r->at + (uint64_t)alignment - 1) / (uint64_t)alignment * (uint64_t)alignment;
    if (data_at > g->size) data_at = g->size;
    for (uint64_t i = 0; i < g->n_tensors && !status; i++)
        status = place_tensor(g, &g->tensors[i], data_at, (uint64_t)alignment, r->err);
    if (status) return status;

    return sort_tensors(g, r->err);
}

/* Fails with the kind of the file, if its first bytes show it. */
static hb_status not_gguf(const hb_gguf *g, hb_error *err)
{
    static const hb_kind json = {"JSON text", NULL, "pass data with --data"};
    const hb_kind *kind = hb_kind_of(g->map, g->size);
    if (!kind && g->size && strchr("{[", g->map[0]) && g->map[0]) kind = &json;
    if (!kind) return hb_fail(err, HB_ERR_FORMAT, "%s: not a GGUF file", g->path);
    return hb_fail(err, HB_ERR_FORMAT, "%s: not a GGUF file but %s%s%s", g->path, kind->name,
                   kind->as_model ? ": " : "", kind->as_model ? kind->as_model : "");
}

static hb_status read_header(hb_gguf *g, hb_error *err)
{
    reader r = {g, 0, err};
    uint32_t version;
    const uint8_t *magic = take(&r, 4);
    if (!magic || memcmp(magic, "GGUF", 4) != 0) return not_gguf(g, err);
    if (!take_u32(&r, &version)) return truncated(&r, "the header");
    if (version != 2 && version != 3) {
        bool swapped = version == 2u << 24 || version == 3u << 24;
        return hb_fail(err, HB_ERR_UNSUPPORTED,
                       swapped ? "%s: big-endian GGUF is not supported"
                               : "%s: GGUF version %u is not supported (supported: 2 and 3)",
                       g->path, version);
    }
    g->version = version;
    if (!take_u64(&r, &g->n_tensors) || !take_u64(&r, &g->n_values)) return truncated(&r, "the header");
    /* 14 and 33 bytes are the smallest possible entries: a key, a type and a byte; a name, a dimension,
     * a type and an offset. */
    if (g->n_values > g->size / 14 || g->n_tensors > g->size / 33)
        return hb_fail(err, HB_ERR_FORMAT,
                       "%s: the file is too small for %llu metadata values and %llu tensors", g->path,
                       (unsigned long long)g->n_values, (unsigned long long)g->n_tensors);
    hb_status status = read_values(g, &r);
    return status ? status : read_tensors(g, &r);
}

/* ---- Opening and closing ------------------------------------------------------------------------ */

static hb_status map_file(hb_gguf *g, hb_error *err)
{
    int fd;
    struct stat st;
    hb_status status = hb_open_regular(g->path, &fd, err);
    if (status) return status;
    if (fstat(fd, &st) != 0) status = hb_fail(err, HB_ERR_IO, "%s: %s", g->path, strerror(errno));
    else if (st.st_size == 0) status = hb_fail(err, HB_ERR_FORMAT, "%s: the file is empty", g->path);
    if (!status) {
        void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) {
            status = hb_fail(err, HB_ERR_IO, "%s: cannot map: %s", g->path, strerror(errno));
        } else {
            g->map = map;
            g->size = (uint64_t)st.st_size;
            g->stamp = hb_stamp_of(&st);
        }
    }
    close(fd);
    return status;
}

static hb_status open_part(const char *path, hb_gguf **gguf, hb_error *err)
{
    hb_gguf *g = calloc(1, sizeof *g);
    if (!g || !(g->path = strdup(path))) {
        hb_gguf_close(g);
        return hb_fail_memory(err);
    }
    g->n_parts = 1;
    hb_status status = map_file(g, err);
    if (!status) status = read_header(g, err);
    if (status) hb_gguf_close(g);
    else *gguf = g;
    return status;
}

/* ---- Split models -------------------------------------------------------------------------------- */

/* The metadata of a part about the whole model. */
typedef struct split {
    int64_t no, count, n_tensors;
} split;

#define MAX_PARTS 99999 /* the number in a file's name has five digits */

static hb_status read_split(const hb_gguf *g, split *s, hb_error *err)
{
    *s = (split){0, 1, 0};
    hb_status status = hb_gguf_get_int(g, "split.count", false, 1, MAX_PARTS, &s->count, err);
    if (status || s->count == 1) return status;
    status = hb_gguf_get_int(g, "split.no", true, 0, s->count - 1, &s->no, err);
    if (status) return status;
    return hb_gguf_get_int(g, "split.tensors.count", true, 0, INT32_MAX, &s->n_tensors, err);
}

/* Derives the name of part `no` from the name of part `have`: NAME-00001-of-0000N.gguf. Release *out
 * with free(). */
static hb_status part_path(const char *path, const split *have, int64_t no, char **out, hb_error *err)
{
    char ending[40];
    int n = snprintf(ending, sizeof ending, "-%05lld-of-%05lld.gguf", (long long)have->no + 1,
                     (long long)have->count);
    size_t length = strlen(path), tail = (size_t)n;
    if (length < tail || strcmp(path + length - tail, ending) != 0)
        return hb_fail(err, HB_ERR_FORMAT, "%s: part %lld of %lld; its name must end with %s", path,
                       (long long)have->no + 1, (long long)have->count, ending);
    if (asprintf(out, "%.*s-%05lld-of-%05lld.gguf", (int)(length - tail), path, (long long)no + 1,
                 (long long)have->count) < 0)
        return hb_fail_memory(err);
    return HB_OK;
}

/* Adds the part's tensors to g and makes g the owner of the part. Closes the part on failure. */
static hb_status join(hb_gguf *g, hb_gguf *part, hb_error *err)
{
    uint64_t n = g->n_tensors + part->n_tensors;
    if (part->n_weights > MAX_WEIGHTS - g->n_weights) {
        hb_status status =
            hb_fail(err, HB_ERR_FORMAT, "%s: more weights than any model has", part->path);
        hb_gguf_close(part);
        return status;
    }
    hb_gguf_tensor *tensors = reallocarray(g->tensors, n ? n : 1, sizeof *tensors);
    if (tensors) g->tensors = tensors;
    hb_gguf **others = reallocarray(g->others, g->n_parts, sizeof(hb_gguf *));
    if (others) g->others = others;
    if (!tensors || !others) {
        hb_gguf_close(part);
        return hb_fail_memory(err);
    }
    for (uint64_t i = 0; i < part->n_tensors; i++) {
        tensors[g->n_tensors + i] = part->tensors[i];
        tensors[g->n_tensors + i].part = g->n_parts;
    }
    others[g->n_parts - 1] = part;
    g->n_parts++;
    g->n_tensors = n;
    g->n_weights += part->n_weights;
    return HB_OK;
}

/* Opens part `no`, checks that it agrees with the first part, and joins it. */
static hb_status add_part(hb_gguf *g, const split *first, int64_t no, hb_error *err)
{
    char *path;
    hb_gguf *part = NULL;
    split s;
    hb_error why;
    hb_status status = part_path(g->path, first, no, &path, err);
    if (status) return status;
    status = open_part(path, &part, &why);
    free(path);
    if (!status) status = read_split(part, &s, &why);
    if (!status && (s.no != no || s.count != first->count || s.n_tensors != first->n_tensors))
        status = hb_fail(&why, HB_ERR_FORMAT, "%s: part %lld of %lld, with %lld tensors in all",
                         part->path, (long long)s.no + 1, (long long)s.count, (long long)s.n_tensors);
    if (!status) return join(g, part, err);
    hb_gguf_close(part);
    if (status == HB_ERR_MEMORY) return hb_fail_memory(err);
    return hb_fail(err, status, "%s, which is wanted as part %lld of %lld of a model of %lld tensors",
                   why.message, (long long)no + 1, (long long)first->count,
                   (long long)first->n_tensors);
}

static hb_status add_parts(hb_gguf *g, hb_error *err)
{
    split first;
    char *path;
    hb_status status = read_split(g, &first, err);
    if (status || first.count == 1) return status;
    status = part_path(g->path, &first, 0, &path, err);
    if (status) return status;
    if (first.no)
        status = hb_fail(err, HB_ERR_ARGUMENT, "%s: part %lld of a model; open the first, %s", g->path,
                         (long long)first.no + 1, path);
    free(path);
    for (int64_t no = 1; no < first.count && !status; no++) status = add_part(g, &first, no, err);
    if (!status && g->n_tensors != (uint64_t)first.n_tensors)
        status = hb_fail(err, HB_ERR_FORMAT, "%s: its %lld parts have %llu tensors, not %lld", g->path,
                         (long long)first.count, (unsigned long long)g->n_tensors,
                         (long long)first.n_tensors);
    return status ? status : sort_tensors(g, err);
}

hb_status hb_gguf_open(const char *path, hb_gguf **gguf, hb_error *err)
{
    hb_gguf *g;
    hb_status status = open_part(path, &g, err);
    if (status) return status;
    status = add_parts(g, err);
    if (status) hb_gguf_close(g);
    else *gguf = g;
    return status;
}

void hb_gguf_close(hb_gguf *gguf)
{
    if (!gguf) return;
    for (uint32_t i = 1; i < gguf->n_parts; i++) hb_gguf_close(gguf->others[i - 1]);
    if (gguf->map) munmap(gguf->map, gguf->size);
    free(gguf->others);
    free(gguf->values);
    free(gguf->tensors);
    free(gguf->path);
    free(gguf);
}

const char *hb_gguf_path(const hb_gguf *gguf)
{
    return gguf->path;
}

uint64_t hb_gguf_file_size(const hb_gguf *gguf)
{
    uint64_t size = gguf->size;
    for (uint32_t i = 1; i < gguf->n_parts; i++) size += gguf->others[i - 1]->size;
    return size;
}

uint32_t hb_gguf_version(const hb_gguf *gguf)
{
    return gguf->version;
}

uint32_t hb_gguf_n_parts(const hb_gguf *gguf)
{
    return gguf->n_parts;
}

const char *hb_gguf_part_path(const hb_gguf *gguf, uint32_t part)
{
    return part ? gguf->others[part - 1]->path : gguf->path;
}

hb_status hb_gguf_check_unchanged(const hb_gguf *gguf, hb_error *err)
{
    for (uint32_t i = 0; i < gguf->n_parts; i++) {
        const hb_gguf *part = i ? gguf->others[i - 1] : gguf;
        struct stat st;
        if (stat(part->path, &st) != 0) continue;
        const hb_stamp now = hb_stamp_of(&st);
        if (!hb_stamp_same(&now, &part->stamp))
            return hb_fail(err, HB_ERR_IO, "%s: changed since it was opened", part->path);
    }
    return HB_OK;
}

const hb_gguf_value *hb_gguf_values(const hb_gguf *gguf, uint64_t *n)
{
    *n = gguf->n_values;
    return gguf->values;
}

const hb_gguf_tensor *hb_gguf_tensors(const hb_gguf *gguf, uint64_t *n)
{
    *n = gguf->n_tensors;
    return gguf->tensors;
}

uint32_t hb_gguf_kind_bytes(hb_gguf_kind kind)
{
    return kind_bytes[kind];
}

uint64_t hb_gguf_n_weights(const hb_gguf *gguf)
{
    return gguf->n_weights;
}

/* ---- Metadata ----------------------------------------------------------------------------------- */

const hb_gguf_value *hb_gguf_find(const hb_gguf *gguf, const char *key)
{
    hb_gguf_value wanted = {.key = {key, strlen(key)}};
    return bsearch(&wanted, gguf->values, gguf->n_values, sizeof wanted, compare_values);
}

static hb_status missing(const hb_gguf *g, const char *key, hb_error *err)
{
    return hb_fail(err, HB_ERR_FORMAT, "%s: metadata '%s' is missing", g->path, key);
}

/* Reads an integer of any width. Returns false for another type or a value above INT64_MAX. */
static bool as_int(const hb_gguf_value *v, int64_t *out)
{
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
    } x;
    memcpy(&x, v->data, kind_bytes[v->kind]);
    switch (v->kind) {
    case HB_GGUF_UINT8:
        *out = x.u8;
        return true;
    case HB_GGUF_INT8:
        *out = x.i8;
        return true;
    case HB_GGUF_UINT16:
        *out = x.u16;
        return true;
    case HB_GGUF_INT16:
        *out = x.i16;
        return true;
    case HB_GGUF_UINT32:
        *out = x.u32;
        return true;
    case HB_GGUF_INT32:
        *out = x.i32;
        return true;
    case HB_GGUF_INT64:
        *out = x.i64;
        return true;
    case HB_GGUF_UINT64:
        *out = (int64_t)x.u64;
        return x.u64 <= INT64_MAX;
    default:
        return false;
    }
}

hb_status hb_gguf_get_int(const hb_gguf *gguf, const char *key, bool required, int64_t min, int64_t max,
                          int64_t *out, hb_error *err)
{
    const hb_gguf_value *v = hb_gguf_find(gguf, key);
    if (!v) return required ? missing(gguf, key, err) : HB_OK;
    int64_t value;
    if (!as_int(v, &value))
        return hb_fail(err, HB_ERR_FORMAT, "%s: metadata '%s' is not an integer", gguf->path, key);
    if (value < min || value > max)
        return hb_fail(err, HB_ERR_FORMAT, "%s: metadata '%s' is %lld, outside %lld to %lld",
                       gguf->path, key, (long long)value, (long long)min, (long long)max);
    *out = value;
    return HB_OK;
}

hb_status hb_gguf_get_float(const hb_gguf *gguf, const char *key, bool required, double *out,
                            hb_error *err)
{
    const hb_gguf_value *v = hb_gguf_find(gguf, key);
    if (!v) return required ? missing(gguf, key, err) : HB_OK;
    float single;
    double value;
    if (v->kind == HB_GGUF_FLOAT32) {
        memcpy(&single, v->data, sizeof single);
        value = single;
    } else if (v->kind == HB_GGUF_FLOAT64) {
        memcpy(&value, v->data, sizeof value);
    } else {
        return hb_fail(err, HB_ERR_FORMAT, "%s: metadata '%s' is not a float", gguf->path, key);
    }
    if (!(value > 0 && value < 1e30))
        return hb_fail(err, HB_ERR_FORMAT, "%s: metadata '%s' is %g, not a positive number", gguf->path,
                       key, value);
    *out = value;
    return HB_OK;
}

hb_status hb_gguf_get_bool(const hb_gguf *gguf, const char *key, bool *out, hb_error *err)
{
    const hb_gguf_value *v = hb_gguf_find(gguf, key);
    if (!v) return HB_OK;
    if (v->kind != HB_GGUF_BOOL || *v->data > 1)
        return hb_fail(err, HB_ERR_FORMAT, "%s: metadata '%s' is not a boolean", gguf->path, key);
    *out = *v->data == 1;
    return HB_OK;
}

hb_text hb_gguf_next_text(const uint8_t **cursor)
{
    uint64_t length;
    memcpy(&length, *cursor, sizeof length);
    const char *bytes = (const char *)*cursor + sizeof length;
    *cursor += sizeof length + length;
    return (hb_text){bytes, (size_t)length};
}

hb_text hb_gguf_get_text(const hb_gguf *gguf, const char *key)
{
    const hb_gguf_value *v = hb_gguf_find(gguf, key);
    if (!v || v->kind != HB_GGUF_STRING) return (hb_text){NULL, 0};
    const uint8_t *cursor = v->data;
    return hb_gguf_next_text(&cursor);
}

/* ---- Tensors ------------------------------------------------------------------------------------ */

/* Fails with the shape that the tensor has and the one it must have. */
static hb_status bad_dims(const hb_gguf *gguf, const hb_gguf_tensor *t, hb_gguf_shape wanted,
                          hb_error *err)
{
    char has[96], needs[96];
    bool flat = wanted.depth == 1 && t->dims[2] == 1;
    snprintf(has, sizeof has, flat ? "%llu x %llu" : "%llu x %llu x %llu",
             (unsigned long long)t->dims[0], (unsigned long long)t->dims[1],
             (unsigned long long)t->dims[2]);
    snprintf(needs, sizeof needs, flat ? "%d x %d" : "%d x %d x %d", wanted.cols, wanted.rows,
             wanted.depth);
    return hb_fail(err, HB_ERR_FORMAT, "%s: tensor '%.*s' has shape %s, not %s", gguf->path,
                   (int)t->name.length, t->name.bytes, has, needs);
}

hb_status hb_gguf_take_tensor(hb_gguf *gguf, const char *name, hb_gguf_shape shape, bool required,
                              const hb_gguf_tensor **tensor, hb_error *err)
{
    hb_gguf_tensor wanted = {.name = {name, strlen(name)}};
    hb_gguf_tensor *t =
        bsearch(&wanted, gguf->tensors, gguf->n_tensors, sizeof wanted, compare_tensors);
    if (!t && required)
        return hb_fail(err, HB_ERR_FORMAT, "%s: tensor '%s' is missing", gguf->path, name);
    if (!t) {
        *tensor = NULL;
        return HB_OK;
    }
    if (t->dims[0] != (uint64_t)shape.cols || t->dims[1] != (uint64_t)shape.rows ||
        t->dims[2] != (uint64_t)shape.depth || t->dims[3] != 1)
        return bad_dims(gguf, t, shape, err);
    if (!t->data) return bad_type(gguf, t, err);
    t->used = true;
    *tensor = t;
    return HB_OK;
}

hb_status hb_gguf_check_all_used(const hb_gguf *gguf, hb_error *err)
{
    for (uint64_t i = 0; i < gguf->n_tensors; i++)
        if (!gguf->tensors[i].used)
            return bad_tensor(gguf, err, HB_ERR_UNSUPPORTED, gguf->tensors[i].name,
                              "hbar does not know this tensor in this architecture");
    return HB_OK;
}
