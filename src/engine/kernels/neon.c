/* ARMv8.2 with the dot-product instructions. */
#include <arm_neon.h>

#define HB_LANES     4
#define TILE_ROWS    4
#define TILE_VECTORS 4
#define BYTE_VECTORS 4
#define BYTE_TOKENS  3

#include "engine/kernels/float.h"

/* The instruction treats both sides as signed. So the product of the eighth bits of the weights, which
 * count as -128, is subtracted instead of added. */
static inline vi dot4(vi sums, vb u, vb q, bool wide)
{
    if (!wide) return (vi)vdotq_s32((int32x4_t)sums, (int8x16_t)u, (int8x16_t)q);
    int8x16_t low = vandq_s8((int8x16_t)u, vdupq_n_s8(0x7F));
    int8x16_t high = vbicq_s8((int8x16_t)u, vdupq_n_s8(0x7F));
    int32x4_t less = vdotq_s32(vdupq_n_s32(0), high, (int8x16_t)q);
    return (vi)vsubq_s32(vdotq_s32((int32x4_t)sums, low, (int8x16_t)q), less);
}

static inline vf spread(const float *values, size_t group)
{
    (void)group; /* a vector is not longer than a group */
    return vf_all(values[0]);
}

#include "engine/kernels/bytes.h"

#define ROWS ((size_t)BYTE_VECTORS * HB_LANES) /* in a panel */

/* Transposes four rows of four words. */
static void turn4(const uint8_t *from, size_t stride, uint8_t *to)
{
    uint32x4_t a[4];
    for (size_t i = 0; i < 4; i++) a[i] = vreinterpretq_u32_u8(vld1q_u8(from + i * stride * WORD));
    uint32x4x2_t low = vtrnq_u32(a[0], a[1]), high = vtrnq_u32(a[2], a[3]);
    for (size_t i = 0; i < 2; i++) {
        uint64x2_t b = vreinterpretq_u64_u32(low.val[i]), c = vreinterpretq_u64_u32(high.val[i]);
        vst1q_u8(to + i * ROWS * WORD, vreinterpretq_u8_u64(vtrn1q_u64(b, c)));
        vst1q_u8(to + (i + 2) * ROWS * WORD, vreinterpretq_u8_u64(vtrn2q_u64(b, c)));
    }
}

static void transpose(const void *from, size_t stride, size_t n, void *to)
{
    const uint8_t *words = from;
    uint8_t *turned = to;
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t r = 0; r < ROWS; r += 4)
            turn4(words + (r * stride + i) * WORD, stride, turned + (i * ROWS + r) * WORD);
    for (; i < n; i++)
        for (size_t r = 0; r < ROWS; r++)
            memcpy(turned + (i * ROWS + r) * WORD, words + (r * stride + i) * WORD, WORD);
}

static void f16_neon_to_f32(const void *blocks, float *out, size_t n)
{
    const uint16_t *h = blocks;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(h + i))));
    for (; i < n; i++) out[i] = f16_f32(h[i]);
}

#define TILE_TOKENS 4

/* Loads four weights of a float type, from index i on. */
INLINE vf weights(const hb_type type, const uint8_t *row, size_t i)
{
    if (type == HB_TYPE_F32) return vf_load((const float *)(const void *)row + i);
    uint16x4_t halves = vld1_u16((const uint16_t *)(const void *)row + i);
    if (type == HB_TYPE_F16) return (vf)vcvt_f32_f16(vreinterpret_f16_u16(halves));
    return (vf)vshll_n_u16(halves, 16);
}

#include "engine/kernels/tile.h"

const hb_kernels hb_kernels_neon = {
    .name = "neon",
    .to_f32 = {[HB_TYPE_F16] = f16_neon_to_f32, COMMON_TO_F32},
    .unpack = {COMMON_UNPACK},
    .dot = {COMMON_DOT},
    .tile = {EACH_TILE},
    .quantise = quantise,
    .panel_rows = ROWS,
    .direct = 3,
    .direct_floats = 24,
    .transpose = transpose,
    .panel = panel_product,
    .outer = outer,
    .attend = attend,
    .silu_mul = silu_mul,
    .gelu_mul = gelu_mul,
    .softcap = softcap,
};
