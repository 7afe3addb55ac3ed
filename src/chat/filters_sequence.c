/* Filters of lists and other values that can be iterated. */
#include <string.h>
#include "chat/builtins.h"
#include "chat/eval.h"

static hb_jvalue filter_default(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    bool falsy = hb_jbool_argument(arg[1], false) && !hb_jtrue(self);
    if (self.kind != HB_J_UNDEFINED && !falsy) return self;
    return arg[0].kind == HB_J_ABSENT ? hb_jof_text(hb_jliteral(j, "")) : arg[0];
}

static hb_jvalue filter_length(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    size_t n;
    (void)arg;
    if (!hb_jlength(self, &n)) hb_jfail(j, HB_ERR_FORMAT, "%s has no length", hb_jkind_name(self));
    return hb_jint((int64_t)(self.kind == HB_J_TEXT ? hb_jcount(j, self.text) : n));
}

/* Reading the first item of a generator consumes it. */
static hb_jvalue filter_first(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    (void)arg;
    if (self.kind == HB_J_LIST && self.list->form == HB_J_GENERATOR)
        return self.list->taken < self.list->n ? self.list->items[self.list->taken++]
                                               : hb_jundefined(NULL);
    const hb_jlist *items = hb_jitems(j, self);
    return items->n ? items->items[0] : hb_jundefined(NULL);
}

static hb_jvalue filter_last(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    const hb_jlist *items = hb_jitems(j, self);
    (void)arg;
    return items->n ? items->items[items->n - 1] : hb_jundefined(NULL);
}

/* The item, or an attribute of it if one is given. */
static hb_jvalue part(hb_jinja *j, hb_jvalue item, hb_jvalue attribute)
{
    bool none = attribute.kind == HB_J_ABSENT || attribute.kind == HB_J_NONE;
    return none ? item : hb_jattribute_path(j, item, attribute);
}

static hb_jvalue filter_join(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    const hb_jlist *items = hb_jitems(j, self);
    hb_jbuilder b = {0};
    for (size_t i = 0; i < items->n; i++) {
        if (i > 0) hb_jprint(j, &b, arg[0]);
        hb_jprint(j, &b, part(j, items->items[i], arg[1]));
    }
    return hb_jof_text(hb_jbuilt(j, &b));
}

static hb_jlist *copied(hb_jinja *j, hb_jvalue v, hb_jform form)
{
    const hb_jlist *items = hb_jitems(j, v);
    hb_jlist *list = hb_jnew_list(j, form);
    for (size_t i = 0, n = items->n; i < n; i++) hb_jpush(j, list, items->items[i]);
    return list;
}

static hb_jvalue filter_list(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    (void)arg;
    return hb_jof_list(copied(j, self, HB_J_PLAIN));
}

static hb_jvalue filter_reverse(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    const hb_jlist *items = hb_jitems(j, self);
    hb_jlist *list = hb_jnew_list(j, HB_J_GENERATOR);
    hb_jbuilder b = {0};
    (void)arg;
    for (size_t i = items->n; i-- > 0;) {
        if (self.kind == HB_J_TEXT) hb_jadd(j, &b, items->items[i].text);
        else hb_jpush(j, list, items->items[i]);
    }
    return self.kind == HB_J_TEXT ? hb_jof_text(hb_jbuilt(j, &b)) : hb_jof_list(list);
}

/* The key to compare items by. Texts are compared without case unless case counts. */
static hb_jvalue sort_key(hb_jinja *j, hb_jvalue v, bool case_counts)
{
    if (v.kind != HB_J_TEXT || case_counts) return v;
    return hb_jof_text(hb_jchange_case(j, v.text, HB_J_LOWER));
}

static hb_jvalue filter_sort(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    hb_jlist *list = copied(j, self, HB_J_PLAIN), *keys = hb_jnew_list(j, HB_J_PLAIN);
    bool case_counts = hb_jbool_argument(arg[1], false);
    for (size_t i = 0; i < list->n; i++)
        hb_jpush(j, keys, sort_key(j, part(j, list->items[i], arg[2]), case_counts));
    hb_jsort(j, keys->items, list->items, list->n, hb_jbool_argument(arg[0], false));
    return hb_jof_list(list);
}

static hb_jvalue filter_dictsort(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    if (self.kind != HB_J_DICT) hb_jfail(j, HB_ERR_FORMAT, "%s is not a mapping", hb_jkind_name(self));
    const hb_jtext *by = hb_joptional_text(j, arg[1], "the sort order");
    hb_jlist *items = hb_jdict_list(j, self.dict, HB_J_ITEMS, HB_J_PLAIN);
    hb_jlist *keys = hb_jnew_list(j, HB_J_PLAIN);
    size_t place = by && hb_jtext_is(by, "value");
    for (size_t i = 0; i < items->n; i++) {
        hb_jvalue key = items->items[i].list->items[place];
        hb_jpush(j, keys, sort_key(j, key, hb_jbool_argument(arg[0], false)));
    }
    hb_jsort(j, keys->items, items->items, items->n, hb_jbool_argument(arg[2], false));
    return hb_jof_list(items);
}

static hb_jvalue filter_items(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    (void)arg;
    if (self.kind == HB_J_UNDEFINED) return hb_jof_list(hb_jnew_list(j, HB_J_GENERATOR));
    if (self.kind != HB_J_DICT) hb_jfail(j, HB_ERR_FORMAT, "%s is not a mapping", hb_jkind_name(self));
    return hb_jof_list(hb_jdict_list(j, self.dict, HB_J_ITEMS, HB_J_GENERATOR));
}

static hb_jvalue filter_unique(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    const hb_jlist *items = hb_jitems(j, self);
    hb_jlist *list = hb_jnew_list(j, HB_J_GENERATOR);
    hb_jdict *seen = hb_jnew_dict(j);
    for (size_t i = 0; i < items->n; i++) {
        hb_jvalue key = sort_key(j, part(j, items->items[i], arg[1]), hb_jbool_argument(arg[0], false));
        if (hb_jfind(j, seen, key)) continue;
        hb_jput(j, seen, key, hb_jnone());
        hb_jpush(j, list, items->items[i]);
    }
    return hb_jof_list(list);
}

static hb_jvalue filter_sum(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    const hb_jlist *items = hb_jitems(j, self);
    hb_jvalue sum = arg[1].kind == HB_J_ABSENT ? hb_jint(0) : arg[1];
    for (size_t i = 0; i < items->n; i++)
        sum = hb_joperate(j, HB_J_ADD, sum, part(j, items->items[i], arg[0]));
    return sum;
}

/* The item with the largest key (`sign` 1) or the smallest (-1); the first one of equals. */
static hb_jvalue extreme(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg, int sign)
{
    const hb_jlist *items = hb_jitems(j, self);
    hb_jvalue best = hb_jundefined(NULL), best_key = best;
    for (size_t i = 0; i < items->n; i++) {
        hb_jvalue key = sort_key(j, part(j, items->items[i], arg[1]), hb_jbool_argument(arg[0], false));
        if (i > 0 && hb_jcompare(j, key, best_key) != sign) continue;
        best = items->items[i];
        best_key = key;
    }
    return best;
}

static hb_jvalue filter_min(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    return extreme(j, self, arg, -1);
}

static hb_jvalue filter_max(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    return extreme(j, self, arg, 1);
}

static hb_jvalue filter_batch(hb_jinja *j, hb_jvalue self, const hb_jvalue *arg)
{
    const hb_jlist *items = hb_jitems(j, self);
    int64_t size = hb_jint_argument(j, arg[0], 1, "a batch's size");
    if (size < 1) hb_jfail(j, HB_ERR_FORMAT, "a batch's size must be at least 1");
    hb_jlist *batches = hb_jnew_list(j, HB_J_GENERATOR), *batch = NULL;
    for (size_t i = 0; i < items->n; i++) {
        if (!batch || batch->n == (uint64_t)size) {
            batch = hb_jnew_list(j, HB_J_PLAIN);
            hb_jpush(j, batches, hb_jof_list(batch));
        }
        hb_jpush(j, batch, items->items[i]);
    }
    bool fill = arg[1].kind != HB_J_ABSENT && arg[1].kind != HB_J_NONE;
    while (fill && batch && batch->n < (uint64_t)size) hb_jpush(j, batch, arg[1]);
    return hb_jof_list(batches);
}

const hb_jbuiltin *hb_jfind_sequence_filter(const hb_jtext *name)
{
    static const hb_jbuiltin filters[] = {
        {"default", "default_value boolean", 0, filter_default, NULL},
        {"d", "default_value boolean", 0, filter_default, NULL},
        {"length", "", 0, filter_length, NULL},
        {"count", "", 0, filter_length, NULL},
        {"first", "", 0, filter_first, NULL},
        {"last", "", 0, filter_last, NULL},
        {"join", "d attribute", 0, filter_join, NULL},
        {"list", "", 0, filter_list, NULL},
        {"reverse", "", 0, filter_reverse, NULL},
        {"sort", "reverse case_sensitive attribute", 0, filter_sort, NULL},
        {"dictsort", "case_sensitive by reverse", 0, filter_dictsort, NULL},
        {"items", "", 0, filter_items, NULL},
        {"unique", "case_sensitive attribute", 0, filter_unique, NULL},
        {"sum", "attribute start", 0, filter_sum, NULL},
        {"min", "case_sensitive attribute", 0, filter_min, NULL},
        {"max", "case_sensitive attribute", 0, filter_max, NULL},
        {"batch", "linecount fill_with", 1, filter_batch, NULL},
    };
    return HB_J_FIND(filters, name);
}
