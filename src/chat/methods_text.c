/* The methods of Python's str. `self` is a text in all of them. */
#include <string.h>
#include <utf8proc.h>
#include "chat/builtins.h"
#include "chat/text.h"

#define METHOD(name) static hb_jvalue text_##name(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)

/* ---- Stripping and case -------------------------------------------------------------------------- */

static hb_jvalue strip(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg, unsigned ends)
{
    const hb_jtext *set = hb_joptional_text(j, arg[0], "the characters to strip");
    return hb_jof_text(hb_jstrip(j, self.text, set, ends));
}

METHOD(strip)
{
    return strip(j, self, arg, HB_J_LEFT | HB_J_RIGHT);
}

METHOD(lstrip)
{
    return strip(j, self, arg, HB_J_LEFT);
}

METHOD(rstrip)
{
    return strip(j, self, arg, HB_J_RIGHT);
}

METHOD(lower)
{
    (void)arg;
    return hb_jof_text(hb_jchange_case(j, self.text, HB_J_LOWER));
}

METHOD(upper)
{
    (void)arg;
    return hb_jof_text(hb_jchange_case(j, self.text, HB_J_UPPER));
}

METHOD(title)
{
    (void)arg;
    return hb_jof_text(hb_jchange_case(j, self.text, HB_J_TITLE));
}

METHOD(capitalize)
{
    (void)arg;
    return hb_jof_text(hb_jchange_case(j, self.text, HB_J_CAPITAL));
}

/* ---- Cutting and joining ------------------------------------------------------------------------- */

METHOD(split)
{
    const hb_jtext *separator = hb_joptional_text(j, arg[0], "a separator");
    int64_t limit = hb_jint_argument(j, arg[1], -1, "the number of cuts");
    return hb_jof_list(hb_jsplit(j, self.text, separator, limit));
}

METHOD(rsplit)
{
    const hb_jtext *separator = hb_joptional_text(j, arg[0], "a separator");
    int64_t limit = hb_jint_argument(j, arg[1], -1, "the number of cuts");
    return hb_jof_list(hb_jsplit_right(j, self.text, separator, limit));
}

METHOD(splitlines)
{
    return hb_jof_list(hb_jlines(j, self.text, hb_jbool_argument(arg[0], false)));
}

/* Returns the text before the separator, the separator, and the text after it. */
static hb_jvalue partition(hb_jinja *j, hb_jvalue self, hb_jvalue by, bool last)
{
    const hb_jtext *t = self.text, *separator = hb_jtext_argument(j, by, "a separator");
    if (separator->length == 0) hb_jfail(j, HB_ERR_FORMAT, "the separator is empty");
    size_t at = last ? hb_jfind_last(j, t, separator, t->length) : hb_jfind_text(j, t, separator, 0);
    bool found = at != SIZE_MAX;
    size_t from = found ? at : last ? 0 : t->length, to = found ? at + separator->length : from;
    hb_jlist *list = hb_jnew_list(j, HB_J_TUPLE);
    hb_jpush(j, list, hb_jof_text(hb_jpart_of(j, t, 0, from)));
    hb_jpush(j, list, hb_jof_text(hb_jpart_of(j, t, from, to)));
    hb_jpush(j, list, hb_jof_text(hb_jpart_of(j, t, to, t->length)));
    return hb_jof_list(list);
}

METHOD(partition)
{
    return partition(j, self, arg[0], false);
}

METHOD(rpartition)
{
    return partition(j, self, arg[0], true);
}

METHOD(join)
{
    const hb_jlist *items = hb_jitems(j, arg[0]);
    hb_jbuilder b = {0};
    for (size_t i = 0; i < items->n; i++) {
        if (i > 0) hb_jadd(j, &b, self.text);
        hb_jadd(j, &b, hb_jtext_argument(j, items->items[i], "each joined item"));
    }
    return hb_jof_text(hb_jbuilt(j, &b));
}

METHOD(replace)
{
    return hb_jof_text(hb_jreplace(j, self.text, hb_jtext_argument(j, arg[0], "the replaced text"),
                                   hb_jtext_argument(j, arg[1], "a replacement"),
                                   hb_jint_argument(j, arg[2], -1, "the number of replacements")));
}

METHOD(removeprefix)
{
    const hb_jtext *t = self.text, *prefix = hb_jtext_argument(j, arg[0], "a prefix");
    size_t from = hb_jstarts_with(t, prefix) ? prefix->length : 0;
    return hb_jof_text(hb_jpart_of(j, t, from, t->length));
}

METHOD(removesuffix)
{
    const hb_jtext *t = self.text, *suffix = hb_jtext_argument(j, arg[0], "a suffix");
    size_t cut = hb_jends_with(t, suffix) ? suffix->length : 0;
    return hb_jof_text(hb_jpart_of(j, t, 0, t->length - cut));
}

/* ---- Asking ------------------------------------------------------------------------------------- */

/* Whether the text has the given part or, for a tuple, any of its parts. */
static hb_jvalue any_of(hb_jinja *j, hb_jvalue self, hb_jvalue given,
                        bool (*has)(const hb_jtext *t, const hb_jtext *part))
{
    bool found = false, many = given.kind == HB_J_LIST && given.list->form == HB_J_TUPLE;
    for (size_t i = 0, n = many ? given.list->n : 1; i < n && !found; i++) {
        hb_jvalue one = many ? given.list->items[i] : given;
        found = has(self.text, hb_jtext_argument(j, one, "a prefix or suffix"));
    }
    return hb_jbool(found);
}

METHOD(startswith)
{
    return any_of(j, self, arg[0], hb_jstarts_with);
}

METHOD(endswith)
{
    return any_of(j, self, arg[0], hb_jends_with);
}

/* The index in characters of a part within [start, end), or -1. */
static int64_t place_of(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg, bool last)
{
    const hb_jtext *part = hb_jtext_argument(j, arg[0], "the part to find");
    const hb_jvalue bounds[3] = {arg[1], arg[2], {0}};
    int64_t first, step;
    size_t n;
    hb_jslice_places(j, bounds, hb_jcount(j, self.text), &first, &step, &n);
    const hb_jtext *rest =
        hb_jpart_of(j, self.text, hb_jplace(j, self.text, (size_t)first), self.text->length);
    rest = hb_jpart_of(j, rest, 0, hb_jplace(j, rest, n));
    size_t at = last ? hb_jfind_last(j, rest, part, rest->length) : hb_jfind_text(j, rest, part, 0);
    if (at == SIZE_MAX) return -1;
    return first + (int64_t)hb_jcount(j, hb_jpart_of(j, rest, 0, at));
}

METHOD(find)
{
    return hb_jint(place_of(j, self, arg, false));
}

METHOD(rfind)
{
    return hb_jint(place_of(j, self, arg, true));
}

METHOD(index)
{
    int64_t place = place_of(j, self, arg, false);
    if (place < 0) hb_jfail(j, HB_ERR_FORMAT, "the text does not contain the part");
    return hb_jint(place);
}

METHOD(count)
{
    const hb_jtext *part = hb_jtext_argument(j, arg[0], "the counted part");
    int64_t n = 0;
    if (part->length == 0) return hb_jint((int64_t)hb_jcount(j, self.text) + 1);
    for (size_t at = 0; (at = hb_jfind_text(j, self.text, part, at)) != SIZE_MAX; n++)
        at += part->length;
    return hb_jint(n);
}

/* Whether the text is not empty and all its characters have one of these Unicode categories. */
static hb_jvalue all_in(hb_jinja *j, const hb_jtext *t, utf8proc_category_t from,
                        utf8proc_category_t to, bool also_numbers)
{
    int32_t c;
    bool all = t->length > 0;
    hb_jstep_bytes(j, t->length);
    for (size_t at = 0; all && at < t->length; at += hb_jcharacter(t, at, &c)) {
        hb_jcharacter(t, at, &c);
        utf8proc_category_t category = c < 0 ? UTF8PROC_CATEGORY_CN : utf8proc_category(c);
        bool number = category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
        all = (category >= from && category <= to) || (also_numbers && number);
    }
    return hb_jbool(all);
}

METHOD(isdigit)
{
    (void)arg;
    return all_in(j, self.text, UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_ND, false);
}

METHOD(isalpha)
{
    (void)arg;
    return all_in(j, self.text, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO, false);
}

METHOD(isalnum)
{
    (void)arg;
    return all_in(j, self.text, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO, true);
}

METHOD(isspace)
{
    bool all = self.text->length > 0;
    int32_t c;
    (void)arg;
    hb_jstep_bytes(j, self.text->length);
    for (size_t at = 0; all && at < self.text->length; all = hb_jis_space(c))
        at += hb_jcharacter(self.text, at, &c);
    return hb_jbool(all);
}

static hb_jvalue is_case(hb_jinja *j, hb_jvalue self, const char *test)
{
    const hb_jbuiltin *found = hb_jfind_test(hb_jliteral(j, test));
    return found->call(j, self, NULL);
}

METHOD(islower)
{
    (void)arg;
    return is_case(j, self, "lower");
}

METHOD(isupper)
{
    (void)arg;
    return is_case(j, self, "upper");
}

static hb_jvalue text_format(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    return hb_jof_text(hb_jformat_braces(j, self.text, args));
}

const hb_jbuiltin *hb_jfind_text_method(const hb_jtext *name)
{
    static const hb_jbuiltin methods[] = {
        {"strip", "chars", 0, text_strip, NULL},
        {"lstrip", "chars", 0, text_lstrip, NULL},
        {"rstrip", "chars", 0, text_rstrip, NULL},
        {"split", "sep maxsplit", 0, text_split, NULL},
        {"rsplit", "sep maxsplit", 0, text_rsplit, NULL},
        {"splitlines", "keepends", 0, text_splitlines, NULL},
        {"partition", "sep", 1, text_partition, NULL},
        {"rpartition", "sep", 1, text_rpartition, NULL},
        {"join", "iterable", 1, text_join, NULL},
        {"replace", "old new count", 2, text_replace, NULL},
        {"removeprefix", "prefix", 1, text_removeprefix, NULL},
        {"removesuffix", "suffix", 1, text_removesuffix, NULL},
        {"startswith", "prefix", 1, text_startswith, NULL},
        {"endswith", "suffix", 1, text_endswith, NULL},
        {"find", "sub start end", 1, text_find, NULL},
        {"rfind", "sub start end", 1, text_rfind, NULL},
        {"index", "sub start end", 1, text_index, NULL},
        {"count", "sub", 1, text_count, NULL},
        {"lower", "", 0, text_lower, NULL},
        {"upper", "", 0, text_upper, NULL},
        {"title", "", 0, text_title, NULL},
        {"capitalize", "", 0, text_capitalize, NULL},
        {"isdigit", "", 0, text_isdigit, NULL},
        {"isalpha", "", 0, text_isalpha, NULL},
        {"isalnum", "", 0, text_isalnum, NULL},
        {"isspace", "", 0, text_isspace, NULL},
        {"islower", "", 0, text_islower, NULL},
        {"isupper", "", 0, text_isupper, NULL},
        {"format", NULL, 0, NULL, text_format},
    };
    return HB_J_FIND(methods, name);
}
