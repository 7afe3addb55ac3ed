/* Writes GGUF files from choices. Most of a file is valid, so that the fuzzer gets far into the engine;
 * any number in it may be replaced by another one. */
#ifndef HB_FUZZ_BUILD_GGUF_H
#define HB_FUZZ_BUILD_GGUF_H

#include "base/buffer.h"
#include "fuzz.h"

enum { GGUF_UINT32 = 4, GGUF_INT32 = 5, GGUF_FLOAT32 = 6, GGUF_STRING = 8, GGUF_ARRAY = 9 };

typedef struct built {
    choices *choices;
    hb_buffer pairs, tensors, data;
    uint64_t n_pairs, n_tensors;
} built;

static inline void put(hb_buffer *out, const void *bytes, size_t n)
{
    require(hb_buffer_add(out, bytes, n));
}

static inline void put32(hb_buffer *out, uint32_t value)
{
    put(out, &value, sizeof value);
}

static inline void put64(hb_buffer *out, uint64_t value)
{
    put(out, &value, sizeof value);
}

static inline void put_text(hb_buffer *out, const char *text, size_t n)
{
    put64(out, n);
    put(out, text, n);
}

/* The usual number, or for one choice in 64 an unusual one. */
static inline uint64_t vary(choices *c, uint64_t usual)
{
    static const uint64_t unusual[] = {0, 1, UINT64_MAX, INT64_MAX, INT32_MAX, UINT32_MAX, 1 << 20, 3};
    if (choose(c) != 0x2A) return usual;
    uint8_t which = choose(c);
    return which < 128 ? unusual[which % 8] : usual + which - 192;
}

static inline void put_key(built *b, const char *key, uint32_t type)
{
    put_text(&b->pairs, key, strlen(key));
    put32(&b->pairs, type);
    b->n_pairs++;
}

static inline void add_number(built *b, const char *prefix, const char *name, uint32_t value)
{
    char key[128];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    put_key(b, key, GGUF_UINT32);
    put32(&b->pairs, (uint32_t)vary(b->choices, value));
}

static inline void add_float(built *b, const char *prefix, const char *name, float value)
{
    char key[128];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    put_key(b, key, GGUF_FLOAT32);
    put(&b->pairs, &value, sizeof value);
}

static inline void add_string(built *b, const char *key, const char *text, size_t n)
{
    put_key(b, key, GGUF_STRING);
    put_text(&b->pairs, text, n);
}

static inline void begin_array(built *b, const char *key, uint32_t type, uint64_t n)
{
    put_key(b, key, GGUF_ARRAY);
    put32(&b->pairs, type);
    put64(&b->pairs, vary(b->choices, n));
}

/* Random bytes; large exponents are rare. */
static inline void put_weights(hb_buffer *out, uint32_t seed, uint64_t bytes)
{
    uint8_t part[1024];
    while (bytes) {
        size_t n = bytes < sizeof part ? bytes : sizeof part;
        for (size_t i = 0; i < n; i++) {
            uint8_t byte = (uint8_t)(seed >> 24);
            if (i % 2) byte = byte & 0x83 ? byte & 0xBF : byte;
            part[i] = byte;
            seed = seed * 1664525 + 1013904223;
        }
        put(out, part, n);
        bytes -= n;
    }
}

static inline void add_tensor(built *b, const char *name, uint32_t type, uint64_t columns,
                              uint64_t rows, uint64_t bytes)
{
    uint64_t usual = (b->data.length + 31) / 32 * 32, offset = vary(b->choices, usual);
    put_text(&b->tensors, name, strlen(name));
    put32(&b->tensors, rows ? 2 : 1);
    put64(&b->tensors, vary(b->choices, columns));
    if (rows) put64(&b->tensors, vary(b->choices, rows));
    put32(&b->tensors, (uint32_t)vary(b->choices, type));
    put64(&b->tensors, offset);
    while (b->data.length < usual) put(&b->data, "", 1);
    put_weights(&b->data, choose(b->choices) * 2654435761u + 1, bytes);
    b->n_tensors++;
}

/* Puts the parts together. Frees them. Release the file with hb_buffer_free. */
static inline hb_buffer finish_gguf(built *b)
{
    hb_buffer file = {0};
    put(&file, "GGUF", 4);
    put32(&file, (uint32_t)vary(b->choices, 3));
    put64(&file, vary(b->choices, b->n_tensors));
    put64(&file, vary(b->choices, b->n_pairs));
    put(&file, b->pairs.data, b->pairs.length);
    if (b->tensors.length) put(&file, b->tensors.data, b->tensors.length);
    while (file.length % 32) put(&file, "", 1);
    if (b->data.length) put(&file, b->data.data, b->data.length);
    hb_buffer_free(&b->pairs);
    hb_buffer_free(&b->tensors);
    hb_buffer_free(&b->data);
    return file;
}

#endif
