/* UTF-8: model output and files are bytes until shown to be text. */
#ifndef HB_BASE_UTF8_H
#define HB_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buffer.h"

/* Length 1 to 4 of the well-formed character (Unicode 15, table 3-7) at the start of bytes; 0 when they
 * are malformed; -1 when they are the well-formed beginning of a character that `length` cuts off. */
int hb_utf8_character(const char *bytes, size_t length);

/* Whether all the bytes are well-formed characters. */
bool hb_utf8_valid(const char *bytes, size_t length);

/* Appends `bytes` to `out`, each malformed byte becoming U+FFFD, and each zero byte, which would end a
 * C string. With `final` false a cut-off character
 * at the end is left for later. Returns how many bytes were consumed; *ok turns false when memory runs
 * out. */
size_t hb_utf8_clean(hb_buffer *out, const char *bytes, size_t length, bool final, bool *ok);

#endif
