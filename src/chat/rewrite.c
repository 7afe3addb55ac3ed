/* Changes case, replaces parts, and splits texts. */
#include <string.h>
#include <utf8proc.h>
#include "chat/text.h"

/* ---- Case --------------------------------------------------------------------------------------- */

static bool is_cased(int32_t c)
{
    utf8proc_category_t category = utf8proc_category(c);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
           category == UTF8PROC_CATEGORY_LT;
}

static int32_t changed(int32_t c, hb_jcase to, bool begins)
{
    if (to == HB_J_UPPER) return utf8proc_toupper(c);
    if (to == HB_J_LOWER || !begins) return utf8proc_tolower(c);
    return utf8proc_totitle(c);
}

/* Each letter maps to one letter, except the German sharp s, whose upper case is two letters. */
const hb_jtext *hb_jchange_case(hb_jinja *j, const hb_jtext *t, hb_jcase to)
{
    hb_jbuilder b = {0};
    bool begins = true;
    int32_t c;
    for (size_t at = 0, n; at < t->length; at += n) {
        n = hb_jcharacter(t, at, &c);
        uint8_t mark = hb_jmark_at(t, at);
        if (c == 0xDF && (to == HB_J_UPPER || (to != HB_J_LOWER && begins)))
            hb_jadd_bytes(j, &b, to == HB_J_UPPER ? "SS" : "Ss", 2, mark);
        else if (c < 0) hb_jadd_bytes(j, &b, t->bytes + at, n, mark);
        else hb_jadd_character(j, &b, changed(c, to, begins), mark);
        begins = to == HB_J_TITLE && (c < 0 || !is_cased(c));
    }
    return hb_jbuilt(j, &b);
}

/* ---- Replacing ---------------------------------------------------------------------------------- */

/* Replaces an empty text like Python: inserts between all characters and at both ends. */
static const hb_jtext *insert_everywhere(hb_jinja *j, const hb_jtext *t, const hb_jtext *new,
                                         int64_t limit)
{
    hb_jbuilder b = {0};
    int32_t c;
    for (size_t at = 0, n; at <= t->length; at += n) {
        if (limit != 0) hb_jadd(j, &b, new);
        limit -= limit > 0;
        if (at == t->length) break;
        n = hb_jcharacter(t, at, &c);
        hb_jadd(j, &b, hb_jpart_of(j, t, at, at + n));
    }
    return hb_jbuilt(j, &b);
}

const hb_jtext *hb_jreplace(hb_jinja *j, const hb_jtext *t, const hb_jtext *old, const hb_jtext *new,
                            int64_t limit)
{
    if (old->length == 0) return insert_everywhere(j, t, new, limit);
    hb_jbuilder b = {0};
    size_t from = 0, found;
    while (limit-- != 0 && (found = hb_jfind_text(j, t, old, from)) != SIZE_MAX) {
        hb_jadd(j, &b, hb_jpart_of(j, t, from, found));
        hb_jadd(j, &b, new);
        from = found + old->length;
    }
    if (from == 0) return t;
    hb_jadd(j, &b, hb_jpart_of(j, t, from, t->length));
    return hb_jbuilt(j, &b);
}

/* ---- Cutting ------------------------------------------------------------------------------------ */

static void push_part(hb_jinja *j, hb_jlist *list, const hb_jtext *t, size_t from, size_t to)
{
    hb_jpush(j, list, hb_jof_text(hb_jpart_of(j, t, from, to)));
}

/* Splits at white space. After `limit` words, the rest of the text is the last part. */
static hb_jlist *split_words(hb_jinja *j, const hb_jtext *t, int64_t limit)
{
    hb_jlist *list = hb_jnew_list(j, HB_J_PLAIN);
    const hb_jtext *rest = hb_jstrip(j, t, NULL, HB_J_LEFT);
    while (rest->length && limit-- != 0) {
        size_t at = 0, n = 0;
        int32_t c = -1;
        for (; at < rest->length; at += n) {
            n = hb_jcharacter(rest, at, &c);
            if (hb_jis_space(c)) break;
        }
        push_part(j, list, rest, 0, at);
        hb_jstep_bytes(j, at);
        rest = hb_jstrip(j, hb_jpart_of(j, rest, at, rest->length), NULL, HB_J_LEFT);
    }
    if (rest->length) push_part(j, list, rest, 0, rest->length);
    return list;
}

hb_jlist *hb_jsplit(hb_jinja *j, const hb_jtext *t, const hb_jtext *separator, int64_t limit)
{
    if (!separator) return split_words(j, t, limit);
    if (separator->length == 0) hb_jfail(j, HB_ERR_FORMAT, "the separator is empty");
    hb_jlist *list = hb_jnew_list(j, HB_J_PLAIN);
    size_t from = 0, found;
    while (limit-- != 0 && (found = hb_jfind_text(j, t, separator, from)) != SIZE_MAX) {
        push_part(j, list, t, from, found);
        from = found + separator->length;
    }
    push_part(j, list, t, from, t->length);
    return list;
}

/* Like split_words, but from the end. */
static hb_jlist *split_words_right(hb_jinja *j, const hb_jtext *t, int64_t limit)
{
    hb_jlist *list = hb_jnew_list(j, HB_J_PLAIN);
    const hb_jtext *rest = hb_jstrip(j, t, NULL, HB_J_RIGHT);
    while (rest->length && limit-- != 0) {
        size_t at = rest->length, n = 0;
        int32_t c = -1;
        for (; at > 0; at -= n) {
            n = hb_jcharacter_before(rest, at, &c);
            if (hb_jis_space(c)) break;
        }
        push_part(j, list, rest, at, rest->length);
        hb_jstep_bytes(j, rest->length - at);
        rest = hb_jstrip(j, hb_jpart_of(j, rest, 0, at), NULL, HB_J_RIGHT);
    }
    if (rest->length) push_part(j, list, rest, 0, rest->length);
    hb_jreverse(j, list);
    return list;
}

hb_jlist *hb_jsplit_right(hb_jinja *j, const hb_jtext *t, const hb_jtext *separator, int64_t limit)
{
    if (!separator) return split_words_right(j, t, limit);
    if (separator->length == 0) hb_jfail(j, HB_ERR_FORMAT, "the separator is empty");
    hb_jlist *list = hb_jnew_list(j, HB_J_PLAIN);
    size_t to = t->length, found;
    while (limit-- != 0 && (found = hb_jfind_last(j, t, separator, to)) != SIZE_MAX) {
        push_part(j, list, t, found + separator->length, to);
        to = found;
    }
    push_part(j, list, t, 0, to);
    hb_jreverse(j, list);
    return list;
}

/* Whether str.splitlines ends a line at this character. */
static bool ends_line(int32_t c)
{
    return (c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

hb_jlist *hb_jlines(hb_jinja *j, const hb_jtext *t, bool keep_ends)
{
    hb_jlist *list = hb_jnew_list(j, HB_J_PLAIN);
    size_t from = 0, n;
    int32_t c;
    hb_jstep_bytes(j, t->length);
    for (size_t at = 0; at < t->length; at += n) {
        n = hb_jcharacter(t, at, &c);
        if (!ends_line(c)) continue;
        size_t end = at;
        n += c == '\r' && at + 1 < t->length && t->bytes[at + 1] == '\n';
        push_part(j, list, t, from, keep_ends ? at + n : end);
        from = at + n;
    }
    if (from < t->length) push_part(j, list, t, from, t->length);
    return list;
}
