/* A byte string that grows. A zero byte always follows its `length` bytes. Starts as a zeroed struct.
 */
#ifndef HB_BASE_BUFFER_H
#define HB_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct hb_buffer {
    char *data; /* NULL until something is added */
    size_t length, capacity;
} hb_buffer;

/* False when memory runs out; the buffer then keeps what it had. */
bool hb_buffer_add(hb_buffer *buffer, const void *bytes, size_t length);
bool hb_buffer_add_text(hb_buffer *buffer, const char *text);
void hb_buffer_clear(hb_buffer *buffer); /* empties it and keeps the memory */
void hb_buffer_free(hb_buffer *buffer);

#endif
