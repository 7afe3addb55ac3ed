/* Formatting: `"%s" % x` and `"{}".format(x)`, with the conversions that templates use. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "chat/text.h"

/* A conversion of either notation: flags, width, precision and kind. */
typedef struct place {
    char align; /* '<', '>', '^' or 0 */
    char fill;
    bool plus;
    size_t width;
    int precision; /* -1: none */
    char kind;     /* 's', 'd', 'f' ...; 0: none */
    uint8_t mark;  /* origin of the format; the padding gets this mark */
} place;

#define MAX_WIDTH     4096
#define MAX_PRECISION 64

/* Whether the byte at `at` is one of `bytes`. */
static bool has_at(const hb_jtext *t, size_t at, const char *bytes)
{
    return at < t->length && memchr(bytes, t->bytes[at], strlen(bytes));
}

static bool read_number(const hb_jtext *t, size_t *at, size_t *number)
{
    size_t from = *at, n = 0;
    while (*at < t->length && t->bytes[*at] >= '0' && t->bytes[*at] <= '9')
        if ((n = 10 * n + (size_t)(t->bytes[(*at)++] - '0')) > MAX_WIDTH) n = MAX_WIDTH;
    *number = n;
    return *at > from;
}

static void read_size(hb_jinja *j, const hb_jtext *t, size_t *at, place *p)
{
    size_t n = 0;
    read_number(t, at, &p->width);
    p->precision = -1;
    if (has_at(t, *at, ".")) {
        ++*at;
        if (!read_number(t, at, &n) || n > MAX_PRECISION)
            hb_jfail(j, HB_ERR_UNSUPPORTED, "the precision of a format is missing or too large");
        p->precision = (int)n;
    }
}

static void whole_text(hb_jinja *j, hb_jvalue v, const place *p, char text[512])
{
    if (v.kind == HB_J_REAL && !(fabs(v.real) < 9e18))
        hb_jfail(j, HB_ERR_FORMAT, "a number is too large for a format");
    int64_t whole = v.kind == HB_J_REAL ? (int64_t)v.real : v.kind == HB_J_BOOL ? v.truth : v.integer;
    uint64_t size = whole < 0 ? 0 - (uint64_t)whole : (uint64_t)whole;
    const char *sign = whole < 0 ? "-" : p->plus ? "+" : "";
    const char *form = p->kind == 'x' ? "%s%" PRIx64 : p->kind == 'X' ? "%s%" PRIX64 : "%s%" PRIu64;
    snprintf(text, 512, form, sign, size);
}

/* A converted number without padding. */
static const hb_jtext *number_text(hb_jinja *j, hb_jvalue v, const place *p)
{
    char text[512];
    if (!hb_jis_number(v))
        hb_jfail(j, HB_ERR_FORMAT, "%s is not a number, as the format requires", hb_jkind_name(v));
    double real = hb_jto_real(v);
    int digits = p->precision < 0 ? 6 : p->precision;
    switch (p->kind) {
    case 'd':
    case 'i':
    case 'x':
    case 'X':
        whole_text(j, v, p, text);
        break;
    case 'e':
        snprintf(text, sizeof text, p->plus ? "%+.*e" : "%.*e", digits, real);
        break;
    case 'g':
        snprintf(text, sizeof text, p->plus ? "%+.*g" : "%.*g", digits, real);
        break;
    default:
        snprintf(text, sizeof text, p->plus ? "%+.*f" : "%.*f", digits, real);
    }
    hb_jbuilder b = {0};
    hb_jadd_bytes(j, &b, text, strlen(text), v.mark ? v.mark : p->mark);
    return hb_jbuilt(j, &b);
}

/* Adds a text, padded to the width. */
static void add_filled(hb_jinja *j, hb_jbuilder *b, const hb_jtext *t, const place *p, bool number)
{
    size_t n = hb_jcount(j, t), lack = p->width > n ? p->width - n : 0;
    char align = p->align ? p->align : number ? '>' : '<';
    size_t before = align == '<' ? 0 : align == '>' ? lack : lack / 2;
    bool sign_first = p->fill == '0' && number && has_at(t, 0, "+-");
    if (sign_first) hb_jadd(j, b, hb_jpart_of(j, t, 0, 1));
    for (size_t i = 0; i < before; i++) hb_jadd_bytes(j, b, &p->fill, 1, p->mark);
    hb_jadd(j, b, hb_jpart_of(j, t, sign_first, t->length));
    for (size_t i = before; i < lack; i++) hb_jadd_bytes(j, b, &p->fill, 1, p->mark);
}

static const hb_jtext *shortened(hb_jinja *j, const hb_jtext *t, const place *p)
{
    return p->precision < 0 ? t : hb_jpart_of(j, t, 0, hb_jplace(j, t, (size_t)p->precision));
}

/* ---- Percent ------------------------------------------------------------------------------------ */

typedef struct arguments {
    const hb_jlist *list; /* NULL: the only argument is `single` */
    hb_jvalue single;
    size_t used;
} arguments;

static hb_jvalue next_argument(hb_jinja *j, arguments *a)
{
    size_t n = a->list ? a->list->n : 1;
    if (a->used == n) hb_jfail(j, HB_ERR_FORMAT, "a format has fewer arguments than conversions");
    hb_jvalue v = a->list ? a->list->items[a->used] : a->single;
    a->used++;
    return v;
}

/* Reads "(name)" after a percent sign and returns the mapping's value of this name. */
static hb_jvalue named_argument(hb_jinja *j, const hb_jtext *t, size_t *at, arguments *a)
{
    const char *end = memchr(t->bytes + *at, ')', t->length - *at);
    if (!end || a->list || a->single.kind != HB_J_DICT)
        hb_jfail(j, HB_ERR_FORMAT, "a format with names needs a mapping");
    size_t to = (size_t)(end - t->bytes);
    const hb_jvalue *found = hb_jfind_name(j, a->single.dict, hb_jpart_of(j, t, *at + 1, to));
    if (!found) hb_jfail(j, HB_ERR_FORMAT, "the mapping lacks a name that the format uses");
    *at = to + 1;
    a->used = 1;
    return *found;
}

static void add_percent(hb_jinja *j, hb_jbuilder *b, const hb_jtext *t, size_t *at, arguments *a)
{
    place p = {.fill = ' ', .mark = hb_jmark_of(t)};
    hb_jvalue v = {0};
    if (has_at(t, *at, "(")) v = named_argument(j, t, at, a);
    for (; has_at(t, *at, "-+0 #"); ++*at) {
        if (t->bytes[*at] == '-') p.align = '<';
        if (t->bytes[*at] == '+') p.plus = true;
        if (t->bytes[*at] == '0') p.fill = '0';
    }
    read_size(j, t, at, &p);
    if (*at == t->length) hb_jfail(j, HB_ERR_FORMAT, "a format ends inside a conversion");
    p.kind = t->bytes[(*at)++];
    if (p.kind == '%') {
        hb_jadd_bytes(j, b, "%", 1, p.mark);
        return;
    }
    if (!p.kind || !strchr("sridfFegxX", p.kind))
        hb_jfail(j, HB_ERR_UNSUPPORTED, "a format has an unknown conversion");
    if (v.kind == HB_J_ABSENT) v = next_argument(j, a);
    if (!p.align) p.align = '>';
    if (p.align == '<') p.fill = ' ';
    if (p.kind == 's' || p.kind == 'r') {
        hb_jbuilder text = {0};
        if (p.kind == 's') hb_jprint(j, &text, v);
        else hb_jrepr(j, &text, v);
        p.fill = ' ';
        add_filled(j, b, shortened(j, hb_jbuilt(j, &text), &p), &p, false);
    } else {
        add_filled(j, b, number_text(j, v, &p), &p, true);
    }
}

const hb_jtext *hb_jformat_percent(hb_jinja *j, const hb_jtext *format, hb_jvalue values)
{
    bool many = values.kind == HB_J_LIST && values.list->form == HB_J_TUPLE;
    arguments a = {many ? values.list : NULL, values, 0};
    hb_jbuilder b = {0};
    for (size_t at = 0; at < format->length;) {
        const char *sign = memchr(format->bytes + at, '%', format->length - at);
        size_t to = sign ? (size_t)(sign - format->bytes) : format->length;
        hb_jadd(j, &b, hb_jpart_of(j, format, at, to));
        at = to;
        if (at < format->length) at++, add_percent(j, &b, format, &at, &a);
    }
    bool one = values.kind != HB_J_DICT && values.kind != HB_J_LIST && values.kind != HB_J_UNDEFINED;
    if (many ? a.used < a.list->n : one && !a.used)
        hb_jfail(j, HB_ERR_FORMAT, "a format has more arguments than conversions");
    return hb_jbuilt(j, &b);
}

/* ---- Braces ------------------------------------------------------------------------------------- */

/* The argument that "{}", "{0}" or "{name}" refers to. */
static hb_jvalue field(hb_jinja *j, const hb_jtext *name, const hb_jargs *args, size_t *next)
{
    size_t at = 0, number = *next;
    if (name->length == 0) ++*next;
    if (name->length == 0 || (read_number(name, &at, &number) && at == name->length)) {
        if (number < args->n) return args->v[number];
        hb_jfail(j, HB_ERR_FORMAT, "a format has fewer arguments than conversions");
    }
    for (size_t i = 0; i < args->n_named; i++)
        if (hb_jsame_text(args->names[i], name)) return args->named[i];
    hb_jfail(j, HB_ERR_FORMAT, "a format names '%.*s', but there is no such argument",
             (int)name->length, name->bytes);
}

/* Reads ":[[fill]align][+][0][width][.precision][kind]". */
static place read_place(hb_jinja *j, const hb_jtext *t)
{
    place p = {.fill = ' ', .precision = -1, .mark = hb_jmark_of(t)};
    size_t at = 1;
    if (t->length == 0) return p;
    if (has_at(t, 2, "<>^")) p.fill = t->bytes[1], p.align = t->bytes[2], at = 3;
    else if (has_at(t, 1, "<>^")) p.align = t->bytes[1], at = 2;
    if (has_at(t, at, "+")) p.plus = true, at++;
    if (has_at(t, at, "0") && !p.align) p.fill = '0', at++;
    read_size(j, t, &at, &p);
    if (at < t->length) p.kind = t->bytes[at++];
    if (at < t->length || (p.kind && !strchr("sdfFegxX", p.kind)) || (unsigned char)p.fill > 0x7E)
        hb_jfail(j, HB_ERR_UNSUPPORTED, "a format has an unknown conversion");
    return p;
}

static void add_field(hb_jinja *j, hb_jbuilder *b, const hb_jtext *inside, const hb_jargs *args,
                      size_t *next)
{
    const char *colon = memchr(inside->bytes, ':', inside->length);
    size_t end = colon ? (size_t)(colon - inside->bytes) : inside->length;
    place p = read_place(j, hb_jpart_of(j, inside, end, inside->length));
    bool repr = end >= 2 && memcmp(inside->bytes + end - 2, "!r", 2) == 0;
    bool str = end >= 2 && memcmp(inside->bytes + end - 2, "!s", 2) == 0;
    hb_jvalue v = field(j, hb_jpart_of(j, inside, 0, end - 2 * (repr || str)), args, next);
    bool number = hb_jis_number(v) && p.kind != 's' && !repr && !str;
    hb_jbuilder text = {0};
    if (repr) hb_jrepr(j, &text, v);
    else if (number && (p.kind || p.plus)) {
        if (!p.kind) p.kind = v.kind == HB_J_INT ? 'd' : 'g';
        hb_jadd(j, &text, number_text(j, v, &p));
    } else if (p.kind && p.kind != 's') hb_jadd(j, &text, number_text(j, v, &p));
    else hb_jprint(j, &text, v);
    const hb_jtext *t = hb_jbuilt(j, &text);
    add_filled(j, b, number ? t : shortened(j, t, &p), &p, number);
}

const hb_jtext *hb_jformat_braces(hb_jinja *j, const hb_jtext *format, const hb_jargs *args)
{
    hb_jbuilder b = {0};
    size_t next = 0;
    for (size_t at = 0; at < format->length;) {
        char c = format->bytes[at];
        bool twice = at + 1 < format->length && format->bytes[at + 1] == c;
        if ((c == '{' || c == '}') && twice) {
            hb_jadd(j, &b, hb_jpart_of(j, format, at, at + 1));
            at += 2;
        } else if (c == '{') {
            const char *end = memchr(format->bytes + at, '}', format->length - at);
            if (!end) hb_jfail(j, HB_ERR_FORMAT, "a format lacks a closing brace");
            size_t to = (size_t)(end - format->bytes);
            add_field(j, &b, hb_jpart_of(j, format, at + 1, to), args, &next);
            at = to + 1;
        } else {
            if (c == '}') hb_jfail(j, HB_ERR_FORMAT, "a format has a single closing brace");
            hb_jadd(j, &b, hb_jpart_of(j, format, at, at + 1));
            at++;
        }
    }
    return hb_jbuilt(j, &b);
}
