#include "base/buffer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(hb_buffer *buffer, size_t extra)
{
    if (extra > SIZE_MAX / 2 - buffer->length - 1) return false;
    size_t need = buffer->length + extra + 1;
    if (need <= buffer->capacity) return true;
    size_t capacity = buffer->capacity ? buffer->capacity : 64;
    while (capacity < need) capacity *= 2;
    char *data = realloc(buffer->data, capacity);
    if (!data) return false;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

bool hb_buffer_add(hb_buffer *buffer, const void *bytes, size_t length)
{
    if (!reserve(buffer, length)) return false;
    if (length) memcpy(buffer->data + buffer->length, bytes, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
    return true;
}

bool hb_buffer_add_text(hb_buffer *buffer, const char *text)
{
    return hb_buffer_add(buffer, text, strlen(text));
}

void hb_buffer_clear(hb_buffer *buffer)
{
    buffer->length = 0;
    if (buffer->data) buffer->data[0] = '\0';
}

void hb_buffer_free(hb_buffer *buffer)
{
    free(buffer->data);
    *buffer = (hb_buffer){0};
}
