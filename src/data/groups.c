#include "data/groups.h"

#include <stdlib.h>
#include <string.h>

const char *const hb_pair_suffixes[2] = {"_cor", "_hal"};

bool hb_groups_add_id(hb_texts *keys, const char *id)
{
    size_t length = strlen(id);
    for (int k = 0; k < 2; k++) {
        size_t suffix = strlen(hb_pair_suffixes[k]);
        if (length > suffix && strcmp(id + length - suffix, hb_pair_suffixes[k]) == 0)
            return hb_texts_add(keys, id, length - suffix);
    }
    return hb_texts_add(keys, id, length);
}

typedef struct keyed {
    const char *key;
    uint32_t place;
} keyed;

/* Orders by key, then by place. */
static int compare(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->place > y->place) - (x->place < y->place);
}

hb_status hb_groups_number(const hb_texts *keys, uint32_t **groups, hb_error *err)
{
    size_t n = keys->n;
    bool shared = false;
    if (n > UINT32_MAX) return hb_fail(err, HB_ERR_UNSUPPORTED, "%zu samples are too many", n);
    keyed *order = calloc(n + 1, sizeof *order);
    uint32_t *numbers = calloc(n + 1, sizeof *numbers);
    if (!order || !numbers) {
        free(order);
        free(numbers);
        return hb_fail_memory(err);
    }
    for (size_t i = 0; i < n; i++) order[i] = (keyed){keys->list[i], (uint32_t)i};
    qsort(order, n, sizeof *order, compare);
    for (size_t i = 0; i < n; i++) {
        bool same = i > 0 && *order[i].key && strcmp(order[i].key, order[i - 1].key) == 0;
        numbers[order[i].place] = same ? numbers[order[i - 1].place] : order[i].place;
        shared = shared || same;
    }
    free(order);
    if (!shared) free(numbers);
    *groups = shared ? numbers : NULL;
    return HB_OK;
}
