/* Lists and dicts. */
#include <string.h>
#include "chat/text.h"
#include "chat/value.h"

/* ---- Lists -------------------------------------------------------------------------------------- */

hb_jlist *hb_jnew_list(hb_jinja *j, hb_jform form)
{
    hb_jlist *list = hb_jalloc(j, 1, sizeof *list);
    list->form = form;
    return list;
}

void hb_jpush(hb_jinja *j, hb_jlist *list, hb_jvalue v)
{
    hb_jstep(j, 1);
    list->items = hb_jgrown(j, list->items, list->n, sizeof *list->items, &list->room);
    list->items[list->n++] = v;
}

void hb_jreverse(hb_jinja *j, hb_jlist *list)
{
    hb_jstep(j, list->n);
    for (size_t i = 0; i < list->n / 2; i++) {
        hb_jvalue swap = list->items[i];
        list->items[i] = list->items[list->n - 1 - i];
        list->items[list->n - 1 - i] = swap;
    }
}

/* Whether y, which stands after x, must come before x. Equal values need no order. */
static bool comes_first(hb_jinja *j, hb_jvalue x, hb_jvalue y, bool reverse)
{
    if (hb_jequal(j, x, y)) return false;
    return reverse ? hb_jcompare(j, y, x) == 1 : hb_jcompare(j, y, x) == -1;
}

typedef struct sorted {
    hb_jvalue key, item;
} sorted;

/* Merges two sorted runs of `from`, [0, middle) and [middle, n), into `to`. */
static void merge(hb_jinja *j, const sorted *from, size_t middle, size_t n, sorted *to, bool reverse)
{
    size_t a = 0, b = middle;
    for (size_t i = 0; i < n; i++) {
        bool second = a == middle || (b < n && comes_first(j, from[a].key, from[b].key, reverse));
        to[i] = second ? from[b++] : from[a++];
    }
}

void hb_jsort(hb_jinja *j, hb_jvalue *keys, hb_jvalue *items, size_t n, bool reverse)
{
    sorted *from = hb_jalloc(j, n + 1, sizeof *from), *to = hb_jalloc(j, n + 1, sizeof *to);
    for (size_t i = 0; i < n; i++) from[i] = (sorted){keys[i], items[i]};
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t at = 0; at < n; at += 2 * run) {
            size_t rest = n - at;
            merge(j, from + at, run < rest ? run : rest, 2 * run < rest ? 2 * run : rest, to + at,
                  reverse);
        }
        sorted *swap = from;
        from = to;
        to = swap;
    }
    for (size_t i = 0; i < n; i++) keys[i] = from[i].key, items[i] = from[i].item;
}

/* ---- Dicts -------------------------------------------------------------------------------------- */

hb_jdict *hb_jnew_dict(hb_jinja *j)
{
    return hb_jalloc(j, 1, sizeof(hb_jdict));
}

static void check_key(hb_jinja *j, hb_jvalue key)
{
    bool tuple = key.kind == HB_J_LIST && key.list->form == HB_J_TUPLE;
    if (key.kind == HB_J_DICT || (key.kind == HB_J_LIST && !tuple))
        hb_jfail(j, HB_ERR_FORMAT, "%s cannot be a key", hb_jkind_name(key));
    for (size_t i = 0; tuple && i < key.list->n; i++) {
        hb_jenter(j);
        check_key(j, key.list->items[i]);
        hb_jleave(j);
    }
}

hb_jvalue *hb_jfind(hb_jinja *j, const hb_jdict *dict, hb_jvalue key)
{
    check_key(j, key);
    for (size_t i = 0; i < dict->n; i++)
        if (hb_jequal(j, dict->pairs[i].key, key)) return &dict->pairs[i].value;
    return NULL;
}

hb_jvalue *hb_jfind_name(hb_jinja *j, const hb_jdict *dict, const hb_jtext *name)
{
    return hb_jfind(j, dict, hb_jof_text(name));
}

void hb_jput(hb_jinja *j, hb_jdict *dict, hb_jvalue key, hb_jvalue value)
{
    hb_jvalue *place = hb_jfind(j, dict, key);
    if (place) {
        *place = value;
        return;
    }
    dict->pairs = hb_jgrown(j, dict->pairs, dict->n, sizeof *dict->pairs, &dict->room);
    dict->pairs[dict->n++] = (hb_jpair){key, value};
}

bool hb_jremove(hb_jinja *j, hb_jdict *dict, hb_jvalue key, hb_jvalue *removed)
{
    hb_jvalue *place = hb_jfind(j, dict, key);
    if (!place) return false;
    *removed = *place;
    size_t i = 0;
    while (&dict->pairs[i].value != place) i++;
    memmove(dict->pairs + i, dict->pairs + i + 1, (dict->n - i - 1) * sizeof *dict->pairs);
    dict->n--;
    return true;
}

hb_jlist *hb_jdict_list(hb_jinja *j, const hb_jdict *dict, hb_jpart part, hb_jform form)
{
    hb_jlist *list = hb_jnew_list(j, form);
    list->part = part;
    for (size_t i = 0; i < dict->n; i++) {
        hb_jvalue v = part == HB_J_KEYS ? dict->pairs[i].key : dict->pairs[i].value;
        if (part == HB_J_ITEMS) {
            hb_jlist *pair = hb_jnew_list(j, HB_J_TUPLE);
            hb_jpush(j, pair, dict->pairs[i].key);
            hb_jpush(j, pair, dict->pairs[i].value);
            v = hb_jof_list(pair);
        }
        hb_jpush(j, list, v);
    }
    return list;
}

/* ---- Slices ------------------------------------------------------------------------------------- */

static bool bound(hb_jinja *j, hb_jvalue v, int64_t *place)
{
    if (v.kind == HB_J_ABSENT || v.kind == HB_J_NONE) return false;
    if (v.kind != HB_J_INT && v.kind != HB_J_BOOL)
        hb_jfail(j, HB_ERR_FORMAT, "%s cannot be the bound of a slice", hb_jkind_name(v));
    *place = v.kind == HB_J_BOOL ? v.truth : v.integer;
    return true;
}

/* Converts a given bound to an index within [low, high]. A negative bound counts from the end. */
static int64_t place_of(int64_t given, int64_t n, int64_t low, int64_t high)
{
    if (given < 0) given = given < -n ? -1 : given + n;
    if (given < low) return low;
    return given > high ? high : given;
}

void hb_jslice_places(hb_jinja *j, const hb_jvalue bounds[3], size_t n, int64_t *first, int64_t *step,
                      size_t *count)
{
    int64_t size = (int64_t)n, from, to;
    *step = 1;
    if (bound(j, bounds[2], step) && *step == 0) hb_jfail(j, HB_ERR_FORMAT, "a slice's step is 0");
    bool back = *step < 0;
    int64_t low = back ? -1 : 0, high = back ? size - 1 : size;
    if (!bound(j, bounds[0], &from)) from = back ? high : low;
    else from = place_of(from, size, low, high);
    if (!bound(j, bounds[1], &to)) to = back ? low : high;
    else to = place_of(to, size, low, high);
    uint64_t distance = back ? (uint64_t)(from - to) : (uint64_t)(to - from);
    uint64_t stride = back ? 0 - (uint64_t)*step : (uint64_t)*step;
    bool empty = back ? from <= to : to <= from;
    *first = from;
    *count = empty ? 0 : (size_t)((distance - 1) / stride + 1);
}
