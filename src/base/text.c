#include "base/text.h"

#include <string.h>
#include "base/utf8.h"

bool hb_text_is(hb_text text, const char *expected)
{
    return text.bytes && text.length == strlen(expected) &&
           memcmp(text.bytes, expected, text.length) == 0;
}

int hb_text_compare(hb_text a, hb_text b)
{
    size_t common = a.length < b.length ? a.length : b.length;
    int order = common ? memcmp(a.bytes, b.bytes, common) : 0;
    return order ? order : (a.length > b.length) - (a.length < b.length);
}

bool hb_is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

bool hb_is_control(const char *character, size_t size)
{
    const unsigned char *c = (const unsigned char *)character;
    if (size == 1) return c[0] < 0x20 || c[0] == 0x7F;
    if (size == 2) return c[0] == 0xC2 && c[1] < 0xA0;
    if (size != 3 || c[0] != 0xE2) return false;
    return c[1] == 0x80 ? c[2] >= 0xA8 && c[2] <= 0xAE : c[1] == 0x81 && c[2] >= 0xA6 && c[2] <= 0xA9;
}

const char *hb_printable(char *out, size_t size, const char *text, size_t length)
{
    size_t used = 0, mark = 0; /* mark: the last place from which "..." still fits */
    for (size_t i = 0; i < length;) {
        int n = hb_utf8_character(text + i, length - i);
        bool shown = n > 0 && !hb_is_control(text + i, (size_t)n);
        size_t step = shown ? (size_t)n : 1;
        if (used + 4 <= size) mark = used;
        if (used + step >= size) {
            memcpy(out + mark, "...", 4);
            return out;
        }
        memcpy(out + used, shown ? text + i : n > 0 ? " " : "?", step);
        used += step;
        i += n > 0 ? (size_t)n : 1;
    }
    out[used] = '\0';
    return out;
}

bool hb_add_printable(hb_buffer *out, const char *text, size_t length, const char *kept)
{
    bool ok = hb_buffer_add(out, "", 0);
    for (size_t i = 0; i < length && ok;) {
        int n = hb_utf8_character(text + i, length - i);
        size_t size = n > 0 ? (size_t)n : 1;
        if (n < 1) ok = hb_buffer_add(out, "?", 1);
        else if (!hb_is_control(text + i, size) || (text[i] && strchr(kept, text[i])))
            ok = hb_buffer_add(out, text + i, size);
        else ok = hb_buffer_add(out, " ", 1);
        i += size;
    }
    return ok;
}
