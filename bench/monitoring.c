/* Measures the cost of monitoring: generation with every signal measured at each token, compared with
 * generation that taps only the logits for the sampler. Generations of both kinds alternate; the result
 * is the median time per token of each kind. Prints one JSON object.
 *
 *   monitoring MODEL.gguf [--tokens 32] [--rounds 10] [--threads N] */
#include "bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char prompt[] = "The quick brown fox jumps over the lazy dog, and";

/* The token times of one kind of generation. */
typedef struct side {
    int32_t check_every;
    double *seconds; /* [n]: time from one token to the next */
    int n;
    double last; /* time of the previous token; 0: there is none */
} side;

typedef struct monitoring {
    const char *path;
    int32_t n_tokens, rounds, n_threads;
    hb_session *session;
} monitoring;

static void usage(void)
{
    fprintf(stderr, "usage: monitoring MODEL.gguf [--tokens N] [--rounds N] [--threads N]\n");
    exit(2);
}

static void parse(monitoring *m, int argc, char **argv)
{
    static const struct option longs[] = {
        {"tokens", 1, 0, 'n'}, {"rounds", 1, 0, 'r'}, {"threads", 1, 0, 't'}, {0}};
    int c;
    while ((c = getopt_long(argc, argv, "n:r:t:", longs, NULL)) != -1) {
        if (c == 'n') m->n_tokens = bench_number("tokens", optarg, 2);
        else if (c == 'r') m->rounds = bench_number("rounds", optarg, 1);
        else if (c == 't') m->n_threads = bench_number("threads", optarg, 0);
        else usage();
    }
    if (optind + 1 != argc) usage();
    m->path = argv[optind];
}

static void on_token(void *user, const hb_step *step, const char *bytes, size_t length)
{
    side *s = user;
    double now = hb_seconds();
    (void)step, (void)bytes, (void)length;
    if (s->last > 0) s->seconds[s->n++] = now - s->last;
    s->last = now;
}

static void generate(const monitoring *m, side *s)
{
    hb_generate_options o = hb_generate_defaults();
    hb_generation generation;
    hb_error err;
    o.monitor.cutoff = 1.1;
    o.monitor.check_every = s->check_every;
    o.max_tokens = m->n_tokens;
    o.on_token = on_token;
    o.user = s;
    s->last = 0;
    bench_check(hb_generate(m->session, prompt, strlen(prompt), &o, &generation, &err), &err);
    hb_generation_free(&generation);
}

int main(int argc, char **argv)
{
    monitoring m = {.n_tokens = 32, .rounds = 10};
    hb_model *model;
    hb_error err;
    parse(&m, argc, argv);
    bench_check(hb_model_open(m.path, &model, &err), &err);
    const hb_session_options o = {.n_ctx = m.n_tokens + (int32_t)sizeof prompt + 1,
                                  .n_threads = m.n_threads};
    bench_check(hb_session_open(model, &o, &m.session, &err), &err);

    /* The first token of each generation is always measured; its time is not counted. */
    size_t most = (size_t)m.n_tokens * (size_t)(m.rounds + 1);
    side on = {1, bench_need(calloc(most, sizeof(double))), 0, 0};
    side off = {INT32_MAX, bench_need(calloc(most, sizeof(double))), 0, 0};
    generate(&m, &off);
    off.n = 0;
    for (int32_t i = 0; i < m.rounds; i++) {
        generate(&m, &on);
        generate(&m, &off);
    }
    double watched = bench_median(on.seconds, on.n), bare = bench_median(off.seconds, off.n);
    bench_print(json_pack("{s:s, s:i, s:i, s:f, s:f, s:f}", "model", m.path, "signals",
                          (int)hb_signal_set_count(NULL), "tokens", on.n + off.n,
                          "token_seconds_watched", watched, "token_seconds_bare", bare, "cost_percent",
                          100 * (watched / bare - 1)));
    free(on.seconds);
    free(off.seconds);
    hb_session_close(m.session);
    hb_model_close(model);
    return 0;
}
