/* Generation on a small model: its results, when it halts, and the memory of score-only mode. */
#include "check.h"

#include <malloc.h>
#include <math.h>
#include "base/answer.h"
#include "base/buffer.h"
#include "base/utf8.h"
#include "decode/decode.h"

static const char prompt[] = "What is the capital city of the country?";

typedef struct fixture {
    hb_model *model;
    hb_session *session;
} fixture;

static int open_session(void **state, const char *name)
{
    static fixture f;
    hb_error err;
    hb_session_options options = {.n_ctx = 700, .n_threads = 1};
    *state = &f;
    setenv("HBAR_KERNELS", "portable", 1); /* results do not depend on batches, bit for bit */
    return hb_model_open(tiny_model(name), &f.model, &err) ||
           hb_session_open(f.model, &options, &f.session, &err);
}

static int open_fixture(void **state)
{
    return open_session(state, "f32");
}

static int close_fixture(void **state)
{
    fixture *f = *state;
    hb_session_close(f->session);
    hb_model_close(f->model);
    return 0;
}

/* Options without halting, for n tokens. */
static hb_generate_options quiet_options(int32_t n)
{
    hb_generate_options o = hb_generate_defaults();
    o.monitor.cutoff = 1.1;
    o.max_tokens = n;
    return o;
}

static hb_generation generate(fixture *f, const hb_generate_options *o)
{
    hb_error err;
    hb_generation g;
    assert_ok(hb_generate(f->session, prompt, strlen(prompt), o, &g, &err));
    return g;
}

static double value(const hb_step *step, const char *signal)
{
    return hb_step_value(step, hb_signal_find(signal));
}

static hb_signal_set *parse(const char *list)
{
    hb_error err;
    hb_signal_set *set;
    assert_ok(hb_signal_set_parse(list, &set, &err));
    return set;
}

static void test_defaults(void **state)
{
    (void)state;
    hb_generate_options o = hb_generate_defaults();
    assert_near(o.monitor.tau, 2, 0);
    assert_near(o.monitor.lambda, 5, 0);
    assert_near(o.monitor.cutoff, 0.85, 0);
    assert_near(o.monitor.alpha, 0.1, 0);
    assert_int_equal(o.monitor.check_every, 1);
    assert_int_equal(o.max_tokens, 512);
    assert_near(o.sampling.temperature, 0, 0);
}

enum { STEPS = 12 };

/* Evaluates the prompt and the answer in one go. Gives logits and states of each step. */
static void evaluate_again(fixture *f, const hb_generation *g, float *logits, float *states)
{
    hb_error err;
    size_t n;
    int32_t *tokens, rows[STEPS];
    assert_ok(hb_tokenize(f->model, prompt, strlen(prompt), true, false, &tokens, &n, &err));
    assert_int_equal(g->n_prompt, n);
    tokens = realloc(tokens, (n + STEPS) * sizeof *tokens);
    memcpy(tokens + n, g->tokens, STEPS * sizeof *tokens);
    for (int i = 0; i < STEPS; i++) rows[i] = (int32_t)n - 1 + i;
    hb_tap tap = {.rows = rows, .n_rows = STEPS, .logits = logits, .states = states};
    hb_session_reset(f->session);
    assert_ok(hb_eval(f->session, tokens, (int32_t)n + STEPS, &tap, &err));
    free(tokens);
}

/* x: the logits of the step. h: its states, which follow the states of the step before. */
static void check_signals(const hb_model_info *m, const hb_step *s, const float *x, const float *h)
{
    size_t d = (size_t)m->n_embd, layers = (size_t)m->n_layers;
    const float *last = h + (layers - 1) * d;
    hb_distribution p;
    assert_true(hb_distribution_gather(x, (size_t)m->n_vocab, &p));
    double mu = hb_delta_mu(hb_gini_impurity(&p)), sigma = hb_delta_sigma(h, layers, d);
    double delta_h = s->step ? hb_cosine_distance(last, last - layers * d, d) : 0;
    assert_near(s->impurity, hb_gini_impurity(&p), 1e-9);
    assert_near(value(s, "delta_mu"), mu, 1e-9);
    assert_near(value(s, "delta_sigma"), sigma, 1e-9);
    assert_near(value(s, "hbar_s"), hb_hbar_s(mu, sigma), 1e-9);
    assert_near(s->p_fail, hb_p_fail(value(s, "hbar_s"), 2, 5, HB_DIRECTION_HIGH), 1e-12);
    assert_near(value(s, "surprise"), hb_surprise(hb_probability(&p, x[s->token])), 1e-9);
    assert_near(value(s, "delta_h"), delta_h, 1e-9);
    assert_near(value(s, "pri"), hb_pri(value(s, "surprise"), delta_h, 0.1), 1e-9);
    assert_near(value(s, "entropy"), hb_entropy(&p), 1e-9);
    assert_near(value(s, "renyi"), hb_renyi_divergence(&p), 1e-9);
    assert_near(value(s, "tsallis"), hb_tsallis_divergence(&p), 1e-9);
    assert_near(value(s, "fisher_rao"), hb_fisher_rao_distance(&p), 1e-9);
    assert_near(value(s, "rainproof_renyi"), hb_rainproof_renyi(&p), 1e-9);
    assert_near(value(s, "rainproof_fisher_rao"), hb_rainproof_fisher_rao(&p), 1e-9);
    assert_near(value(s, "max_prob"), hb_max_probability(&p), 1e-9);
    assert_near(value(s, "margin"), hb_margin(&p), 1e-9);
    assert_near(value(s, "self_certainty"), hb_self_certainty(&p), 1e-9);
}

/* Every signal of every step, recomputed from a second evaluation of the same tokens all at once. */
static void test_trajectory_is_what_the_signals_say(void **state)
{
    fixture *f = *state;
    hb_generate_options o = quiet_options(STEPS);
    hb_generation g = generate(f, &o);
    assert_int_equal(g.finish, HB_FINISH_MAX_TOKENS);
    assert_int_equal(g.n_tokens, STEPS);
    assert_int_equal(g.n_steps, STEPS);

    const hb_model_info *m = hb_model_get_info(f->model);
    size_t vocab = (size_t)m->n_vocab, stride = (size_t)m->n_layers * (size_t)m->n_embd;
    float *logits = malloc(STEPS * vocab * sizeof *logits),
          *states = malloc(STEPS * stride * sizeof *states);
    evaluate_again(f, &g, logits, states);
    double total = 0, entropies = 0;
    hb_top5 most = {0}, least = {0};
    for (int i = 0; i < STEPS; i++) {
        const hb_step *s = &g.trajectory[i];
        assert_int_equal(s->step, i);
        assert_int_equal(s->token, g.tokens[i]);
        check_signals(m, s, logits + (size_t)i * vocab, states + (size_t)i * stride);
        total += value(s, "surprise");
        entropies += value(s, "entropy");
        assert_near(value(s, "sequence_logprob"), -total, 1e-9);
        assert_near(value(s, "perplexity"), exp(total / (i + 1)), 1e-9);
        hb_top5_add(&most, value(s, "hbar_s"));
        hb_top5_add(&least, -value(s, "hbar_s"));
    }
    assert_near(hb_scores_value(g.scores, "hbar_s:top5"), hb_top5_mean(&most), 1e-12);
    assert_near(hb_scores_value(g.scores, "hbar_s:bottom5"), -hb_top5_mean(&least), 1e-12);
    assert_near(hb_scores_value(g.scores, "entropy:mean"), entropies / STEPS, 1e-12);
    assert_near(hb_scores_value(g.scores, "perplexity"), exp(total / STEPS), 1e-9);
    free(logits);
    free(states);
    hb_generation_free(&g);
}

/* Only the requested signals and the watched signal are measured. Any signal can be watched. */
static void test_chosen_signals(void **state)
{
    fixture *f = *state;
    hb_generate_options o = quiet_options(8);
    hb_generation all = generate(f, &o);
    o.monitor.signals = parse("margin");
    o.monitor.watched = hb_signal_find("entropy");
    o.monitor.tau = 1;
    hb_generation some = generate(f, &o);
    const hb_signal *signal;
    for (size_t i = 0; i < 8; i++)
        for (size_t k = 0; (signal = hb_signal_at(k)) != NULL; k++) {
            const char *name = hb_signal_name(signal);
            bool kept = strcmp(name, "margin") == 0 || strcmp(name, "entropy") == 0;
            double got = hb_step_value(&some.trajectory[i], signal);
            if (kept) assert_near(got, hb_step_value(&all.trajectory[i], signal), 0);
            else assert_true(isnan(got));
            const hb_score_id mean = {signal, HB_AGGREGATION_MEAN};
            assert_true(isnan(hb_scores_get(some.scores, mean)) == !kept);
        }
    assert_int_equal(hb_signal_set_count(some.signals), 2);
    const hb_step *s = &some.trajectory[3];
    assert_near(s->p_fail, hb_p_fail(value(s, "entropy"), 1, 5, HB_DIRECTION_HIGH), 0);
    hb_signal_set_free((hb_signal_set *)(uintptr_t)o.monitor.signals);
    hb_generation_free(&all);
    hb_generation_free(&some);
}

/* The step with the greatest hbar_s after the first. */
static const hb_step *riskiest(const hb_generation *g, int sign)
{
    const hb_step *best = &g->trajectory[1];
    for (size_t i = 2; i < g->n_steps; i++)
        if (sign * value(&g->trajectory[i], "hbar_s") > sign * value(best, "hbar_s"))
            best = &g->trajectory[i];
    return best;
}

static void check_halt(fixture *f, hb_direction direction)
{
    hb_generate_options o = quiet_options(30);
    hb_generation free_run = generate(f, &o);
    const hb_step *risky = riskiest(&free_run, direction == HB_DIRECTION_LOW ? -1 : 1);
    o.monitor.direction = direction;
    o.monitor.tau = value(risky, "hbar_s");
    o.monitor.cutoff = 0.5; /* reached when hbar_s reaches tau */
    int32_t expected = 0;
    for (;; expected++) {
        double h = value(&free_run.trajectory[expected], "hbar_s");
        if (direction == HB_DIRECTION_LOW ? h <= value(risky, "hbar_s") : h >= value(risky, "hbar_s"))
            break;
    }
    hb_generation g = generate(f, &o);
    assert_int_equal(g.finish, HB_FINISH_HALTED);
    assert_int_equal(g.last.step, expected);
    assert_near(g.last.p_fail, 0.5, 1e-6);
    assert_near(g.cutoff, 0.5, 0);
    assert_int_equal(g.n_tokens, expected); /* the risky token is not appended */
    assert_int_equal(g.n_steps, expected + 1);
    assert_int_equal(g.last.token, free_run.tokens[expected]);
    assert_memory_equal(g.tokens, free_run.tokens, (size_t)expected * sizeof *g.tokens);
    assert_true(strncmp(free_run.text, g.text, strlen(g.text) > 3 ? strlen(g.text) - 3 : 0) == 0);
    hb_generation_free(&g);
    o.monitor.cutoff = INFINITY;
    g = generate(f, &o);
    assert_int_equal(g.finish, free_run.finish);
    assert_int_equal(g.n_tokens, free_run.n_tokens);
    hb_generation_free(&g);
    hb_generation_free(&free_run);
}

static void test_halts_before_the_risky_token(void **state)
{
    check_halt(*state, HB_DIRECTION_HIGH);
    check_halt(*state, HB_DIRECTION_LOW);
}

static void test_check_every(void **state)
{
    fixture *f = *state;
    hb_generate_options o = quiet_options(20);
    hb_generation all = generate(f, &o);
    o.monitor.check_every = 6;
    hb_generation some = generate(f, &o);
    assert_int_equal(some.n_steps, 4);
    for (int i = 0; i < 4; i++) {
        const hb_step *a = &all.trajectory[6 * i], *b = &some.trajectory[i];
        assert_int_equal(b->step, 6 * i);
        assert_near(value(b, "hbar_s"), value(a, "hbar_s"), 1e-12);
        if (i)
            assert_true(fabs(value(b, "delta_h") - value(a, "delta_h")) >
                        1e-9); /* compared with another earlier step */
    }
    assert_memory_equal(all.tokens, some.tokens, 20 * sizeof(int32_t));
    hb_generation_free(&all);
    hb_generation_free(&some);
}

static void test_score_only_gives_the_same_scores(void **state)
{
    fixture *f = *state;
    hb_generate_options o = quiet_options(20);
    hb_generation full = generate(f, &o);
    o.mode = HB_MODE_SCORE_ONLY;
    o.monitor.check_every = 7; /* every token is still checked */
    hb_generation scored = generate(f, &o);
    assert_null(scored.text);
    assert_null(scored.tokens);
    assert_null(scored.trajectory);
    assert_int_equal(scored.n_tokens, 20);
    assert_int_equal(scored.n_steps, 20);
    assert_int_equal(hb_scores_count(scored.scores), hb_scores_count(full.scores));
    for (size_t i = 0; i < hb_scores_count(full.scores); i++)
        assert_near(hb_scores_at(scored.scores, i), hb_scores_at(full.scores, i), 0);
    assert_near(value(&scored.last, "entropy"), value(&full.last, "entropy"), 0);
    hb_generation_free(&full);
    hb_generation_free(&scored);
}

/* Bytes in use on the heap at the first and at the latest token. */
typedef struct heap_watch {
    size_t first, greatest;
    int n;
} heap_watch;

static void watch_heap(void *user, const hb_step *step, const char *bytes, size_t length)
{
    heap_watch *w = user;
    (void)step;
    (void)bytes;
    (void)length;
    size_t used = mallinfo2().uordblks + mallinfo2().hblkhd;
    if (w->n++ == 0) w->first = used;
    if (used > w->greatest) w->greatest = used;
}

static heap_watch measure_heap(fixture *f, hb_mode mode)
{
    heap_watch w = {0};
    hb_generate_options o = quiet_options(600);
    o.mode = mode;
    o.on_token = watch_heap;
    o.user = &w;
    hb_generation g = generate(f, &o);
    assert_true(w.n >= 500);
    hb_generation_free(&g);
    return w;
}

static void test_score_only_heap_does_not_grow(void **state)
{
    void *probe = malloc(100000);
    bool counted = !UNDER_SLOW_CHECKER && mallinfo2().uordblks >= 100000;
    free(probe);
    if (!counted) skip_because("this build's malloc keeps no count");
    heap_watch scored = measure_heap(*state, HB_MODE_SCORE_ONLY),
               full = measure_heap(*state, HB_MODE_FULL);
    assert_int_equal(scored.greatest, scored.first);
    assert_true(full.greatest >
                full.first + 500 * sizeof(hb_step)); /* so this test can detect growth */
}

static bool always(void *user)
{
    (void)user;
    return true;
}

static bool after_five(void *user)
{
    int *asked = user;
    return ++*asked > 5;
}

static void test_cancel(void **state)
{
    fixture *f = *state;
    hb_generate_options o = quiet_options(50);
    o.cancelled = always;
    hb_generation g = generate(f, &o);
    assert_int_equal(g.finish, HB_FINISH_CANCELLED);
    assert_int_equal(g.n_steps, 0);
    assert_true(isnan(hb_scores_value(g.scores, "hbar_s")));
    assert_string_equal(g.text, "");
    hb_generation_free(&g);
    int asked = 0;
    o.cancelled = after_five;
    o.user = &asked;
    g = generate(f, &o);
    assert_int_equal(g.finish, HB_FINISH_CANCELLED);
    assert_in_range(g.n_tokens, 1, 5);
    hb_generation_free(&g);
}

static void test_context(void **state)
{
    fixture *f = *state;
    hb_error err;
    hb_session *small;
    int32_t *tokens;
    size_t n;
    assert_ok(hb_tokenize(f->model, prompt, strlen(prompt), true, false, &tokens, &n, &err));
    free(tokens);
    hb_session_options so = {.n_ctx = (int32_t)n + 2, .n_threads = 1};
    hb_generate_options o = quiet_options(50);
    hb_generation g;
    assert_ok(hb_session_open(f->model, &so, &small, &err));
    assert_ok(hb_generate(small, prompt, strlen(prompt), &o, &g, &err));
    assert_int_equal(g.finish, HB_FINISH_CONTEXT);
    assert_int_equal(g.n_tokens, 3); /* the last one needs no room of its own */
    hb_generation_free(&g);
    hb_session_close(small);

    so.n_ctx = (int32_t)n + 200;
    so.n_positions = 64; /* one page: the cache is full before the context */
    assert_true(n < 64);
    o.max_tokens = 100;
    assert_ok(hb_session_open(f->model, &so, &small, &err));
    assert_ok(hb_generate(small, prompt, strlen(prompt), &o, &g, &err));
    assert_int_equal(g.finish, HB_FINISH_CONTEXT);
    assert_int_equal(g.n_prompt + g.n_tokens, 64 + 1);
    hb_generation_free(&g);
    hb_session_close(small);

    so.n_positions = 0;
    so.n_ctx = (int32_t)n - 1;
    assert_ok(hb_session_open(f->model, &so, &small, &err));
    assert_fails(hb_generate(small, prompt, strlen(prompt), &o, &g, &err), HB_ERR_CONTEXT,
                 "do not fit");
    hb_session_close(small);
}

/* ---- Where the text is cut ----------------------------------------------------------------------- */

static void gather_bytes(void *user, const hb_step *step, const char *bytes, size_t length)
{
    (void)step;
    assert_true(hb_buffer_add(user, bytes, length));
}

/* The bytes of the first n tokens. */
static hb_buffer bytes_of(const fixture *f, const hb_generation *g, int32_t n)
{
    hb_buffer all = {0};
    for (int32_t i = 0; i < n; i++) {
        size_t length;
        const char *bytes = hb_token_bytes(f->model, g->tokens[i], &length);
        assert_true(hb_buffer_add(&all, bytes, length));
    }
    return all;
}

static void check_text(const hb_generation *g, const char *bytes, size_t length)
{
    hb_buffer clean = {0};
    bool ok = hb_buffer_add(&clean, "", 0);
    hb_utf8_clean(&clean, bytes, length, true, &ok);
    assert_true(ok);
    assert_string_equal(g->text, clean.data);
    hb_buffer_free(&clean);
}

/* Generates until the stop text, which occurs in the text of `all`, in both modes. */
static void check_stop(fixture *f, const hb_generation *all, const char *stop)
{
    int32_t n = 0;
    hb_buffer before = {0}, given = {0};
    const char *found = NULL;
    while (!found) {
        hb_buffer_free(&before);
        before = bytes_of(f, all, ++n);
        found = memmem(before.data, before.length, stop, strlen(stop));
    }
    size_t length = (size_t)(found - before.data);
    hb_generate_options o = quiet_options(40);
    const char *const stops[] = {stop};
    o.stops = stops, o.n_stops = 1;
    o.on_token = gather_bytes;
    o.user = &given;
    for (o.mode = HB_MODE_FULL; o.mode <= HB_MODE_SCORE_ONLY; o.mode++) {
        hb_generation g = generate(f, &o);
        assert_int_equal(g.finish, HB_FINISH_STOP);
        assert_int_equal(g.n_tokens, n);
        assert_int_equal(given.length, length);
        assert_memory_equal(given.data, before.data, length);
        if (o.mode == HB_MODE_FULL) check_text(&g, before.data, length);
        hb_buffer_clear(&given);
        hb_generation_free(&g);
    }
    hb_buffer_free(&given);
    hb_buffer_free(&before);
}

/* Every part of the text works as a stop text, within tokens and across them. */
static void test_stop_text(void **state)
{
    fixture *f = *state;
    hb_generate_options o = quiet_options(40);
    hb_generation all = generate(f, &o);
    hb_buffer bytes = bytes_of(f, &all, 40);
    for (size_t n = 1; n < 12; n += 3)
        for (size_t at = 0; at + n < bytes.length; at += 5) {
            char stop[12] = "";
            memcpy(stop, bytes.data + at, n);
            if (strlen(stop) == n) check_stop(f, &all, stop);
        }
    hb_buffer_free(&bytes);
    hb_generation_free(&all);
}

/* Text that begins like the stop text but continues differently is not lost, even at the end. */
static void test_almost_the_stop_text(void **state)
{
    fixture *f = *state;
    hb_buffer given = {0};
    hb_generate_options o = quiet_options(40);
    hb_generation all = generate(f, &o);
    hb_buffer bytes = bytes_of(f, &all, 40);
    o.on_token = gather_bytes;
    o.user = &given;
    for (size_t at = 0; at < bytes.length; at += 7) {
        char stop[600];
        snprintf(stop, sizeof stop, "%.*s\x01no", (int)(bytes.length - at), bytes.data + at);
        const char *const stops[] = {stop};
        o.stops = stops, o.n_stops = 1;
        hb_generation g = generate(f, &o);
        assert_int_equal(g.finish, HB_FINISH_MAX_TOKENS);
        assert_string_equal(g.text, all.text);
        assert_int_equal(given.length, bytes.length);
        assert_memory_equal(given.data, bytes.data, bytes.length);
        hb_buffer_clear(&given);
        hb_generation_free(&g);
    }
    hb_buffer_free(&given);
    hb_buffer_free(&bytes);
    hb_generation_free(&all);
}

/* Sampled text is cut after an answer of one line. */
static void test_one_line(void **state)
{
    fixture *f = *state;
    int cut = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        hb_generate_options o = quiet_options(300);
        o.sampling.temperature = 3;
        o.sampling.seed = seed;
        hb_generation all = generate(f, &o);
        o.one_line = true;
        hb_generation g = generate(f, &o);
        int32_t n = 0;
        size_t length;
        hb_answer_scan scan;
        hb_answer_scan_start(&scan, 1);
        for (const char *bytes; n < all.n_tokens && !scan.ended; n += !scan.ended) {
            bytes = hb_token_bytes(f->model, all.tokens[n], &length);
            hb_answer_scan_add(&scan, bytes, length);
        }
        if (n < all.n_tokens) {
            hb_buffer bytes = bytes_of(f, &all, n + 1);
            assert_int_equal(g.finish, HB_FINISH_LINE);
            assert_int_equal(g.n_tokens, n + 1);
            check_text(&g, bytes.data, bytes.length);
            assert_int_equal(bytes.data[hb_answer_length(bytes.data, bytes.length, 1)], '\n');
            hb_buffer_free(&bytes);
            cut++;
        } else {
            assert_int_equal(g.finish, all.finish);
            assert_string_equal(g.text, all.text);
        }
        hb_generation_free(&all);
        hb_generation_free(&g);
    }
    assert_true(cut > 3);
}

/* Copies the model into the scratch directory, with the eight bytes after a metadata key (its type and
 * value) or the file's last four bytes replaced. */
static const char *patched_model(const char *dir, const char *key, const void *bytes, size_t n)
{
    static char path[128];
    char command[1200];
    snprintf(path, sizeof path, "%s/patched.gguf", dir);
    snprintf(command, sizeof command, "cp %s %s", tiny_model("f32"), path);
    assert_int_equal(system(command), 0);
    FILE *file = fopen(path, "r+b");
    char head[65536];
    size_t got = fread(head, 1, sizeof head, file);
    const char *at = key ? memmem(head, got, key, strlen(key)) : NULL;
    assert_true(!key || at);
    assert_int_equal(fseek(file, key ? at - head + (long)strlen(key) : -4, key ? SEEK_SET : SEEK_END),
                     0);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
    return path;
}

/* The model's fourth token is made its end-of-text token. */
static void test_end_of_text(void **state)
{
    hb_error err;
    fixture f;
    hb_generate_options o = quiet_options(10);
    assert_ok(hb_model_open(tiny_model("f32"), &f.model, &err));
    assert_ok(hb_session_open(f.model, NULL, &f.session, &err));
    hb_generation before = generate(&f, &o);
    const uint32_t type_and_id[] = {4, (uint32_t)before.tokens[3]};
    close_fixture((void *[]){&f});

    const char *path = patched_model(*state, "tokenizer.ggml.eos_token_id", type_and_id, 8);
    assert_ok(hb_model_open(path, &f.model, &err));
    assert_ok(hb_session_open(f.model, NULL, &f.session, &err));
    hb_generation g = generate(&f, &o);
    assert_int_equal(g.finish, HB_FINISH_END);
    assert_int_equal(g.last.token, before.tokens[3]);
    assert_true(hb_token_is_end(f.model, g.last.token));
    assert_int_equal(g.n_tokens, 3); /* the end itself is measured and not appended */
    assert_int_equal(g.n_steps, 4);
    hb_generation_free(&g);
    hb_generation_free(&before);
    close_fixture((void *[]){&f});
}

static void test_bad_options(void **state)
{
    fixture *f = *state;
    hb_error err;
    hb_generation g;
    struct {
        double *field;
        double bad;
        const char *part;
    } cases[8];
    hb_generate_options o = quiet_options(5), good = o;
    size_t n = 0;
    cases[n].field = &o.monitor.tau, cases[n].bad = NAN, cases[n++].part = "tau";
    cases[n].field = &o.monitor.lambda, cases[n].bad = 0, cases[n++].part = "lambda";
    cases[n].field = &o.monitor.cutoff, cases[n].bad = -1, cases[n++].part = "cutoff";
    cases[n].field = &o.monitor.alpha, cases[n].bad = -1, cases[n++].part = "alpha";
    cases[n].field = &o.sampling.temperature, cases[n].bad = -1, cases[n++].part = "temperature";
    cases[n].field = &o.sampling.top_p, cases[n].bad = 0, cases[n++].part = "top-p";
    for (size_t i = 0; i < n; i++) {
        *cases[i].field = cases[i].bad;
        assert_fails(hb_generate(f->session, prompt, 4, &o, &g, &err), HB_ERR_ARGUMENT, cases[i].part);
        o = good;
    }
    o.monitor.check_every = 0;
    assert_fails(hb_generate(f->session, prompt, 4, &o, &g, &err), HB_ERR_ARGUMENT, "check-every");
    o = good;
    o.max_tokens = 0;
    assert_fails(hb_generate(f->session, prompt, 4, &o, &g, &err), HB_ERR_ARGUMENT, "max-tokens");
    o = good;
    o.monitor.direction = HB_DIRECTION_AUTO;
    assert_fails(hb_generate(f->session, prompt, 4, &o, &g, &err), HB_ERR_ARGUMENT, "direction");
    o = good;
    const hb_halt low = {.rule = {.kind = HB_HALT_CUSUM, .mean = {0, 1}, .sd = 1},
                         .direction = HB_DIRECTION_LOW};
    o.monitor.halt = &low;
    assert_fails(hb_generate(f->session, prompt, 4, &o, &g, &err), HB_ERR_ARGUMENT, "a cusum halts");
    o = good;
    const char *const empty[] = {"a", ""};
    o.stops = empty, o.n_stops = 2;
    assert_fails(hb_generate(f->session, prompt, 4, &o, &g, &err), HB_ERR_ARGUMENT, "stop text");
    assert_fails(hb_generate_tokens(f->session, NULL, 0, &good, &g, &err), HB_ERR_ARGUMENT, "empty");
}

/* NaN weights in a copy of the model cause an error instead of scores. */
static void test_not_finite(void **state)
{
    hb_error err;
    hb_model *model;
    hb_session *session;
    hb_generation g;
    const float nan = NAN; /* the end of the last block's ffn_down */
    const char *path = patched_model(*state, NULL, &nan, sizeof nan);
    assert_ok(hb_model_open(path, &model, &err));
    assert_ok(hb_session_open(model, NULL, &session, &err));
    hb_generate_options o = quiet_options(5);
    assert_fails(hb_generate(session, prompt, 4, &o, &g, &err), HB_ERR_NUMERIC, "not finite");
    hb_session_close(session);
    hb_model_close(model);
}

/* A joint model is watched over the steps so far, so its last value is the whole answer's. */
static void test_joint_model(void **state)
{
    fixture *f = *state;
    hb_error err;
    hb_generation g;
    hb_joint_feature features[] = {{"hbar_s:mean", 0.7, 0.02, 1.5}, {"entropy:bottom5", 4, 0.5, -0.8}};
    hb_joint joint = {.features = features, .n_features = 2, .intercept = 0.3};
    hb_generate_options o = quiet_options(9);
    o.monitor.joint = &joint;
    hb_signal_set *signals = parse("pri");
    o.monitor.signals = signals;
    o.monitor.tau = 0.1;
    o.monitor.lambda = 2;
    g = generate(f, &o);
    double sum = 0, values[2];
    hb_top5 entropies = {0};
    for (size_t i = 0; i < g.n_steps; i++) {
        const hb_step *s = &g.trajectory[i];
        hb_top5_add(&entropies, -value(s, "entropy"));
        sum += value(s, "hbar_s");
        double z = 0.3 + 1.5 * (sum / (double)(i + 1) - 0.7) / 0.02 -
                   0.8 * (-hb_top5_mean(&entropies) - 4) / 0.5;
        assert_near(s->watched, z, 1e-9);
        assert_near(s->p_fail, hb_p_fail(z, 0.1, 2, HB_DIRECTION_HIGH), 1e-9);
    }
    values[0] = hb_scores_value(g.scores, "hbar_s:mean");
    values[1] = hb_scores_value(g.scores, "entropy:bottom5");
    assert_near(g.last.watched, hb_joint_log_odds(&joint, values), 1e-12);
    hb_generation_free(&g);

    features[1].score = "entropy"; /* from a table of an earlier version, which meant the top5 */
    g = generate(f, &o);
    values[1] = hb_scores_value(g.scores, "entropy:top5");
    assert_near(g.last.watched, hb_joint_log_odds(&joint, values), 1e-12);
    hb_generation_free(&g);

    joint.features[1].score = "mood";
    assert_fails(hb_generate(f->session, prompt, strlen(prompt), &o, &g, &err), HB_ERR_ARGUMENT,
                 "the score 'mood', which hbar does not measure");
    joint.n_features = 0;
    assert_fails(hb_generate(f->session, prompt, strlen(prompt), &o, &g, &err), HB_ERR_ARGUMENT,
                 "the joint model has no scores");
    hb_signal_set_free(signals);
}

/* A joint model may have any number of scores. */
static void test_large_joint_model(void **state)
{
    enum { N = 700 };
    fixture *f = *state;
    hb_joint_feature features[N];
    for (int j = 0; j < N; j++)
        features[j] = (hb_joint_feature){j % 2 ? "entropy:last" : "margin:last", 0, 1, j};
    const hb_joint joint = {.features = features, .n_features = N};
    hb_generate_options o = quiet_options(3);
    o.monitor.joint = &joint;
    hb_generation g = generate(f, &o);
    const double margins = 349.0 * 350, entropies = 350.0 * 350;
    assert_near(g.last.watched,
                margins * value(&g.last, "margin") + entropies * value(&g.last, "entropy"), 1e-6);
    hb_generation_free(&g);
}

/* NULL options mean the defaults. */
static void test_no_options(void **state)
{
    fixture *f = *state;
    hb_error err;
    hb_generation g, same;
    const hb_generate_options o = hb_generate_defaults();
    assert_ok(hb_generate(f->session, prompt, strlen(prompt), NULL, &g, &err));
    assert_ok(hb_generate(f->session, prompt, strlen(prompt), &o, &same, &err));
    assert_string_equal(g.text, same.text);
    assert_int_equal(g.finish, same.finish);
    hb_generation_free(&g);
    hb_generation_free(&same);
}

/* Without a watched signal, nothing halts. */
static void test_nothing_watched(void **state)
{
    fixture *f = *state;
    hb_generate_options o = quiet_options(5);
    o.monitor.watched = NULL;
    o.monitor.cutoff = 1e-9;
    hb_generation g = generate(f, &o);
    assert_int_equal(g.finish, HB_FINISH_MAX_TOKENS);
    assert_true(isnan(g.last.p_fail) && isnan(g.last.watched));
    assert_false(isnan(value(&g.last, "hbar_s")));
    hb_generation_free(&g);
}

/* With an empty set of signals the steps of a long generation have no values. */
static void test_nothing_measured(void **state)
{
    fixture *f = *state;
    hb_error err;
    hb_signal_set *empty;
    hb_generate_options o = quiet_options(100);
    assert_ok(hb_signal_set_new(&empty, &err));
    o.monitor.watched = NULL;
    o.monitor.signals = empty;
    hb_generation g = generate(f, &o);
    assert_int_equal(g.n_steps, 100);
    assert_true(isnan(value(&g.trajectory[99], "hbar_s")));
    hb_generation_free(&g);
    hb_signal_set_free(empty);
}

/* A signal has the same value alone and together with all others. Signals of the distribution are
 * measured without states. */
static void test_each_signal_alone(void **state)
{
    fixture *f = *state;
    hb_error err;
    hb_generate_options o = quiet_options(6);
    hb_generation all = generate(f, &o);
    const hb_signal *signal;
    o.monitor.watched = NULL;
    for (size_t k = 0; (signal = hb_signal_at(k)) != NULL; k++) {
        hb_signal_set *one;
        assert_ok(hb_signal_set_new(&one, &err));
        assert_ok(hb_signal_set_add(one, signal, &err));
        o.monitor.signals = one;
        hb_generation g = generate(f, &o);
        assert_int_equal(g.n_steps, 6);
        for (size_t i = 0; i < 6; i++)
            assert_near(hb_step_value(&g.trajectory[i], signal),
                        hb_step_value(&all.trajectory[i], signal), 0);
        hb_generation_free(&g);
        hb_signal_set_free(one);
    }
    hb_generation_free(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test_setup_teardown(test_trajectory_is_what_the_signals_say, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_chosen_signals, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_halts_before_the_risky_token, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_check_every, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_score_only_gives_the_same_scores, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_score_only_heap_does_not_grow, open_fixture,
                                        close_fixture),
        cmocka_unit_test_setup_teardown(test_joint_model, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_large_joint_model, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_no_options, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_nothing_watched, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_nothing_measured, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_each_signal_alone, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_cancel, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_context, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_stop_text, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_almost_the_stop_text, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_one_line, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_end_of_text, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_bad_options, open_fixture, close_fixture),
        cmocka_unit_test_setup_teardown(test_not_finite, make_scratch, remove_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
