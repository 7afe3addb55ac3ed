/* Many sequences in one session: forks, shared pages, and results that do not depend on other
 * sequences. */
#include "check.h"

enum { PREFIX = 150, LENGTH = 200, N_TEXTS = 3 };

typedef struct fixture {
    hb_model *model;
    hb_session *alone, *many;
    size_t vocab, state;
} fixture;

/* Token i of a text; texts agree in their first PREFIX tokens. */
static int32_t token_of(int text, int i)
{
    return 3 + (i * 37 + i * i + (i < PREFIX ? 0 : text * 91)) % 500;
}

static int set_up(void **state, const char *name)
{
    static fixture f;
    hb_error err;
    setenv("HBAR_KERNELS", "portable",
           1); /* results are bit-identical, whatever other tokens are evaluated */
    const hb_session_options one = {.n_ctx = 256, .n_threads = 2};
    const hb_session_options several = {
        .n_ctx = 256, .n_threads = 2, .n_sequences = 5, .n_positions = 640};
    if (hb_model_open(tiny_model(name), &f.model, &err) ||
        hb_session_open(f.model, &one, &f.alone, &err) ||
        hb_session_open(f.model, &several, &f.many, &err))
        fail_msg("%s", err.message);
    const hb_model_info *m = hb_model_get_info(f.model);
    f.vocab = (size_t)m->n_vocab;
    f.state = (size_t)m->n_layers * (size_t)m->n_embd;
    *state = &f;
    return 0;
}

static int set_up_llama(void **state)
{
    return set_up(state, "q4_0");
}

/* With sliding windows in most blocks. */
static int set_up_gemma(void **state)
{
    return set_up(state, "gemma3");
}

/* With experts, sinks and sliding windows. */
static int set_up_experts(void **state)
{
    return set_up(state, "gpt-oss");
}

static int tear_down(void **state)
{
    fixture *f = *state;
    hb_session_close(f->alone);
    hb_session_close(f->many);
    hb_model_close(f->model);
    return 0;
}

/* Evaluates a text at once in its own session, and taps the last position. */
static void evaluate_alone(const fixture *f, int text, float *logits, float *states)
{
    int32_t tokens[LENGTH], last = LENGTH - 1;
    hb_error err;
    hb_tap tap = {.rows = &last, .n_rows = 1, .logits = logits, .states = states};
    for (int i = 0; i < LENGTH; i++) tokens[i] = token_of(text, i);
    hb_session_reset(f->alone);
    assert_ok(hb_eval(f->alone, tokens, LENGTH, &tap, &err));
}

/* Evaluates the prefix once and forks it to three sequences, which continue with their tokens mixed. */
static void test_forked_and_mixed_as_alone(void **state)
{
    const fixture *f = *state;
    hb_error err;
    enum { REST = LENGTH - PREFIX, ALL = N_TEXTS * REST };
    int32_t tokens[ALL], sequences[ALL], rows[N_TEXTS] = {ALL - 3, ALL - 2, ALL - 1};
    float *logits = calloc(N_TEXTS * f->vocab, sizeof *logits),
          *states = calloc(N_TEXTS * f->state, sizeof *states);
    float *expected = calloc(f->vocab + f->state, sizeof *expected);
    hb_session_reset(f->many);
    for (int i = 0; i < PREFIX; i++) {
        tokens[i % ALL] = token_of(0, i);
        sequences[0] = 4;
        assert_ok(hb_eval_sequences(f->many, &tokens[i % ALL], sequences, 1, NULL, &err));
    }
    assert_int_equal(hb_session_n_free(f->many), 640 - 192);
    for (int t = 0; t < N_TEXTS; t++) assert_ok(hb_sequence_fork(f->many, 4, PREFIX, t, &err));
    assert_int_equal(hb_session_n_free(f->many),
                     640 - 192 - 3 * 64); /* 150 = 2 shared pages and a part */
    hb_sequence_drop(f->many, 4);
    for (int i = 0; i < ALL; i++) {
        /* Runs of ten, then one by one. */
        bool runs = i < N_TEXTS * 40;
        int text = runs ? i / 10 % N_TEXTS : i % N_TEXTS;
        int at = runs ? i / 30 * 10 + i % 10 : i / N_TEXTS;
        tokens[i] = token_of(text, PREFIX + at);
        sequences[i] = text;
    }
    hb_tap tap = {.rows = rows, .n_rows = N_TEXTS, .logits = logits, .states = states};
    assert_ok(hb_eval_sequences(f->many, tokens, sequences, ALL, &tap, &err));
    for (int t = 0; t < N_TEXTS; t++) {
        assert_int_equal(hb_sequence_n_past(f->many, t), LENGTH);
        evaluate_alone(f, t, expected, expected + f->vocab);
        assert_memory_equal(logits + (size_t)t * f->vocab, expected, f->vocab * sizeof(float));
        assert_memory_equal(states + (size_t)t * f->state, expected + f->vocab,
                            f->state * sizeof(float));
    }
    free(logits);
    free(states);
    free(expected);
}

/* Dropping all sequences frees all pages, shared or not. */
static void test_pages_come_back(void **state)
{
    const fixture *f = *state;
    hb_error err;
    int32_t tokens[LENGTH];
    for (int i = 0; i < LENGTH; i++) tokens[i] = token_of(0, i);
    hb_session_reset(f->many);
    assert_int_equal(hb_session_n_free(f->many), 640);
    assert_int_equal(hb_session_page(f->many), 64);
    assert_int_equal(hb_session_n_sequences(f->many), 5);
    assert_ok(hb_eval(f->many, tokens, 128, NULL, &err));
    assert_ok(hb_sequence_fork(f->many, 0, 128, 1, &err));
    assert_ok(hb_sequence_fork(f->many, 1, 70, 2, &err));
    assert_ok(hb_sequence_fork(f->many, 1, 0, 3, &err));
    assert_int_equal(hb_session_n_free(f->many), 640 - 3 * 64);
    hb_sequence_drop(f->many, 0);
    assert_int_equal(hb_session_n_free(f->many), 640 - 3 * 64);
    hb_sequence_drop(f->many, 1);
    assert_int_equal(hb_session_n_free(f->many), 640 - 2 * 64);
    hb_sequence_drop(f->many, 2);
    hb_sequence_drop(f->many, 2);
    assert_int_equal(hb_session_n_free(f->many), 640);
}

static void test_refusals(void **state)
{
    const fixture *f = *state;
    hb_error err;
    int32_t tokens[LENGTH], sequences[LENGTH];
    for (int i = 0; i < LENGTH; i++) tokens[i] = token_of(0, i);
    for (int i = 0; i < LENGTH; i++) sequences[i] = 5;
    hb_session_reset(f->many);
    assert_fails(hb_eval_sequences(f->many, tokens, sequences, 1, NULL, &err), HB_ERR_ARGUMENT,
                 "sequence 5");
    sequences[0] = -1;
    assert_fails(hb_eval_sequences(f->many, tokens, sequences, 1, NULL, &err), HB_ERR_ARGUMENT,
                 "sequence -1");
    assert_fails(hb_sequence_fork(f->many, 0, 0, 5, &err), HB_ERR_ARGUMENT, "there are 5");
    assert_fails(hb_sequence_fork(f->many, 2, 0, 2, &err), HB_ERR_ARGUMENT, "2 cannot be forked to 2");
    assert_fails(hb_sequence_fork(f->many, 0, 1, 1, &err), HB_ERR_ARGUMENT,
                 "1 positions of sequence 0's 0");
    for (int q = 0; q < 3; q++) {
        for (int i = 0; i < LENGTH; i++) sequences[i] = q;
        hb_status status =
            hb_eval_sequences(f->many, tokens, sequences, q < 2 ? LENGTH : 128, NULL, &err);
        assert_int_equal(status, HB_OK);
    }
    assert_int_equal(hb_session_n_free(f->many), 0);
    assert_fails(hb_sequence_fork(f->many, 0, 10, 4, &err), HB_ERR_CONTEXT, "no free page");
    assert_ok(hb_sequence_fork(f->many, 0, 128, 4, &err));
    assert_fails(hb_sequence_fork(f->many, 1, 64, 4, &err), HB_ERR_ARGUMENT,
                 "sequence 4, which has 128");
    assert_fails(hb_eval_sequences(f->many, tokens, sequences, 1, NULL, &err), HB_ERR_CONTEXT,
                 "0 free pages");
    assert_int_equal(hb_sequence_n_past(f->many, 2), 128); /* unchanged */

    hb_session *s;
    hb_session_options o = {.n_sequences = -1};
    assert_fails(hb_session_open(f->model, &o, &s, &err), HB_ERR_ARGUMENT, "-1 sequences");
    o = (hb_session_options){.n_sequences = 5000};
    assert_fails(hb_session_open(f->model, &o, &s, &err), HB_ERR_ARGUMENT, "5000 sequences");
    o = (hb_session_options){.n_positions = -1};
    assert_fails(hb_session_open(f->model, &o, &s, &err), HB_ERR_ARGUMENT, "cache of -1");
}

/* Sequence numbers out of range behave as empty sequences. */
static void test_sequences_that_are_not_there(void **state)
{
    const fixture *f = *state;
    hb_error err;
    const int32_t token = token_of(0, 0);
    hb_session_reset(f->many);
    assert_ok(hb_eval(f->many, &token, 1, NULL, &err));
    const int32_t none[] = {-1, 5, 1 << 30, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(hb_sequence_n_past(f->many, none[i]), 0);
        hb_sequence_drop(f->many, none[i]);
    }
    assert_int_equal(hb_sequence_n_past(f->many, 0), 1);
}

/* n_positions is limited to what all sequences together can hold. */
static void test_more_positions_than_any(void **state)
{
    const fixture *f = *state;
    hb_error err;
    hb_memory all, most;
    hb_session_options o = {.n_ctx = 65, .n_threads = 1, .n_sequences = 3};
    assert_ok(hb_session_memory(f->model, &o, &all, &err));
    for (int64_t less = 0; less < 130; less += 43) {
        o.n_positions = INT64_MAX - less;
        assert_ok(hb_session_memory(f->model, &o, &most, &err));
        assert_int_equal(most.cache, all.cache);
    }
}

/* A longer context needs only a larger cache, whose memory is not committed before it is used. So the
 * time to open a session does not depend on the context. */
static void test_context_costs_cache_alone(void **state)
{
    const fixture *f = *state;
    hb_error err;
    hb_memory small, large;
    const hb_session_options a = {.n_ctx = 64, .n_threads = 2}, b = {.n_ctx = 1 << 20, .n_threads = 2};
    assert_ok(hb_session_memory(f->model, &a, &small, &err));
    assert_ok(hb_session_memory(f->model, &b, &large, &err));
    assert_int_equal(small.work, large.work);
    assert_int_equal(small.cache << 14, large.cache);
}

/* Halves take half the memory of floats, and bytes with scales 9/32. An exact session has floats. */
static void test_types_of_cache(void **state)
{
    const fixture *f = *state;
    static const hb_kv_type types[] = {HB_KV_AUTO, HB_KV_F16, HB_KV_Q8_0};
    hb_error err;
    hb_memory m[3], floats;
    hb_session_options o = {.n_ctx = 640, .n_threads = 1, .kv_type = HB_KV_F32};
    hb_session *s;
    assert_ok(hb_session_memory(f->model, &o, &floats, &err));
    for (int i = 0; i < 3; i++) {
        o.kv_type = types[i];
        assert_ok(hb_session_memory(f->model, &o, &m[i], &err));
    }
    assert_int_equal(m[0].cache, m[1].cache);
    assert_int_equal(2 * m[1].cache, floats.cache);
    assert_in_range(m[2].cache, floats.cache * 9 / 32, floats.cache / 3); /* heads may be padded */
    o.exact = true;
    assert_fails(hb_session_open(f->model, &o, &s, &err), HB_ERR_ARGUMENT, "is f32, not q8_0");
    o.kv_type = HB_KV_AUTO;
    assert_ok(hb_session_open(f->model, &o, &s, &err));
    assert_int_equal(hb_session_kv_type(s), HB_KV_F32);
    hb_session_close(s);
    o.kv_type = (hb_kv_type)4;
    assert_fails(hb_session_open(f->model, &o, &s, &err), HB_ERR_ARGUMENT, "type 4 is not possible");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forked_and_mixed_as_alone),
        cmocka_unit_test(test_pages_come_back),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_sequences_that_are_not_there),
        cmocka_unit_test(test_more_positions_than_any),
        cmocka_unit_test(test_context_costs_cache_alone),
        cmocka_unit_test(test_types_of_cache),
    };
    return cmocka_run_group_tests_name("llama", tests, set_up_llama, tear_down) +
           cmocka_run_group_tests_name("gemma", tests, set_up_gemma, tear_down) +
           cmocka_run_group_tests_name("experts", tests, set_up_experts, tear_down);
}
