/* UTF-8. Text from models and files is treated as bytes until it is checked. */
#ifndef HB_BASE_UTF8_H
#define HB_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buffer.h"

/* Length, 1 to 4, of the well-formed character at the start of bytes (Unicode 15, table 3-7); 0 when
 * they are malformed; -1 when `length` cuts off a character that is well-formed so far. */
int hb_utf8_character(const char *bytes, size_t length);

/* Whether all the bytes are well-formed characters. */
bool hb_utf8_valid(const char *bytes, size_t length);

/* Appends `bytes` to `out` as valid UTF-8 without zero bytes: each malformed byte and each zero byte
 * becomes U+FFFD. With `final` false, a character that is cut off at the end is left for later. Returns
 * how many bytes were consumed; sets *ok to false when memory runs out. */
size_t hb_utf8_clean(hb_buffer *out, const char *bytes, size_t length, bool final, bool *ok);

/* Sets `out` to all the bytes as such UTF-8, ended by a zero byte. False, with an empty `out`, when
 * memory runs out. */
bool hb_utf8_text(hb_buffer *out, const char *bytes, size_t length);

#endif
