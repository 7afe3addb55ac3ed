#include "base/utf8.h"

/* The length of a character and the range of its second byte; both follow from the first byte. */
static int lead(unsigned char first, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (first < 0x80) return 1;
    if (first < 0xC2) return 0;
    if (first < 0xE0) return 2;
    if (first < 0xF0) {
        if (first == 0xE0) *low = 0xA0;
        if (first == 0xED) *high = 0x9F;
        return 3;
    }
    if (first < 0xF5) {
        if (first == 0xF0) *low = 0x90;
        if (first == 0xF4) *high = 0x8F;
        return 4;
    }
    return 0;
}

int hb_utf8_character(const char *bytes, size_t length)
{
    unsigned char low, high;
    if (length == 0) return -1;
    int n = lead((unsigned char)bytes[0], &low, &high);
    for (int i = 1; i < n; i++) {
        if ((size_t)i == length) return -1;
        unsigned char c = (unsigned char)bytes[i];
        if (c < low || c > high) return 0;
        low = 0x80;
        high = 0xBF;
    }
    return n;
}

bool hb_utf8_valid(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length;) {
        int n = hb_utf8_character(bytes + i, length - i);
        if (n <= 0) return false;
        i += (size_t)n;
    }
    return true;
}

size_t hb_utf8_clean(hb_buffer *out, const char *bytes, size_t length, bool final, bool *ok)
{
    size_t i = 0;
    while (i < length && *ok) {
        int n = hb_utf8_character(bytes + i, length - i);
        if (n < 0 && !final) break;
        if (n > 0 && bytes[i]) {
            *ok = hb_buffer_add(out, bytes + i, (size_t)n) && *ok;
            i += (size_t)n;
        } else {
            *ok = hb_buffer_add_text(out, "\xEF\xBF\xBD") && *ok;
            i++;
        }
    }
    return i;
}

bool hb_utf8_text(hb_buffer *out, const char *bytes, size_t length)
{
    *out = (hb_buffer){0};
    bool ok = hb_buffer_add_text(out, "");
    hb_utf8_clean(out, bytes, length, true, &ok);
    if (!ok) hb_buffer_free(out);
    return ok;
}
