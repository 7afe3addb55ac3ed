/* Every instruction set's kernels against the portable ones, and the portable unpacking against values
 * computed by llama.cpp's own gguf package (tests/peer/make_blocks.py). */
#include "check.h"

#include <math.h>
#include "base/half.h"
#include "base/rng.h"
#include "engine/kv_cache.h"
#include "kernel_sets.h"
#include "reference/blocks_reference.h"

#define N_CASES (sizeof block_cases / sizeof *block_cases)

static float random_float(hb_rng *rng)
{
    return (float)(2 * hb_rng_unit(rng) - 1);
}

/* Unpacked floats equal those of llama.cpp exactly, for every type. */
static void check_blocks(const hb_kernels *k, const struct block_case *c)
{
    const hb_type_info *info = hb_type_get_info(c->type);
    float out[512];
    assert_true(c->n <= 512);
    k->to_f32[c->type](c->bytes, out, c->n);
    for (size_t i = 0; i < c->n; i++)
        if (!(out[i] == c->values[i]))
            fail_msg("%s: weight %zu is %.9g", info->name, i, (double)out[i]);
    assert_int_equal(k->dot[c->type] != NULL, info->group != 0);
    assert_int_equal(k->fill[c->type] != NULL, info->group != 0 && k->panel_rows != 0);
}

/* All kernels unpack the same values as llama.cpp from the same bytes. */
static void test_blocks_match_the_peer(void **state)
{
    (void)state;
    for (int s = 0; s < N_KERNEL_SETS; s++) {
        const hb_kernels *k = kernel_set(s);
        if (!k) continue;
        assert_string_equal(k->name, kernel_sets[s]);
        for (size_t c = 0; c < N_CASES; c++) check_blocks(k, &block_cases[c]);
    }
}

/* Every type that a file may have is among the cases. */
static void test_every_type_is_tested(void **state)
{
    (void)state;
    for (uint32_t type = 1; type < HB_TYPE_COUNT; type++) {
        size_t c = 0;
        while (c < N_CASES && block_cases[c].type != type) c++;
        assert_int_equal(c < N_CASES, hb_type_get_info(type)->block_bytes != 0);
        assert_int_equal(hb_kernels_portable.to_f32[type] != NULL, c < N_CASES);
    }
}

/* All 65,536 half-precision patterns, by the definition of the format. */
static void test_every_half(void **state)
{
    (void)state;
    for (int s = 0; s < N_KERNEL_SETS; s++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[s]);
        for (uint32_t h = 0; k && h < 65536; h++) {
            uint16_t half = (uint16_t)h;
            float out;
            int exponent = h >> 10 & 31, fraction = h & 1023;
            double expected = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
            k->to_f32[HB_TYPE_F16](&half, &out, 1);
            assert_int_equal(!signbit(out), !(h >> 15));
            if (exponent == 31) assert_true(fraction ? isnan(out) : isinf(out));
            else assert_near(fabs((double)out), expected, 0);
        }
    }
}

/* Random bytes are valid blocks of every quantised type; scales are made finite. */
static void test_sets_agree_on_blocks(void **state)
{
    (void)state;
    hb_rng rng = {3};
    for (size_t c = 0; c < N_CASES; c++) {
        hb_type type = block_cases[c].type;
        _Alignas(4) uint8_t bytes[2048];
        float expected[512], out[512];
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(hb_rng_next(&rng) & 0x3F);
        hb_kernels_portable.to_f32[type](bytes, expected, 512);
        for (int s = 1; s < N_KERNEL_SETS; s++) {
            const hb_kernels *k = hb_kernels_named(kernel_sets[s]);
            if (!k) continue;
            k->to_f32[type](bytes, out, 512);
            assert_memory_equal(out, expected, sizeof out);
        }
    }
}

/* A random float that every float type can store exactly, and its stored form. */
static float stored_float(hb_rng *rng, hb_type type, void *to)
{
    float value = (float)(hb_rng_below(rng, 255)) / 128 - 1;
    uint16_t half;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (type == HB_TYPE_F32) {
        memcpy(to, &value, sizeof value);
        return value;
    }
    half = (uint16_t)(bits >> 16);
    if (type == HB_TYPE_F16) {
        int exponent = (int)(bits >> 23 & 255) - 112;
        half = (uint16_t)((bits >> 16 & 0x8000) | (value == 0 ? 0 : (uint32_t)exponent << 10) |
                          (bits >> 13 & 1023));
    }
    memcpy(to, &half, sizeof half);
    return value;
}

/* Tiles of every size and of odd lengths, for each float type, against sums in double. */
static void test_tiles(void **state)
{
    (void)state;
    enum { LONGEST = 523, STRIDE = (LONGEST + 5) * 4, TOKENS = 9 };
    static float w[4][LONGEST], x[TOKENS][LONGEST + 3];
    static _Alignas(4) uint8_t stored[4][STRIDE];
    hb_rng rng = {4};
    const hb_type types[] = {HB_TYPE_F32, HB_TYPE_F16, HB_TYPE_BF16};
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < LONGEST; i++) x[t][i] = random_float(&rng);
    const size_t lengths[] = {1, 7, 8, 15, 16, 17, 64, 100, LONGEST};
    for (int s = 0; s < 3 * N_KERNEL_SETS; s++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[s / 3]);
        hb_type type = types[s % 3];
        size_t size_of = hb_type_get_info(type)->block_bytes;
        hb_tile *tile = k ? k->tile[type] : NULL;
        assert_true(!k || type != HB_TYPE_F32 || tile);
        for (int r = 0; r < 4; r++)
            for (size_t i = 0; i < LONGEST; i++)
                w[r][i] = stored_float(&rng, type, stored[r] + i * size_of);
        for (size_t l = 0; tile && l < sizeof lengths / sizeof *lengths; l++) {
            for (int rows = 1; rows <= 4; rows++) {
                float y[TOKENS][6], alone;
                tile(stored, STRIDE, rows, x[0], LONGEST + 3, TOKENS, lengths[l], y[0], 6);
                for (int t = 0; t < TOKENS; t++) {
                    for (int r = 0; r < rows; r++) {
                        double sum = 0, size = 0;
                        for (size_t i = 0; i < lengths[l]; i++) {
                            sum += (double)w[r][i] * x[t][i];
                            size += fabs((double)w[r][i] * x[t][i]);
                        }
                        assert_near(y[t][r], sum, 1e-6 * size + 1e-7);
                        /* Results are bit-identical, whatever other tokens are evaluated. */
                        tile(stored[r], STRIDE, 1, x[t], LONGEST, 1, lengths[l], &alone, 1);
                        assert_memory_equal(&alone, &y[t][r], sizeof alone);
                    }
                }
            }
        }
    }
}

enum { QUERIES = 8, PAGES = 3, WIDEST = 80 };

/* What a tap must find about a query: weights of the marked positions, sums, entropy. */
typedef struct found {
    double marks[HB_N_MARKS], context, generated, entropy;
} found;

/* The marked positions of a query that sees from <= p < to, and the length of its prompt. */
static int marked(int mark, int to)
{
    return mark == HB_MARK_SINK ? 0 : mark == HB_MARK_SELF ? to - 1 : to - 2;
}

enum { PROMPT = 100 };

static void add_weight(found *f, int p, int to, double weight)
{
    for (int i = 0; i < HB_N_MARKS; i++)
        if (p == marked(i, to)) f->marks[i] = weight;
    if (p > 0 && p < PROMPT) f->context += weight;
    if (p >= PROMPT) f->generated += weight;
    if (weight > 0) f->entropy -= weight * log(weight);
}

/* Attention from its definition, in double. */
static void plain_attention(const float *q, const float *keys, const float *values, size_t dim,
                            size_t padded, int pages, int from, int to, float cap, double *out,
                            found *f)
{
    static double weight[4 * HB_PAGE];
    double sum = 0;
    for (size_t i = 0; i < dim; i++) out[i] = 0;
    for (int p = from; p < to; p++) {
        const float *page = keys + (size_t)(p / HB_PAGE) * dim * HB_PAGE;
        weight[p] = 0;
        for (size_t i = 0; i < dim; i++)
            weight[p] += (double)q[i] * page[i * HB_PAGE + (size_t)p % HB_PAGE];
        if (cap > 0) weight[p] = cap * tanh(weight[p] / cap);
        sum += weight[p] = exp(weight[p]);
    }
    assert_true(to <= pages * HB_PAGE);
    *f = (found){.context = 0};
    for (int p = from; p < to; p++) add_weight(f, p, to, weight[p] / sum);
    for (int p = from; p < to; p++)
        for (size_t i = 0; i < dim; i++) out[i] += weight[p] / sum * values[(size_t)p * padded + i];
}

static void place_taps(hb_attend_tap *taps, const int32_t *to, int page)
{
    for (int r = 0; taps && r < QUERIES; r++) {
        for (int i = 0; i < HB_N_MARKS; i++) {
            int p = marked(i, to[r]);
            taps[r].marks[i] = p >= 0 && p / HB_PAGE == page ? p % HB_PAGE : -1;
        }
        taps[r].context = page ? 0 : 1;
        taps[r].prompt = PROMPT - page * HB_PAGE;
    }
}

/* The positions of the job count from the first page. */
static void attend_to_pages(const hb_kernels *k, const hb_kv_cache *cache, hb_attend job)
{
    const int32_t *from = job.from, *to = job.to;
    int32_t page_from[QUERIES], page_to[QUERIES];
    job.from = page_from;
    job.to = page_to;
    for (int page = 0; page < PAGES; page++) {
        for (int r = 0; r < job.n_queries; r++) {
            page_from[r] = from[r] - page * HB_PAGE;
            page_to[r] = to[r] - page * HB_PAGE < 0 ? 0 : to[r] - page * HB_PAGE;
            if (page_to[r] > HB_PAGE) page_to[r] = HB_PAGE;
        }
        place_taps(job.taps, to, page);
        job.kv = hb_kv_at(cache, page, 0, 0);
        k->attend(&job);
    }
}

/* Checks a tapped query, whose results must not differ from those of an untapped one. */
static void check_tapped(const hb_attend_tap *tap, float max, float sum, const found *f)
{
    for (int i = 0; i < HB_N_MARKS; i++)
        assert_near(exp((double)tap->scores[i] - max) / sum, f->marks[i], 2e-6);
    assert_near(tap->in_context / sum, f->context, 2e-6);
    assert_near(tap->in_generated / sum, f->generated, 2e-6);
    assert_near(log(sum) - tap->moment / sum, f->entropy, 1e-5);
}

/* Attends with some queries tapped; their results are as those without taps, bit for bit. */
static void attend_tapped(const hb_kernels *k, const hb_kv_cache *cache, hb_attend job,
                          hb_attend_tap *taps)
{
    static float acc[QUERIES * WIDEST];
    float max[QUERIES], sum[QUERIES] = {0};
    memset(acc, 0, sizeof acc);
    for (int r = 0; r < QUERIES; r++) {
        max[r] = -INFINITY;
        taps[r] = (hb_attend_tap){.is_tapped = r != 2};
        for (int i = 0; i < HB_N_MARKS; i++) taps[r].scores[i] = -INFINITY;
    }
    const float *acc_before = job.acc, *max_before = job.max, *sum_before = job.sum;
    job.acc = acc;
    job.max = max;
    job.sum = sum;
    job.taps = taps;
    attend_to_pages(k, cache, job);
    assert_memory_equal(acc, acc_before, QUERIES * job.padded * sizeof *acc);
    assert_memory_equal(max, max_before, sizeof max);
    assert_memory_equal(sum, sum_before, sizeof sum);
    assert_true(taps[2].in_context == 0 && taps[2].moment == 0);
}

/* A cache of one head with keys and values in PAGES pages, and the floats that it holds. */
typedef struct stored {
    hb_kv_cache cache;
    float keys[PAGES * WIDEST * HB_PAGE], values[PAGES * HB_PAGE * WIDEST]; /* as in hb_kv_head */
} stored;

/* Number `at` of stored keys or values, and the scale of its group. */
static float stored_number(hb_type type, const void *numbers, size_t at, const float *scale)
{
    if (type == HB_TYPE_F32) return ((const float *)numbers)[at];
    if (type == HB_TYPE_F16) return hb_half_value(((const uint16_t *)numbers)[at]);
    return *scale * (float)((const int8_t *)numbers)[at];
}

/* The error of rounding numbers up to 1. */
static double rounding(hb_type type)
{
    return type == HB_TYPE_F32 ? 0 : type == HB_TYPE_F16 ? 0x1p-12 : 0.5001 / 127;
}

/* Stores a key and a value at a position, and reads them back. */
static void store_position(stored *to, const hb_kernels *k, int position, hb_rng *rng)
{
    const hb_kv_cache *c = &to->cache;
    float key[WIDEST], value[WIDEST];
    size_t dim = (size_t)c->head_dim, page = (size_t)position / HB_PAGE;
    size_t at = (size_t)position % HB_PAGE, groups = hb_kv_groups(dim);
    hb_kv_head head = hb_kv_at(c, position / HB_PAGE, 0, 0);
    for (size_t i = 0; i < dim; i++) key[i] = random_float(rng), value[i] = random_float(rng);
    hb_kv_store(c, k, &head, at, key, value);
    for (size_t i = 0; i < dim; i++) {
        const float *key_scale = head.key_scales + i / HB_KV_GROUP * HB_PAGE + at;
        const float *value_scale = head.value_scales + at * groups + i / HB_KV_GROUP;
        float *kept_key = &to->keys[(page * dim + i) * HB_PAGE + at];
        float *kept_value = &to->values[(size_t)position * c->padded + i];
        *kept_key = stored_number(c->type, head.keys, i * HB_PAGE + at, key_scale);
        *kept_value = stored_number(c->type, head.values, at * c->padded + i, value_scale);
        assert_near(*kept_key, key[i], rounding(c->type));
        assert_near(*kept_value, value[i], rounding(c->type));
    }
}

static void fill_cache(stored *to, const hb_kernels *k, hb_type type, size_t dim)
{
    hb_error err;
    hb_rng rng = {6};
    to->cache = (hb_kv_cache){.type = type,
                              .n_layers = 1,
                              .n_heads = 1,
                              .head_dim = (int32_t)dim,
                              .n_pages = PAGES,
                              .n_sequences = 1,
                              .pages_each = PAGES};
    assert_ok(hb_kv_open(&to->cache, false, &err));
    for (int p = 0; p < PAGES * HB_PAGE; p++) store_position(to, k, p, &rng);
}

/* Queries see different parts of three pages, or nothing of a page. */
static void check_attend(const hb_kernels *k, const stored *s, const float *q, float cap)
{
    static float acc[QUERIES * WIDEST];
    static const int32_t from[QUERIES] = {0, 0, 0, 0, 70, 3, 130, 64},
                         to[QUERIES] = {1, 64, 65, 192, 190, 60, 131, 128};
    size_t dim = (size_t)s->cache.head_dim, padded = s->cache.padded;
    hb_attend_tap taps[QUERIES];
    float max[QUERIES], sum[QUERIES] = {0};
    for (int r = 0; r < QUERIES; r++) max[r] = -INFINITY;
    memset(acc, 0, sizeof acc);
    const hb_attend job = {.q = q,
                           .n_queries = QUERIES,
                           .dim = dim,
                           .padded = padded,
                           .type = s->cache.type,
                           .from = from,
                           .to = to,
                           .softcap = cap,
                           .max = max,
                           .sum = sum,
                           .acc = acc};
    attend_to_pages(k, &s->cache, job);
    attend_tapped(k, &s->cache, job, taps);
    for (int r = 0; r < QUERIES; r++) {
        double expected[WIDEST];
        found f;
        plain_attention(q + (size_t)r * dim, s->keys, s->values, dim, padded, PAGES, from[r], to[r],
                        cap, expected, &f);
        if (taps[r].is_tapped) check_tapped(&taps[r], max[r], sum[r], &f);
        for (size_t i = 0; i < dim; i++)
            assert_near(acc[(size_t)r * padded + i] / sum[r], expected[i], 2e-6);
    }
}

/* Every type of cache; widths are odd. */
static void test_attend(void **state)
{
    (void)state;
    static const hb_type types[] = {HB_TYPE_F32, HB_TYPE_F16, HB_TYPE_Q8_0};
    static const size_t dims[] = {8, 16, 40, 64, WIDEST};
    static float q[QUERIES * WIDEST];
    static stored s;
    hb_rng rng = {9};
    for (size_t i = 0; i < sizeof q / 4; i++) q[i] = random_float(&rng);
    for (int i = 0; i < 3 * N_KERNEL_SETS; i++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[i / 3]);
        for (size_t d = 0; k && d < sizeof dims / sizeof *dims; d++) {
            fill_cache(&s, k, types[i % 3], dims[d]);
            check_attend(k, &s, q, 0);
            check_attend(k, &s, q, 2);
            hb_kv_close(&s.cache);
        }
    }
}

/* Attends to positions from <= p < to with two queries that differ in sign. Whether both results are
 * NaN.
 */
static bool is_nan_from(const hb_kernels *k, const hb_kv_cache *cache, int32_t from, int32_t to)
{
    const size_t dim = (size_t)cache->head_dim;
    const int32_t froms[2] = {from, from}, tos[2] = {to, to};
    float q[2 * WIDEST], acc[2 * WIDEST] = {0}, max[2] = {-INFINITY, -INFINITY}, sum[2] = {0};
    for (size_t i = 0; i < dim; i++) q[i] = 1e-3f, q[dim + i] = -1e-3f;
    attend_to_pages(k, cache,
                    (hb_attend){.q = q,
                                .n_queries = 2,
                                .dim = dim,
                                .padded = cache->padded,
                                .type = cache->type,
                                .from = froms,
                                .to = tos,
                                .max = max,
                                .sum = sum,
                                .acc = acc});
    return isnan(acc[0] / sum[0]) && isnan(acc[cache->padded] / sum[1]);
}

/* A key that the cache cannot hold makes the results of all queries NaN that see its position: also if
 * other positions are finite, if the score would be -infinity, or if nothing else is seen of its page.
 */
static void test_attend_not_finite(void **state)
{
    (void)state;
    static const hb_type types[] = {HB_TYPE_F32, HB_TYPE_F16, HB_TYPE_Q8_0};
    static const float keys[] = {NAN, INFINITY, -INFINITY, 70000, -70000};
    static stored s;
    for (int i = 0; i < 3 * 5 * N_KERNEL_SETS; i++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[i / 15]);
        const hb_type type = types[i % 3];
        float key[WIDEST] = {[5] = keys[i / 3 % 5]}, value[WIDEST] = {0};
        if (!k) continue;
        fill_cache(&s, k, type, 40);
        hb_kv_head head = hb_kv_at(&s.cache, 0, 0, 0);
        hb_kv_store(&s.cache, k, &head, HB_PAGE - 1, key, value);
        const bool held = isfinite(key[5]) && type != HB_TYPE_F16;
        assert_int_equal(is_nan_from(k, &s.cache, 0, HB_PAGE), !held);
        assert_int_equal(is_nan_from(k, &s.cache, 0, HB_PAGE + 9), !held);
        assert_int_equal(is_nan_from(k, &s.cache, HB_PAGE - 1, HB_PAGE + 9), !held);
        assert_true(!is_nan_from(k, &s.cache, HB_PAGE, HB_PAGE + 9));
        hb_kv_close(&s.cache);
    }
}

/* Floats become the nearest halves, ties to even, whatever the number of floats. */
static void test_to_f16(void **state)
{
    (void)state;
    enum { N = 37 };
    const float special[] = {0,          -0.0f,     1,          65504,     65519.9f, 65520,
                             -65520,     1e30f,     INFINITY,   -INFINITY, 0x1p-24f, 0x1p-25f,
                             0x1.8p-25f, -0x1p-26f, 0x1.002p0f, 0x1.006p0f};
    const uint16_t halves[] = {0,      0x8000, 0x3C00, 0x7BFF, 0x7BFF, 0x7C00, 0xFC00, 0x7C00,
                               0x7C00, 0xFC00, 1,      0,      1,      0x8000, 0x3C00, 0x3C02};
    enum { N_SPECIAL = sizeof special / sizeof *special };
    for (int s = 0; s < N_KERNEL_SETS; s++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[s]);
        for (size_t n = 0; k && n <= N; n++) {
            float x[N], nan = NAN;
            uint16_t out[N + 1];
            for (size_t i = 0; i < n; i++) x[i] = special[(i + n) % N_SPECIAL];
            out[n] = 777;
            k->to_f16(x, n, out);
            for (size_t i = 0; i < n; i++) assert_int_equal(out[i], halves[(i + n) % N_SPECIAL]);
            assert_int_equal(out[n], 777);
            k->to_f16(&nan, 1, out);
            assert_true(isnan(hb_half_value(out[0])));
        }
        for (uint32_t h = 0; k && h < 0x7C00; h++) {
            float x = hb_half_value((uint16_t)h);
            uint16_t out;
            k->to_f16(&x, 1, &out);
            assert_int_equal(out, h);
        }
    }
}

/* ---- Bytes --------------------------------------------------------------------------------------- */

/* Activations rounded to bytes, with room beyond the end. */
typedef struct bytes {
    int8_t q[4 * 2048 + HB_BYTES_SLACK];
    float d[2][4 * 2048 / 16 + HB_BYTES_SLACK], scaled[2][4 * 2048 / 16 + HB_BYTES_SLACK];
    int32_t sums[4 * 2048 / 16];
} bytes;

static void fill_bytes(const hb_kernels *k, const float *x, size_t n, bytes *b)
{
    k->quantise(x, n, b->q, b->d[1], b->sums);
    for (size_t g = 0; g < n / 16; g++) {
        b->d[0][g] = b->d[1][g / 2];
        b->scaled[0][g] = b->d[0][g] * (float)b->sums[g];
        if (g % 2) b->scaled[1][g / 2] = b->d[1][g / 2] * (float)(b->sums[g - 1] + b->sums[g]);
    }
}

static void test_quantise(void **state)
{
    (void)state;
    static bytes b;
    float x[160];
    hb_rng rng = {8};
    for (int i = 0; i < 160; i++) x[i] = i < 32 ? 0 : 50 * random_float(&rng);
    for (int s = 0; s < N_KERNEL_SETS; s++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[s]);
        if (!k) continue;
        fill_bytes(k, x, 160, &b);
        for (int i = 0; i < 160; i++)
            assert_near(b.d[1][i / 32] * (float)b.q[i], x[i], b.d[1][i / 32] * 0.5001);
        for (int g = 0; g < 10; g++) {
            int sum = 0;
            for (int i = 0; i < 16; i++) sum += b.q[16 * g + i];
            assert_int_equal(b.sums[g], sum);
        }
    }
}

/* A group with NaN or infinity anywhere gets the scale NaN. Other groups do not change. */
static void test_quantise_not_finite(void **state)
{
    (void)state;
    static bytes b;
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (int s = 0; s < N_KERNEL_SETS; s++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[s]);
        for (int i = 0; k && i < 4 * 32; i++) {
            float x[96];
            for (int at = 0; at < 96; at++) x[at] = (float)at - 40;
            x[32 + i / 4] = bad[i % 4];
            fill_bytes(k, x, 96, &b);
            assert_true(isnan(b.d[1][1]));
            assert_true(b.d[1][0] == 40.0f / 127 && b.d[1][2] == 55.0f / 127);
            for (int at = 32; at < 64; at++) assert_int_equal(b.q[at], 0);
            assert_true(b.sums[2] == 0 && b.sums[3] == 0);
        }
    }
}

/* Activations so small that 127 divided by them is infinite count as 0. */
static void test_quantise_tiny(void **state)
{
    (void)state;
    static bytes b;
    float x[32];
    for (int i = 0; i < 32; i++) x[i] = i % 2 ? 1e-39f : 0;
    for (int s = 0; s < N_KERNEL_SETS; s++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[s]);
        if (!k) continue;
        fill_bytes(k, x, 32, &b);
        for (int i = 0; i < 32; i++) assert_int_equal(b.q[i], 0);
        assert_true(b.sums[0] == 0 && b.sums[1] == 0);
    }
}

/* Multiplies rows of one type and length by up to four tokens and compares with sums in double. */
static void check_dots(const hb_kernels *k, hb_type type, const uint8_t *stored, size_t n,
                       const bytes *b)
{
    enum { ROWS = 3 };
    static float w[1280];
    const hb_type_info *info = hb_type_get_info(type);
    size_t row_bytes = n / info->block * info->block_bytes;
    /* Of exactly this size, so that sanitizers see what is read beyond it. */
    uint8_t *rows = malloc(ROWS * row_bytes);
    assert_non_null(rows);
    memcpy(rows, stored, ROWS * row_bytes);
    for (int tokens = 1; tokens <= HB_DIRECT; tokens++) {
        float y[HB_DIRECT][ROWS + 1];
        if (tokens == 3) memset(rows + row_bytes, 0xFF, row_bytes); /* scales that are not numbers */
        const hb_bytes in = {.n = tokens,
                             .cols = n,
                             .q = b->q,
                             .d = {b->d[0], b->d[1]},
                             .scaled = {b->scaled[0], b->scaled[1]}};
        k->dot[type](rows, row_bytes, ROWS, &in, y[0], ROWS + 1);
        for (int i = 0; i < tokens * ROWS; i++) {
            size_t t = (size_t)i / ROWS, r = (size_t)i % ROWS;
            double sum = 0, size = 0;
            hb_kernels_portable.to_f32[type](rows + r * row_bytes, w, n);
            for (size_t c = 0; c < n; c++) {
                double product = (double)w[c] * b->d[1][(t * n + c) / 32] * b->q[t * n + c];
                sum += product;
                size += fabs(product);
            }
            if (isfinite(sum) && !(fabs((double)y[t][r] - sum) <= 2e-5 * size))
                fail_msg("%s, %s, %zu columns: %g is not %g", k->name, info->name, n, (double)y[t][r],
                         sum);
        }
    }
    free(rows);
}

/* Multiplies rows of every quantised type by up to four tokens, for whole and partial steps of columns.
 * Small bytes make finite scales; those that follow a row must not disturb it. */
static void test_dots(void **state)
{
    (void)state;
    enum { LONGEST = 1280 };
    static float x[HB_DIRECT * LONGEST];
    static uint8_t rows[4 * LONGEST];
    static bytes b;
    const size_t lengths[] = {32, 64, 224, 256, 288, 512, 576, 768, LONGEST};
    hb_rng rng = {9};
    for (int i = 0; i < HB_DIRECT * LONGEST; i++) x[i] = random_float(&rng);
    for (int s = 0; s < N_KERNEL_SETS; s++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[s]);
        for (int type = 0; k && type < HB_TYPE_COUNT; type++) {
            if (!k->dot[type]) continue;
            for (size_t i = 0; i < sizeof rows; i++) rows[i] = (uint8_t)(hb_rng_next(&rng) & 0x3F);
            for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
                if (lengths[l] % hb_type_get_info((uint32_t)type)->block) continue;
                fill_bytes(k, x, HB_DIRECT * lengths[l], &b);
                check_dots(k, (hb_type)type, rows, lengths[l], &b);
            }
        }
    }
}

/* ---- Panels ---------------------------------------------------------------------------------------
 */

/* Whether a type's panels have whole scales, see hb_panel. */
static bool is_whole(const hb_kernels *k, const hb_type_info *info)
{
    return k->pair_starts && info->block == 256 && info->bits < 8;
}

/* The weight in row r and column i, without scale and offset. */
static int panel_value(const hb_kernels *k, const hb_type_info *info, const uint8_t *u, size_t r,
                       size_t i)
{
    if (k->pair_columns) i = i / 32 * 32 + i % 16 / 2 * 4 + i % 32 / 16 * 2 + i % 2;
    size_t lanes = (size_t)k->panel_rows, at = (i / 4 * lanes + r) * 4 + i % 4;
    if (k->pair_starts && info->bits == 8) {
        int16_t both[2];
        memcpy(both, u + ((i / 4 * 2 + i % 2) * lanes + r) * 4, sizeof both);
        return both[i % 4 / 2];
    }
    return k->wide_is_signed && info->bits == 8 ? (int8_t)u[at] : u[at];
}

/* The scale of row r and column i. */
static float panel_scale(const hb_kernels *k, const hb_type_info *info, const float *d, size_t r,
                         size_t i)
{
    size_t lanes = (size_t)k->panel_rows;
    int16_t halves[2];
    if (!is_whole(k, info)) return d[i / info->group * lanes + r];
    d += i / 256 * 9 * lanes + r;
    memcpy(halves, d + i % 256 / 32 * lanes, sizeof halves);
    if (info->group == 32) assert_int_equal(halves[0], halves[1]);
    return d[8 * lanes] * (float)halves[i % 32 / 16];
}

/* Compares the sums of a panel, to which 1 was added if p->add, with plain sums of activations in
 * their usual order. */
static void check_panel(const hb_kernels *k, const hb_type_info *info, const hb_panel *p,
                        const int8_t *q)
{
    size_t each = HB_PANEL_DEPTH / p->group, rows = (size_t)k->panel_rows;
    for (size_t t = 0; t < (size_t)p->n; t++)
        for (size_t r = 0; r < rows; r++) {
            double expected = p->add, size = 1;
            for (size_t i = 0; i < p->depth; i += p->group) {
                size_t g = i / p->group;
                int sum = 0;
                for (size_t j = i; j < i + p->group; j++)
                    sum += (panel_value(k, info, p->u, r, j) - hb_panel_offset(k, info)) *
                           q[t * HB_PANEL_DEPTH + j];
                double part = (double)sum * panel_scale(k, info, p->d, r, i) * p->dx[t * each + g];
                if (p->m) part -= (double)p->m[g * rows + r] * p->scaled[t * each + g];
                expected += part;
                size += fabs(part);
            }
            assert_near(p->acc[t * rows + r], expected, 1e-6 * size);
        }
}

/* What the sums of groups start from, for TOKENS tokens. */
static void fill_starts(const hb_kernels *k, const hb_type_info *info, const int8_t *q, size_t n,
                        int32_t *start)
{
    int offset = hb_panel_offset(k, info);
    if (k->pair_starts) {
        for (size_t i = 0; i < n; i += HB_PANEL_DEPTH)
            k->pair_starts(q + i, HB_PANEL_DEPTH, info->bits, offset, start + i / info->group);
        return;
    }
    for (size_t g = 0; g < n / info->group; g++) {
        start[g] = 0;
        for (size_t i = 0; i < info->group; i++) start[g] -= offset * q[g * info->group + i];
    }
}

enum { PANEL_TOKENS = 15 };
static struct panel_data {
    uint8_t u[HB_PANEL_BYTES];
    int8_t q[PANEL_TOKENS * HB_PANEL_DEPTH], laid_out[PANEL_TOKENS * HB_PANEL_DEPTH];
    float d[HB_PANEL_SCALES], m[HB_PANEL_SCALES], dx[PANEL_TOKENS * HB_PANEL_DEPTH / 16];
    float scaled[PANEL_TOKENS * HB_PANEL_DEPTH / 16], acc[PANEL_TOKENS * HB_PANEL_ROWS];
    int32_t start[PANEL_TOKENS * HB_PANEL_DEPTH / 16];
} data;

/* Random weights of a type; the first columns have the greatest weights, the next ones the least. */
static void draw_weights(const hb_kernels *k, const hb_type_info *info, size_t depth, hb_rng *rng)
{
    size_t n = depth * (size_t)k->panel_rows;
    int least = k->wide_is_signed && info->bits == 8 ? -128 : 0, most = (1 << info->bits) - 1;
    if (info->offset && most > 2 * info->offset) most = 2 * info->offset;
    for (size_t i = 0; i < n; i++) {
        int drawn = (int)hb_rng_below(rng, (uint64_t)most + 1);
        int16_t value = (int16_t)(least + (i < n / 3 ? most : i < n * 2 / 3 ? 0 : drawn));
        if (k->pair_starts && info->bits == 8) memcpy(data.u + 2 * i, &value, sizeof value);
        else data.u[i] = (uint8_t)value;
    }
}

/* Random scales; some whole ones have the greatest magnitude. */
static void draw_scales(const hb_kernels *k, const hb_type_info *info, hb_rng *rng)
{
    size_t lanes = (size_t)k->panel_rows;
    for (size_t i = 0; i < HB_PANEL_SCALES; i++) {
        int16_t whole = (int16_t)(i % 3 ? (int)hb_rng_below(rng, 256) - 128 : -128);
        const int16_t halves[2] = {whole, info->group == 32 ? whole : (int16_t)(whole / 2)};
        data.d[i] = data.m[i] = random_float(rng);
        if (is_whole(k, info) && i / lanes % 9 < 8) memcpy(&data.d[i], halves, sizeof halves);
    }
}

/* Panels of every type, for each number of tokens, with results added to existing ones; some tokens
 * have the greatest activations. */
static void test_panels(void **state)
{
    (void)state;
    hb_rng rng = {10};
    for (size_t i = 0; i < sizeof data.q; i++) data.q[i] = (int8_t)(hb_rng_below(&rng, 255) - 127);
    memset(data.q, 127, HB_PANEL_DEPTH);
    memset(data.q + HB_PANEL_DEPTH, -127, HB_PANEL_DEPTH);
    for (size_t i = 0; i < sizeof data.dx / sizeof *data.dx; i++) {
        data.dx[i / 2 * 2] = data.dx[i / 2 * 2 + 1] = random_float(&rng);
        data.scaled[i] = random_float(&rng);
    }
    for (int s = 0; s < N_KERNEL_SETS; s++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[s]);
        for (int i = 0; k && k->panel && i < HB_TYPE_COUNT * PANEL_TOKENS; i++) {
            const hb_type_info *info = hb_type_get_info((uint32_t)(i % HB_TYPE_COUNT));
            size_t depth = info->block == 256 ? 512 : 96;
            if (!info->group) continue;
            draw_weights(k, info, depth, &rng);
            draw_scales(k, info, &rng);
            memcpy(data.laid_out, data.q, sizeof data.q);
            if (k->pair_columns) k->pair_columns(data.laid_out, sizeof data.q);
            fill_starts(k, info, data.laid_out, sizeof data.q, data.start);
            for (size_t j = 0; j < sizeof data.acc / sizeof *data.acc; j++) data.acc[j] = 1;
            const hb_panel p = {.depth = depth,
                                .group = info->group,
                                .block = info->block,
                                .bits = info->bits,
                                .u = data.u,
                                .d = data.d,
                                .m = info->offset ? NULL : data.m,
                                .n = 1 + i / HB_TYPE_COUNT,
                                .q = data.laid_out,
                                .dx = data.dx,
                                .scaled = data.scaled,
                                .start = data.start,
                                .acc = data.acc,
                                .add = i % 3 > 0};
            k->panel(&p);
            check_panel(k, info, &p, data.q);
        }
    }
}

/* The weight in row r and column i of a panel of one type. */
static float panel_weight(const hb_kernels *k, const hb_type_info *info, const uint8_t *u,
                          const float *d, const float *m, size_t r, size_t i)
{
    int value = panel_value(k, info, u, r, i) - hb_panel_offset(k, info);
    float less = info->offset ? 0 : m[i / info->group * (size_t)k->panel_rows + r];
    return panel_scale(k, info, d, r, i) * (float)value - less;
}

/* The permitted error of panel_weight: minima from which an offset was taken are rounded. */
static double fill_error(const hb_kernels *k, const hb_type_info *info, const float *d, const float *m,
                         size_t r, size_t i)
{
    if (info->offset || !hb_panel_offset(k, info)) return 0;
    float less = m[i / info->group * (size_t)k->panel_rows + r];
    return 1.2e-7 * (fabs(panel_scale(k, info, d, r, i)) * HB_PANEL_CENTRE + fabs(less));
}

/* Weights of panels are the same as those that the portable kernels unpack row by row, for all bytes
 * whose scales are finite. */
static void test_fills(void **state)
{
    (void)state;
    enum { COLUMNS = HB_PANEL_DEPTH, STRIDE = 4 * COLUMNS };
    static uint8_t rows[HB_PANEL_ROWS * STRIDE], u[HB_PANEL_BYTES];
    static float d[HB_PANEL_SCALES], m[HB_PANEL_SCALES], expected[COLUMNS];
    hb_rng rng = {12};
    for (size_t i = 0; i < sizeof rows; i++) rows[i] = (uint8_t)hb_rng_next(&rng);
    for (int s = 0; s < N_KERNEL_SETS; s++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[s]);
        for (int type = 0; k && type < HB_TYPE_COUNT; type++) {
            const hb_type_info *info = hb_type_get_info((uint32_t)type);
            if (!k->fill[type]) continue;
            for (size_t kind = 0; kind < 4; kind++) {
                size_t n = kind & 1 ? COLUMNS : 256, count = kind & 2 ? (size_t)k->panel_rows : 11;
                k->fill[type](rows, STRIDE, (int)count, n, u, d, m);
                for (size_t r = 0; r < count; r++) {
                    hb_kernels_portable.to_f32[type](rows + r * STRIDE, expected, n);
                    for (size_t c = 0; c < n; c++)
                        if (isfinite(expected[c]))
                            assert_near(panel_weight(k, info, u, d, m, r, c), expected[c],
                                        fill_error(k, info, d, m, r, c));
                }
            }
        }
    }
}

static void test_transpose_and_outer(void **state)
{
    (void)state;
    enum { ROWS = HB_PANEL_ROWS, N = 37, STRIDE = 40, TOKENS = 14 };
    static float from[ROWS * STRIDE], to[N * ROWS], a[TOKENS * STRIDE], c[TOKENS * ROWS];
    hb_rng rng = {11};
    for (int i = 0; i < ROWS * STRIDE; i++) from[i] = random_float(&rng);
    for (int i = 0; i < TOKENS * STRIDE; i++) a[i] = random_float(&rng);
    for (int s = 0; s < N_KERNEL_SETS; s++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[s]);
        if (!k || !k->panel_rows) continue;
        size_t rows = (size_t)k->panel_rows;
        k->transpose((const uint32_t *)from, STRIDE, N, (uint32_t *)to);
        for (size_t i = 0; i < N; i++)
            for (size_t r = 0; r < rows; r++) assert_near(to[i * rows + r], from[r * STRIDE + i], 0);
        for (int add = 0; add < 2; add++) {
            for (int i = 0; i < TOKENS * ROWS; i++) c[i] = 1;
            k->outer(a, STRIDE, TOKENS, to, rows, N, rows, add, c, rows);
            for (size_t t = 0; t < TOKENS; t++)
                for (size_t r = 0; r < rows; r++) {
                    double sum = add;
                    for (size_t i = 0; i < N; i++)
                        sum += (double)a[t * STRIDE + i] * from[r * STRIDE + i];
                    assert_near(c[t * rows + r], sum, 1e-5);
                }
        }
    }
}

static double silu(double x)
{
    return x / (1 + exp(-x));
}

static double gelu(double x)
{
    return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

static void test_gates(void **state)
{
    (void)state;
    enum { LONGEST = 40 };
    const float special[] = {0, -0.0f, 1e-30f, 88, -88, 90, -90, 1e4f, -1e4f, 30, -30};
    hb_rng rng = {7};
    for (int s = 0; s < N_KERNEL_SETS; s++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[s]);
        for (size_t n = 0; k && n <= LONGEST; n++) {
            float gate[LONGEST + 1], up[LONGEST + 1], got[LONGEST + 1];
            for (size_t i = 0; i <= n; i++) {
                gate[i] = i < sizeof special / 4 ? special[i] : 20 * random_float(&rng);
                up[i] = random_float(&rng);
            }
            memcpy(got, gate, sizeof got);
            k->silu_mul(got, up, n);
            for (size_t i = 0; i < n; i++) {
                double expected = silu((double)gate[i]) * (double)up[i];
                assert_near(got[i], expected, 1e-6 * fabs(expected) + 1e-30);
            }
            assert_memory_equal(&got[n], &gate[n], sizeof *got); /* must stay */
            memcpy(got, gate, sizeof got);
            k->gelu_mul(got, up, n);
            for (size_t i = 0; i < n; i++) {
                double expected = gelu((double)gate[i]) * (double)up[i];
                assert_near(got[i], expected, 1e-6 * fabs(expected) + 3e-7);
            }
            assert_memory_equal(&got[n], &gate[n], sizeof *got);
        }
    }
}

static void test_softcap(void **state)
{
    (void)state;
    enum { LONGEST = 40 };
    const float special[] = {0, -0.0f, 1e-30f, 1e30f, -1e30f, 50, -50, 0.01f};
    hb_rng rng = {8};
    for (int s = 0; s < N_KERNEL_SETS; s++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[s]);
        for (size_t n = 0; k && n <= LONGEST; n++) {
            float x[LONGEST + 1], got[LONGEST + 1];
            for (size_t i = 0; i <= n; i++)
                x[i] = i < sizeof special / 4 ? special[i] : 90 * random_float(&rng);
            memcpy(got, x, sizeof got);
            k->softcap(got, n, 30);
            for (size_t i = 0; i < n; i++) assert_near(got[i], 30 * tanh((double)x[i] / 30), 1e-5);
            assert_memory_equal(&got[n], &x[n], sizeof *got); /* must stay */
        }
    }
}

/* Softcapping and gates hide neither NaN nor infinity. */
static void test_not_finite_stays(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int s = 0; s < N_KERNEL_SETS; s++) {
        const hb_kernels *k = hb_kernels_named(kernel_sets[s]);
        for (int i = 0; k && i < 3 * 20; i++) {
            float capped[20] = {0}, silu_gate[20] = {0}, gelu_gate[20] = {0}, up[20];
            for (int at = 0; at < 20; at++) up[at] = 1;
            capped[i / 3] = silu_gate[i / 3] = gelu_gate[i / 3] = bad[i % 3];
            k->softcap(capped, 20, 30);
            k->silu_mul(silu_gate, up, 20);
            k->gelu_mul(gelu_gate, up, 20);
            assert_true(!isfinite(capped[i / 3]));
            assert_true(!isfinite(silu_gate[i / 3]));
            assert_true(!isfinite(gelu_gate[i / 3]));
        }
    }
}

/* HBAR_KERNELS chooses the kernels; if it is unset, the fastest are chosen. An unknown name is an error
 * that lists the available names. */
static void test_choice(void **state)
{
    (void)state;
    hb_error err;
    const hb_kernels *k, *best;
    assert_non_null(hb_kernels_named("portable"));
    assert_null(hb_kernels_named("mmx"));
    unsetenv("HBAR_KERNELS");
    assert_ok(hb_kernels_choose(&best, &err));
    print_message("chosen: %s\n", best->name); /* tests/neon looks for it */
    setenv("HBAR_KERNELS", "portable", 1);
    assert_ok(hb_kernels_choose(&k, &err));
    assert_string_equal(k->name, "portable");
    setenv("HBAR_KERNELS", best->name, 1);
    assert_ok(hb_kernels_choose(&k, &err));
    assert_ptr_equal(k, best);
    setenv("HBAR_KERNELS", "", 1);
    assert_ok(hb_kernels_choose(&k, &err));
    assert_ptr_equal(k, best);
    setenv("HBAR_KERNELS", "no\x1Bset", 1);
    assert_fails(hb_kernels_choose(&k, &err), HB_ERR_ARGUMENT, "HBAR_KERNELS is 'no set'");
    assert_non_null(strstr(err.message, "portable"));
    assert_non_null(strstr(err.message, best->name));
    unsetenv("HBAR_KERNELS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_match_the_peer),
        cmocka_unit_test(test_every_type_is_tested),
        cmocka_unit_test(test_every_half),
        cmocka_unit_test(test_sets_agree_on_blocks),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_attend),
        cmocka_unit_test(test_attend_not_finite),
        cmocka_unit_test(test_to_f16),
        cmocka_unit_test(test_quantise),
        cmocka_unit_test(test_quantise_not_finite),
        cmocka_unit_test(test_quantise_tiny),
        cmocka_unit_test(test_dots),
        cmocka_unit_test(test_panels),
        cmocka_unit_test(test_fills),
        cmocka_unit_test(test_transpose_and_outer),
        cmocka_unit_test(test_gates),
        cmocka_unit_test(test_softcap),
        cmocka_unit_test(test_not_finite_stays),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
