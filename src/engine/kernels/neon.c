/* ARMv8.2 with the dot-product instructions; compiled a second time with HB_I8MM for processors that
 * also multiply matrices of bytes. */
#include <arm_neon.h>

#define HB_LANES     4
#define TILE_ROWS    4
#define TILE_VECTORS 4
#define BYTE_VECTORS 4

#include "engine/kernels/vector.h"

static inline vf vf_halves(const uint16_t *from)
{
    return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from)));
}

static inline vf vf_bytes(const int8_t *from)
{
    int32_t four;
    memcpy(&four, from, sizeof four);
    int16x8_t wide = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return (vf)vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}

#include "engine/kernels/float.h"

#define WIDE_IS_SIGNED 1 /* as the instruction treats both sides */
#define SUMS_IN_PAIRS  0

static inline vi dot4(vi sums, vb u, vb q, bool wide)
{
    (void)wide;
    return (vi)vdotq_s32((int32x4_t)sums, (int8x16_t)u, (int8x16_t)q);
}

#ifdef HB_I8MM
#define BYTE_TOKENS       6
#define TILE_BYTE_VECTORS 2
#define SUMS_IN_SQUARES

static inline vi add_squares(vi sums, vb u, vb q)
{
    return (vi)vmmlaq_s32((int32x4_t)sums, (int8x16_t)u, (int8x16_t)q);
}
#else
#define BYTE_TOKENS 3
#endif

#include "engine/kernels/panels.h"

static inline vf load_groups(const float *from, size_t group)
{
    (void)group; /* a vector is not longer than 8 groups */
    return vf_load(from);
}

static inline vf spread(const float *values, int j, size_t group)
{
    return vf_all(values[(size_t)j * STEP / group]);
}

static inline vb repeat16(const uint8_t *from)
{
    return vb_load(from);
}

static inline vb chosen_by(vb values, vb index)
{
    return (vb)vqtbl1q_s8((int8x16_t)values, (uint8x16_t)index);
}

static inline vb block_nibbles(const uint8_t *from, int within)
{
    uint8x16_t both = vld1q_u8(from);
    return (vb)(within ? vshrq_n_u8(both, 4) : vandq_u8(both, vdupq_n_u8(0xF)));
}

static inline vb repeat4(const uint8_t *from, int within)
{
    from += within / 8;
    return (vb)vcombine_u8(vdup_n_u8(from[0]), vdup_n_u8(from[1]));
}

static inline float half_float(uint16_t half)
{
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))), 0);
}

static inline void times_bytes(float d, const uint64_t *bytes, int n, int zero, vf *out)
{
    for (int i = 0; i < n; i++) {
        int16x8_t whole = vreinterpretq_s16_u16(vmovl_u8(vcreate_u8(bytes[i])));
        whole = vsubq_s16(whole, vdupq_n_s16((int16_t)zero));
        out[2 * i] = d * (vf)vcvtq_f32_s32(vmovl_s16(vget_low_s16(whole)));
        out[2 * i + 1] = d * (vf)vcvtq_f32_s32(vmovl_s16(vget_high_s16(whole)));
    }
}

static inline void eight_halves(const void *from, size_t stride, vf *out)
{
    uint16_t h[8];
    EACH(i, 8) memcpy(&h[i], (const uint8_t *)from + (size_t)i * stride, sizeof *h);
    EACH(v, 2) out[v] = (vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(h + 4 * v)));
}

INLINE void four_words(const uint8_t *const *row, size_t at, vi *w)
{
    uint32x4_t z[4];
    EACH(i, 4) z[i] = vreinterpretq_u32_u8(vld1q_u8(row[i] + at));
    uint32x4x2_t low = vtrnq_u32(z[0], z[1]), high = vtrnq_u32(z[2], z[3]);
    EACH(i, 2)
    {
        uint64x2_t b = vreinterpretq_u64_u32(low.val[i]), c = vreinterpretq_u64_u32(high.val[i]);
        w[i] = (vi)vtrn1q_u64(b, c);
        w[i + 2] = (vi)vtrn2q_u64(b, c);
    }
}

INLINE vf words_halves(vi w)
{
    return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32((uint32x4_t)w)));
}

INLINE vf two_bytes(const uint8_t *const *row, size_t at)
{
    uint16_t h[4];
    EACH(i, 4) memcpy(&h[i], row[i] + at, sizeof *h);
    return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(h)));
}

#include "engine/kernels/fills.h"
#include "engine/kernels/parts.h"
#include "engine/kernels/rows.h"

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

static void f32_to_f16(const float *x, size_t n, uint16_t *out)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) vst1_u16(out + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(x + i))));
    for (; i < n; i++) {
        float16x4_t half = vcvt_f16_f32(vdupq_n_f32(x[i]));
        vst1_lane_u16(out + i, vreinterpret_u16_f16(half), 0);
    }
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

#ifdef HB_I8MM
const hb_kernels hb_kernels_neon_i8mm = {
    .name = "neon_i8mm",
#else
const hb_kernels hb_kernels_neon = {
    .name = "neon",
#endif
    .to_f32 = {[HB_TYPE_F16] = f16_neon_to_f32, COMMON_TO_F32},
    .dot = {EACH_QUANTISED(_dot)},
    .tile = {EACH_TILE},
    .quantise = quantise,
    .panel_rows = ROWS,
    .direct = 3,
    .direct_floats = 24,
    .fill = {EACH_QUANTISED(_fill)},
    .wide_is_signed = WIDE_IS_SIGNED,
    .transpose = transpose,
    .panel = panel_product,
    .outer = outer,
    .attend = attend,
    .to_f16 = f32_to_f16,
    .silu_mul = silu_mul,
    .gelu_mul = gelu_mul,
    .softcap = softcap,
};
