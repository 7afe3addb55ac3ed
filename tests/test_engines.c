/* A second engine behind the same functions: a model of five tokens that only counts. It does not check
 * arguments, so the functions of hbar.h must. */
#include "check.h"

#include "engine/engine.h"

enum { A, B, C, END, SPACE, N_VOCAB, N_LAYERS = 2, N_EMBD = 3, PAGE = 4 };

typedef struct counter {
    hb_session base;
    int32_t last[2], n[2]; /* of each sequence */
    int evaluations;
} counter;

static const char *const warnings[] = {"counting: it only counts"};
static const char pieces[] = "abc| ";
static hb_session_options seen; /* by the last session */

static hb_status open_model(const char *path, bool vocab_only, const hb_model_options *options,
                            hb_model **model, hb_error *err)
{
    (void)vocab_only;
    assert_int_equal(options->n_gpu_layers, 0);
    if (strcmp(path, "none") == 0) return hb_fail(err, HB_ERR_IO, "none: not there");
    hb_model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->info = (hb_model_info){.path = "counting",
                              .name = "counting",
                              .architecture = "counter",
                              .n_vocab = N_VOCAB,
                              .n_embd = N_EMBD,
                              .n_layers = N_LAYERS,
                              .n_heads = 1,
                              .n_kv_heads = 1,
                              .n_ctx_train = 16};
    m->warnings = warnings;
    m->n_warnings = 1;
    m->lacks = HB_OUTPUT_LENS;
    *model = m;
    return HB_OK;
}

static void close_model(hb_model *model)
{
    free(model);
}

static hb_status sha256(const hb_model *model, char hex[65], hb_error *err)
{
    (void)model;
    (void)err;
    memset(hex, '0', 64);
    hex[64] = '\0';
    return HB_OK;
}

static hb_text chat_template(const hb_model *model)
{
    (void)model;
    return (hb_text){"<|im_start|>", 12};
}

/* Control tokens ('|') are recognised only in spans with parse_special. */
static hb_status tokenize(const hb_model *model, const char *text, const hb_text_span *spans, size_t n,
                          bool add_bos, bool add_eos, bool continues, int32_t **tokens,
                          size_t *n_tokens, hb_error *err)
{
    (void)model;
    (void)add_bos;
    (void)add_eos;
    (void)continues;
    (void)err;
    size_t length = spans[n - 1].end, span = 0, count = 0;
    *tokens = malloc((length + 1) * sizeof **tokens);
    for (size_t i = 0; i < length; i++) {
        while (i >= spans[span].end) span++;
        const char *piece = strchr(pieces, text[i]);
        if (!piece || (*piece == '|' && !spans[span].parse_special)) continue;
        (*tokens)[count++] = (int32_t)(piece - pieces);
    }
    *n_tokens = count;
    return HB_OK;
}

static hb_text token_piece(const hb_model *model, int32_t token)
{
    (void)model;
    assert_in_range(token, 0, N_VOCAB - 1);
    return (hb_text){pieces + token, 1};
}

static hb_text token_bytes(const hb_model *model, int32_t token)
{
    return token == END ? (hb_text){"", 0} : token_piece(model, token);
}

static bool token_is_end(const hb_model *model, int32_t token)
{
    (void)model;
    assert_in_range(token, 0, N_VOCAB - 1);
    return token == END;
}

static int32_t no_token(const hb_model *model)
{
    (void)model;
    return -1;
}

static hb_text not_finite(const hb_model *model)
{
    (void)model;
    return (hb_text){"weights", 7};
}

static hb_text find_control(const hb_model *model, hb_text text)
{
    (void)model;
    const char *found = memchr(text.bytes, '|', text.length);
    return (hb_text){found, found != NULL};
}

static hb_status memory(const hb_model *model, const hb_session_options *options, hb_memory *out,
                        hb_error *err)
{
    (void)model;
    (void)err;
    *out = (hb_memory){.n_ctx = options->n_ctx, .cache = 1, .work = 2};
    return HB_OK;
}

static hb_status open_session(const hb_model *model, const hb_session_options *options, hb_pool *pool,
                              hb_session **session, hb_error *err)
{
    (void)model;
    (void)pool;
    (void)err;
    seen = *options;
    counter *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->base = (hb_session){.n_ctx = options->n_ctx,
                           .n_threads = options->n_threads,
                           .n_sequences = options->n_sequences,
                           .n_batch = 3,
                           .page = PAGE,
                           .kernels = "fingers"};
    *session = &c->base;
    return HB_OK;
}

static counter *of(hb_session *session)
{
    return (counter *)(void *)session;
}

static void close_session(hb_session *session)
{
    free(of(session));
}

static int64_t n_free(const hb_session *session)
{
    (void)session;
    return 1000;
}

static int32_t n_past(const hb_session *session, int32_t sequence)
{
    assert_in_range(sequence, 0, session->n_sequences - 1);
    return ((const counter *)(const void *)session)->n[sequence];
}

static void drop(hb_session *session, int32_t sequence)
{
    assert_in_range(sequence, 0, session->n_sequences - 1);
    of(session)->n[sequence] = 0;
}

static hb_status fork_sequence(hb_session *session, int32_t from, int32_t n, int32_t to, hb_error *err)
{
    (void)err;
    counter *c = of(session);
    assert_int_equal(n_past(session, to), 0);
    assert_in_range(n, 0, n_past(session, from));
    c->n[to] = n;
    c->last[to] = c->last[from];
    return HB_OK;
}

/* The successor of each token is likely. States are the token, plus 1 in each further block. The one
 * head of a block attends half to the first position and half to itself. */
static void fill_row(const hb_tap *tap, int32_t row, int32_t token)
{
    for (int32_t i = 0; tap->logits && i < N_VOCAB; i++)
        tap->logits[row * N_VOCAB + i] = i == (token + 1) % N_VOCAB ? 4 : 0;
    for (int32_t b = 0; tap->states && b < tap->n_blocks; b++)
        for (int32_t i = 0; i < N_EMBD; i++)
            tap->states[(row * tap->n_blocks + b) * N_EMBD + i] =
                (float)(token + 1 + (tap->blocks ? tap->blocks[b] : b) + i);
    for (int32_t l = 0; tap->attention && l < N_LAYERS; l++) {
        float *head = tap->attention + (size_t)(row * N_LAYERS + l) * HB_N_ATTENTION;
        memset(head, 0, HB_N_ATTENTION * sizeof *head);
        head[HB_ATTENTION_SINK] = head[HB_ATTENTION_SELF] = 0.5F;
        head[HB_ATTENTION_ENTROPY] = 0.69F;
    }
}

static hb_status eval(hb_session *session, const int32_t *tokens, const int32_t *sequences,
                      int32_t n_tokens, const hb_tap *tap, hb_error *err)
{
    counter *c = of(session);
    c->evaluations++;
    assert_null(tap->lens);
    for (int32_t i = 0, row = 0; i < n_tokens; i++) {
        int32_t q = sequences ? sequences[i] : 0;
        assert_in_range(tokens[i], 0, N_VOCAB - 1);
        assert_in_range(q, 0, session->n_sequences - 1);
        if (c->n[q] == session->n_ctx) return hb_fail(err, HB_ERR_CONTEXT, "counting: full");
        c->n[q]++;
        c->last[q] = tokens[i];
        if (row < tap->n_rows && tap->rows[row] == i) fill_row(tap, row++, tokens[i]);
    }
    return HB_OK;
}

static const hb_engine counting = {.name = "counting",
                                   .open = open_model,
                                   .close = close_model,
                                   .sha256 = sha256,
                                   .chat_template = chat_template,
                                   .tokenize = tokenize,
                                   .token_bytes = token_bytes,
                                   .token_piece = token_piece,
                                   .token_is_end = token_is_end,
                                   .token_bos = no_token,
                                   .token_eos = no_token,
                                   .find_control = find_control,
                                   .not_finite = not_finite,
                                   .memory = memory,
                                   .open_session = open_session,
                                   .close_session = close_session,
                                   .n_free = n_free,
                                   .n_past = n_past,
                                   .drop = drop,
                                   .fork = fork_sequence,
                                   .eval = eval};

typedef struct fixture {
    hb_model *model;
    hb_session *session;
} fixture;

static int set_up(void **state)
{
    static fixture f;
    hb_error err;
    const hb_model_options opening = hb_model_defaults();
    const hb_session_options o = {.n_sequences = 2};
    *state = &f;
    return hb_engine_open(&counting, "counting", false, &opening, &f.model, &err) ||
           hb_session_open(f.model, &o, &f.session, &err);
}

static int tear_down(void **state)
{
    fixture *f = *state;
    hb_session_close(f->session);
    hb_model_close(f->model);
    return 0;
}

static void test_models(void **state)
{
    const fixture *f = *state;
    hb_error err;
    hb_model *model;
    const hb_model_options o = hb_model_defaults();
    char hex[65];
    size_t length;
    assert_fails(hb_engine_open(&counting, "none", false, &o, &model, &err), HB_ERR_IO, "not there");
    assert_string_equal(hb_model_get_info(f->model)->name, "counting");
    assert_string_equal(hb_model_warning(f->model, 0), warnings[0]);
    assert_null(hb_model_warning(f->model, 1));
    assert_ok(hb_model_sha256(f->model, hex, &err));
    assert_int_equal(hb_model_chat_template(f->model).length, 12);
    assert_int_equal(hb_token_piece(f->model, END, &length)[0], '|');
    hb_token_bytes(f->model, END, &length);
    assert_int_equal(length, 0);
    hb_token_bytes(f->model, -1, &length);
    hb_token_piece(f->model, N_VOCAB, &length);
    assert_int_equal(length, 0);
    assert_true(hb_token_is_end(f->model, END));
    assert_false(hb_token_is_end(f->model, N_VOCAB));
}

static void test_tokens(void **state)
{
    const fixture *f = *state;
    hb_error err;
    int32_t *tokens;
    size_t n;
    size_t length;
    const hb_text_span spans[] = {{2, true}, {4, false}};
    static const char text[] = "ab|";
    assert_ptr_equal(hb_find_control(f->model, text, 3, &length), text + 2);
    assert_int_equal(length, 1);
    assert_null(hb_find_control(f->model, text, 2, &length));
    assert_int_equal(hb_model_not_finite(f->model).length, 7);
    assert_ok(hb_tokenize(f->model, "ab|", 3, true, false, &tokens, &n, &err));
    assert_int_equal(n, 2);
    free(tokens);
    assert_ok(hb_tokenize_spans(f->model, "a|b|", spans, 2, false, false, false, &tokens, &n, &err));
    assert_int_equal(n, 3);
    assert_int_equal(tokens[1], END);
    free(tokens);
}

static void test_sessions(void **state)
{
    const fixture *f = *state;
    hb_error err;
    hb_session *s;
    hb_memory m;
    hb_model *vocab;
    const hb_model_options o = hb_model_defaults();
    assert_int_equal(seen.n_ctx, 16); /* the model's training length */
    assert_int_equal(seen.n_sequences, 2);
    assert_true(seen.n_threads >= 1);
    assert_int_equal(hb_session_page(f->session), PAGE);
    assert_int_equal(hb_session_paged(f->session, 9), 12);
    assert_int_equal(hb_session_n_free(f->session), 1000);
    assert_ok(hb_session_memory(f->model, NULL, &m, &err));
    assert_int_equal(m.n_ctx, 16);
    const hb_session_options bad = {.n_threads = -1};
    assert_fails(hb_session_open(f->model, &bad, &s, &err), HB_ERR_ARGUMENT, "-1 threads");
    assert_ok(hb_engine_open(&counting, "counting", true, &o, &vocab, &err));
    assert_fails(hb_session_open(vocab, NULL, &s, &err), HB_ERR_ARGUMENT, "vocabulary only");
    hb_model_close(vocab);
}

/* Invalid arguments never reach the engine. */
static void test_arguments(void **state)
{
    const fixture *f = *state;
    hb_error err;
    const int32_t good[] = {A, B}, bad[] = {A, N_VOCAB}, sequences[] = {0, 2}, back[] = {1, 0};
    float logits[2 * N_VOCAB];
    const hb_tap tap = {.rows = back, .n_rows = 2, .logits = logits};
    hb_session_reset(f->session);
    int before = of(f->session)->evaluations;
    assert_fails(hb_eval(f->session, bad, 2, NULL, &err), HB_ERR_ARGUMENT, "token 5");
    assert_fails(hb_eval_sequences(f->session, good, sequences, 2, NULL, &err), HB_ERR_ARGUMENT,
                 "sequence 2");
    assert_fails(hb_eval(f->session, good, 2, &tap, &err), HB_ERR_ARGUMENT, "row 0");
    assert_fails(hb_sequence_fork(f->session, 0, 1, 1, &err), HB_ERR_ARGUMENT, "1 positions");
    assert_int_equal(of(f->session)->evaluations, before);
    assert_ok(hb_eval(f->session, good, 2, NULL, &err));
    assert_ok(hb_sequence_fork(f->session, 0, 2, 1, &err));
    assert_int_equal(hb_sequence_n_past(f->session, 1), 2);
    hb_session_reset(f->session);
    assert_int_equal(hb_session_n_past(f->session), 0);
}

static void test_tap(void **state)
{
    const fixture *f = *state;
    hb_error err;
    const int32_t tokens[] = {A, B, C}, rows[] = {0, 2}, block = 1;
    float states[2 * N_EMBD];
    const hb_tap tap = {.rows = rows, .n_rows = 2, .states = states, .blocks = &block, .n_blocks = 1};
    hb_session_reset(f->session);
    assert_ok(hb_eval(f->session, tokens, 3, &tap, &err));
    assert_true(states[0] == A + 2 && states[N_EMBD] == C + 2);
}

/* Signals of the lens, which this engine does not give, are refused by name; all signals are those that
 * it can measure. */
static void test_signals(void **state)
{
    const fixture *f = *state;
    hb_error err;
    hb_signal_set *all, *lens;
    hb_generation g;
    hb_generate_options o = hb_generate_defaults();
    assert_ok(hb_signal_set_of_model(f->model, &all, &err));
    assert_ok(hb_signal_set_parse("entropy,lens_jsd", &lens, &err));
    assert_true(hb_model_can_measure(f->model, hb_signal_find("hbar_s")));
    assert_false(hb_model_can_measure(f->model, hb_signal_find("lens_jsd")));
    assert_false(hb_signal_set_has(all, hb_signal_find("null_ratio")));
    assert_true(hb_signal_set_has(all, hb_signal_find("rauq")));
    o.monitor.signals = lens;
    assert_fails(hb_generate(f->session, "aa a", 4, &o, &g, &err), HB_ERR_UNSUPPORTED,
                 "the signal 'lens_jsd' is not available with the engine counting");
    o.monitor.signals = NULL;
    o.monitor.cutoff = 1.1;
    assert_ok(hb_generate(f->session, "aa a", 4, &o, &g, &err));
    assert_int_equal(hb_signal_set_count(g.signals), hb_signal_set_count(all));
    hb_generation_free(&g);
    hb_signal_set_free(all);
    hb_signal_set_free(lens);
}

/* A tap that asks for an output which the engine lacks does not reach it. */
static void test_outputs(void **state)
{
    const fixture *f = *state;
    hb_error err;
    const int32_t token = A, row = 0;
    int32_t tokens[1];
    float logits[N_VOCAB], states[N_LAYERS * N_EMBD], lens[N_LAYERS];
    const hb_tap tap = {.rows = &row,
                        .n_rows = 1,
                        .logits = logits,
                        .states = states,
                        .lens = lens,
                        .lens_tokens = tokens,
                        .n_lens = 1};
    hb_session_reset(f->session);
    assert_fails(hb_eval(f->session, &token, 1, &tap, &err), HB_ERR_UNSUPPORTED,
                 "the engine counting has no lens");
    assert_int_equal(hb_session_n_past(f->session), 0);
}

static void test_choice(void **state)
{
    hb_error err;
    hb_model *model;
    hb_model_options o = hb_model_defaults();
    (void)state;
    assert_string_equal(hb_engine_name(HB_ENGINE_LLAMA), "llama");
    assert_null(hb_engine_name((hb_engine_choice)3));
    assert_true(hb_engine_is_built(HB_ENGINE_NATIVE));
    o.n_gpu_layers = -1;
    assert_fails(hb_model_open_with(tiny_model("f32"), &o, &model, &err), HB_ERR_ARGUMENT, "-1 layers");
    o = (hb_model_options){.engine = HB_ENGINE_NATIVE, .n_gpu_layers = 1};
    assert_fails(hb_model_open_with(tiny_model("f32"), &o, &model, &err), HB_ERR_ARGUMENT, "no GPU");
    o = (hb_model_options){.engine = (hb_engine_choice)7};
    assert_fails(hb_model_open_with(tiny_model("f32"), &o, &model, &err), HB_ERR_ARGUMENT, "engine 7");
    o = (hb_model_options){.engine = HB_ENGINE_LLAMA};
    if (!hb_engine_is_built(HB_ENGINE_LLAMA))
        assert_fails(hb_model_open_with(tiny_model("f32"), &o, &model, &err), HB_ERR_UNSUPPORTED,
                     "-DHBAR_LLAMA=ON");
    assert_ok(hb_model_open_with(tiny_model("f32"), NULL, &model, &err));
    assert_string_equal(hb_model_engine(model), "native");
    hb_model_close(model);
}

/* Generation works with this engine, in parts of its batch size, until the end token. */
static void test_generation(void **state)
{
    const fixture *f = *state;
    hb_error err;
    hb_generation g;
    hb_signal_set *signals;
    hb_generate_options o = hb_generate_defaults();
    o.monitor.cutoff = 1.1;
    assert_ok(hb_signal_set_parse("hbar_s,entropy", &signals, &err));
    o.monitor.signals = signals;
    assert_ok(hb_generate(f->session, "ca caba", 7, &o, &g, &err));
    assert_string_equal(g.text, "bc");
    assert_int_equal(g.finish, HB_FINISH_END);
    assert_int_equal(g.n_prompt, 7); /* three evaluations */
    hb_generation_free(&g);
    hb_signal_set_free(signals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),     cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_sessions),   cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_tap),        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_outputs),    cmocka_unit_test(test_choice),
        cmocka_unit_test(test_generation),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
