/* Filters that apply a filter, a test or an attribute to each item of a list. */
#include "chat/builtins.h"
#include "chat/eval.h"

/* The arguments after the first n. */
static hb_jargs after(const hb_jargs *args, size_t n)
{
    hb_jargs rest = *args;
    if (n > 0) rest.v += n;
    rest.n -= n;
    return rest;
}

static hb_jvalue named(const hb_jargs *args, const char *name)
{
    for (size_t i = 0; i < args->n_named; i++)
        if (hb_jtext_is(args->names[i], name)) return args->named[i];
    return (hb_jvalue){0};
}

static hb_jvalue first_argument(hb_jinja *j, const hb_jargs *args, const char *what)
{
    if (args->n == 0) hb_jfail(j, HB_ERR_FORMAT, "%s", what);
    return args->v[0];
}

/* A value that counts as false, such as none, has no items here. */
static const hb_jlist *items_of(hb_jinja *j, hb_jvalue v)
{
    return hb_jtrue(v) ? hb_jitems(j, v) : hb_jnew_list(j, HB_J_PLAIN);
}

/* map("filter", arguments ...) or map(attribute="a.b", default=x) */
static hb_jvalue filter_map(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    const hb_jlist *items = items_of(j, self);
    hb_jlist *list = hb_jnew_list(j, HB_J_GENERATOR);
    hb_jvalue attribute = named(args, "attribute"), by_default = named(args, "default");
    const hb_jtext *name = NULL;
    hb_jargs rest = {0};
    if (attribute.kind == HB_J_ABSENT) {
        name = hb_jtext_argument(j, first_argument(j, args, "map needs a filter or an attribute"),
                                 "a filter's name");
        rest = after(args, 1);
    }
    for (size_t i = 0; i < items->n; i++) {
        hb_jvalue v = items->items[i];
        if (name) v = hb_jinvoke(j, hb_jfind_filter(name), "filter", name, v, &rest);
        else v = hb_jattribute_path(j, v, attribute);
        bool missing = !name && v.kind == HB_J_UNDEFINED && by_default.kind != HB_J_ABSENT;
        hb_jpush(j, list, missing ? by_default : v);
    }
    return hb_jof_list(list);
}

/* The items that pass a test or, if `pass` is false, fail it. The test gets the item or an attribute of
 * it. Without a test, the value itself must be true. */
static hb_jvalue choose(hb_jinja *j, hb_jvalue self, const hb_jargs *args, bool by_attribute, bool pass)
{
    const hb_jlist *items = items_of(j, self);
    hb_jlist *list = hb_jnew_list(j, HB_J_GENERATOR);
    hb_jvalue attribute = {0};
    if (by_attribute) attribute = first_argument(j, args, "an attribute is missing");
    hb_jargs rest = after(args, by_attribute);
    const hb_jtext *name = rest.n ? hb_jtext_argument(j, rest.v[0], "a test's name") : NULL;
    if (name) rest = after(&rest, 1);
    for (size_t i = 0; i < items->n; i++) {
        hb_jvalue v = items->items[i];
        if (by_attribute) v = hb_jattribute_path(j, v, attribute);
        if (name) v = hb_jinvoke(j, hb_jfind_test(name), "test", name, v, &rest);
        if (hb_jtrue(v) == pass) hb_jpush(j, list, items->items[i]);
    }
    return hb_jof_list(list);
}

static hb_jvalue filter_select(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    return choose(j, self, args, false, true);
}

static hb_jvalue filter_reject(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    return choose(j, self, args, false, false);
}

static hb_jvalue filter_selectattr(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    return choose(j, self, args, true, true);
}

static hb_jvalue filter_rejectattr(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    return choose(j, self, args, true, false);
}

/* Finds attributes but not items. A mapping has only its methods as attributes. */
static hb_jvalue filter_attr(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    hb_jvalue given = first_argument(j, args, "an attribute is missing");
    const hb_jtext *name = hb_jtext_argument(j, given, "an attribute");
    bool mapping = self.kind == HB_J_DICT && !self.dict->is_namespace;
    return mapping && !hb_jfind_method(self, name) ? hb_jundefined(name) : hb_jattribute(j, self, name);
}

const hb_jbuiltin *hb_jfind_choosing_filter(const hb_jtext *name)
{
    static const hb_jbuiltin filters[] = {
        {"map", NULL, 0, NULL, filter_map},
        {"select", NULL, 0, NULL, filter_select},
        {"reject", NULL, 0, NULL, filter_reject},
        {"selectattr", NULL, 0, NULL, filter_selectattr},
        {"rejectattr", NULL, 0, NULL, filter_rejectattr},
        {"attr", NULL, 0, NULL, filter_attr},
    };
    return HB_J_FIND(filters, name);
}
