/* Text in HTML, XML and SVG. Everything that a file says passes through here, in content and in
 * attributes between double quotes alike. */
#ifndef HB_REPORT_MARKUP_H
#define HB_REPORT_MARKUP_H

#include "base/writer.h"

/* Writes text as content: the five characters of markup become entities. Malformed bytes, control
 * characters (hb_is_control) except line breaks and tabs, and the two characters that XML excludes
 * become U+FFFD; a carriage return becomes a space. */
void hb_markup(hb_writer *w, const char *text);
void hb_markup_bytes(hb_writer *w, const char *bytes, size_t length);

/* The same for the first `limit` bytes of a text; an ellipsis follows if it is longer. */
void hb_markup_some(hb_writer *w, const char *text, size_t limit);

/* The longest beginning of bytes [length] of at most `limit` bytes that ends between two characters. */
size_t hb_markup_cut(const char *bytes, size_t length, size_t limit);

/* A number with `digits` decimals; an en dash for NaN. Without regard to the locale. */
void hb_markup_number(hb_writer *w, double value, int digits);

/* " [lower, upper]"; nothing if they are not known. */
void hb_markup_interval(hb_writer *w, double lower, double upper, int digits);

#endif
