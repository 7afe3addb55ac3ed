#include "chat/text.h"

#include <string.h>
#include <utf8proc.h>
#include "base/utf8.h"

/* ---- Building ----------------------------------------------------------------------------------- */

static void make_room(hb_jinja *j, hb_jbuilder *b, size_t n)
{
    if (n > j->text_limit - b->length) hb_jfail(j, HB_ERR_FORMAT, "a text becomes too long");
    if (n <= b->room - b->length) return;
    size_t room = b->room ? b->room : 32;
    while (room - b->length < n) room *= 2;
    char *bytes = hb_jalloc(j, room, 1);
    if (b->length) memcpy(bytes, b->bytes, b->length);
    if (b->marks) {
        uint8_t *marks = hb_jalloc(j, room, 1);
        memcpy(marks, b->marks, b->length);
        b->marks = marks;
    }
    b->bytes = bytes;
    b->room = room;
}

/* Adds bytes. `marks` has a mark for each byte; if it is NULL, all bytes get `mark`. */
static void add(hb_jinja *j, hb_jbuilder *b, const char *bytes, size_t n, const uint8_t *marks,
                uint8_t mark)
{
    if (n == 0) return;
    make_room(j, b, n);
    hb_jstep_bytes(j, n);
    if (b->length == 0 && !marks) b->mark = mark;
    if (!b->marks && (marks || mark != b->mark)) {
        b->marks = hb_jalloc(j, b->room, 1);
        memset(b->marks, b->mark, b->length);
    }
    memcpy(b->bytes + b->length, bytes, n);
    if (marks) memcpy(b->marks + b->length, marks, n);
    else if (b->marks) memset(b->marks + b->length, mark, n);
    b->length += n;
}

void hb_jadd(hb_jinja *j, hb_jbuilder *b, const hb_jtext *text)
{
    add(j, b, text->bytes, text->length, text->marks, text->mark);
}

void hb_jadd_bytes(hb_jinja *j, hb_jbuilder *b, const char *bytes, size_t n, uint8_t mark)
{
    add(j, b, bytes, n, NULL, mark);
}

void hb_jadd_literal(hb_jinja *j, hb_jbuilder *b, const char *bytes)
{
    add(j, b, bytes, strlen(bytes), NULL, HB_FROM_TEMPLATE);
}

void hb_jadd_character(hb_jinja *j, hb_jbuilder *b, int32_t codepoint, uint8_t mark)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t n = utf8proc_encode_char(codepoint, bytes);
    add(j, b, (const char *)bytes, n > 0 ? (size_t)n : 0, NULL, mark);
}

const hb_jtext *hb_jbuilt(hb_jinja *j, const hb_jbuilder *b)
{
    hb_jtext *t = hb_jalloc(j, 1, sizeof *t);
    *t = (hb_jtext){b->bytes ? b->bytes : "", b->length, b->marks, b->mark};
    return t;
}

/* ---- Parts -------------------------------------------------------------------------------------- */

uint8_t hb_jmark_at(const hb_jtext *t, size_t at)
{
    return t->marks ? t->marks[at] : t->mark;
}

uint8_t hb_jmark_of(const hb_jtext *t)
{
    for (size_t at = 0; at < t->length; at++)
        if (hb_jmark_at(t, at) != HB_FROM_TEMPLATE) return hb_jmark_at(t, at);
    return HB_FROM_TEMPLATE;
}

const hb_jtext *hb_jpart_of(hb_jinja *j, const hb_jtext *t, size_t from, size_t to)
{
    if (from == 0 && to == t->length) return t;
    hb_jtext *part = hb_jalloc(j, 1, sizeof *part);
    *part = (hb_jtext){t->bytes + from, to - from, t->marks ? t->marks + from : NULL, t->mark};
    return part;
}

const hb_jtext *hb_jjoin(hb_jinja *j, const hb_jtext *a, const hb_jtext *b)
{
    hb_jbuilder builder = {0};
    if (a->length == 0) return b;
    if (b->length == 0) return a;
    hb_jadd(j, &builder, a);
    hb_jadd(j, &builder, b);
    return hb_jbuilt(j, &builder);
}

bool hb_jtext_is(const hb_jtext *t, const char *literal)
{
    return t->length == strlen(literal) && memcmp(t->bytes, literal, t->length) == 0;
}

bool hb_jsame_text(const hb_jtext *a, const hb_jtext *b)
{
    return a->length == b->length && (a->length == 0 || memcmp(a->bytes, b->bytes, a->length) == 0);
}

/* ---- Characters --------------------------------------------------------------------------------- */

size_t hb_jcharacter(const hb_jtext *t, size_t at, int32_t *codepoint)
{
    int n = hb_utf8_character(t->bytes + at, t->length - at);
    utf8proc_int32_t found = -1;
    if (n > 0) utf8proc_iterate((const utf8proc_uint8_t *)t->bytes + at, n, &found);
    *codepoint = found;
    return n > 0 ? (size_t)n : 1;
}

size_t hb_jcharacter_before(const hb_jtext *t, size_t at, int32_t *codepoint)
{
    for (size_t n = 4; n > 1; n--)
        if (at >= n && hb_jcharacter(t, at - n, codepoint) == n) return n;
    hb_jcharacter(t, at - 1, codepoint);
    return 1;
}

size_t hb_jcount(hb_jinja *j, const hb_jtext *t)
{
    size_t count = 0;
    int32_t codepoint;
    hb_jstep_bytes(j, t->length);
    for (size_t at = 0; at < t->length; at += hb_jcharacter(t, at, &codepoint)) count++;
    return count;
}

size_t hb_jplace(hb_jinja *j, const hb_jtext *t, size_t characters)
{
    size_t at = 0;
    int32_t codepoint;
    for (; characters > 0 && at < t->length; characters--) at += hb_jcharacter(t, at, &codepoint);
    hb_jstep_bytes(j, at);
    return at;
}

bool hb_jis_space(int32_t c)
{
    if (c < 0) return false;
    if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
    return c == 0x85 || c == 0x2028 || c == 0x2029 || utf8proc_category(c) == UTF8PROC_CATEGORY_ZS;
}

/* ---- Finding ------------------------------------------------------------------------------------ */

size_t hb_jfind_text(hb_jinja *j, const hb_jtext *t, const hb_jtext *part, size_t from)
{
    if (from > t->length) return SIZE_MAX;
    const char *found = part->length
                            ? memmem(t->bytes + from, t->length - from, part->bytes, part->length)
                            : t->bytes + from;
    hb_jstep_bytes(j, part->length + (found ? (size_t)(found - t->bytes) : t->length) - from);
    return found ? (size_t)(found - t->bytes) : SIZE_MAX;
}

size_t hb_jfind_last(hb_jinja *j, const hb_jtext *t, const hb_jtext *part, size_t before)
{
    if (part->length > before) return SIZE_MAX;
    for (size_t at = before - part->length;; at--) {
        hb_jstep_bytes(j, part->length);
        if (memcmp(t->bytes + at, part->bytes, part->length) == 0) return at;
        if (at == 0) return SIZE_MAX;
    }
}

bool hb_jstarts_with(const hb_jtext *t, const hb_jtext *part)
{
    return part->length <= t->length && memcmp(t->bytes, part->bytes, part->length) == 0;
}

bool hb_jends_with(const hb_jtext *t, const hb_jtext *part)
{
    return part->length <= t->length &&
           memcmp(t->bytes + t->length - part->length, part->bytes, part->length) == 0;
}

/* ---- Stripping ---------------------------------------------------------------------------------- */

static bool to_strip(hb_jinja *j, const hb_jtext *t, size_t at, size_t n, int32_t codepoint,
                     const hb_jtext *set)
{
    hb_jstep(j, 1);
    if (!set) return hb_jis_space(codepoint);
    int32_t other;
    hb_jstep_bytes(j, set->length);
    for (size_t i = 0, m; i < set->length; i += m) {
        m = hb_jcharacter(set, i, &other);
        if (m == n && memcmp(set->bytes + i, t->bytes + at, n) == 0) return true;
    }
    return false;
}

const hb_jtext *hb_jstrip(hb_jinja *j, const hb_jtext *t, const hb_jtext *set, unsigned ends)
{
    size_t from = 0, to = t->length, n;
    int32_t codepoint;
    for (; ends & HB_J_LEFT && from < to; from += n) {
        n = hb_jcharacter(t, from, &codepoint);
        if (!to_strip(j, t, from, n, codepoint, set)) break;
    }
    for (; ends & HB_J_RIGHT && to > from; to -= n) {
        n = hb_jcharacter_before(t, to, &codepoint);
        if (!to_strip(j, t, to - n, n, codepoint, set)) break;
    }
    return hb_jpart_of(j, t, from, to);
}
