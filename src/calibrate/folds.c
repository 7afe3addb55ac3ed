#include "calibrate/folds.h"

#include <stdlib.h>
#include "base/rng.h"

hb_status hb_check_groups(const uint32_t *groups, size_t n, hb_error *err)
{
    for (size_t i = 0; groups && i < n; i++)
        if (groups[i] >= n)
            return hb_fail(err, HB_ERR_ARGUMENT, "group %u of sample %zu is not below %zu", groups[i],
                           i, n);
    return HB_OK;
}

typedef struct group {
    size_t number, n[2]; /* samples by label */
} group;

/* Orders by the numbers of samples, then by the group's number. */
static int compare(const void *a, const void *b)
{
    const group *x = a, *y = b;
    for (int label = 1; label >= 0; label--)
        if (x->n[label] != y->n[label]) return x->n[label] < y->n[label] ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

static bool alike(const group *a, const group *b)
{
    return a->n[0] == b->n[0] && a->n[1] == b->n[1];
}

hb_status hb_deal_folds(const uint8_t *labels, const uint32_t *groups, size_t n, size_t n_folds,
                        uint64_t seed, uint32_t *fold, size_t *n_dealt, hb_error *err)
{
    hb_rng rng = {seed};
    group *list = calloc(n + 1, sizeof *list);
    uint32_t *fold_of = calloc(n + 1, sizeof *fold_of); /* by the group's number */
    size_t first = 0, dealt = 0;
    if (!list || !fold_of) {
        free(list);
        free(fold_of);
        return hb_fail_memory(err);
    }
    for (size_t i = 0; i < n; i++) list[i].number = i;
    for (size_t i = 0; i < n; i++) list[hb_group_of(groups, i)].n[labels[i]]++;
    qsort(list, n, sizeof *list, compare);
    while (first < n && list[first].n[0] + list[first].n[1] == 0) first++; /* numbers not used */
    for (size_t at = first, end; at < n; at = end) {
        for (end = at; end < n && alike(&list[end], &list[at]); end++)
            ;
        hb_rng_shuffle(&rng, list + at, end - at, sizeof *list);
        for (size_t i = at; i < end; i++) fold_of[list[i].number] = (uint32_t)(dealt++ % n_folds);
    }
    for (size_t i = 0; i < n; i++) fold[i] = fold_of[hb_group_of(groups, i)];
    *n_dealt = dealt;
    free(list);
    free(fold_of);
    return HB_OK;
}

hb_status hb_check_pairs(const uint8_t *labels, const uint32_t *fold, size_t n, size_t n_folds,
                         hb_error *err)
{
    size_t count[HB_MAX_FOLDS][2] = {0}, total[2] = {0};
    for (size_t i = 0; i < n; i++) count[fold[i]][labels[i]]++, total[labels[i]]++;
    for (size_t a = 0; a < n_folds; a++)
        for (size_t b = a; b < n_folds; b++)
            for (int label = 0; label < 2; label++)
                if (total[label] <= count[a][label] + (a != b ? count[b][label] : 0))
                    return hb_fail(err, HB_ERR_DATA,
                                   "a probe needs more samples of either label: %zu are faithful (0), "
                                   "%zu hallucinated (1), for %zu folds",
                                   total[0], total[1], n_folds);
    return HB_OK;
}
