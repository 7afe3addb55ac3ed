#include "measures/sentences.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The length of a mark that ends a sentence, at the beginning of `text` [n]; 0 for none. */
static size_t mark_length(const char *text, size_t n, bool *wide)
{
    static const char *const marks[] = {
        ".", "!", "?", "\xE2\x80\xA6", "\xE3\x80\x82", "\xEF\xBC\x81", "\xEF\xBC\x9F"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t length = strlen(marks[i]);
        *wide = i > 3; /* of a script without spaces */
        if (length <= n && memcmp(text, marks[i], length) == 0) return length;
    }
    return 0;
}

/* The length of closing quotes and brackets. */
static size_t closing_length(const char *text, size_t n)
{
    static const char *const closers[] = {"\"",           "'",       ")", "]", "\xE2\x80\x9D",
                                          "\xE2\x80\x99", "\xC2\xBB"};
    size_t at = 0;
    for (size_t i = 0; i < sizeof closers / sizeof *closers; i++) {
        size_t length = strlen(closers[i]);
        if (at + length > n || memcmp(text + at, closers[i], length) != 0) continue;
        at += length;
        i = (size_t)-1; /* look for more of them */
    }
    return at;
}

/* Whether the word before a full stop at `dot` is abbreviated. */
static bool is_abbreviated(const char *text, size_t start, size_t dot)
{
    static const char *const known[] = {"Mr", "Mrs", "Ms",  "Dr",  "Prof", "St", "Jr",
                                        "Sr", "vs",  "e.g", "i.e", "No",   "ca", "approx"};
    size_t begin = dot;
    while (begin > start && !is_blank(text[begin - 1]) && text[begin - 1] != '(') begin--;
    size_t length = dot - begin;
    if (length == 1) return text[begin] >= 'A' && text[begin] <= 'Z';
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i]) == length && memcmp(known[i], text + begin, length) == 0) return true;
    return false;
}

/* The place behind the sentence that begins at `start`. */
static size_t sentence_end(const char *text, size_t length, size_t start)
{
    size_t i = start;
    while (i < length && text[i] != '\n') {
        bool wide;
        size_t mark = mark_length(text + i, length - i, &wide);
        size_t after = i + mark;
        if (!mark) {
            i++;
            continue;
        }
        after += closing_length(text + after, length - after);
        bool ends = wide || after == length || is_blank(text[after]);
        if (ends && !(text[i] == '.' && is_abbreviated(text, start, i))) return after;
        i += mark;
    }
    return i;
}

bool hb_sentence_next(const char *text, size_t length, size_t *at, size_t *start, size_t *end)
{
    size_t i = *at;
    while (i < length && is_blank(text[i])) i++;
    if (i == length) return false;
    *start = i;
    *at = *end = sentence_end(text, length, i);
    while (*end > *start && is_blank(text[*end - 1])) --*end;
    return true;
}
