/* Filters that return texts. */
#include <string.h>
#include "chat/builtins.h"
#include "chat/text.h"

static hb_jvalue filter_string(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    (void)arg;
    return hb_jof_text(hb_jto_text(j, self));
}

static hb_jvalue filter_trim(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    const hb_jtext *set = hb_joptional_text(j, arg[0], "the characters to trim");
    return hb_jof_text(hb_jstrip(j, hb_jto_text(j, self), set, HB_J_LEFT | HB_J_RIGHT));
}

static hb_jvalue filter_lower(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    (void)arg;
    return hb_jof_text(hb_jchange_case(j, hb_jto_text(j, self), HB_J_LOWER));
}

static hb_jvalue filter_upper(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    (void)arg;
    return hb_jof_text(hb_jchange_case(j, hb_jto_text(j, self), HB_J_UPPER));
}

static hb_jvalue filter_capitalize(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    (void)arg;
    return hb_jof_text(hb_jchange_case(j, hb_jto_text(j, self), HB_J_CAPITAL));
}

/* For this filter, unlike the method, words end only at white space, '-' and opening brackets. */
static hb_jvalue filter_title(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    const hb_jtext *t = hb_jto_text(j, self);
    hb_jbuilder b = {0};
    bool begins = true;
    (void)arg;
    for (size_t at = 0, n; at < t->length; at += n) {
        int32_t c;
        n = hb_jcharacter(t, at, &c);
        hb_jadd(j, &b,
                hb_jchange_case(j, hb_jpart_of(j, t, at, at + n), begins ? HB_J_UPPER : HB_J_LOWER));
        begins = hb_jis_space(c) || (c > 0 && c < 0x80 && strchr("-({[<", c));
    }
    return hb_jof_text(hb_jbuilt(j, &b));
}

static hb_jvalue filter_replace(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    int64_t limit = hb_jint_argument(j, arg[2], -1, "the number of replacements");
    return hb_jof_text(
        hb_jreplace(j, hb_jto_text(j, self), hb_jto_text(j, arg[0]), hb_jto_text(j, arg[1]), limit));
}

/* The text to indent with: the given text, or `width` blanks. */
static const hb_jtext *indentation(hb_jinja *j, hb_jvalue width)
{
    if (width.kind == HB_J_TEXT) return width.text;
    int64_t n = hb_jint_argument(j, width, 4, "the width");
    hb_jbuilder b = {0};
    for (int64_t i = 0; i < n; i++) hb_jadd_literal(j, &b, " ");
    return hb_jbuilt(j, &b);
}

static hb_jvalue filter_indent(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    const hb_jtext *indent = indentation(j, arg[0]);
    bool first = hb_jbool_argument(arg[1], false), blank = hb_jbool_argument(arg[2], false);
    const hb_jtext *t = hb_jjoin(j, hb_jto_text(j, self), hb_jliteral(j, "\n"));
    const hb_jlist *lines = hb_jlines(j, t, false);
    hb_jbuilder b = {0};
    for (size_t i = 0; i < lines->n; i++) {
        const hb_jtext *line = lines->items[i].text;
        if (i > 0) hb_jadd_literal(j, &b, "\n");
        if (i == 0 ? first : blank || line->length) hb_jadd(j, &b, indent);
        hb_jadd(j, &b, line);
    }
    return hb_jof_text(hb_jbuilt(j, &b));
}

static hb_jvalue filter_escape(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    static const char from[] = "&<>'\"";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    const hb_jtext *t = hb_jto_text(j, self);
    hb_jbuilder b = {0};
    (void)arg;
    for (size_t at = 0; at < t->length; at++) {
        const char *special = memchr(from, t->bytes[at], sizeof from - 1);
        const char *bytes = special ? to[special - from] : t->bytes + at;
        hb_jadd_bytes(j, &b, bytes, special ? strlen(bytes) : 1, hb_jmark_at(t, at));
    }
    return hb_jof_text(hb_jbuilt(j, &b));
}

static hb_jvalue filter_center(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    const hb_jtext *t = hb_jto_text(j, self);
    int64_t width = hb_jint_argument(j, arg[0], 80, "the width"), n = (int64_t)hb_jcount(j, t);
    int64_t lack = width > n ? width - n : 0, left = lack / 2 + (lack & width & 1);
    hb_jbuilder b = {0};
    for (int64_t i = 0; i < left; i++) hb_jadd_literal(j, &b, " ");
    hb_jadd(j, &b, t);
    for (int64_t i = left; i < lack; i++) hb_jadd_literal(j, &b, " ");
    return hb_jof_text(hb_jbuilt(j, &b));
}

static hb_jvalue filter_format(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    hb_jlist *values = hb_jnew_list(j, HB_J_TUPLE);
    hb_jdict *named = hb_jnew_dict(j);
    for (size_t i = 0; i < args->n; i++) hb_jpush(j, values, args->v[i]);
    for (size_t i = 0; i < args->n_named; i++)
        hb_jput(j, named, hb_jof_text(args->names[i]), args->named[i]);
    hb_jvalue given = args->n_named ? hb_jof_dict(named) : hb_jof_list(values);
    return hb_jof_text(hb_jformat_percent(j, hb_jto_text(j, self), given));
}

/* Reads the two separators of tojson(separators=(",", ":")); without them, uses the usual ones. */
static void read_separators(hb_jinja *j, hb_jvalue given, hb_jjson *style)
{
    style->comma = hb_jliteral(j, style->indent ? "," : ", ");
    style->colon = hb_jliteral(j, ": ");
    if (given.kind == HB_J_ABSENT || given.kind == HB_J_NONE) return;
    const hb_jlist *two = hb_jitems(j, given);
    if (two->n != 2) hb_jfail(j, HB_ERR_FORMAT, "tojson needs two separators");
    style->comma = hb_jtext_argument(j, two->items[0], "a separator");
    style->colon = hb_jtext_argument(j, two->items[1], "a separator");
}

static hb_jvalue filter_tojson(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    hb_jjson style = {.ascii = hb_jbool_argument(arg[0], false),
                      .sort_keys = hb_jbool_argument(arg[3], false)};
    if (arg[1].kind != HB_J_ABSENT && arg[1].kind != HB_J_NONE) style.indent = indentation(j, arg[1]);
    read_separators(j, arg[2], &style);
    hb_jbuilder b = {0};
    hb_jadd_json(j, &b, self, &style);
    return hb_jof_text(hb_jbuilt(j, &b));
}

const hb_jbuiltin *hb_jfind_text_filter(const hb_jtext *name)
{
    static const hb_jbuiltin filters[] = {
        {"trim", "chars", 0, filter_trim, NULL},
        {"tojson", "ensure_ascii indent separators sort_keys", 0, filter_tojson, NULL},
        {"string", "", 0, filter_string, NULL},
        {"safe", "", 0, filter_string, NULL},
        {"lower", "", 0, filter_lower, NULL},
        {"upper", "", 0, filter_upper, NULL},
        {"capitalize", "", 0, filter_capitalize, NULL},
        {"title", "", 0, filter_title, NULL},
        {"replace", "old new count", 2, filter_replace, NULL},
        {"indent", "width first blank", 0, filter_indent, NULL},
        {"escape", "", 0, filter_escape, NULL},
        {"e", "", 0, filter_escape, NULL},
        {"center", "width", 0, filter_center, NULL},
        {"format", NULL, 0, NULL, filter_format},
    };
    return HB_J_FIND(filters, name);
}
