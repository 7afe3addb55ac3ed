/* The tap's outputs, alone and together. They are bit-identical for any number of rows, blocks and
 * threads. */
#include "check.h"

#include <math.h>
#include "base/greatest.h"
#include "engine/lens.h"
#include "engine/session.h"

enum { N_TOKENS = 520, N_ROWS = 5, N_LENS = 9 }; /* more tokens than a batch */

static const int32_t rows[N_ROWS] = {0, 3, 511, 512, N_TOKENS - 1};

typedef struct fixture {
    hb_model *model;
    hb_session *one, *three; /* threads */
    size_t vocab, d, layers;
    double rounding; /* of the output head, which may round activations to bytes; the lens never does */
    int32_t tokens[N_TOKENS];
} fixture;

static int set_up(void **state, const char *name, double rounding)
{
    static fixture f;
    hb_error err;
    hb_session_options o = {.n_ctx = N_TOKENS, .n_threads = 1};
    if (hb_model_open(tiny_model(name), &f.model, &err) || hb_session_open(f.model, &o, &f.one, &err))
        fail_msg("%s", err.message);
    o.n_threads = 3;
    assert_ok(hb_session_open(f.model, &o, &f.three, &err));
    const hb_model_info *m = hb_model_get_info(f.model);
    f.vocab = (size_t)m->n_vocab;
    f.d = (size_t)m->n_embd;
    f.layers = (size_t)m->n_layers;
    for (int i = 0; i < N_TOKENS; i++) f.tokens[i] = 3 + (i * 37 + i * i) % 500;
    f.rounding = rounding;
    *state = &f;
    return 0;
}

static int set_up_gemma(void **state)
{
    return set_up(state, "gemma2", 1e-5); /* softcapped logits and a tied head */
}

static int set_up_q8(void **state)
{
    return set_up(state, "q8_0", 0.05);
}

static int tear_down(void **state)
{
    fixture *f = *state;
    hb_session_close(f->one);
    hb_session_close(f->three);
    hb_model_close(f->model);
    return 0;
}

/* A tap with room for every output of n blocks, filled with a value that no output has. */
static hb_tap make_tap(const fixture *f, const int32_t *blocks, int32_t n_blocks)
{
    size_t n = blocks ? (size_t)n_blocks : f->layers;
    hb_tap t = {.rows = rows,
                .n_rows = N_ROWS,
                .logits = calloc(N_ROWS * f->vocab, sizeof(float)),
                .states = calloc(N_ROWS * n * f->d + 1, sizeof(float)),
                .blocks = blocks,
                .n_blocks = n_blocks,
                .lens = calloc(N_ROWS * n * N_LENS + 1, sizeof(float)),
                .lens_tokens = calloc(N_ROWS * N_LENS, sizeof(int32_t)),
                .n_lens = N_LENS,
                .normed = calloc(N_ROWS * f->d, sizeof(float)),
                .head = calloc(N_ROWS * N_LENS * f->d, sizeof(float))};
    t.states[N_ROWS * n * f->d] = t.lens[N_ROWS * n * N_LENS] = 777;
    return t;
}

static void free_tap(hb_tap *t)
{
    free(t->logits);
    free(t->states);
    free(t->lens);
    free(t->lens_tokens);
    free(t->normed);
    free(t->head);
}

static void evaluate(const fixture *f, hb_session *s, const hb_tap *t)
{
    hb_error err;
    hb_session_reset(s);
    assert_ok(hb_eval(s, f->tokens, N_TOKENS, t, &err));
}

static void assert_same(const float *a, const float *b, size_t n)
{
    assert_memory_equal(a, b, n * sizeof *a);
}

/* States and lens of chosen blocks equal those of a tap of all blocks, and nothing else is written. */
static void check_blocks(const fixture *f, const hb_tap *all, const int32_t *blocks, int32_t n)
{
    hb_tap t = make_tap(f, blocks, n);
    size_t chosen = (size_t)n;
    evaluate(f, f->one, &t);
    assert_same(t.logits, all->logits, N_ROWS * f->vocab);
    assert_memory_equal(t.lens_tokens, all->lens_tokens, N_ROWS * N_LENS * sizeof *t.lens_tokens);
    for (size_t r = 0; r < N_ROWS; r++)
        for (size_t b = 0; b < chosen; b++) {
            size_t at = r * chosen + b, in_all = r * f->layers + (size_t)blocks[b];
            assert_same(t.states + at * f->d, all->states + in_all * f->d, f->d);
            assert_same(t.lens + at * N_LENS, all->lens + in_all * N_LENS, N_LENS);
        }
    assert_true(t.states[N_ROWS * chosen * f->d] == 777 && t.lens[N_ROWS * chosen * N_LENS] == 777);
    free_tap(&t);
}

static void test_chosen_blocks(void **state)
{
    const fixture *f = *state;
    const int32_t last = (int32_t)f->layers - 1, middle[] = {1}, ends[] = {0, last}, none[] = {0};
    hb_tap all = make_tap(f, NULL, 0);
    evaluate(f, f->one, &all);
    check_blocks(f, &all, middle, 1);
    check_blocks(f, &all, ends, 2);
    check_blocks(f, &all, &last, 1);
    check_blocks(f, &all, none, 0);
    free_tap(&all);
}

static void test_threads(void **state)
{
    const fixture *f = *state;
    hb_tap a = make_tap(f, NULL, 0), b = make_tap(f, NULL, 0);
    evaluate(f, f->one, &a);
    evaluate(f, f->three, &b);
    assert_same(a.logits, b.logits, N_ROWS * f->vocab);
    assert_same(a.states, b.states, N_ROWS * f->layers * f->d);
    assert_same(a.lens, b.lens, N_ROWS * f->layers * N_LENS);
    assert_same(a.normed, b.normed, N_ROWS * f->d);
    assert_same(a.head, b.head, N_ROWS * N_LENS * f->d);
    free_tap(&a);
    free_tap(&b);
}

/* Each output is the same alone and together with the others. */
static void test_outputs_alone(void **state)
{
    const fixture *f = *state;
    hb_tap all = make_tap(f, NULL, 0), t = make_tap(f, NULL, 0);
    evaluate(f, f->one, &all);
    const hb_tap logits = {.rows = rows, .n_rows = N_ROWS, .logits = t.logits};
    const hb_tap states = {.rows = rows, .n_rows = N_ROWS, .states = t.states};
    const hb_tap normed = {.rows = rows, .n_rows = N_ROWS, .normed = t.normed};
    const hb_tap nothing = hb_tap_defaults();
    hb_tap head = logits;
    head.lens_tokens = t.lens_tokens;
    head.n_lens = N_LENS;
    head.head = t.head;
    evaluate(f, f->one, &head);
    assert_same(t.head, all.head, N_ROWS * N_LENS * f->d);
    assert_memory_equal(t.lens_tokens, all.lens_tokens, N_ROWS * N_LENS * sizeof *t.lens_tokens);
    evaluate(f, f->one, &logits);
    evaluate(f, f->one, &states);
    evaluate(f, f->one, &normed);
    evaluate(f, f->one, &nothing);
    assert_same(t.normed, all.normed, N_ROWS * f->d);
    assert_same(t.logits, all.logits, N_ROWS * f->vocab);
    assert_same(t.states, all.states, N_ROWS * f->layers * f->d);
    free_tap(&all);
    free_tap(&t);
}

/* The lens applies the final norm and the output head to a block's state, for the most probable tokens.
 */
static void test_lens(void **state)
{
    const fixture *f = *state;
    static const int32_t first_block[] = {0};
    const hb_native_session *s = (const hb_native_session *)(const void *)f->three;
    hb_tap all = make_tap(f, NULL, 0);
    evaluate(f, f->one, &all);
    /* Passes the last block's states as the first block's: the lens must then give the model's logits.
     */
    hb_tap last = make_tap(f, first_block, 1);
    for (size_t r = 0; r < N_ROWS; r++)
        memcpy(last.states + r * f->d, all.states + (r * f->layers + f->layers - 1) * f->d,
               f->d * sizeof(float));
    memcpy(last.logits, all.logits, N_ROWS * f->vocab * sizeof(float));
    hb_lens(&s->work, s->model, &last, 0, N_ROWS);
    for (size_t r = 0; r < N_ROWS; r++)
        for (size_t k = 0; k < N_LENS; k++) {
            const float *logits = all.logits + r * f->vocab;
            int32_t token = all.lens_tokens[r * N_LENS + k];
            size_t above = 0;
            for (size_t i = 0; i < f->vocab; i++) above += logits[i] > logits[token];
            assert_int_equal(above, k);
            assert_near(last.lens[r * N_LENS + k], logits[token], f->rounding);
            assert_true(all.lens[(r * f->layers + f->layers - 1) * N_LENS + k] == logits[token]);
            assert_true(fabsf(all.lens[r * f->layers * N_LENS + k] - logits[token]) > 1e-3f);
        }
    free_tap(&all);
    free_tap(&last);
}

/* The head's rows, times what the head reads, are the logits. */
static void test_head(void **state)
{
    const fixture *f = *state;
    const hb_native_session *s = (const hb_native_session *)(const void *)f->one;
    hb_tap t = make_tap(f, NULL, 0);
    evaluate(f, f->one, &t);
    for (size_t r = 0; r < N_ROWS; r++)
        for (size_t k = 0; k < N_LENS; k++) {
            double sum = 0, cap = s->model->logit_cap;
            const float *row = t.head + (r * N_LENS + k) * f->d;
            for (size_t i = 0; i < f->d; i++) sum += (double)row[i] * (double)t.normed[r * f->d + i];
            if (cap > 0) sum = cap * tanh(sum / cap);
            assert_near(sum, t.logits[r * f->vocab + (size_t)t.lens_tokens[r * N_LENS + k]],
                        f->rounding);
        }
    free_tap(&t);
}

static void test_errors(void **state)
{
    const fixture *f = *state;
    hb_error err;
    const int32_t beyond[] = {(int32_t)f->layers}, below[] = {-1}, twice[] = {1, 1}, back[] = {1, 0};
    const struct {
        const int32_t *blocks;
        int32_t n;
        const char *part;
    } cases[] = {{beyond, 1, "tapped block"},
                 {below, 1, "tapped block -1"},
                 {twice, 2, "tapped block 1"},
                 {back, 2, "tapped block 0"}};
    hb_session_reset(f->one);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hb_tap t = make_tap(f, cases[i].blocks, cases[i].n);
        assert_fails(hb_eval(f->one, f->tokens, N_TOKENS, &t, &err), HB_ERR_ARGUMENT, cases[i].part);
        free_tap(&t);
    }
    hb_tap full = make_tap(f, NULL, 0), t = full;
    t.logits = NULL;
    assert_fails(hb_eval(f->one, f->tokens, N_TOKENS, &t, &err), HB_ERR_ARGUMENT, "lens needs logits");
    t = full;
    t.states = NULL;
    assert_fails(hb_eval(f->one, f->tokens, N_TOKENS, &t, &err), HB_ERR_ARGUMENT, "lens needs");
    t.lens = NULL;
    t.lens_tokens = NULL;
    assert_fails(hb_eval(f->one, f->tokens, N_TOKENS, &t, &err), HB_ERR_ARGUMENT, "head's rows need");
    t = full;
    t.n_lens = 0;
    assert_fails(hb_eval(f->one, f->tokens, N_TOKENS, &t, &err), HB_ERR_ARGUMENT, "lens of 0");
    t.n_lens = (int32_t)f->vocab + 1;
    assert_fails(hb_eval(f->one, f->tokens, N_TOKENS, &t, &err), HB_ERR_ARGUMENT, "for a vocabulary");
    assert_int_equal(hb_session_n_past(f->one), 0);
    free_tap(&full);
}

static void test_greatest(void **state)
{
    (void)state;
    const float tied[] = {1, 3, 2, 3, 3, -5};
    int32_t ids[6];
    hb_greatest(tied, 6, ids, 4);
    assert_memory_equal(ids, ((int32_t[]){1, 3, 4, 2}), 4 * sizeof *ids);
    hb_greatest(tied, 6, ids, 6);
    assert_memory_equal(ids, ((int32_t[]){1, 3, 4, 2, 0, 5}), 6 * sizeof *ids);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chosen_blocks), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_outputs_alone), cmocka_unit_test(test_lens),
        cmocka_unit_test(test_head),          cmocka_unit_test(test_errors),
        cmocka_unit_test(test_greatest),
    };
    return cmocka_run_group_tests_name("gemma", tests, set_up_gemma, tear_down) +
           cmocka_run_group_tests_name("q8_0", tests, set_up_q8, tear_down);
}
