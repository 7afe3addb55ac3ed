/* Samples that wait: their order, and what they have in common with each other and with slots. */
#include "check.h"

#include "base/rng.h"
#include "score/pending.h"

enum { N_SLOTS = 3 };

/* A prompt of up to ten tokens, of few kinds, so that many begin alike and some are equal. */
static hb_pending_sample make(hb_rng *rng, uint64_t index)
{
    hb_pending_sample p = {.index = index, .id = strdup("id")};
    p.n = 1 + (int32_t)hb_rng_below(rng, 10);
    p.tokens = calloc((size_t)p.n, sizeof *p.tokens);
    p.common = calloc(N_SLOTS, sizeof *p.common);
    for (int32_t i = 0; i < p.n; i++) p.tokens[i] = (int32_t)hb_rng_below(rng, 3);
    return p;
}

/* Less than, equal to or greater than 0 as a comes before b, is the same or comes behind it. */
static int order(const hb_pending_sample *a, const hb_pending_sample *b)
{
    for (int32_t i = 0; i < a->n && i < b->n; i++)
        if (a->tokens[i] != b->tokens[i]) return a->tokens[i] < b->tokens[i] ? -1 : 1;
    return a->n - b->n;
}

static int32_t common(const hb_pending_sample *a, const hb_pending_sample *b)
{
    return hb_common_prefix(a->tokens, a->n, b->tokens, b->n);
}

static void check_list(const hb_pending *p)
{
    assert_int_equal(p->n ? p->list[0].shared : 0, 0);
    for (int32_t i = 1; i < p->n; i++) {
        const hb_pending_sample *a = &p->list[i - 1], *b = &p->list[i];
        assert_true(order(a, b) < 0 || (order(a, b) == 0 && a->index < b->index));
        assert_int_equal(b->shared, common(a, b));
    }
}

static void test_common_prefix(void **state)
{
    const int32_t a[] = {1, 2, 3}, b[] = {1, 2, 4, 5};
    (void)state;
    assert_int_equal(hb_common_prefix(a, 3, b, 4), 2);
    assert_int_equal(hb_common_prefix(a, 3, a, 3), 3);
    assert_int_equal(hb_common_prefix(a, 1, b, 4), 1);
    assert_int_equal(hb_common_prefix(a, 0, b, 4), 0);
    assert_int_equal(hb_common_prefix(a + 1, 2, b, 4), 0);
}

/* Put in and taken out at random, the list stays sorted, and what a sample has in common with one that
 * went to a slot is what comparing the two tells. */
static void test_random_samples(void **state)
{
    static hb_pending p;
    hb_rng rng = {7};
    uint64_t index = 0;
    (void)state;
    for (int turn = 0; turn < 2000; turn++) {
        bool full = p.n == HB_PENDING_MAX;
        if (!p.n || (!full && hb_rng_below(&rng, 5) > 1)) {
            hb_pending_add(&p, make(&rng, index++));
            check_list(&p);
            continue;
        }
        int32_t i = (int32_t)hb_rng_below(&rng, (uint64_t)p.n), slot = turn % N_SLOTS;
        hb_pending_compare(&p, i, slot);
        hb_pending_sample taken = hb_pending_take(&p, i);
        for (int32_t k = 0; k < p.n; k++)
            assert_int_equal(p.list[k].common[slot], common(&p.list[k], &taken));
        check_list(&p);
        hb_pending_sample_free(&taken);
    }
    assert_true(index > HB_PENDING_MAX);
    hb_pending_free(&p);
    assert_int_equal(p.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common_prefix),
        cmocka_unit_test(test_random_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
