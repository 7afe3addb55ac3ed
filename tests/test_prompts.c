/* The list of prompts: its order, and the survey of prefixes that prompts can reuse from each other. */
#include "check.h"

#include "base/rng.h"
#include "decode/prompts.h"

enum { MOST = 40, LONGEST = 10 };

typedef struct owned {
    hb_prompt prompt;
    int32_t tokens[LONGEST];
} owned;

/* A prompt of up to ten tokens from a small vocabulary, so that many share prefixes and some are equal.
 * In half of the cases a slot holds it, fully or partly. */
static owned make(hb_rng *rng, int32_t slot)
{
    owned o = {.prompt = {.slot = -1, .waits = true}};
    o.prompt.n = 1 + (int32_t)hb_rng_below(rng, LONGEST);
    for (int32_t i = 0; i < o.prompt.n; i++) o.tokens[i] = (int32_t)hb_rng_below(rng, 3);
    if (hb_rng_below(rng, 2)) return o;
    o.prompt.slot = slot;
    o.prompt.kept = hb_rng_below(rng, 2);
    o.prompt.waits = !hb_rng_below(rng, 4);
    o.prompt.evaluated = (int32_t)hb_rng_below(rng, (uint64_t)o.prompt.n + 1);
    return o;
}

static int32_t common(const hb_prompt *a, const hb_prompt *b)
{
    return hb_common_prefix(a->tokens, a->n, b->tokens, b->n);
}

/* The sign is below 0, 0 or above 0 if a comes before b, is equal or comes after it. */
static int order(const hb_prompt *a, const hb_prompt *b)
{
    int32_t n = common(a, b);
    if (n < a->n && n < b->n) return a->tokens[n] < b->tokens[n] ? -1 : 1;
    return a->n - b->n;
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t most(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* The survey's offer to prompt i, found by comparing it with each of the others. */
static void check_offer(const hb_prompts *p, size_t i)
{
    const hb_prompt *a = p->list[i];
    const hb_offer *o = &a->offer;
    int32_t have = 0, kept = 0, coming = 0, parent_has = 0, keeper_has = 0;
    for (size_t k = 0; k < p->n; k++) {
        const hb_prompt *b = p->list[k];
        int32_t shared = least(common(a, b), a->n - 1), ready = least(shared, b->evaluated);
        if (b->slot >= 0) have = most(have, ready);
        if (b->slot >= 0 && b->kept) kept = most(kept, ready);
        if (b->slot >= 0 && !b->kept) coming = most(coming, shared);
        if (b->waits && k < i) coming = most(coming, shared);
        if (b->slot >= 0 && b->slot == o->parent) parent_has = ready;
        if (b->slot >= 0 && b->kept && b->slot == o->keeper) keeper_has = ready;
    }
    assert_int_equal(o->have, have);
    assert_int_equal(o->kept, kept);
    assert_int_equal(o->coming, coming);
    assert_int_equal(parent_has, have);
    assert_int_equal(keeper_has, kept);
}

static void check_list(hb_prompts *p)
{
    hb_prompts_survey(p);
    assert_int_equal(p->n ? p->list[0]->shared : 0, 0);
    for (size_t i = 0; i < p->n; i++) {
        const hb_prompt *b = p->list[i];
        if (i) {
            assert_true(order(p->list[i - 1], b) <= 0);
            assert_int_equal(b->shared, common(p->list[i - 1], b));
        }
        if (b->waits) check_offer(p, i);
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

/* After random insertions and removals the list is sorted, and the survey agrees with comparing all
 * pairs of prompts. */
static void test_random_prompts(void **state)
{
    static owned all[MOST];
    hb_prompts p = {0};
    hb_rng rng = {7};
    int taken_out = 0;
    (void)state;
    for (int turn = 0; turn < 5000; turn++) {
        int32_t i = (int32_t)hb_rng_below(&rng, MOST);
        hb_prompt *prompt = &all[i].prompt;
        if (prompt->tokens) {
            hb_prompts_remove(&p, prompt);
            prompt->tokens = NULL;
            taken_out++;
        } else {
            all[i] = make(&rng, i);
            prompt->tokens = all[i].tokens;
            assert_true(hb_prompts_add(&p, prompt));
        }
        check_list(&p);
    }
    assert_true(taken_out > 1000);
    hb_prompts_free(&p);
}

/* Equal prompts keep the order in which they were added. */
static void test_equals(void **state)
{
    static const int32_t tokens[] = {4, 5, 6};
    hb_prompts p = {0};
    hb_prompt equal[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        equal[i] = (hb_prompt){.tokens = tokens, .n = 3, .slot = -1, .waits = true};
        assert_true(hb_prompts_add(&p, &equal[i]));
    }
    for (int i = 0; i < 3; i++) assert_ptr_equal(p.list[i], &equal[i]);
    hb_prompts_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common_prefix),
        cmocka_unit_test(test_random_prompts),
        cmocka_unit_test(test_equals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
