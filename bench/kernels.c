/* Measures the products of quantised weights with tokens on one thread: for each type, and for one and
 * for several tokens, picoseconds for one weight and one token. Prints one JSON object per line.
 *
 *   kernels [--kernels NAME] [--type NAME] [--rows 128] [--columns 2048] [--tokens N] [--rounds 30]
 *
 * Each figure is the least of several rounds of processor time, so other processes disturb it little.
 * With the usual rows and columns the weights stay in the cache; many rows (65536) show what memory
 * allows. */
#include "bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/rng.h"
#include "engine/kernels/kernels.h"

#define MAX_TOKENS 512

typedef struct options {
    const char *kernels, *type;
    int rows, columns, tokens, rounds;
} options;

/* The data of one measurement. */
typedef struct work {
    const hb_kernels *k;
    hb_type type;
    size_t row_bytes;
    int rows, columns, tokens;
    uint8_t *weights;
    int8_t *q;
    float *d[2], *scaled[2], *y;
    int32_t *start;
    uint8_t *u;           /* a panel */
    float *pd, *pm, *acc; /* its scales, minima and sums */
} work;

static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *room(size_t count, size_t size)
{
    size_t bytes = (count * size + HB_BYTES_SLACK * 4 + 63) / 64 * 64;
    void *memory = bench_need(aligned_alloc(64, bytes));
    memset(memory, 0, bytes);
    return memory;
}

/* Random bytes are valid blocks of every type; these make scales that are neither infinite nor
 * subnormal. */
static void make_room(work *w)
{
    size_t columns = (size_t)w->columns, n = MAX_TOKENS * (columns + HB_PANEL_DEPTH);
    size_t bytes = (size_t)w->rows * columns / 32 * 34; /* of Q8_0, the largest */
    hb_rng rng = {5};
    w->weights = room(bytes, 1);
    for (size_t i = 0; i < bytes; i++) w->weights[i] = (uint8_t)(0x40 | (hb_rng_next(&rng) & 0x1F));
    w->q = room(n, 1);
    for (size_t i = 0; i < n; i++) w->q[i] = (int8_t)(hb_rng_below(&rng, 255) - 127);
    for (int i = 0; i < 2; i++) {
        w->d[i] = room(n / 16, sizeof(float));
        w->scaled[i] = room(n / 16, sizeof(float));
        for (size_t g = 0; g < n / 16; g++) w->d[i][g] = 1;
    }
    w->start = room(n / 16, sizeof(int32_t));
    w->y = room((size_t)w->rows * MAX_TOKENS, sizeof(float));
    w->u = room(HB_PANEL_BYTES, 1);
    w->pd = room(HB_PANEL_SCALES, sizeof(float));
    w->pm = room(HB_PANEL_SCALES, sizeof(float));
    w->acc = room(HB_PANEL_ROWS * MAX_TOKENS, sizeof(float));
}

/* Multiplies every row by the tokens in place. */
static void multiply_rows(const work *w)
{
    const hb_bytes x = {.n = w->tokens,
                        .cols = (size_t)w->columns,
                        .q = w->q,
                        .d = {w->d[0], w->d[1]},
                        .scaled = {w->scaled[0], w->scaled[1]}};
    w->k->dot[w->type](w->weights, w->row_bytes, w->rows, &x, w->y, (size_t)w->rows);
}

/* Fills panels and, unless there are no tokens, multiplies them. */
static void multiply_panels(const work *w)
{
    const hb_type_info *type = hb_type_get_info(w->type);
    size_t depth = HB_PANEL_DEPTH, bytes = depth / type->block * type->block_bytes;
    for (int r = 0; r + w->k->panel_rows <= w->rows; r += w->k->panel_rows)
        for (size_t at = 0; at + depth <= (size_t)w->columns; at += depth) {
            const uint8_t *stored = w->weights + (size_t)r * w->row_bytes + at / depth * bytes;
            bool last = at + depth >= (size_t)w->columns;
            w->k->fill[w->type](stored, w->row_bytes, w->k->panel_rows, depth, w->u, w->pd, w->pm);
            size_t from = at * (size_t)w->tokens, kind = type->group / 32;
            const hb_panel panel = {.depth = depth,
                                    .group = type->group,
                                    .block = type->block,
                                    .bits = type->bits,
                                    .u = w->u,
                                    .d = w->pd,
                                    .m = type->offset ? NULL : w->pm,
                                    .n = w->tokens,
                                    .q = w->q + from,
                                    .dx = w->d[kind] + from / type->group,
                                    .scaled = w->scaled[kind] + from / type->group,
                                    .start = w->start + from / type->group,
                                    .acc = w->acc,
                                    .add = at > 0,
                                    .next = last ? stored + (size_t)w->k->panel_rows * w->row_bytes -
                                                       at / depth * bytes
                                                 : stored + bytes,
                                    .next_stride = w->row_bytes,
                                    .next_bytes = bytes};
            if (w->tokens) w->k->panel(&panel);
        }
}

/* Picoseconds for one weight and token. */
static double measure(work *w, void (*multiply)(const work *), int tokens, int rounds)
{
    double best = 1e9, per_round = (double)w->rows * w->columns * (tokens ? tokens : 1);
    w->tokens = tokens;
    for (int i = 0; i < rounds; i++) {
        double start = processor_seconds();
        multiply(w);
        double seconds = processor_seconds() - start;
        if (seconds < best) best = seconds;
    }
    return 1e12 * best / per_round;
}

static void report(work *w, const char *name, void (*multiply)(const work *), int tokens, int rounds)
{
    double least = measure(w, multiply, tokens, rounds);
    bench_print(json_pack("{s:s, s:s, s:s, s:i, s:f, s:f}", "kernels", w->k->name, "type",
                          hb_type_get_info(w->type)->name, "measure", name, "tokens", tokens,
                          "picoseconds", least, "gigabytes_per_second",
                          (double)w->row_bytes / w->columns / least * 1e3 / (tokens ? tokens : 1)));
}

static void measure_type(work *w, const options *o, hb_type type)
{
    const int dots[] = {1, 2, 3, 4}, panels[] = {0, 4, 8, 11, 16, 512};
    const hb_type_info *info = hb_type_get_info(type);
    if (o->type && strcmp(o->type, info->name) != 0) return;
    w->type = type;
    w->row_bytes = (size_t)w->columns / info->block * info->block_bytes;
    for (size_t i = 0; w->k->dot[type] && i < sizeof dots / sizeof *dots; i++)
        if (o->tokens < 0 || o->tokens == dots[i]) report(w, "rows", multiply_rows, dots[i], o->rounds);
    for (size_t i = 0; w->k->fill[type] && i < sizeof panels / sizeof *panels; i++)
        if (o->tokens < 0 || o->tokens == panels[i])
            report(w, panels[i] ? "panels" : "fill", multiply_panels, panels[i], o->rounds);
}

static void usage(void)
{
    fprintf(stderr, "usage: kernels [--kernels NAME] [--type NAME] [--rows N] [--columns N]"
                    " [--tokens N] [--rounds N]\n");
    exit(2);
}

static void parse(options *o, int argc, char **argv)
{
    static const struct option longs[] = {{"kernels", 1, 0, 'k'},
                                          {"type", 1, 0, 't'},
                                          {"rows", 1, 0, 'r'},
                                          {"columns", 1, 0, 'c'},
                                          {"tokens", 1, 0, 'n'},
                                          {"rounds", 1, 0, 'i'},
                                          {0}};
    int c;
    while ((c = getopt_long(argc, argv, "k:t:r:c:n:i:", longs, NULL)) != -1) {
        if (c == 'k') o->kernels = optarg;
        else if (c == 't') o->type = optarg;
        else if (c == 'r') o->rows = bench_number("rows", optarg, HB_PANEL_ROWS);
        else if (c == 'c') o->columns = bench_number("columns", optarg, 32);
        else if (c == 'n') o->tokens = bench_number("tokens", optarg, 0);
        else if (c == 'i') o->rounds = bench_number("rounds", optarg, 1);
        else usage();
    }
    if (optind != argc || o->columns % 32) usage();
}

int main(int argc, char **argv)
{
    options o = {.rows = 128, .columns = 2048, .tokens = -1, .rounds = 30};
    hb_error err;
    work w = {0};
    parse(&o, argc, argv);
    if (o.kernels) w.k = hb_kernels_named(o.kernels);
    else bench_check(hb_kernels_choose(&w.k, &err), &err);
    if (!w.k) usage();
    w.rows = o.rows;
    w.columns = o.columns;
    make_room(&w);
    for (int type = 0; type < HB_TYPE_COUNT; type++)
        if (hb_type_get_info((uint32_t)type)->group) measure_type(&w, &o, (hb_type)type);
    return 0;
}
