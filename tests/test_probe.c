/* Features of samples and probes trained on them. */
#include "check.h"

#include <math.h>
#include "base/base64.h"
#include "base/half.h"
#include "base/rng.h"
#include "calibrate/newton.h"
#include "calibrate/principal.h"
#include "decode/decode.h"
#include "monitor/watch.h"
#include "signals/probe.h"

/* ---- Floats of 16 bits, base64 ------------------------------------------------------------------- */

static void test_halves(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        uint16_t half = (uint16_t)bits;
        float value = hb_half_value(half);
        if ((half >> 10 & 0x1F) != 0x1F) assert_int_equal(hb_half(value), half);
    }
    assert_true(isnan(hb_half_value(hb_half(NAN))));
    assert_near(hb_half_value(hb_half(1e9F)), 65504, 0);
    assert_near(hb_half_value(hb_half(-INFINITY)), -65504, 0);
    assert_near(hb_half_value(hb_half(1 + 0x1p-11F)), 1, 0); /* ties go to even */
    assert_near(hb_half_value(hb_half(1 + 0x3p-11F)), 1 + 0x2p-10, 0);
    assert_near(hb_half_value(hb_half(0x1p-25F)), 0, 0);
    assert_near(hb_half_value(hb_half(0x1.8p-25F)), 0x1p-24, 0);
    for (float x = 6e-8F; x < 65504; x *= 1.37F)
        assert_near(hb_half_value(hb_half(x)), x, fmax(x * 0x1p-11, 0x1p-25));
}

static void test_base64(void **state)
{
    hb_error err;
    (void)state;
    for (size_t n = 0; n < 8; n++) {
        const float values[8] = {0, -1.5F, 3e-9F, 1e30F, -0.0F, 7, 8, 9};
        float *back;
        size_t n_back;
        char *text = hb_base64_of_floats(values, n);
        assert_int_equal(strlen(text), (4 * n + 2) / 3 * 4);
        assert_ok(hb_base64_floats(text, &back, &n_back, &err));
        assert_int_equal(n_back, n);
        assert_memory_equal(back, values, n * sizeof *values);
        free(back);
        free(text);
    }
    float *values;
    size_t n;
    assert_fails(hb_base64_floats("AAA", &values, &n, &err), HB_ERR_FORMAT, "base64");
    assert_fails(hb_base64_floats("AA=A", &values, &n, &err), HB_ERR_FORMAT, "base64");
    assert_fails(hb_base64_floats("AA\nA", &values, &n, &err), HB_ERR_FORMAT, "base64");
    assert_fails(hb_base64_floats("AAAA", &values, &n, &err), HB_ERR_FORMAT, "4 bytes");
}

/* ---- Lists of features --------------------------------------------------------------------------- */

static void test_lists(void **state)
{
    static const struct {
        const char *list, *features;
    } good[] = {{"hidden", "hidden:8+15+23+30"},
                {"topk", "topk"},
                {"topk,hidden:1+30", "hidden:1+30,topk"},
                {"attention", "attention"},
                {"attention,topk,hidden:2", "hidden:2,topk,attention"},
                {"states", "states:15"},
                {"states:30,topk", "topk,states:30"},
                {"", ""}};
    static const char *const bad[] = {"hidden:31",
                                      "hidden:0",
                                      "hidden:2+2",
                                      "hidden:3+2",
                                      "hidden:",
                                      "hidden:x",
                                      "hidden:1+",
                                      "hidden:1,hidden:2",
                                      "other",
                                      "topk,",
                                      "topk:1",
                                      "hidden:99999999999",
                                      ",topk",
                                      "hidden:4097,topk",
                                      "attention,attention",
                                      "attention:1",
                                      "states:31",
                                      "states:0",
                                      "states:",
                                      "states:1+2",
                                      "states:x",
                                      "states,states:3"};
    const hb_model_info model = {.n_layers = 30, .n_embd = 576, .n_heads = 9},
                        small = {.n_layers = 1, .n_embd = 2};
    hb_error err;
    char *features;
    size_t bytes;
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_ok(hb_features_parse(good[i].list, &model, &features, &err));
        assert_string_equal(features, good[i].features);
        free(features);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_fails(hb_features_parse(bad[i], &model, &features, &err), HB_ERR_ARGUMENT, "");
    assert_ok(hb_features_parse("hidden", &small, &features, &err));
    assert_string_equal(features, "hidden:1");
    free(features);
    assert_ok(hb_features_size("hidden:1+2,topk", &model, &bytes, &err));
    assert_int_equal(bytes, 2 * (3 * 2 * 576 + 30));
    assert_ok(hb_features_size("attention", &model, &bytes, &err));
    assert_int_equal(bytes, 2 * 30 * 9 * (HB_N_ATTENTION + 1));
    assert_ok(hb_features_step_size("hidden:1+2,topk", &model, &bytes, &err));
    assert_int_equal(bytes, 0);
    assert_ok(hb_features_size("states:3", &model, &bytes, &err));
    assert_int_equal(bytes, 0);
    assert_ok(hb_features_step_size("states:3", &model, &bytes, &err));
    assert_int_equal(bytes, 2 * 576);
}

/* ---- What is collected ------------------------------------------------------------------------- */

enum { STEPS = 6, MAX_TOKENS = 64 };

/* The features of a finished sample. */
typedef struct kept {
    hb_feature_plan plan;
    float *values[HB_N_FEATURES];
    size_t n[HB_N_FEATURES];
    int32_t tokens[STEPS];
    double probe[STEPS]; /* the probe at each step */
    double mean;         /* its score */
    int n_tokens;
    const hb_signal *signal;
} kept;

static hb_status keep(void *user, const hb_event *event, hb_error *err)
{
    kept *k = user;
    (void)err;
    if (event->kind == HB_EVENT_STEP && k->signal && k->n_tokens < STEPS)
        k->probe[k->n_tokens] = hb_step_value(event->step, k->signal);
    if (event->kind == HB_EVENT_TOKEN) k->tokens[k->n_tokens++] = event->token;
    if (event->kind != HB_EVENT_FINISH) return HB_OK;
    assert_null(event->outcome->error);
    for (int f = 0; f < HB_N_FEATURES && event->outcome->features; f++) {
        k->n[f] = event->outcome->features->n[f];
        k->values[f] = malloc(k->n[f] * sizeof(float) + 1);
        if (k->n[f]) memcpy(k->values[f], event->outcome->features->values[f], k->n[f] * sizeof(float));
    }
    if (k->signal)
        k->mean = hb_scores_get(event->outcome->scores, (hb_score_id){k->signal, HB_AGGREGATION_MEAN});
    return HB_OK;
}

static void free_kept(kept *k)
{
    hb_feature_plan_free(&k->plan);
    for (int f = 0; f < HB_N_FEATURES; f++) free(k->values[f]);
}

static void generate(hb_session *session, const int32_t *prompt, size_t n, const hb_signal *signal,
                     kept *k)
{
    hb_error err;
    hb_scheduler *scheduler;
    hb_signal_set *set;
    uint64_t number;
    assert_ok(hb_signal_set_parse("entropy", &set, &err));
    if (signal) assert_ok(hb_signal_set_add(set, signal, &err));
    k->signal = signal;
    hb_request r = {.prompt = prompt,
                    .n_prompt = n,
                    .monitor = hb_monitor_defaults(),
                    .features = k->plan.hidden || k->plan.attention ? &k->plan : NULL,
                    .sampling = hb_sampling_defaults(),
                    .n_samples = 1,
                    .max_tokens = STEPS,
                    .sink = keep,
                    .user = k};
    r.monitor.watched = NULL;
    r.monitor.signals = set;
    assert_ok(hb_scheduler_open(session, &scheduler, &err));
    assert_ok(hb_scheduler_add(scheduler, &r, &number, &err));
    while (hb_scheduler_is_busy(scheduler)) assert_ok(hb_scheduler_step(scheduler, &err));
    hb_scheduler_close(scheduler);
    hb_signal_set_free(set);
}

/* A model, a session, and a prompt. */
typedef struct world {
    hb_model *model;
    hb_session *session;
    int32_t *prompt;
    size_t n;
} world;

static world open_world(void)
{
    world w;
    hb_error err;
    static const char text[] = "Once there was a";
    const hb_session_options o = {.n_ctx = 64, .n_threads = 1, .exact = true};
    assert_ok(hb_model_open(tiny_model("f32"), &w.model, &err));
    assert_ok(hb_session_open(w.model, &o, &w.session, &err));
    assert_ok(hb_tokenize(w.model, text, strlen(text), true, false, &w.prompt, &w.n, &err));
    return w;
}

static void close_world(world *w)
{
    free(w->prompt);
    hb_session_close(w->session);
    hb_model_close(w->model);
}

/* The states and logits from which each token of a sample is chosen, and what the heads attend to,
 * evaluated again. NULL for those that are not needed. */
static void evaluate(const world *w, const kept *k, float *states, float *logits, float *attention)
{
    hb_error err;
    int32_t tokens[MAX_TOKENS], rows[STEPS], prompts[STEPS];
    size_t n = w->n + (size_t)k->n_tokens - 1;
    memcpy(tokens, w->prompt, w->n * sizeof *tokens);
    memcpy(tokens + w->n, k->tokens, (size_t)k->n_tokens * sizeof *tokens);
    for (int i = 0; i < k->n_tokens; i++) {
        rows[i] = (int32_t)w->n - 1 + i;
        prompts[i] = (int32_t)w->n;
    }
    hb_tap tap = hb_tap_defaults();
    tap.rows = rows;
    tap.n_rows = k->n_tokens;
    tap.states = states;
    tap.logits = logits;
    tap.attention = attention;
    tap.prompts = prompts;
    hb_session_reset(w->session);
    assert_ok(hb_eval(w->session, tokens, (int32_t)n, &tap, &err));
}

static void test_features(void **state)
{
    hb_error err;
    world w = open_world();
    const hb_model_info *m = hb_model_get_info(w.model);
    size_t d = (size_t)m->n_embd, layers = (size_t)m->n_layers, vocab = (size_t)m->n_vocab;
    kept k = {0};
    (void)state;
    assert_ok(hb_feature_plan_open("hidden:1+3,topk,states:2", m, &k.plan, &err));
    generate(w.session, w.prompt, w.n, NULL, &k);
    assert_int_equal(k.n_tokens, STEPS);
    float *states = calloc(STEPS * layers * d, sizeof *states);
    float *logits = calloc(STEPS * vocab, sizeof *logits);
    evaluate(&w, &k, states, logits, NULL);
    for (size_t b = 0; b < 2; b++)
        for (size_t j = 0; j < d; j++) {
            double sum = 0;
            const float *at = states + 2 * b * d + j; /* after blocks 1 and 3 */
            for (size_t s = 0; s < STEPS; s++) sum += at[s * layers * d];
            assert_near(k.values[HB_FEATURE_FIRST][b * d + j], at[0], 1e-4);
            assert_near(k.values[HB_FEATURE_MEAN][b * d + j], sum / STEPS, 1e-4);
            assert_near(k.values[HB_FEATURE_LAST][b * d + j], at[(STEPS - 1) * layers * d], 1e-4);
        }
    assert_int_equal(k.n[HB_FEATURE_MEAN], 2 * d);
    assert_int_equal(k.n[HB_FEATURE_STATES], STEPS * d);
    for (size_t s = 0; s < STEPS; s++)
        for (size_t j = 0; j < d; j++)
            assert_near(k.values[HB_FEATURE_STATES][s * d + j], states[(s * layers + 1) * d + j], 1e-4);
    double mean[HB_RANKS] = {0}, greatest[HB_RANKS] = {0};
    for (size_t s = 0; s < STEPS; s++) {
        float *p = logits + s * vocab;
        hb_softmax(p, vocab, p);
        for (int rank = 0; rank < HB_RANKS; rank++) {
            size_t best = 0;
            for (size_t i = 1; i < vocab; i++)
                if (p[i] > p[best]) best = i;
            double term = p[best] > 0 ? -p[best] * log(p[best]) : 0;
            mean[rank] += term / STEPS;
            greatest[rank] = fmax(greatest[rank], term);
            p[best] = -1;
        }
    }
    for (int rank = 0; rank < HB_RANKS; rank++) {
        assert_near(k.values[HB_FEATURE_TOPK][rank], mean[rank], 1e-4);
        assert_near(k.values[HB_FEATURE_TOPK][HB_RANKS + rank], greatest[rank], 1e-4);
    }
    free(states);
    free(logits);
    free_kept(&k);
    close_world(&w);
}

/* The kept attention is the mean over the steps of what the heads attend to, and so is the lookback
 * ratio. */
static void test_attention_features(void **state)
{
    hb_error err;
    world w = open_world();
    const hb_model_info *m = hb_model_get_info(w.model);
    size_t heads = (size_t)m->n_layers * (size_t)m->n_heads, n = heads * HB_N_ATTENTION;
    kept k = {0};
    (void)state;
    assert_ok(hb_feature_plan_open("attention", m, &k.plan, &err));
    generate(w.session, w.prompt, w.n, NULL, &k);
    assert_int_equal(k.n[HB_FEATURE_ATTENTION], n);
    assert_int_equal(k.n[HB_FEATURE_LOOKBACK], heads);
    float *attention = calloc(STEPS * n, sizeof *attention);
    evaluate(&w, &k, NULL, NULL, attention);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t s = 0; s < STEPS; s++) sum += attention[s * n + i];
        assert_near(k.values[HB_FEATURE_ATTENTION][i], sum / STEPS, 1e-5);
    }
    for (size_t h = 0; h < heads; h++) {
        double sum = 1; /* at the first step */
        for (size_t s = 1; s < STEPS; s++) {
            const float *a = attention + s * n + h * HB_N_ATTENTION;
            double prompt = (a[HB_ATTENTION_SINK] + a[HB_ATTENTION_CONTEXT]) / (double)w.n;
            sum += prompt / (prompt + a[HB_ATTENTION_GENERATED] / (double)s);
        }
        assert_near(k.values[HB_FEATURE_LOOKBACK][h], sum / STEPS, 1e-4);
    }
    free(attention);
    free_kept(&k);
    close_world(&w);
}

/* The mean of a probe's steps is the probe of the mean state. A block that the model lacks is refused.
 */
static void test_probe_of_steps(void **state)
{
    hb_error err;
    world w = open_world();
    const hb_model_info *m = hb_model_get_info(w.model);
    size_t d = (size_t)m->n_embd;
    hb_probe *probe;
    kept k = {0};
    hb_rng rng = {3};
    (void)state;
    assert_ok(hb_probe_new(hb_probe_kind_find("probe"), 1, d, 0, &probe, &err));
    for (size_t j = 0; j < d; j++) probe->weights[j] = (float)hb_rng_below(&rng, 100) / 50 - 1;
    probe->intercept = 0.25;
    assert_ok(hb_feature_plan_open("hidden:2", m, &k.plan, &err));
    generate(w.session, w.prompt, w.n, hb_probe_signal(probe), &k);
    double sum = 0;
    for (int i = 0; i < STEPS; i++) sum += k.probe[i];
    assert_near(k.mean, sum / STEPS, 1e-9);
    assert_near(k.mean, hb_probe_log_odds(probe, k.values[HB_FEATURE_MEAN]), 1e-4);
    assert_near(k.probe[0], hb_probe_log_odds(probe, k.values[HB_FEATURE_FIRST]), 1e-4);

    hb_watch *watch;
    hb_monitor monitor = hb_monitor_defaults();
    monitor.watched = hb_probe_signal(probe);
    probe->block = m->n_layers;
    assert_fails(hb_watch_open(w.model, &monitor, &watch, &err), HB_ERR_MISMATCH, "probe");
    probe->block = 1;
    probe->n = d - 1;
    assert_fails(hb_watch_open(w.model, &monitor, &watch, &err), HB_ERR_MISMATCH, "probe");
    hb_probe_free(probe);
    free_kept(&k);
    close_world(&w);
}

/* A density's value at a step is that of the mean of the states so far. */
static void test_density_of_steps(void **state)
{
    enum { RANK = 3 };
    hb_error err;
    world w = open_world();
    const hb_model_info *m = hb_model_get_info(w.model);
    size_t d = (size_t)m->n_embd;
    hb_probe *probe;
    kept k = {0};
    hb_rng rng = {4};
    (void)state;
    assert_ok(hb_probe_new(hb_probe_kind_find("mahalanobis"), 1, d, RANK, &probe, &err));
    for (size_t j = 0; j < d; j++) probe->weights[j] = (float)hb_rng_below(&rng, 100) / 50 - 1;
    for (size_t j = 0; j < RANK * d; j++) probe->rows[j] = (float)hb_rng_below(&rng, 100) / 50 - 1;
    for (size_t r = 0; r < RANK; r++) probe->factors[r] = 2 - (double)r, probe->offsets[r] = (double)r;
    assert_ok(hb_feature_plan_open("hidden:2", m, &k.plan, &err));
    generate(w.session, w.prompt, w.n, hb_probe_signal(probe), &k);
    assert_int_equal(hb_signal_usual(hb_probe_signal(probe)), HB_AGGREGATION_LAST);
    double first = hb_probe_log_odds(probe, k.values[HB_FEATURE_FIRST]);
    double mean = hb_probe_log_odds(probe, k.values[HB_FEATURE_MEAN]);
    assert_near(k.probe[0], first, 1e-4 * (1 + fabs(first)));
    assert_near(k.probe[STEPS - 1], mean, 1e-4 * (1 + fabs(mean)));
    assert_true(fabs(mean - first) > 1e-2);
    const float *x = k.values[HB_FEATURE_MEAN];
    double sum = probe->intercept;
    for (size_t j = 0; j < d; j++) sum += (double)probe->weights[j] * x[j];
    for (size_t r = 0; r < RANK; r++) {
        double off = -probe->offsets[r];
        for (size_t j = 0; j < d; j++) off += (double)probe->rows[r * d + j] * x[j];
        sum += probe->factors[r] * off * off;
    }
    assert_near(mean, sum, 1e-6 * (1 + fabs(sum)));
    hb_probe_free(probe);
    free_kept(&k);
    close_world(&w);
}

/* ---- Training ------------------------------------------------------------------------------------ */

enum { N = 240, D = 40, BLOCKS = 3 };

/* Samples of which one block tells the labels, in groups of four with the same label. */
typedef struct made {
    float x[BLOCKS][N * D];
    uint8_t labels[N];
    uint32_t groups[N];
} made;

static double normal(hb_rng *rng)
{
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += (double)hb_rng_below(rng, 1 << 20) / (1 << 20);
    return sum - 6;
}

/* With `shift` 0 the labels are noise. Members of a group are nearly the same. */
static made *make(double shift, bool grouped, uint64_t seed)
{
    made *m = calloc(1, sizeof *m);
    hb_rng rng = {seed};
    assert_non_null(m);
    for (size_t i = 0; i < N; i++) {
        bool repeats = grouped && i % 4;
        m->groups[i] = (uint32_t)(i / 4 * 4);
        m->labels[i] = repeats ? m->labels[i - 1] : (uint8_t)(hb_rng_below(&rng, 3) > 0);
        for (size_t b = 0; b < BLOCKS; b++)
            for (size_t j = 0; j < D; j++) {
                double x = repeats ? m->x[b][(i - 1) * D + j] + 0.01 * normal(&rng)
                                   : normal(&rng) + (j == 3 ? 1000 : 0); /* a large mean */
                if (!repeats && b == 1 && j < 4) x += shift * m->labels[i];
                m->x[b][i * D + j] = (float)x;
            }
    }
    return m;
}

static hb_status load(void *user, size_t i, float *x, hb_error *err)
{
    (void)err;
    memcpy(x, ((made *)user)->x[i], sizeof(float) * N * D);
    return HB_OK;
}

static hb_probe_samples samples_of(made *m)
{
    static const int32_t blocks[BLOCKS] = {4, 9, 14};
    return (hb_probe_samples){.n = N,
                              .d = D,
                              .labels = m->labels,
                              .blocks = blocks,
                              .n_blocks = BLOCKS,
                              .load = load,
                              .user = m};
}

/* The same minimum as liblinear's. */
static void test_newton(void **state)
{
    hb_error err;
    made *m = make(0.4, false, 7);
    uint32_t fold[N];
    double *x = calloc(N * D, sizeof *x), expected[D], weights[D], intercept, expected_intercept;
    uint8_t labels[N];
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < N; i++) fold[i] = i % 5;
    for (size_t j = 0; j < D; j++) { /* standardised without folds 1 and 3 */
        double sum = 0, squares = 0;
        n = 0;
        for (size_t i = 0; i < N; i++)
            if (fold[i] != 1 && fold[i] != 3) sum += m->x[1][i * D + j], n++;
        for (size_t i = 0; i < N; i++)
            if (fold[i] != 1 && fold[i] != 3) squares += pow(m->x[1][i * D + j] - sum / (double)n, 2);
        double sd = sqrt(squares / (double)n);
        for (size_t i = 0, at = 0; i < N; i++) {
            if (fold[i] == 1 || fold[i] == 3) continue;
            labels[at] = m->labels[i];
            x[j * n + at++] = (m->x[1][i * D + j] - sum / (double)n) / sd;
        }
        m->x[0][j] = (float)sd; /* of no use otherwise */
    }
    const hb_newton_data data = {m->x[1], N, D, m->labels, fold, {1, 3}};
    hb_newton *newton;
    assert_ok(hb_newton_open(&data, &newton, &err));
    for (double c = 1e-3; c < 100; c *= 10) {
        float z[N];
        assert_ok(hb_logistic_fit(x, labels, n, D, c, expected, &expected_intercept, &err));
        hb_newton_fit(newton, c, 1e-5);
        hb_newton_weights(newton, weights, &intercept);
        for (size_t j = 0; j < D; j++) assert_near(weights[j] * m->x[0][j], expected[j], 2e-3);
        hb_newton_predict(newton, 3, z);
        for (size_t i = 3; i < N; i += 5) {
            double sum = intercept;
            for (size_t j = 0; j < D; j++) sum += weights[j] * m->x[1][i * D + j];
            assert_near(z[i], sum, 2e-2);
        }
    }
    hb_newton_close(newton);
    free(x);
    free(m);
}

static double auroc_of(const double *z, const made *m)
{
    hb_error err;
    double auroc;
    assert_ok(hb_auroc(z, m->labels, N, &auroc, &err));
    return auroc;
}

static void test_training(void **state)
{
    hb_error err;
    made *m = make(0.8, false, 11);
    hb_probe_samples s = samples_of(m);
    hb_probe *probe;
    double z[N], fitted[N], intercept;
    size_t n, n_trials, best;
    (void)state;
    assert_ok(hb_probe_fit("probe", &s, NULL, &probe, z, &err));
    assert_int_equal(hb_probe_block(probe), 9);
    const float *weights = hb_probe_weights(probe, &n, &intercept);
    const hb_probe_trial *trials = hb_probe_trials(probe, &n_trials, &best);
    assert_int_equal(n, D);
    assert_int_equal(n_trials, BLOCKS * 5);
    for (size_t t = 0; t < n_trials; t++) assert_true(trials[t].log_loss >= trials[best].log_loss);
    for (size_t i = 0; i < N; i++) {
        fitted[i] = hb_probe_log_odds(probe, m->x[1] + i * D);
        double sum = intercept;
        for (size_t j = 0; j < D; j++) sum += (double)weights[j] * m->x[1][i * D + j];
        assert_near(fitted[i], sum, 1e-6);
    }
    assert_true(auroc_of(z, m) > 0.8);
    assert_true(auroc_of(z, m) < auroc_of(fitted, m)); /* in-sample values must not be reported */
    hb_probe_free(probe);
    free(m);
}

/* Without information, the choice among blocks and strengths does not flatter. Samples of a group share
 * a fold: else each would be recognised by its copies. */
static void test_out_of_fold(void **state)
{
    hb_error err;
    double plain = 0, grouped = 0, leaking = 0, z[N];
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        made *m = make(0, false, seed);
        hb_probe_samples s = samples_of(m);
        hb_probe *probe;
        assert_ok(hb_probe_fit("probe", &s, NULL, &probe, z, &err));
        plain += auroc_of(z, m) / 10;
        hb_probe_free(probe);
        free(m);
        m = make(0, true, seed);
        s = samples_of(m);
        hb_joint_options o = hb_joint_defaults();
        assert_ok(hb_probe_fit("probe_last", &s, &o, &probe, z, &err));
        leaking += auroc_of(z, m) / 10;
        hb_probe_free(probe);
        o.groups = m->groups;
        assert_ok(hb_probe_fit("probe_last", &s, &o, &probe, z, &err));
        grouped += auroc_of(z, m) / 10;
        hb_probe_free(probe);
        free(m);
    }
    assert_near(plain, 0.5, 0.05);
    assert_true(grouped < 0.55); /* below 0.5, as folds with more of a label come from fewer of it */
    assert_true(leaking > 0.9);
}

/* The leading components of samples that lie near a plane are this plane's; the result does not depend
 * on the number of threads. */
static void test_principal_components(void **state)
{
    enum { SAMPLES = 150, WIDE = 300, DIRECTIONS = 5 };
    hb_error err;
    hb_rng rng = {8};
    hb_pool *pool;
    float *x = calloc(SAMPLES * WIDE, sizeof *x);
    double directions[DIRECTIONS][WIDE], basis[2][WIDE * DIRECTIONS];
    (void)state;
    for (size_t k = 0; k < DIRECTIONS; k++)
        for (size_t j = 0; j < WIDE; j++) directions[k][j] = normal(&rng) / sqrt(WIDE);
    for (size_t i = 0; i < SAMPLES; i++)
        for (size_t k = 0; k < DIRECTIONS; k++) {
            double along = normal(&rng) * (double)(10 << k);
            for (size_t j = 0; j < WIDE; j++) x[i * WIDE + j] += (float)(along * directions[k][j]);
        }
    for (size_t i = 0; i < SAMPLES * WIDE; i++) x[i] += (float)(0.01 * normal(&rng));
    assert_ok(hb_pool_open(&pool, 3, &err));
    assert_ok(hb_principal_components(NULL, x, SAMPLES, WIDE, DIRECTIONS, basis[0], &err));
    assert_ok(hb_principal_components(pool, x, SAMPLES, WIDE, DIRECTIONS, basis[1], &err));
    assert_memory_equal(basis[0], basis[1], sizeof basis[0]);
    hb_pool_close(pool);
    double variances[DIRECTIONS] = {0}, whole = 0, held = 0;
    for (size_t a = 0; a < DIRECTIONS; a++)
        for (size_t b = 0; b < DIRECTIONS; b++) {
            double product = 0;
            for (size_t j = 0; j < WIDE; j++)
                product += basis[0][j * DIRECTIONS + a] * basis[0][j * DIRECTIONS + b];
            assert_near(product, a == b, 1e-9);
        }
    for (size_t i = 0; i < SAMPLES; i++) {
        for (size_t j = 0; j < WIDE; j++) whole += (double)x[i * WIDE + j] * x[i * WIDE + j];
        for (size_t k = 0; k < DIRECTIONS; k++) {
            double z = 0;
            for (size_t j = 0; j < WIDE; j++) z += x[i * WIDE + j] * basis[0][j * DIRECTIONS + k];
            variances[k] += z * z;
        }
    }
    for (size_t k = 0; k < DIRECTIONS; k++) held += variances[k];
    for (size_t k = 1; k < DIRECTIONS; k++) assert_true(variances[k] < variances[k - 1]);
    assert_true(held > 0.9999 * whole);
    free(x);
}

/* The first N * 2 numbers of block 0. */
static hb_status load_two(void *user, size_t i, float *x, hb_error *err)
{
    (void)i, (void)err;
    memcpy(x, ((made *)user)->x[0], sizeof(float) * N * 2);
    return HB_OK;
}

/* Two features: the distance from the right answers, with the shrunk covariance written out. */
static double plain_distance(const made *m, bool all, const float *at)
{
    double mean[2] = {0}, s[3] = {0}, fourths = 0, n = 0;
    for (size_t i = 0; i < N; i++) {
        if (m->labels[i] && !all) continue;
        n++;
        for (int j = 0; j < 2; j++) mean[j] += m->x[0][2 * i + (size_t)j];
    }
    for (int j = 0; j < 2; j++) mean[j] /= n;
    for (size_t i = 0; i < N; i++) {
        if (m->labels[i] && !all) continue;
        double a = m->x[0][2 * i] - mean[0], b = m->x[0][2 * i + 1] - mean[1];
        s[0] += a * a / n, s[1] += a * b / n, s[2] += b * b / n;
        fourths += (a * a + b * b) * (a * a + b * b);
    }
    double level = (s[0] + s[2]) / 2, squares = s[0] * s[0] + 2 * s[1] * s[1] + s[2] * s[2];
    double weight = fmin(1, (fourths / n - squares) / n / (squares - 2 * level * level));
    double p = (1 - weight) * s[0] + weight * level, q = (1 - weight) * s[1],
           r = (1 - weight) * s[2] + weight * level;
    double a = at[0] - mean[0], b = at[1] - mean[1];
    return (r * a * a - 2 * q * a * b + p * b * b) / (p * r - q * q);
}

static void test_densities(void **state)
{
    hb_error err;
    made *m = make(3, false, 13);
    hb_probe_samples s = samples_of(m);
    hb_probe *probe;
    double z[N], fitted[N];
    size_t n_trials, best;
    (void)state;
    assert_ok(hb_probe_fit("mahalanobis", &s, NULL, &probe, z, &err));
    assert_int_equal(hb_probe_block(probe), 9);
    const hb_probe_trial *trials = hb_probe_trials(probe, &n_trials, &best);
    assert_int_equal(n_trials, BLOCKS);
    for (size_t t = 0; t < n_trials; t++) assert_true(trials[t].auroc <= trials[best].auroc);
    for (size_t i = 0; i < N; i++) fitted[i] = hb_probe_log_odds(probe, m->x[1] + i * D);
    assert_true(auroc_of(z, m) > 0.8 && auroc_of(fitted, m) > auroc_of(z, m));
    hb_probe_free(probe);

    static const char *const kinds[] = {"mahalanobis", "relative_mahalanobis"};
    s.d = 2;
    s.n_blocks = 1;
    s.load = load_two;
    for (size_t i = 0; i < N; i++) m->x[0][2 * i + 1] += m->x[0][2 * i] / 2 + 3 * m->labels[i];
    for (int k = 0; k < 2; k++) {
        assert_ok(hb_probe_fit(kinds[k], &s, NULL, &probe, z, &err));
        for (size_t i = 0; i < N; i++) {
            const float *at = m->x[0] + 2 * i;
            double expected = plain_distance(m, false, at) - (k ? plain_distance(m, true, at) : 0);
            assert_near(hb_probe_log_odds(probe, at), expected, 1e-4 * (1 + fabs(expected)));
        }
        hb_probe_free(probe);
    }
    free(m);
}

/* Without information, neither the fit nor the choice of a block flatters. Constant features are fine.
 */
static void test_density_out_of_fold(void **state)
{
    hb_error err;
    double mean = 0, z[N];
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        made *m = make(0, false, seed);
        hb_probe_samples s = samples_of(m);
        hb_probe *probe;
        for (size_t i = 0; i < N; i++) m->x[0][i * D + 5] = 2;
        assert_ok(hb_probe_fit("relative_mahalanobis", &s, NULL, &probe, z, &err));
        mean += auroc_of(z, m) / 10;
        hb_probe_free(probe);
        free(m);
    }
    assert_near(mean, 0.5, 0.06);
}

static void test_refusals(void **state)
{
    hb_error err;
    made *m = make(1, false, 2);
    hb_probe_samples s = samples_of(m);
    hb_joint_options o = hb_joint_defaults();
    hb_probe *probe;
    double z[N];
    (void)state;
    assert_fails(hb_probe_fit("other", &s, NULL, &probe, z, &err), HB_ERR_ARGUMENT, "'other'");
    o.n_folds = 2;
    assert_fails(hb_probe_fit("probe", &s, &o, &probe, z, &err), HB_ERR_ARGUMENT, "folds");
    m->x[2][5] = INFINITY;
    assert_fails(hb_probe_fit("probe", &s, NULL, &probe, z, &err), HB_ERR_DATA, "not finite");
    assert_fails(hb_probe_fit("mahalanobis", &s, NULL, &probe, z, &err), HB_ERR_DATA, "not finite");
    m->x[2][5] = 0;
    memset(m->labels, 0, sizeof m->labels);
    m->labels[0] = 1;
    assert_fails(hb_probe_fit("probe", &s, NULL, &probe, z, &err), HB_ERR_DATA, "more samples");
    assert_fails(hb_probe_fit("mahalanobis", &s, NULL, &probe, z, &err), HB_ERR_DATA, "more samples");
    m->labels[1] = 2;
    assert_fails(hb_probe_fit("probe", &s, NULL, &probe, z, &err), HB_ERR_DATA, "label of sample 1");
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_features),
        cmocka_unit_test(test_attention_features),
        cmocka_unit_test(test_probe_of_steps),
        cmocka_unit_test(test_newton),
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_out_of_fold),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_density_of_steps),
        cmocka_unit_test(test_densities),
        cmocka_unit_test(test_principal_components),
        cmocka_unit_test(test_density_out_of_fold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
