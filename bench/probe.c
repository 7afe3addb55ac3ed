/* Measures the training of a probe on states that a random model gives: seconds, CPU seconds and peak
 * memory, with the nested cross-validation. Prints one JSON object.
 *   probe [--kind probe] [--n 10000] [--d 4096] [--blocks 4] */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/rng.h"
#include "bench.h"

/* Every number of a state has noise of its own; the first ones shift with the label. */
static hb_status load(void *user, size_t i, float *x, hb_error *err)
{
    const hb_probe_samples *s = user;
    hb_rng rng = {i + 1};
    (void)err;
    for (size_t row = 0; row < s->n; row++)
        for (size_t column = 0; column < s->d; column++)
            x[row * s->d + column] =
                (float)(hb_rng_unit(&rng) - 0.5 + (column < 32 ? 0.05 * s->labels[row] : 0));
    return HB_OK;
}

static void measure(const char *kind, hb_probe_samples *samples)
{
    double *out_of_fold = bench_need(calloc(samples->n, sizeof(double))), auroc;
    hb_probe *probe;
    hb_error err;
    double start = hb_seconds();
    bench_check(hb_probe_fit(kind, samples, NULL, &probe, out_of_fold, &err), &err);
    double seconds = hb_seconds() - start;
    bench_check(hb_auroc(out_of_fold, samples->labels, samples->n, &auroc, &err), &err);
    bench_print(json_pack("{s:s, s:i, s:i, s:i, s:f, s:f, s:f, s:I}", "kind", kind, "samples",
                          (int)samples->n, "numbers", (int)samples->d, "blocks", (int)samples->n_blocks,
                          "seconds", seconds, "cpu_seconds", (double)clock() / CLOCKS_PER_SEC,
                          "auroc_out_of_fold", auroc, "peak_memory_bytes",
                          (json_int_t)bench_peak_memory()));
    hb_probe_free(probe);
    free(out_of_fold);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {
        {"kind", 1, 0, 'k'}, {"n", 1, 0, 'n'}, {"d", 1, 0, 'd'}, {"blocks", 1, 0, 'b'}, {0}};
    const char *kind = "probe";
    int32_t n = 10000, d = 4096, n_blocks = 4;
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'k') kind = optarg;
        else if (c == 'n') n = bench_number("n", optarg, 30);
        else if (c == 'd') d = bench_number("d", optarg, 1);
        else if (c == 'b') n_blocks = bench_number("blocks", optarg, 1);
        else return 2;
    }
    int32_t *blocks = bench_need(calloc((size_t)n_blocks, sizeof *blocks));
    for (int32_t i = 0; i < n_blocks; i++) blocks[i] = i;
    uint8_t *labels = bench_need(calloc((size_t)n, 1));
    hb_rng rng = {7};
    for (int32_t i = 0; i < n; i++) labels[i] = hb_rng_unit(&rng) < 0.5;
    hb_probe_samples samples = {(size_t)n, (size_t)d, labels, blocks, (size_t)n_blocks, load, &samples};
    measure(kind, &samples);
    free(labels);
    free(blocks);
    return 0;
}
