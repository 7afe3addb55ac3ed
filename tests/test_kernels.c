/* Every instruction set's kernels against the portable ones, and the portable unpacking against values
 * computed by llama.cpp's own gguf package (tests/peer/make_blocks.py). */
#include "check.h"

#include <math.h>
#include "base/rng.h"
#include "engine/kernels/kernels.h"
#include "reference/blocks_reference.h"

static const char *const sets[] = {"portable", "avx2", "avx512"};
static const hb_type types[] = {HB_TYPE_F16,  HB_TYPE_BF16, HB_TYPE_Q8_0,
                                HB_TYPE_Q4_0, HB_TYPE_Q4_K, HB_TYPE_Q6_K};

static float random_float(hb_rng *rng)
{
    return (float)(2 * hb_rng_unit(rng) - 1);
}

static void check_blocks(const hb_kernels *k, hb_type type, const uint8_t *blocks,
                         const float *expected, size_t n)
{
    float out[512];
    assert_true(n <= 512);
    k->to_f32[type](blocks, out, n);
    for (size_t i = 0; i < n; i++) assert_near(out[i], expected[i], 1e-7 * fabs((double)expected[i]));
}

/* Exactly the values the peer unpacks from the same bytes, on every set. */
static void test_blocks_match_the_peer(void **state)
{
    (void)state;
    for (int s = 0; s < 3; s++) {
        const hb_kernels *k = hb_kernels_named(sets[s]);
        if (!k) {
            print_message("skipped: this processor has no %s\n", sets[s]);
            continue;
        }
        assert_string_equal(k->name, sets[s]);
        check_blocks(k, HB_TYPE_F16, f16_bytes, f16_values, sizeof f16_values / 4);
        check_blocks(k, HB_TYPE_BF16, bf16_bytes, bf16_values, sizeof bf16_values / 4);
        check_blocks(k, HB_TYPE_Q8_0, q8_0_bytes, q8_0_values, sizeof q8_0_values / 4);
        check_blocks(k, HB_TYPE_Q4_0, q4_0_bytes, q4_0_values, sizeof q4_0_values / 4);
        check_blocks(k, HB_TYPE_Q4_K, q4_k_bytes, q4_k_values, sizeof q4_k_values / 4);
        check_blocks(k, HB_TYPE_Q6_K, q6_k_bytes, q6_k_values, sizeof q6_k_values / 4);
    }
}

/* All 65,536 half-precision patterns, by the definition of the format. */
static void test_every_half(void **state)
{
    (void)state;
    for (int s = 0; s < 3; s++) {
        const hb_kernels *k = hb_kernels_named(sets[s]);
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
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        _Alignas(4) uint8_t bytes[2048];
        float expected[512], out[512];
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(hb_rng_next(&rng) & 0x3F);
        hb_kernels_portable.to_f32[types[t]](bytes, expected, 512);
        for (int s = 1; s < 3; s++) {
            const hb_kernels *k = hb_kernels_named(sets[s]);
            if (!k) continue;
            k->to_f32[types[t]](bytes, out, 512);
            assert_memory_equal(out, expected, sizeof out);
        }
    }
}

/* Tiles of every size and awkward lengths against sums in double. */
static void test_tiles(void **state)
{
    (void)state;
    enum { LONGEST = 523, TOKENS = 9 };
    static float w[4][LONGEST + 5], x[TOKENS][LONGEST + 3];
    hb_rng rng = {4};
    for (int r = 0; r < 4; r++)
        for (int i = 0; i < LONGEST; i++) w[r][i] = random_float(&rng);
    for (int t = 0; t < TOKENS; t++)
        for (int i = 0; i < LONGEST; i++) x[t][i] = random_float(&rng);
    const size_t lengths[] = {1, 7, 8, 15, 16, 17, 64, 100, LONGEST};
    for (int s = 0; s < 3; s++) {
        const hb_kernels *k = hb_kernels_named(sets[s]);
        for (size_t l = 0; k && l < sizeof lengths / sizeof *lengths; l++) {
            for (int rows = 1; rows <= 4; rows++) {
                float y[TOKENS][6], alone;
                k->tile(w[0], LONGEST + 5, rows, x[0], LONGEST + 3, TOKENS, lengths[l], y[0], 6);
                for (int t = 0; t < TOKENS; t++) {
                    for (int r = 0; r < rows; r++) {
                        double sum = 0, size = 0;
                        for (size_t i = 0; i < lengths[l]; i++) {
                            sum += (double)w[r][i] * x[t][i];
                            size += fabs((double)w[r][i] * x[t][i]);
                        }
                        assert_near(y[t][r], sum, 1e-6 * size + 1e-7);
                        /* The same bits in any company. */
                        k->tile(w[r], LONGEST, 1, x[t], LONGEST, 1, lengths[l], &alone, 1);
                        assert_memory_equal(&alone, &y[t][r], sizeof alone);
                    }
                }
            }
        }
    }
}

static void test_mix(void **state)
{
    (void)state;
    enum { ROWS = 5, LONGEST = 40, STRIDE = 43 };
    float a[ROWS], x[ROWS * STRIDE], y[LONGEST + 1];
    hb_rng rng = {6};
    for (int r = 0; r < ROWS; r++) a[r] = random_float(&rng);
    for (int i = 0; i < ROWS * STRIDE; i++) x[i] = random_float(&rng);
    for (int s = 0; s < 3; s++) {
        const hb_kernels *k = hb_kernels_named(sets[s]);
        for (size_t n = 0; k && n <= LONGEST; n++) {
            y[n] = 77; /* must stay */
            k->mix(a, x, STRIDE, ROWS, n, y);
            for (size_t i = 0; i < n; i++) {
                double sum = 0;
                for (size_t r = 0; r < ROWS; r++) sum += (double)a[r] * x[r * STRIDE + i];
                assert_near(y[i], sum, 1e-6);
            }
            assert_near(y[n], 77, 0);
        }
    }
}

static void test_choice(void **state)
{
    (void)state;
    assert_non_null(hb_kernels_named("portable"));
    assert_null(hb_kernels_named("mmx"));
    setenv("HBAR_KERNELS", "portable", 1);
    assert_string_equal(hb_kernels_best()->name, "portable");
    setenv("HBAR_KERNELS", "no such set", 1);
    const hb_kernels *best = hb_kernels_best();
    unsetenv("HBAR_KERNELS");
    assert_ptr_equal(best, hb_kernels_best());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_match_the_peer),
        cmocka_unit_test(test_every_half),
        cmocka_unit_test(test_sets_agree_on_blocks),
        cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_mix),
        cmocka_unit_test(test_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
