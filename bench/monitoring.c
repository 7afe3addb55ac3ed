/* Measures the cost of monitoring: generation with every signal measured at each token, and with all
 * features kept, too, compared with generation that taps only the logits for the sampler. Signals and
 * features that the engine does not give are left out. Generations of the three kinds alternate; the
 * result is the median time per token of each kind. Prints one JSON object.
 *
 *   monitoring MODEL.gguf [--engine auto|native|llama] [--tokens 32] [--rounds 10] [--threads N] */
#include "bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "decode/decode.h"

static const char prompt[] = "The quick brown fox jumps over the lazy dog, and";

/* The token times of one kind of generation. */
typedef struct side {
    int32_t check_every;
    const hb_feature_plan *features; /* NULL: none */
    double *seconds;                 /* [n]: time from one token to the next */
    int n;
    double last; /* time of the previous token; 0: there is none */
} side;

typedef struct monitoring {
    const char *path;
    hb_model_options options;
    int32_t n_tokens, rounds, n_threads;
    hb_session *session;
    hb_signal_set *signals; /* all that the engine measures */
    int32_t *prompt;
    size_t n_prompt;
} monitoring;

_Noreturn static void usage(void)
{
    fprintf(stderr, "usage: monitoring MODEL.gguf [--engine auto|native|llama] [--tokens N] "
                    "[--rounds N] [--threads N]\n");
    exit(2);
}

static hb_engine_choice engine_of(const char *text)
{
    const char *name;
    for (int i = 0; (name = hb_engine_name((hb_engine_choice)i)) != NULL; i++)
        if (strcmp(name, text) == 0) return (hb_engine_choice)i;
    usage();
}

static void parse(monitoring *m, int argc, char **argv)
{
    static const struct option longs[] = {{"engine", 1, 0, 'e'},
                                          {"tokens", 1, 0, 'n'},
                                          {"rounds", 1, 0, 'r'},
                                          {"threads", 1, 0, 't'},
                                          {0}};
    int c;
    m->options = hb_model_defaults();
    while ((c = getopt_long(argc, argv, "e:n:r:t:", longs, NULL)) != -1) {
        if (c == 'e') m->options.engine = engine_of(optarg);
        else if (c == 'n') m->n_tokens = bench_number("tokens", optarg, 2);
        else if (c == 'r') m->rounds = bench_number("rounds", optarg, 1);
        else if (c == 't') m->n_threads = bench_number("threads", optarg, 0);
        else usage();
    }
    if (optind + 1 != argc) usage();
    m->path = argv[optind];
}

static hb_status take(void *user, const hb_event *event, hb_error *err)
{
    side *s = user;
    double now = hb_seconds();
    if (event->kind == HB_EVENT_FINISH && event->outcome->error)
        return hb_fail(err, event->outcome->error->status, "%s", event->outcome->error->message);
    if (event->kind != HB_EVENT_TOKEN) return HB_OK;
    if (s->last > 0) s->seconds[s->n++] = now - s->last;
    s->last = now;
    return HB_OK;
}

static void generate(const monitoring *m, side *s)
{
    hb_scheduler *scheduler;
    uint64_t number;
    hb_error err;
    hb_request r = {.prompt = m->prompt,
                    .n_prompt = m->n_prompt,
                    .monitor = hb_monitor_defaults(),
                    .features = s->features,
                    .sampling = hb_sampling_defaults(),
                    .n_samples = 1,
                    .max_tokens = m->n_tokens,
                    .sink = take,
                    .user = s};
    r.monitor.cutoff = 1.1;
    r.monitor.check_every = s->check_every;
    r.monitor.signals = m->signals;
    s->last = 0;
    bench_check(hb_scheduler_open(m->session, &scheduler, &err), &err);
    bench_check(hb_scheduler_add(scheduler, &r, &number, &err), &err);
    while (hb_scheduler_is_busy(scheduler)) bench_check(hb_scheduler_step(scheduler, &err), &err);
    hb_scheduler_close(scheduler);
}

enum { BARE, WATCHED, KEPT, N_SIDES };

/* The first token of each generation is always measured; its time is not counted. */
static void run(const monitoring *m, const hb_feature_plan *features, double medians[N_SIDES])
{
    size_t most = (size_t)m->n_tokens * (size_t)(m->rounds + 1);
    side sides[N_SIDES] = {{.check_every = INT32_MAX}, {.check_every = 1}, {1, features, NULL, 0, 0}};
    for (int k = 0; k < N_SIDES; k++) sides[k].seconds = bench_need(calloc(most, sizeof(double)));
    generate(m, &sides[BARE]); /* warms up */
    sides[BARE].n = 0;
    for (int32_t i = 0; i < m->rounds; i++)
        for (int k = 0; k < N_SIDES; k++) generate(m, &sides[k]);
    for (int k = 0; k < N_SIDES; k++) {
        medians[k] = bench_median(sides[k].seconds, sides[k].n);
        free(sides[k].seconds);
    }
}

static void plan_features(const hb_model *model, hb_feature_plan *plan)
{
    hb_error err;
    const hb_model_info *info = hb_model_get_info(model);
    bench_check(hb_feature_plan_open("hidden,topk,attention", info, plan, &err), &err);
    plan->attention = hb_model_can_measure(model, hb_signal_find("rauq"));
}

int main(int argc, char **argv)
{
    monitoring m = {.n_tokens = 32, .rounds = 10};
    hb_model *model;
    hb_error err;
    hb_feature_plan features;
    double medians[N_SIDES];
    parse(&m, argc, argv);
    bench_check(hb_model_open_with(m.path, &m.options, &model, &err), &err);
    const hb_session_options o = {.n_ctx = m.n_tokens + (int32_t)sizeof prompt + 1,
                                  .n_threads = m.n_threads};
    bench_check(hb_session_open(model, &o, &m.session, &err), &err);
    bench_check(hb_tokenize(model, prompt, strlen(prompt), true, false, &m.prompt, &m.n_prompt, &err),
                &err);
    bench_check(hb_signal_set_of_model(model, &m.signals, &err), &err);
    plan_features(model, &features);
    run(&m, &features, medians);
    bench_print(json_pack("{s:s, s:s, s:i, s:i, s:f, s:f, s:f, s:f, s:f}", "model", m.path, "engine",
                          hb_model_engine(model), "signals", (int)hb_signal_set_count(m.signals),
                          "tokens", m.n_tokens * m.rounds, "token_seconds_bare", medians[BARE],
                          "token_seconds_watched", medians[WATCHED], "token_seconds_features",
                          medians[KEPT], "cost_percent", 100 * (medians[WATCHED] / medians[BARE] - 1),
                          "cost_percent_features", 100 * (medians[KEPT] / medians[BARE] - 1)));
    hb_feature_plan_free(&features);
    hb_signal_set_free(m.signals);
    free(m.prompt);
    hb_session_close(m.session);
    hb_model_close(model);
    return 0;
}
