/* Measures the peak rates of this machine with all threads: int8, bf16 and fp32 multiply-adds on
 * registers, and bytes read from memory. Prints one JSON object, with null where the processor lacks
 * the instructions. A multiply-add counts as two operations.
 *
 *   peaks [--threads N] [--mib 1024] */
#include "bench.h"
#include "base/pool.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ROUNDS  5
#define REPEATS 20000000 /* repeats of the inner loop; takes some tenths of a second */

typedef struct kernel {
    const char *name; /* "int8" ...; several kernels may share a name; the fastest counts */
    const char *instructions;
    int supported;
    double operations; /* operations per repeat */
    void (*run)(long repeats);
} kernel;

#ifdef HB_HAVE_X86
#include <cpuid.h>
#include <immintrin.h>

/* Twelve independent accumulators hide the latency of any of these instructions. They are separate
 * variables, because the compiler would keep an array in memory. The empty assembly hides the operands
 * from the compiler and keeps it from merging repeats. */
#define CHAINS         12
#define EACH_CHAIN(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)

#define KERNEL(name, isa, accumulator, zero, operand, set, STEP)                                       \
    __attribute__((target(isa))) static void name(long repeats)                                        \
    {                                                                                                  \
        operand a = set, b = set;                                                                      \
        accumulator EACH_CHAIN(DECLARE) unused = zero;                                                 \
        EACH_CHAIN(CLEAR)                                                                              \
        for (long r = 0; r < repeats; r++) {                                                           \
            __asm__ volatile("" : "+v"(a), "+v"(b));                                                   \
            EACH_CHAIN(STEP)                                                                           \
            EACH_CHAIN(KEEP)                                                                           \
        }                                                                                              \
    }
#define DECLARE(i) acc##i,
#define CLEAR(i)   acc##i = unused;
#define KEEP(i)    __asm__ volatile("" : "+v"(acc##i));

#define INT8_AVX2(i)                                                                                   \
    acc##i =                                                                                           \
        _mm256_add_epi32(acc##i, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1))); \
    __asm__ volatile("" : "+v"(a));
#define INT8_AVX_VNNI(i) acc##i = _mm256_dpbusd_avx_epi32(acc##i, a, b);
#define INT8_AVX512(i)   acc##i = _mm512_dpbusd_epi32(acc##i, a, b);
#define BF16_AVX512(i)   acc##i = _mm512_dpbf16_ps(acc##i, (__m512bh)a, (__m512bh)b);
#define FP32_AVX2(i)     acc##i = _mm256_fmadd_ps(a, b, acc##i);
#define FP32_AVX512(i)   acc##i = _mm512_fmadd_ps(a, b, acc##i);

KERNEL(int8_avx2, "avx2", __m256i, _mm256_setzero_si256(), __m256i, _mm256_set1_epi8(1), INT8_AVX2)
KERNEL(int8_avx_vnni, "avxvnni", __m256i, _mm256_setzero_si256(), __m256i, _mm256_set1_epi8(1),
       INT8_AVX_VNNI)
KERNEL(int8_avx512, "avx512f,avx512bw,avx512vnni", __m512i, _mm512_setzero_si512(), __m512i,
       _mm512_set1_epi8(1), INT8_AVX512)
KERNEL(bf16_avx512, "avx512f,avx512bw,avx512bf16", __m512, _mm512_setzero_ps(), __m512i,
       _mm512_set1_epi8(1), BF16_AVX512)
KERNEL(fp32_avx2, "avx2,fma", __m256, _mm256_setzero_ps(), __m256, _mm256_set1_ps(1e-3f), FP32_AVX2)
KERNEL(fp32_avx512, "avx512f", __m512, _mm512_setzero_ps(), __m512, _mm512_set1_ps(1e-3f), FP32_AVX512)

/* Some compilers' __builtin_cpu_supports does not know this feature. */
static int has_avx_vnni(void)
{
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
}

static int find_kernels(kernel *out)
{
    __builtin_cpu_init();
    int wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
    const kernel all[] = {
        {"int8", "avx2", __builtin_cpu_supports("avx2"), 64.0 * CHAINS, int8_avx2},
        {"int8", "avx_vnni", has_avx_vnni(), 64.0 * CHAINS, int8_avx_vnni},
        {"int8", "avx512_vnni", wide && __builtin_cpu_supports("avx512vnni"), 128.0 * CHAINS,
         int8_avx512},
        {"bf16", "avx512_bf16", wide && __builtin_cpu_supports("avx512bf16"), 64.0 * CHAINS,
         bf16_avx512},
        {"fp32", "fma", __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"), 16.0 * CHAINS,
         fp32_avx2},
        {"fp32", "avx512f", wide, 32.0 * CHAINS, fp32_avx512},
    };
    memcpy(out, all, sizeof all);
    return (int)(sizeof all / sizeof *all);
}
#else
static int find_kernels(kernel *out)
{
    (void)out;
    return 0;
}
#endif

static void run_kernel(const void *context, int32_t item, int32_t thread)
{
    const kernel *k = context;
    (void)item, (void)thread;
    k->run(REPEATS);
}

/* Operations per second of all threads; the best of several rounds. */
static double rate_of(const kernel *k, hb_pool *pool, int n_threads)
{
    double best = 0;
    for (int round = 0; round < ROUNDS; round++) {
        double start = hb_seconds();
        hb_pool_each(pool, n_threads, run_kernel, k);
        double rate = k->operations * REPEATS * n_threads / (hb_seconds() - start);
        if (rate > best) best = rate;
    }
    return best;
}

#define CHUNK ((size_t)1 << 20) /* bytes that a thread writes or reads at a time */

typedef struct buffer {
    uint64_t *words;
    uint64_t *sums; /* [chunks] */
} buffer;

static void write_chunk(const void *context, int32_t item, int32_t thread)
{
    uint64_t *words = ((const buffer *)context)->words + (size_t)item * CHUNK / sizeof *words;
    (void)thread;
    for (size_t i = 0; i < CHUNK / sizeof *words; i++) words[i] = i;
}

static void read_chunk(const void *context, int32_t item, int32_t thread)
{
    const buffer *b = context;
    const uint64_t *words = b->words + (size_t)item * CHUNK / sizeof *words;
    uint64_t sum = 0;
    (void)thread;
    for (size_t i = 0; i < CHUNK / sizeof *words; i++) sum += words[i];
    b->sums[item] = sum;
}

/* Bytes per second that all threads read from a buffer larger than the caches. */
static double read_rate(int32_t mib, hb_pool *pool)
{
    double best = 0;
    buffer b = {bench_need(aligned_alloc(1 << 21, (size_t)mib * CHUNK)),
                bench_need(calloc((size_t)mib, sizeof *b.sums))};
    madvise(b.words, (size_t)mib * CHUNK, MADV_HUGEPAGE);
    hb_pool_each(pool, mib, write_chunk, &b);
    for (int round = 0; round < 2 * ROUNDS; round++) {
        double start = hb_seconds();
        hb_pool_each(pool, mib, read_chunk, &b);
        double rate = (double)((size_t)mib * CHUNK) / (hb_seconds() - start);
        if (rate > best) best = rate;
    }
    free(b.words);
    free(b.sums);
    return best;
}

static void processor(char *name, size_t size)
{
    char line[256];
    snprintf(name, size, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        if (strncmp(line, "model name", 10) != 0) continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(name, size, "%s", strchr(line, ':') ? strchr(line, ':') + 2 : line);
        break;
    }
    fclose(file);
}

int main(int argc, char **argv)
{
    static const struct option longs[] = {{"threads", 1, 0, 't'}, {"mib", 1, 0, 'm'}, {0}};
    int n_threads = hb_usable_processors(), mib = 1024, c;
    while ((c = getopt_long(argc, argv, "t:m:", longs, NULL)) != -1) {
        if (c == 't') n_threads = bench_number("threads", optarg, 1);
        else if (c == 'm') mib = bench_number("mib", optarg, 1);
        else return 2;
    }
    hb_error err;
    hb_pool *pool = NULL;
    if (hb_pool_open(&pool, n_threads, &err)) {
        fprintf(stderr, "peaks: %s\n", err.message);
        return 1;
    }
    char name[256];
    kernel kernels[8];
    int n = find_kernels(kernels);
    processor(name, sizeof name);
    json_t *out = json_pack("{s:s, s:i, s:n, s:n, s:n}", "processor", name, "threads", n_threads,
                            "int8", "bf16", "fp32");
    for (int i = 0; i < n; i++) {
        if (!kernels[i].supported) continue;
        double rate = rate_of(&kernels[i], pool, n_threads);
        const json_t *known = json_object_get(out, kernels[i].name);
        if (rate <= json_real_value(json_object_get(known, "per_second"))) continue;
        json_object_set_new(
            out, kernels[i].name,
            json_pack("{s:s, s:f}", "instructions", kernels[i].instructions, "per_second", rate));
    }
    json_object_set_new(out, "read_bytes_per_second", json_real(read_rate(mib, pool)));
    bench_print(out);
    hb_pool_close(pool);
    return 0;
}
