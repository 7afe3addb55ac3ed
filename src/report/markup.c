#include "report/markup.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "base/text.h"
#include "base/utf8.h"

static const char *entity_of(char byte)
{
    switch (byte) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    case '\r':
        return " ";
    default:
        return NULL;
    }
}

/* U+FFFE and U+FFFF. */
static bool is_excluded(const char *character, size_t size)
{
    return size == 3 && memcmp(character, "\xEF\xBF", 2) == 0 && (uint8_t)character[2] >= 0xBE;
}

void hb_markup_bytes(hb_writer *w, const char *bytes, size_t length)
{
    size_t begin = 0; /* of the bytes that need no change and are not written yet */
    for (size_t i = 0; i < length;) {
        int n = hb_utf8_character(bytes + i, length - i);
        size_t size = n > 0 ? (size_t)n : 1;
        const char *entity = entity_of(bytes[i]);
        bool kept = bytes[i] == '\n' || bytes[i] == '\t';
        if (n <= 0 || (!kept && hb_is_control(bytes + i, size)) || is_excluded(bytes + i, size))
            entity = entity ? entity : "\xEF\xBF\xBD";
        if (entity) {
            hb_write_bytes(w, bytes + begin, i - begin);
            hb_write_bytes(w, entity, strlen(entity));
            begin = i + size;
        }
        i += size;
    }
    hb_write_bytes(w, bytes + begin, length - begin);
}

void hb_markup(hb_writer *w, const char *text)
{
    hb_markup_bytes(w, text, strlen(text));
}

size_t hb_markup_cut(const char *bytes, size_t length, size_t limit)
{
    if (length <= limit) return length;
    size_t end = limit;
    while (end > 0 && limit - end < 3 && ((uint8_t)bytes[end] & 0xC0) == 0x80) end--;
    return end;
}

void hb_markup_some(hb_writer *w, const char *text, size_t limit)
{
    size_t length = strnlen(text, limit + 1), cut = hb_markup_cut(text, length, limit);
    hb_markup_bytes(w, text, cut);
    if (cut < length) hb_write(w, "…");
}

void hb_markup_number(hb_writer *w, double value, int digits)
{
    char text[64];
    if (isnan(value)) {
        hb_write(w, "–");
        return;
    }
    if (fabs(value) < 1e15) snprintf(text, sizeof text, "%.*f", digits, value);
    else snprintf(text, sizeof text, "%.*e", digits, value);
    for (char *c = text; *c; c++)
        if (*c == ',') *c = '.';
    hb_write_bytes(w, text, strlen(text));
}

void hb_markup_interval(hb_writer *w, double lower, double upper, int digits)
{
    if (isnan(lower) || isnan(upper)) return;
    hb_write(w, " [");
    hb_markup_number(w, lower, digits);
    hb_write(w, ", ");
    hb_markup_number(w, upper, digits);
    hb_write(w, "]");
}
