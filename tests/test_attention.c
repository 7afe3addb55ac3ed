/* The tap's attention: what every head attends to; and the signals that read it. */
#include "check.h"

#include <math.h>
#include "base/half.h"
#include "engine/session.h"
#include "monitor/watch.h"

enum { LENGTH = 200, N_PROMPT = 90, N_ROWS = 6 };

/* Of a prompt, the end of one, and rows after it; windows hide the first position from the last ones.
 */
static const int32_t rows[N_ROWS] = {0, 1, 63, N_PROMPT - 1, N_PROMPT + 40, LENGTH - 1};
static const int32_t prompts[N_ROWS] = {N_PROMPT, N_PROMPT, N_PROMPT, N_PROMPT, N_PROMPT, N_PROMPT};

typedef struct fixture {
    hb_model *model;
    size_t layers, heads, row; /* values of a row */
    int32_t tokens[LENGTH];
} fixture;

static fixture open_fixture(const char *name)
{
    fixture f = {0};
    hb_error err;
    assert_ok(hb_model_open(tiny_model(name), &f.model, &err));
    const hb_model_info *m = hb_model_get_info(f.model);
    f.layers = (size_t)m->n_layers;
    f.heads = (size_t)m->n_heads;
    f.row = f.layers * f.heads * HB_N_ATTENTION;
    for (int i = 0; i < LENGTH; i++) f.tokens[i] = 3 + (i * 37 + i * i) % 500;
    return f;
}

static hb_session *open_session_of(const fixture *f, const hb_session_options *rounding)
{
    hb_session *s;
    hb_error err;
    hb_session_options o = *rounding;
    o.n_ctx = 256, o.n_threads = 2, o.n_sequences = 4, o.n_positions = 1024;
    assert_ok(hb_session_open(f->model, &o, &s, &err));
    return s;
}

static hb_session *open_session(const fixture *f)
{
    return open_session_of(f, &(hb_session_options){0});
}

/* Evaluates the text at once in sequence 0. Returns the rows' attention. */
static float *evaluate(const fixture *f, hb_session *s, float *logits)
{
    hb_error err;
    float *out = calloc(N_ROWS * f->row + 1, sizeof *out);
    hb_tap tap = hb_tap_defaults();
    tap.rows = rows;
    tap.n_rows = N_ROWS;
    tap.logits = logits;
    tap.attention = out;
    tap.prompts = prompts;
    out[N_ROWS * f->row] = 777;
    hb_session_reset(s);
    assert_ok(hb_eval(s, f->tokens, LENGTH, &tap, &err));
    assert_true(out[N_ROWS * f->row] == 777);
    return out;
}

/* ---- Against the definition ---------------------------------------------------------------------- */

/* Number i of a key in the cache. */
static double key(const hb_native_session *s, int32_t layer, int32_t head, int32_t position, size_t i)
{
    const hb_kv_cache *c = &s->cache;
    hb_kv_head kv = hb_kv_at(c, c->sequences[0].pages[position / HB_PAGE], layer, head);
    size_t place = (size_t)position % HB_PAGE, at = i * HB_PAGE + place;
    if (c->type == HB_TYPE_F32) return ((const float *)kv.keys)[at];
    if (c->type == HB_TYPE_F16) return hb_half_value(((const uint16_t *)kv.keys)[at]);
    return (double)kv.key_scales[i / HB_KV_GROUP * HB_PAGE + place] * ((const int8_t *)kv.keys)[at];
}

/* The attention row of one head of the last block, in double, from its queries and the cache's keys.
 * Returns the first position that it sees. */
static int32_t attention_row(const hb_native_session *s, int32_t head, int32_t position, double *a)
{
    const hb_native_model *m = s->model;
    int32_t layer = m->base.info.n_layers - 1, window = m->layers[layer].window;
    int32_t from = window && position >= window ? position - window + 1 : 0;
    size_t dim = (size_t)m->head_dim;
    const float *q = s->work.q + ((size_t)position * (size_t)m->base.info.n_heads + (size_t)head) * dim;
    double sum = 0;
    for (int32_t p = from; p <= position; p++) {
        double score = 0;
        for (size_t i = 0; i < dim; i++)
            score += (double)(q[i] * m->attention_scale) * key(s, layer, head / s->batch.group, p, i);
        if (m->attention_cap > 0) score = m->attention_cap * tanh(score / m->attention_cap);
        sum += a[p] = exp(score);
    }
    for (int32_t p = from; p <= position; p++) a[p] /= sum;
    return from;
}

static void check_row(const float *found, const double *a, int32_t from, int32_t position)
{
    double expected[HB_N_ATTENTION] = {0};
    for (int32_t p = from; p <= position; p++) {
        if (p == 0) expected[HB_ATTENTION_SINK] = a[p];
        else expected[p < N_PROMPT ? HB_ATTENTION_CONTEXT : HB_ATTENTION_GENERATED] += a[p];
        if (p == position - 1) expected[HB_ATTENTION_PREVIOUS] = a[p];
        if (p == position) expected[HB_ATTENTION_SELF] = a[p];
        expected[HB_ATTENTION_ENTROPY] -= a[p] > 0 ? a[p] * log(a[p]) : 0;
    }
    for (int i = 0; i < HB_N_ATTENTION; i++) assert_near(found[i], expected[i], 2e-5);
}

/* Grouped heads, softcaps, and windows in the last block or in all of them; several batches of queries
 * and several pages. */
static void test_definition(void **state)
{
    static const char *const models[] = {"f32", "q4_0", "gemma2", "gemma3", "phi3-window", "qwen3"};
    static const hb_session_options sessions[] = {
        {.kv_type = HB_KV_F16}, {.kv_type = HB_KV_F32}, {.kv_type = HB_KV_Q8_0}, {.exact = true}};
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        fixture f = open_fixture(models[i]);
        for (size_t k = 0; k < sizeof sessions / sizeof *sessions; k++) {
            hb_session *s = open_session_of(&f, &sessions[k]);
            const hb_native_session *native = (const hb_native_session *)(const void *)s;
            float *found = evaluate(&f, s, NULL);
            double a[LENGTH];
            for (size_t r = 0; r < N_ROWS; r++)
                for (size_t h = 0; h < f.heads; h++) {
                    int32_t from = attention_row(native, (int32_t)h, rows[r], a);
                    size_t at = r * f.row + ((f.layers - 1) * f.heads + h) * HB_N_ATTENTION;
                    check_row(found + at, a, from, rows[r]);
                }
            free(found);
            hb_session_close(s);
        }
        hb_model_close(f.model);
    }
}

/* In each block, the parts of a row sum to 1, and a window hides the first position from later rows. */
static void test_windows(void **state)
{
    (void)state;
    fixture f = open_fixture("gemma3");
    hb_session *s = open_session(&f);
    const hb_native_model *m = hb_native(f.model);
    float *found = evaluate(&f, s, NULL);
    size_t hidden = 0;
    for (size_t r = 0; r < N_ROWS; r++)
        for (size_t l = 0; l < f.layers; l++)
            for (size_t h = 0; h < f.heads; h++) {
                const float *a = found + r * f.row + (l * f.heads + h) * HB_N_ATTENTION;
                bool sees = !m->layers[l].window || rows[r] < m->layers[l].window;
                hidden += !sees;
                assert_near(a[HB_ATTENTION_SINK] + a[HB_ATTENTION_CONTEXT] + a[HB_ATTENTION_GENERATED],
                            1, 1e-5);
                assert_true((a[HB_ATTENTION_SINK] > 0) == sees);
            }
    assert_true(hidden > 0 && hidden < N_ROWS * f.layers * f.heads);
    free(found);
    hb_session_close(s);
    hb_model_close(f.model);
}

/* ---- The same however it is evaluated ------------------------------------------------------------ */

/* Attention is the same with a tap and without, and the other outputs do not change. */
static void test_nothing_else_changes(void **state)
{
    (void)state;
    fixture f = open_fixture("q4_0");
    hb_session *s = open_session(&f);
    size_t n = N_ROWS * (size_t)hb_model_get_info(f.model)->n_vocab;
    float *with = calloc(n, sizeof *with), *without = calloc(n, sizeof *without);
    hb_error err;
    hb_tap tap = {.rows = rows, .n_rows = N_ROWS, .logits = without};
    free(evaluate(&f, s, with));
    hb_session_reset(s);
    assert_ok(hb_eval(s, f.tokens, LENGTH, &tap, &err));
    assert_memory_equal(with, without, n * sizeof *with);
    free(with);
    free(without);
    hb_session_close(s);
    hb_model_close(f.model);
}

/* Two sequences forked from a third one in the middle of a page, with the tokens of both mixed one by
 * one; another prompt length for each. With the portable kernels results are bit-identical. */
static void check_forked_and_mixed(hb_kv_type type)
{
    enum { FORK = 70, REST = LENGTH - FORK };
    fixture f = open_fixture("gemma3");
    hb_session *s = open_session_of(&f, &(hb_session_options){.kv_type = type});
    hb_error err;
    int32_t tokens[2 * REST], sequences[2 * REST], last[2] = {2 * REST - 2, 2 * REST - 1};
    const int32_t lengths[2] = {N_PROMPT, FORK};
    float *expected = evaluate(&f, s, NULL), *found = calloc(2 * f.row, sizeof *found);
    hb_tap tap = {.rows = last, .n_rows = 2, .attention = found, .prompts = lengths};
    hb_sequence_drop(s, 0);
    for (int i = 0; i < FORK; i++) sequences[i] = 3;
    assert_ok(hb_eval_sequences(s, f.tokens, sequences, FORK, NULL, &err));
    assert_ok(hb_sequence_fork(s, 3, FORK, 0, &err));
    assert_ok(hb_sequence_fork(s, 3, FORK, 2, &err));
    for (int i = 0; i < 2 * REST; i++) {
        tokens[i] = f.tokens[FORK + i / 2];
        sequences[i] = i % 2 ? 2 : 0;
    }
    assert_ok(hb_eval_sequences(s, tokens, sequences, 2 * REST, &tap, &err));
    const float *alone = expected + (N_ROWS - 1) * f.row;
    assert_memory_equal(found, alone, f.row * sizeof *found);
    for (size_t i = 0; i < f.row; i += HB_N_ATTENTION) {
        const float *a = found + f.row + i;
        assert_true(a[HB_ATTENTION_SINK] == alone[i + HB_ATTENTION_SINK] &&
                    a[HB_ATTENTION_ENTROPY] == alone[i + HB_ATTENTION_ENTROPY]);
        assert_true(a[HB_ATTENTION_GENERATED] >= alone[i + HB_ATTENTION_GENERATED]);
        assert_near(a[HB_ATTENTION_CONTEXT] + a[HB_ATTENTION_GENERATED],
                    alone[i + HB_ATTENTION_CONTEXT] + alone[i + HB_ATTENTION_GENERATED], 1e-6);
    }
    free(expected);
    free(found);
    hb_session_close(s);
    hb_model_close(f.model);
}

static void test_forked_and_mixed(void **state)
{
    (void)state;
    setenv("HBAR_KERNELS", "portable", 1);
    for (int type = HB_KV_F16; type <= HB_KV_Q8_0; type++) check_forked_and_mixed((hb_kv_type)type);
}

static void test_refused(void **state)
{
    (void)state;
    fixture f = open_fixture("f32");
    hb_session *s = open_session(&f);
    hb_error err;
    const int32_t none[N_ROWS] = {1, 1, 0, 1, 1, 1};
    float *out = calloc(N_ROWS * f.row, sizeof *out);
    hb_tap tap = {.rows = rows, .n_rows = N_ROWS, .attention = out};
    assert_fails(hb_eval(s, f.tokens, LENGTH, &tap, &err), HB_ERR_ARGUMENT, "lengths of the prompts");
    tap.prompts = none;
    assert_fails(hb_eval(s, f.tokens, LENGTH, &tap, &err), HB_ERR_ARGUMENT, "row 63 has 0 tokens");
    free(out);
    hb_session_close(s);
    hb_model_close(f.model);
}

/* ---- Signals ------------------------------------------------------------------------------------- */

enum { STEPS = 7, LAYERS = 3, HEADS = 4 };

/* What the heads attend to at each step, and the probabilities of the tokens, by formulas. */
static float weight_of(int step, int layer, int head)
{
    return 0.05F + 0.9F * (float)((step * 31 + layer * 17 + head * (step % 3 + 5) * 7) % 23) / 23;
}

static double p_of(int step)
{
    return 0.1 + 0.8 * (step * 5 % 7) / 7;
}

/* RAUQ of n tokens as the paper has it: token i attends to the one before it with the weight of step
 * i + 1; the last token takes the weight of the one before. */
static double plain_rauq(int n)
{
    double greatest = -INFINITY;
    for (int layer = LAYERS / 3; layer < LAYERS; layer++) {
        int best = 0;
        double best_sum = -1, c = p_of(0), logs = log(c);
        for (int h = 0; h < HEADS; h++) {
            double sum = n == 2 ? weight_of(1, layer, h) : 0;
            for (int i = 1; i < n - 1; i++) sum += weight_of(i + 1, layer, h);
            if (sum > best_sum) best_sum = sum, best = h;
        }
        for (int i = 1; i < n; i++) {
            c = 0.2 * p_of(i) + 0.8 * weight_of(i < n - 1 ? i + 1 : i, layer, best) * c;
            logs += log(c);
        }
        greatest = fmax(greatest, -logs / n);
    }
    return greatest;
}

static void test_signals(void **state)
{
    (void)state;
    const hb_model model = {.info = {.n_vocab = 2, .n_embd = 1, .n_layers = LAYERS, .n_heads = HEADS}};
    const char *names = "attention_entropy,attention_sink,attention_self,rauq";
    hb_monitor monitor = hb_monitor_defaults();
    hb_signal_set *set;
    hb_watch *watch;
    hb_error err;
    assert_ok(hb_signal_set_parse(names, &set, &err));
    monitor.watched = NULL;
    monitor.signals = set;
    assert_ok(hb_watch_open(&model, &monitor, &watch, &err));
    assert_true(hb_watch_needs_attention(watch));
    for (int s = 0; s < STEPS; s++) {
        const float logits[2] = {(float)log(p_of(s) / (1 - p_of(s))), 0};
        float attention[LAYERS * HEADS][HB_N_ATTENTION];
        double entropy = 0, sink = 0, itself = 0;
        for (int i = 0; i < LAYERS * HEADS; i++) {
            for (int k = 0; k < HB_N_ATTENTION; k++) attention[i][k] = weight_of(s + k, i, k);
            if (i == 5 && s == 3) attention[i][HB_ATTENTION_SELF] = 0;
            attention[i][HB_ATTENTION_PREVIOUS] = weight_of(s, i / HEADS, i % HEADS);
            entropy += attention[i][HB_ATTENTION_ENTROPY] / (double)(LAYERS * HEADS);
            sink += attention[i][HB_ATTENTION_SINK] / (double)(LAYERS * HEADS);
            itself += log(fmax(attention[i][HB_ATTENTION_SELF], 1e-30)) / (LAYERS * HEADS);
        }
        hb_distribution sums;
        assert_true(hb_distribution_gather(logits, 2, &sums));
        const hb_reading reading = {
            .logits = logits, .attention = attention[0], .n_prompt = 3, .sums = &sums};
        hb_step step;
        bool halt;
        assert_ok(hb_watch_step(watch, s, 0, &reading, &step, &halt, &err));
        assert_near(hb_step_value(&step, hb_signal_find("attention_entropy")), entropy, 1e-6);
        assert_near(hb_step_value(&step, hb_signal_find("attention_sink")), sink, 1e-6);
        assert_near(hb_step_value(&step, hb_signal_find("attention_self")), itself, 1e-6);
        assert_near(hb_step_value(&step, hb_signal_find("rauq")), plain_rauq(s + 1), 1e-6);
    }
    hb_watch_close(watch);
    hb_signal_set_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_nothing_else_changes),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_forked_and_mixed), /* sets the kernels */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
