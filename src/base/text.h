/* Text that came from outside: from files, models and command lines. */
#ifndef HB_BASE_TEXT_H
#define HB_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buffer.h"

/* Bytes that belong to somebody else; not zero-terminated. NULL bytes: there is no text. */
typedef struct hb_text {
    const char *bytes;
    size_t length;
} hb_text;

bool hb_text_is(hb_text text, const char *expected); /* false when there is no text */
int hb_text_compare(hb_text a, hb_text b);           /* compares bytes; the sign is as for strcmp */

/* Whether the byte is ASCII white space: space, \t, \n, \v, \f or \r. Does not depend on the locale. */
bool hb_is_space(char byte);

/* Whether a well-formed UTF-8 character of `size` bytes acts on a terminal or on the line around it
 * instead of being shown: C0, DEL and C1 controls, U+2028 and U+2029, which break lines, and the
 * characters that embed, override or isolate a direction of writing (U+202A to U+202E, U+2066 to
 * U+2069). */
bool hb_is_control(const char *character, size_t size);

/* Copies text into `out` [size], size >= 8, as one line that is safe to print: each control character
 * (hb_is_control) becomes a space and each malformed byte '?'. Text that does not fit is cut between
 * two characters and ends in "...". Returns `out`. */
const char *hb_printable(char *out, size_t size, const char *text, size_t length);

/* The same without a limit: appends the text to `out`. The control characters of one byte that `kept`
 * lists stay. False when memory runs out. */
bool hb_add_printable(hb_buffer *out, const char *text, size_t length, const char *kept);

#endif
