/* A text built piece by piece. The writer remembers whether memory ran out, so that callers ask once,
 * at the end, and no text is ever incomplete without an error. Start from a zeroed struct. */
#ifndef HB_BASE_WRITER_H
#define HB_BASE_WRITER_H

#include "base/buffer.h"
#include "base/error.h"

typedef struct hb_writer {
    hb_buffer text;
    bool failed; /* memory ran out: a piece is missing */
} hb_writer;

__attribute__((format(printf, 2, 3))) void hb_write(hb_writer *writer, const char *format, ...);
void hb_write_bytes(hb_writer *writer, const char *bytes, size_t length);

/* Writes bytes between quotes. Quotes and backslashes get a backslash; control characters
 * (hb_is_control) and malformed bytes become \xHH. */
void hb_write_quoted(hb_writer *writer, const char *bytes, size_t length);

/* Writes a text from outside as one line that is safe to print (hb_printable). */
void hb_write_printable(hb_writer *writer, const char *text, size_t length);

/* Hands over the text, released with free(). Leaves the writer empty, also on HB_ERR_MEMORY, which it
 * returns when a piece is missing. */
hb_status hb_writer_finish(hb_writer *writer, char **text, hb_error *err);

#endif
