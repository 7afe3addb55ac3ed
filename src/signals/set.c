/* Sets of signals. Built-in signals come first, in the order of the registry, then other instances. */
#include "signals/set.h"

#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "base/memory.h"
#include "signals/signal.h"

struct hb_signal_set {
    const hb_signal **list; /* [n] */
    size_t n, room;
};

/* ---- Members ------------------------------------------------------------------------------------- */

hb_status hb_signal_set_new(hb_signal_set **set, hb_error *err)
{
    hb_signal_set *s = calloc(1, sizeof *s);
    if (!s) return hb_fail_memory(err);
    *set = s;
    return HB_OK;
}

void hb_signal_set_free(hb_signal_set *set)
{
    if (!set) return;
    free(set->list);
    free(set);
}

const hb_signal *hb_signal_set_at(const hb_signal_set *set, size_t i)
{
    if (!set) return hb_signal_at(i);
    return i < set->n ? set->list[i] : NULL;
}

size_t hb_signal_set_count(const hb_signal_set *set)
{
    size_t n = 0;
    if (set) return set->n;
    while (hb_signal_at(n)) n++;
    return n;
}

bool hb_signal_set_find(const hb_signal_set *set, const hb_signal *signal, size_t *place)
{
    const hb_signal *at;
    for (size_t i = 0; (at = hb_signal_set_at(set, i)) != NULL; i++) {
        if (at != signal) continue;
        *place = i;
        return true;
    }
    return false;
}

bool hb_signal_set_has(const hb_signal_set *set, const hb_signal *signal)
{
    size_t place;
    return hb_signal_set_find(set, signal, &place);
}

hb_status hb_signal_set_add(hb_signal_set *set, const hb_signal *signal, hb_error *err)
{
    if (hb_signal_set_has(set, signal)) return HB_OK;
    const hb_signal **list = hb_grown(set->list, set->n, sizeof *list, &set->room);
    if (!list) return hb_fail_memory(err);
    set->list = list;
    size_t i = set->n++;
    for (; i > 0 && hb_signal_rank(set->list[i - 1]) > hb_signal_rank(signal); i--)
        set->list[i] = set->list[i - 1];
    set->list[i] = signal;
    return HB_OK;
}

hb_status hb_signal_set_copy(const hb_signal_set *from, hb_signal_set **set, hb_error *err)
{
    hb_signal_set *s;
    const hb_signal *signal;
    hb_status status = hb_signal_set_new(&s, err);
    for (size_t i = 0; !status && (signal = hb_signal_set_at(from, i)) != NULL; i++)
        if ((status = hb_signal_set_add(s, signal, err)) != HB_OK) hb_signal_set_free(s);
    if (!status) *set = s;
    return status;
}

/* ---- Lists of names ------------------------------------------------------------------------------ */

/* Adds the built-in signal with this name of `length` bytes. */
static hb_status add_named(hb_signal_set *set, const char *name, size_t length, hb_error *err)
{
    const hb_signal *signal;
    for (size_t i = 0; (signal = hb_signal_at(i)) != NULL; i++)
        if (strlen(signal->name) == length && memcmp(signal->name, name, length) == 0)
            return hb_signal_set_add(set, signal, err);
    char *known = hb_signal_set_names(NULL);
    hb_status status = hb_fail(err, HB_ERR_ARGUMENT, "no signal '%.*s'; there are %s",
                               length < 60 ? (int)length : 60, name, known ? known : "others");
    free(known);
    return status;
}

hb_status hb_signal_set_parse(const char *list, hb_signal_set **set, hb_error *err)
{
    hb_signal_set *s;
    if (strcmp(list, "all") == 0) return hb_signal_set_copy(NULL, set, err);
    hb_status status = hb_signal_set_new(&s, err);
    if (status) return status;
    for (const char *name = list;;) {
        size_t length = strcspn(name, ",");
        status = add_named(s, name, length, err);
        name += length;
        if (status || !*name || !*++name) break;
    }
    if (status) hb_signal_set_free(s);
    else *set = s;
    return status;
}

char *hb_signal_set_names(const hb_signal_set *set)
{
    hb_buffer list = {0};
    const hb_signal *signal;
    bool ok = hb_buffer_add_text(&list, "");
    for (size_t i = 0; ok && (signal = hb_signal_set_at(set, i)) != NULL; i++)
        ok = (!i || hb_buffer_add_text(&list, ",")) && hb_buffer_add_text(&list, signal->name);
    if (ok) return list.data;
    hb_buffer_free(&list);
    return NULL;
}

/* ---- Needs --------------------------------------------------------------------------------------- */

void hb_needs_free(hb_needs *needs)
{
    free(needs->blocks);
    *needs = (hb_needs){0};
}

static bool reads(const hb_signal *signal, int32_t block, int32_t n_layers)
{
    return signal->reads_state && signal->reads_state(signal, block, n_layers);
}

hb_status hb_signal_set_needs(const hb_signal_set *set, int32_t n_layers, hb_needs *needs,
                              hb_error *err)
{
    const hb_signal *s;
    hb_needs n = {.blocks = calloc((size_t)n_layers, sizeof *n.blocks)};
    if (!n.blocks) return hb_fail_memory(err);
    for (int32_t block = 0; block < n_layers; block++) {
        bool read = false;
        for (size_t i = 0; !read && (s = hb_signal_set_at(set, i)) != NULL; i++)
            read = reads(s, block, n_layers);
        if (read) n.blocks[n.n_blocks++] = block;
    }
    for (size_t i = 0; (s = hb_signal_set_at(set, i)) != NULL; i++) {
        n.distribution = n.distribution || s->needs_distribution;
        n.previous = n.previous || s->needs_previous;
        n.lens = n.lens || s->needs_lens;
        n.attention = n.attention || s->needs_attention;
        n.logits_before = n.logits_before || s->needs_logits_before;
        n.head = n.head || s->needs_head;
    }
    *needs = n;
    return HB_OK;
}
