/* The methods of Python's lists and dicts. Methods that change their object work; transformers' sandbox
 * refuses them. */
#include <string.h>
#include "chat/builtins.h"
#include "chat/text.h"

#define LIST_METHOD(name)                                                                              \
    static hb_jvalue list_##name(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
#define DICT_METHOD(name)                                                                              \
    static hb_jvalue dict_##name(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)

/* ---- Lists -------------------------------------------------------------------------------------- */

LIST_METHOD(append)
{
    hb_jpush(j, self.list, arg[0]);
    return hb_jnone();
}

LIST_METHOD(extend)
{
    const hb_jlist *items = hb_jitems(j, arg[0]);
    for (size_t i = 0, n = items->n; i < n; i++) hb_jpush(j, self.list, items->items[i]);
    return hb_jnone();
}

/* An index within [0, n]. A negative index counts from the end. */
static size_t held(int64_t index, size_t n)
{
    if (index < 0) index = index < -(int64_t)n ? 0 : index + (int64_t)n;
    return (uint64_t)index > n ? n : (size_t)index;
}

LIST_METHOD(insert)
{
    hb_jlist *list = self.list;
    size_t at = held(hb_jint_argument(j, arg[0], 0, "an index"), list->n);
    hb_jpush(j, list, arg[1]);
    hb_jstep(j, list->n - at);
    memmove(list->items + at + 1, list->items + at, (list->n - 1 - at) * sizeof *list->items);
    list->items[at] = arg[1];
    return hb_jnone();
}

static hb_jvalue take_out(hb_jlist *list, size_t at)
{
    hb_jvalue v = list->items[at];
    list->n--;
    memmove(list->items + at, list->items + at + 1, (list->n - at) * sizeof *list->items);
    return v;
}

LIST_METHOD(pop)
{
    int64_t index = hb_jint_argument(j, arg[0], -1, "an index"), n = (int64_t)self.list->n;
    if (index < -n || index >= n) hb_jfail(j, HB_ERR_FORMAT, "the index is outside the list");
    hb_jstep(j, self.list->n);
    return take_out(self.list, (size_t)(index < 0 ? index + n : index));
}

static size_t place_of(hb_jinja *j, const hb_jlist *list, hb_jvalue v)
{
    for (size_t i = 0; i < list->n; i++)
        if (hb_jequal(j, list->items[i], v)) return i;
    hb_jfail(j, HB_ERR_FORMAT, "the list does not contain the value");
}

LIST_METHOD(index)
{
    return hb_jint((int64_t)place_of(j, self.list, arg[0]));
}

LIST_METHOD(remove)
{
    take_out(self.list, place_of(j, self.list, arg[0]));
    return hb_jnone();
}

LIST_METHOD(count)
{
    int64_t n = 0;
    for (size_t i = 0; i < self.list->n; i++) n += hb_jequal(j, self.list->items[i], arg[0]);
    return hb_jint(n);
}

LIST_METHOD(reverse)
{
    (void)arg;
    hb_jreverse(j, self.list);
    return hb_jnone();
}

LIST_METHOD(copy)
{
    hb_jlist *list = hb_jnew_list(j, HB_J_PLAIN);
    (void)arg;
    for (size_t i = 0; i < self.list->n; i++) hb_jpush(j, list, self.list->items[i]);
    return hb_jof_list(list);
}

LIST_METHOD(clear)
{
    (void)j, (void)arg;
    self.list->n = 0;
    return hb_jnone();
}

const hb_jbuiltin *hb_jfind_list_method(const hb_jtext *name, bool tuple)
{
    static const hb_jbuiltin methods[] = {
        {"index", "value", 1, list_index, NULL}, /* tuples have only the first two */
        {"count", "value", 1, list_count, NULL},      {"append", "object", 1, list_append, NULL},
        {"extend", "iterable", 1, list_extend, NULL}, {"insert", "index object", 2, list_insert, NULL},
        {"pop", "index", 0, list_pop, NULL},          {"remove", "value", 1, list_remove, NULL},
        {"reverse", "", 0, list_reverse, NULL},       {"copy", "", 0, list_copy, NULL},
        {"clear", "", 0, list_clear, NULL},
    };
    return hb_jfind_builtin(methods, tuple ? 2 : sizeof methods / sizeof *methods, name);
}

/* ---- Dicts -------------------------------------------------------------------------------------- */

static hb_jvalue or_none(hb_jvalue v)
{
    return v.kind == HB_J_ABSENT ? hb_jnone() : v;
}

DICT_METHOD(get)
{
    const hb_jvalue *found = hb_jfind(j, self.dict, arg[0]);
    return found ? *found : or_none(arg[1]);
}

DICT_METHOD(keys)
{
    (void)arg;
    return hb_jof_list(hb_jdict_list(j, self.dict, HB_J_KEYS, HB_J_VIEW));
}

DICT_METHOD(values)
{
    (void)arg;
    return hb_jof_list(hb_jdict_list(j, self.dict, HB_J_VALUES, HB_J_VIEW));
}

DICT_METHOD(items)
{
    (void)arg;
    return hb_jof_list(hb_jdict_list(j, self.dict, HB_J_ITEMS, HB_J_VIEW));
}

DICT_METHOD(pop)
{
    hb_jvalue removed;
    if (hb_jremove(j, self.dict, arg[0], &removed)) return removed;
    if (arg[1].kind == HB_J_ABSENT) hb_jfail(j, HB_ERR_FORMAT, "the mapping has no such key");
    return arg[1];
}

DICT_METHOD(setdefault)
{
    const hb_jvalue *found = hb_jfind(j, self.dict, arg[0]);
    if (found) return *found;
    hb_jput(j, self.dict, arg[0], or_none(arg[1]));
    return or_none(arg[1]);
}

DICT_METHOD(copy)
{
    hb_jdict *dict = hb_jnew_dict(j);
    (void)arg;
    for (size_t i = 0; i < self.dict->n; i++)
        hb_jput(j, dict, self.dict->pairs[i].key, self.dict->pairs[i].value);
    return hb_jof_dict(dict);
}

DICT_METHOD(clear)
{
    (void)j, (void)arg;
    self.dict->n = 0;
    return hb_jnone();
}

static hb_jvalue dict_update(hb_jinja *j, hb_jvalue self, const hb_jargs *args)
{
    const hb_jbuiltin *dict = hb_jfind_global(hb_jliteral(j, "dict"));
    const hb_jdict *new = dict->raw(j, self, args).dict;
    for (size_t i = 0; i < new->n; i++) hb_jput(j, self.dict, new->pairs[i].key, new->pairs[i].value);
    return hb_jnone();
}

const hb_jbuiltin *hb_jfind_dict_method(const hb_jtext *name)
{
    static const hb_jbuiltin methods[] = {
        {"get", "key default", 1, dict_get, NULL},
        {"keys", "", 0, dict_keys, NULL},
        {"values", "", 0, dict_values, NULL},
        {"items", "", 0, dict_items, NULL},
        {"pop", "key default", 1, dict_pop, NULL},
        {"setdefault", "key default", 1, dict_setdefault, NULL},
        {"copy", "", 0, dict_copy, NULL},
        {"clear", "", 0, dict_clear, NULL},
        {"update", NULL, 0, NULL, dict_update},
    };
    return HB_J_FIND(methods, name);
}
