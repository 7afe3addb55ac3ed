#include "chat/value.h"

#include <math.h>
#include <string.h>
#include "chat/text.h"

/* ---- Making ------------------------------------------------------------------------------------- */

hb_jvalue hb_jundefined(const hb_jtext *missing)
{
    return (hb_jvalue){.kind = HB_J_UNDEFINED, .missing = missing};
}

hb_jvalue hb_jnone(void)
{
    return (hb_jvalue){.kind = HB_J_NONE};
}

hb_jvalue hb_jbool(bool truth)
{
    return (hb_jvalue){.kind = HB_J_BOOL, .truth = truth};
}

hb_jvalue hb_jint(int64_t integer)
{
    return (hb_jvalue){.kind = HB_J_INT, .integer = integer};
}

hb_jvalue hb_jreal(double real)
{
    return (hb_jvalue){.kind = HB_J_REAL, .real = real};
}

hb_jvalue hb_jof_text(const hb_jtext *text)
{
    return (hb_jvalue){.kind = HB_J_TEXT, .text = text};
}

hb_jvalue hb_jof_list(hb_jlist *list)
{
    return (hb_jvalue){.kind = HB_J_LIST, .list = list};
}

hb_jvalue hb_jof_dict(hb_jdict *dict)
{
    return (hb_jvalue){.kind = HB_J_DICT, .dict = dict};
}

hb_jvalue hb_jbound(hb_jinja *j, const hb_jbuiltin *builtin, hb_jvalue self)
{
    hb_jcallable *c = hb_jalloc(j, 1, sizeof *c);
    c->builtin = builtin;
    c->self = self;
    return (hb_jvalue){.kind = HB_J_CALLABLE, .callable = c};
}

const hb_jtext *hb_jliteral(hb_jinja *j, const char *bytes)
{
    hb_jtext *t = hb_jalloc(j, 1, sizeof *t);
    t->bytes = bytes;
    t->length = strlen(bytes);
    return t;
}

/* ---- Asking ------------------------------------------------------------------------------------- */

const char *hb_jkind_name(hb_jvalue v)
{
    static const char *const names[] = {"nothing",   "an undefined value", "none",      "a boolean",
                                        "a number",  "a number",           "a text",    "a list",
                                        "a mapping", "the loop",           "a function"};
    return names[v.kind];
}

void hb_jneed(hb_jinja *j, hb_jvalue v)
{
    if (v.kind != HB_J_UNDEFINED) return;
    if (!v.missing) hb_jfail(j, HB_ERR_FORMAT, "an undefined value is used");
    hb_jfail(j, HB_ERR_FORMAT, "'%.*s' is undefined", (int)v.missing->length, v.missing->bytes);
}

bool hb_jtrue(hb_jvalue v)
{
    size_t n;
    switch (v.kind) {
    case HB_J_ABSENT:
    case HB_J_UNDEFINED:
    case HB_J_NONE:
        return false;
    case HB_J_BOOL:
        return v.truth;
    case HB_J_INT:
        return v.integer != 0;
    case HB_J_REAL:
        return v.real != 0;
    case HB_J_DICT:
        return v.dict->is_namespace || v.dict->n > 0;
    default:
        return !hb_jlength(v, &n) || n > 0;
    }
}

bool hb_jis_number(hb_jvalue v)
{
    return v.kind == HB_J_BOOL || v.kind == HB_J_INT || v.kind == HB_J_REAL;
}

double hb_jto_real(hb_jvalue number)
{
    if (number.kind == HB_J_REAL) return number.real;
    return number.kind == HB_J_BOOL ? number.truth : (double)number.integer;
}

static bool equal_lists(hb_jinja *j, const hb_jlist *a, const hb_jlist *b)
{
    bool equal = a->n == b->n && a->form == b->form && a->form < HB_J_VIEW;
    for (size_t i = 0; equal && i < a->n; i++) equal = hb_jequal(j, a->items[i], b->items[i]);
    return equal || a == b;
}

static bool equal_dicts(hb_jinja *j, const hb_jdict *a, const hb_jdict *b)
{
    bool equal = a->n == b->n && !a->is_namespace && !b->is_namespace;
    for (size_t i = 0; equal && i < a->n; i++) {
        const hb_jvalue *other = hb_jfind(j, b, a->pairs[i].key);
        equal = other && hb_jequal(j, a->pairs[i].value, *other);
    }
    return equal || a == b;
}

/* The value of a whole number or boolean. */
static int64_t whole(hb_jvalue v)
{
    return v.kind == HB_J_BOOL ? v.truth : v.integer;
}

static bool equal_numbers(hb_jvalue a, hb_jvalue b)
{
    if (a.kind != HB_J_REAL && b.kind != HB_J_REAL) return whole(a) == whole(b);
    return hb_jto_real(a) == hb_jto_real(b);
}

bool hb_jequal(hb_jinja *j, hb_jvalue a, hb_jvalue b)
{
    bool equal = false;
    hb_jenter(j);
    hb_jstep(j, 1);
    if (hb_jis_number(a) && hb_jis_number(b)) equal = equal_numbers(a, b);
    else if (a.kind != b.kind) equal = false;
    else if (a.kind == HB_J_TEXT) equal = hb_jsame_text(a.text, b.text);
    else if (a.kind == HB_J_LIST) equal = equal_lists(j, a.list, b.list);
    else if (a.kind == HB_J_DICT) equal = equal_dicts(j, a.dict, b.dict);
    else if (a.kind == HB_J_LOOP) equal = a.loop == b.loop;
    else if (a.kind == HB_J_CALLABLE) equal = a.callable == b.callable;
    else equal = true; /* none, undefined */
    hb_jleave(j);
    return equal;
}

static int order(double a, double b)
{
    if (isnan(a) || isnan(b)) return 2;
    return (a > b) - (a < b);
}

static int compare_lists(hb_jinja *j, const hb_jlist *a, const hb_jlist *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++)
        if (!hb_jequal(j, a->items[i], b->items[i])) return hb_jcompare(j, a->items[i], b->items[i]);
    return (a->n > b->n) - (a->n < b->n);
}

int hb_jcompare(hb_jinja *j, hb_jvalue a, hb_jvalue b)
{
    int result = 0;
    hb_jenter(j);
    hb_jstep(j, 1);
    if (hb_jis_number(a) && hb_jis_number(b)) {
        int64_t x = whole(a), y = whole(b);
        if (a.kind == HB_J_REAL || b.kind == HB_J_REAL) result = order(hb_jto_real(a), hb_jto_real(b));
        else result = (x > y) - (x < y);
    } else if (a.kind == HB_J_TEXT && b.kind == HB_J_TEXT) {
        size_t n = a.text->length < b.text->length ? a.text->length : b.text->length;
        result = n ? memcmp(a.text->bytes, b.text->bytes, n) : 0;
        if (!result) result = (a.text->length > b.text->length) - (a.text->length < b.text->length);
        else result = result < 0 ? -1 : 1;
    } else if (a.kind == HB_J_LIST && b.kind == HB_J_LIST && a.list->form == b.list->form &&
               a.list->form < HB_J_VIEW) {
        result = compare_lists(j, a.list, b.list);
    } else {
        hb_jneed(j, a);
        hb_jneed(j, b);
        hb_jfail(j, HB_ERR_FORMAT, "%s and %s cannot be compared", hb_jkind_name(a), hb_jkind_name(b));
    }
    hb_jleave(j);
    return result;
}

bool hb_jcontains(hb_jinja *j, hb_jvalue container, hb_jvalue item)
{
    if (container.kind == HB_J_TEXT) {
        if (item.kind != HB_J_TEXT)
            hb_jfail(j, HB_ERR_FORMAT, "%s cannot be in a text", hb_jkind_name(item));
        return hb_jfind_text(j, container.text, item.text, 0) != SIZE_MAX;
    }
    if (container.kind == HB_J_DICT && !container.dict->is_namespace)
        return hb_jfind(j, container.dict, item) != NULL;
    const hb_jlist *items = hb_jitems(j, container);
    for (size_t i = 0; i < items->n; i++)
        if (hb_jequal(j, items->items[i], item)) return true;
    return false;
}

bool hb_jlength(hb_jvalue v, size_t *n)
{
    *n = 0;
    switch (v.kind) {
    case HB_J_UNDEFINED:
        return true;
    case HB_J_TEXT:
        *n = v.text->length;
        return true; /* in bytes; hb_jcount counts characters */
    case HB_J_LIST:
        *n = v.list->n;
        return v.list->form != HB_J_GENERATOR;
    case HB_J_DICT:
        *n = v.dict->n;
        return !v.dict->is_namespace;
    default:
        return false;
    }
}

static const hb_jlist *characters(hb_jinja *j, const hb_jtext *t)
{
    hb_jlist *list = hb_jnew_list(j, HB_J_PLAIN);
    for (size_t at = 0, n; at < t->length; at += n) {
        int32_t codepoint;
        n = hb_jcharacter(t, at, &codepoint);
        hb_jpush(j, list, hb_jof_text(hb_jpart_of(j, t, at, at + n)));
    }
    return list;
}

static const hb_jlist *rest_of(hb_jinja *j, hb_jlist *generator)
{
    hb_jlist *rest = hb_jnew_list(j, HB_J_PLAIN);
    if (generator->taken == generator->n) return rest;
    rest->items = generator->items + generator->taken;
    rest->n = rest->room = generator->n - generator->taken;
    generator->taken = generator->n;
    return rest;
}

const hb_jlist *hb_jitems(hb_jinja *j, hb_jvalue v)
{
    switch (v.kind) {
    case HB_J_UNDEFINED:
        return hb_jnew_list(j, HB_J_PLAIN);
    case HB_J_TEXT:
        return characters(j, v.text);
    case HB_J_LIST:
        return v.list->form == HB_J_GENERATOR ? rest_of(j, v.list) : v.list;
    case HB_J_DICT:
        if (!v.dict->is_namespace) return hb_jdict_list(j, v.dict, HB_J_KEYS, HB_J_PLAIN);
        break;
    default:
        break;
    }
    hb_jfail(j, HB_ERR_FORMAT, "%s cannot be iterated over", hb_jkind_name(v));
}
