/* Finds attributes, items and slices of values like Jinja does. */
#include <string.h>
#include "chat/builtins.h"
#include "chat/eval.h"

static bool find_method(hb_jinja *j, hb_jvalue v, const hb_jtext *name, hb_jvalue *found)
{
    const hb_jbuiltin *method = hb_jfind_method(v, name);
    if (method) *found = hb_jbound(j, method, v);
    return method != NULL;
}

/* An item of a list or text. A negative index counts from the end. */
static bool find_indexed(hb_jinja *j, hb_jvalue v, hb_jvalue key, hb_jvalue *found)
{
    bool list = v.kind == HB_J_LIST && v.list->form <= HB_J_TUPLE, text = v.kind == HB_J_TEXT;
    if ((!list && !text) || (key.kind != HB_J_INT && key.kind != HB_J_BOOL)) return false;
    int64_t index = key.kind == HB_J_BOOL ? key.truth : key.integer;
    size_t n = list ? v.list->n : hb_jcount(j, v.text);
    if (index < 0) index += (int64_t)n;
    if (index < 0 || (uint64_t)index >= n) return false;
    if (list) {
        *found = v.list->items[index];
        return true;
    }
    int32_t codepoint;
    size_t at = hb_jplace(j, v.text, (size_t)index);
    *found = hb_jof_text(hb_jpart_of(j, v.text, at, at + hb_jcharacter(v.text, at, &codepoint)));
    return true;
}

static bool find_item(hb_jinja *j, hb_jvalue v, hb_jvalue key, hb_jvalue *found)
{
    if (v.kind != HB_J_DICT) return find_indexed(j, v, key, found);
    if (key.kind == HB_J_DICT || (key.kind == HB_J_LIST && key.list->form != HB_J_TUPLE)) return false;
    const hb_jvalue *item = hb_jfind(j, v.dict, key);
    if (item) *found = *item;
    return item != NULL;
}

hb_jvalue hb_jattribute(hb_jinja *j, hb_jvalue v, const hb_jtext *name)
{
    hb_jvalue found;
    hb_jstep(j, 1);
    hb_jneed(j, v);
    if (v.kind == HB_J_LOOP) return hb_jloop_attribute(j, v, name);
    if (find_method(j, v, name, &found)) return found;
    return find_item(j, v, hb_jof_text(name), &found) ? found : hb_jundefined(name);
}

hb_jvalue hb_jitem(hb_jinja *j, hb_jvalue v, hb_jvalue key)
{
    hb_jvalue found;
    hb_jstep(j, 1);
    hb_jneed(j, v);
    if (find_item(j, v, key, &found)) return found;
    if (key.kind != HB_J_TEXT) return hb_jundefined(NULL);
    if (v.kind == HB_J_LOOP) return hb_jloop_attribute(j, v, key.text);
    return find_method(j, v, key.text, &found) ? found : hb_jundefined(key.text);
}

static const hb_jtext *slice_text(hb_jinja *j, const hb_jtext *t, int64_t first, int64_t step, size_t n)
{
    if (n == 0) return hb_jliteral(j, "");
    if (step == 1) {
        size_t from = hb_jplace(j, t, (size_t)first);
        const hb_jtext *rest = hb_jpart_of(j, t, from, t->length);
        return hb_jpart_of(j, rest, 0, hb_jplace(j, rest, n));
    }
    const hb_jlist *characters = hb_jitems(j, hb_jof_text(t));
    hb_jbuilder b = {0};
    for (size_t i = 0; i < n; i++) hb_jadd(j, &b, characters->items[first + (int64_t)i * step].text);
    return hb_jbuilt(j, &b);
}

hb_jvalue hb_jslice(hb_jinja *j, hb_jvalue v, const hb_jvalue bounds[3])
{
    int64_t first, step;
    size_t n;
    hb_jneed(j, v);
    if (v.kind == HB_J_TEXT) {
        hb_jslice_places(j, bounds, hb_jcount(j, v.text), &first, &step, &n);
        return hb_jof_text(slice_text(j, v.text, first, step, n));
    }
    if (v.kind != HB_J_LIST || v.list->form > HB_J_TUPLE) return hb_jundefined(NULL);
    hb_jslice_places(j, bounds, v.list->n, &first, &step, &n);
    hb_jlist *list = hb_jnew_list(j, v.list->form);
    for (size_t i = 0; i < n; i++) hb_jpush(j, list, v.list->items[first + (int64_t)i * step]);
    return hb_jof_list(list);
}

/* A part of a path. A number becomes an index. */
static hb_jvalue path_part(const hb_jtext *part)
{
    int64_t index = 0;
    for (size_t i = 0; i < part->length && index <= INT32_MAX; i++) {
        if (part->bytes[i] < '0' || part->bytes[i] > '9') return hb_jof_text(part);
        index = 10 * index + (part->bytes[i] - '0');
    }
    return part->length ? hb_jint(index) : hb_jof_text(part);
}

hb_jvalue hb_jattribute_path(hb_jinja *j, hb_jvalue v, hb_jvalue path)
{
    if (path.kind != HB_J_TEXT) return hb_jitem(j, v, path);
    const hb_jlist *parts = hb_jsplit(j, path.text, hb_jliteral(j, "."), -1);
    for (size_t i = 0; i < parts->n; i++) v = hb_jitem(j, v, path_part(parts->items[i].text));
    return v;
}
