/* Measures prefill, decode of one sequence, decode of several sequences together, and start-up. Prints
 * one JSON object per line.
 *
 *   engine MODEL.gguf [--prompt 512] [--decode 32] [--behind 0] [--sequences 16] [--repeat 3]
 *          [--threads N]
 *
 * 0 skips a measurement. With --behind, the one sequence has that many tokens before it is decoded. As
 * in llama-bench, tokens are random, each measurement starts with an empty cache after one warm-up run,
 * and logits are computed for the last token of a prefill and for each decoded token. */
#include "bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/rng.h"
#include "engine/engine.h"

#define MAX_REPEAT 100

typedef struct engine {
    const char *path;
    int32_t n_prompt, n_decode, n_behind, n_sequences, repeat, n_threads;
    hb_model *model;
    hb_session *session;
    int32_t *tokens, *sequences, *rows; /* [maximum number of tokens in a call] */
    float *logits;                      /* [n_sequences][n_vocab] */
} engine;

static void usage(void)
{
    fprintf(stderr, "usage: engine MODEL.gguf [--prompt N] [--decode N] [--behind N] [--sequences N]"
                    " [--repeat N] [--threads N]\n");
    exit(2);
}

static void parse(engine *e, int argc, char **argv)
{
    static const struct option longs[] = {{"prompt", 1, 0, 'p'},
                                          {"decode", 1, 0, 'n'},
                                          {"sequences", 1, 0, 's'},
                                          {"repeat", 1, 0, 'r'},
                                          {"threads", 1, 0, 't'},
                                          {"behind", 1, 0, 'b'},
                                          {0}};
    int c;
    while ((c = getopt_long(argc, argv, "p:n:s:r:t:b:", longs, NULL)) != -1) {
        if (c == 'p') e->n_prompt = bench_number("prompt", optarg, 0);
        else if (c == 'n') e->n_decode = bench_number("decode", optarg, 0);
        else if (c == 'b') e->n_behind = bench_number("behind", optarg, 0);
        else if (c == 's') e->n_sequences = bench_number("sequences", optarg, 0);
        else if (c == 'r') e->repeat = bench_number("repeat", optarg, 1);
        else if (c == 't') e->n_threads = bench_number("threads", optarg, 0);
        else usage();
    }
    if (optind + 1 != argc || e->repeat > MAX_REPEAT) usage();
    e->path = argv[optind];
}

static void open_session(engine *e, int32_t n_ctx, int32_t n_sequences)
{
    hb_error err;
    const hb_session_options o = {
        .n_ctx = n_ctx, .n_threads = e->n_threads, .n_sequences = n_sequences};
    bench_check(hb_session_open(e->model, &o, &e->session, &err), &err);
    e->n_threads = e->session->n_threads;
}

static void make_room(engine *e)
{
    int32_t many = e->n_sequences > 1 ? e->n_sequences : 1;
    int32_t most = many > e->n_prompt ? many : e->n_prompt;
    if (most < e->n_behind) most = e->n_behind;
    e->tokens = bench_need(calloc((size_t)most, sizeof *e->tokens));
    e->sequences = bench_need(calloc((size_t)most, sizeof *e->sequences));
    e->rows = bench_need(calloc((size_t)most, sizeof *e->rows));
    size_t vocab = (size_t)hb_model_get_info(e->model)->n_vocab;
    e->logits = bench_need(calloc((size_t)many * vocab, sizeof *e->logits));
    for (int32_t i = 0; i < most; i++) e->rows[i] = i;
    for (int32_t i = 0; i < most; i++) e->sequences[i] = i % many;
}

static void draw_tokens(engine *e, int32_t n)
{
    static hb_rng rng = {1};
    for (int32_t i = 0; i < n; i++)
        e->tokens[i] = (int32_t)hb_rng_below(&rng, (uint64_t)hb_model_get_info(e->model)->n_vocab);
}

/* ---- Measurements -------------------------------------------------------------------------------- */

/* Each function evaluates once from an empty cache and returns tokens per second. */

static double prefill(engine *e, int32_t n)
{
    hb_error err;
    int32_t last = n - 1;
    const hb_tap tap = {.rows = &last, .n_rows = 1, .logits = e->logits};
    hb_session_reset(e->session);
    draw_tokens(e, n);
    double start = hb_seconds();
    bench_check(hb_eval(e->session, e->tokens, n, &tap, &err), &err);
    return n / (hb_seconds() - start);
}

static double decode(engine *e, int32_t n, int32_t n_sequences)
{
    hb_error err;
    const hb_tap tap = {.rows = e->rows, .n_rows = n_sequences, .logits = e->logits};
    hb_session_reset(e->session);
    if (n_sequences == 1 && e->n_behind) prefill(e, e->n_behind);
    double start = hb_seconds();
    for (int32_t i = 0; i < n; i++) {
        draw_tokens(e, n_sequences);
        bench_check(hb_eval_sequences(e->session, e->tokens, e->sequences, n_sequences, &tap, &err),
                    &err);
    }
    return (double)n * n_sequences / (hb_seconds() - start);
}

static void report(const engine *e, const char *name, int32_t n, int32_t n_sequences, double *rates)
{
    json_t *all = json_array();
    for (int i = 0; i < e->repeat; i++) json_array_append_new(all, json_real(rates[i]));
    bench_print(json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:f, s:o}", "model", e->path, "measure", name,
                          "kernels", e->session->kernels, "threads", e->n_threads, "tokens", n,
                          "sequences", n_sequences, "per_second", bench_median(rates, e->repeat),
                          "repeats", all));
}

static void measure_prefill(engine *e)
{
    double rates[MAX_REPEAT];
    if (!e->n_prompt) return;
    prefill(e, e->n_prompt);
    for (int i = 0; i < e->repeat; i++) rates[i] = prefill(e, e->n_prompt);
    report(e, "prefill", e->n_prompt, 1, rates);
}

static void measure_decode(engine *e, int32_t n_sequences)
{
    double rates[MAX_REPEAT];
    if (!e->n_decode || !n_sequences) return;
    if (n_sequences > 1 || !e->n_behind) decode(e, 1, n_sequences);
    for (int i = 0; i < e->repeat; i++) rates[i] = decode(e, e->n_decode, n_sequences);
    report(e, n_sequences == 1 ? "decode" : "decode_together", e->n_decode, n_sequences, rates);
}

static bool is_named(const hb_file_tensor *t, const char *name)
{
    return t->name.length == strlen(name) && memcmp(t->name.bytes, name, t->name.length) == 0;
}

/* The number of weights used for every token of a prefill: all except the embedding table and the
 * output head, which may be one tensor. */
static int64_t weights_per_token(const engine *e)
{
    hb_error err;
    hb_file_description *file;
    bench_check(hb_describe_file(e->path, &file, &err), &err);
    int64_t left = file->n_weights;
    for (size_t i = 0; i < file->n_tensors; i++)
        if (is_named(&file->tensors[i], "token_embd.weight") ||
            is_named(&file->tensors[i], "output.weight"))
            left -= file->tensors[i].n_weights;
    hb_describe_free(file);
    return left;
}

/* Opens the model and a session as `hbar generate` does, and evaluates once to reach peak memory. */
static void measure_start(engine *e)
{
    hb_error err;
    double start = hb_seconds();
    bench_check(hb_model_open(e->path, &e->model, &err), &err);
    double opened = hb_seconds();
    open_session(e, 0, 1);
    double ready = hb_seconds();
    hb_memory memory;
    const hb_session_options usual = {.n_threads = e->n_threads};
    bench_check(hb_session_memory(e->model, &usual, &memory, &err), &err);
    make_room(e);
    int32_t n = e->n_prompt ? e->n_prompt : 1;
    prefill(e, n < e->session->n_ctx ? n : e->session->n_ctx);
    bench_print(json_pack(
        "{s:s, s:s, s:f, s:f, s:i, s:I, s:I, s:I, s:I}", "model", e->path, "measure", "start",
        "model_seconds", opened - start, "session_seconds", ready - opened, "context",
        e->session->n_ctx, "file_bytes", (json_int_t)hb_model_get_info(e->model)->file_size,
        "cache_bytes", (json_int_t)memory.cache, "peak_memory_bytes", (json_int_t)bench_peak_memory(),
        "weights_per_token", (json_int_t)weights_per_token(e)));
    hb_session_close(e->session);
}

int main(int argc, char **argv)
{
    engine e = {.n_prompt = 512, .n_decode = 32, .n_sequences = 16, .repeat = 3};
    parse(&e, argc, argv);
    measure_start(&e);
    int32_t longest = e.n_behind + e.n_decode + 1;
    open_session(&e, e.n_prompt > longest ? e.n_prompt : longest, e.n_sequences);
    measure_prefill(&e);
    measure_decode(&e, 1);
    if (e.n_sequences > 1) measure_decode(&e, e.n_sequences);
    hb_session_close(e.session);
    hb_model_close(e.model);
    free(e.tokens);
    free(e.sequences);
    free(e.rows);
    free(e.logits);
    return 0;
}
