/* How each quantised type stores its weights (ggml's block formats), unpacked in plain C. Every
 * instruction set's file includes this header, so that it is compiled for each instruction set. */
#ifndef HB_ENGINE_KERNELS_DEQUANTIZE_H
#define HB_ENGINE_KERNELS_DEQUANTIZE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "engine/kernels/kernels.h"

/* ---- Layouts -------------------------------------------------------------------------------------
 *
 * A block holds 32 or 256 weights; d and dmin are F16 scales. */

typedef struct block_q4_0 {
    uint16_t d;
    uint8_t qs[16]; /* weight i in the low nibble of byte i, weight 16 + i in the high */
} block_q4_0;

typedef struct block_q4_1 {
    uint16_t d, min;
    uint8_t qs[16]; /* as Q4_0 */
} block_q4_1;

typedef struct block_q5_0 {
    uint16_t d;
    uint8_t qh[4];  /* the fifth bit of weight i in bit i, little-endian */
    uint8_t qs[16]; /* the other four, as Q4_0 */
} block_q5_0;

typedef struct block_q5_1 {
    uint16_t d, min;
    uint8_t qh[4], qs[16]; /* as Q5_0 */
} block_q5_1;

typedef struct block_q8_0 {
    uint16_t d;
    int8_t qs[32];
} block_q8_0;

/* A K-quant block has 256 weights in groups of 16 or 32. Each group has a scale and, in some types, a
 * minimum. The unpackers show where the remaining bits lie. */
typedef struct block_q2_k {
    uint8_t scales[16]; /* scale in the low nibble, minimum in the high */
    uint8_t qs[64];     /* 2 bits */
    uint16_t d, dmin;
} block_q2_k;

typedef struct block_q3_k {
    uint8_t hmask[32];  /* the third bit */
    uint8_t qs[64];     /* the low 2 bits */
    uint8_t scales[12]; /* sixteen of 6 bits, see q3_k_scale */
    uint16_t d;
} block_q3_k;

typedef struct block_q4_k {
    uint16_t d, dmin;
    uint8_t scales[12]; /* eight 6-bit scales and eight 6-bit minima, see q4_k_scale */
    uint8_t qs[128];    /* of each 64 weights: the first 32 in low nibbles, the next 32 in high ones */
} block_q4_k;

typedef struct block_q5_k {
    uint16_t d, dmin;
    uint8_t scales[12]; /* as Q4_K */
    uint8_t qh[32];     /* the fifth bits of group j in bit j */
    uint8_t qs[128];    /* as Q4_K */
} block_q5_k;

typedef struct block_q6_k {
    uint8_t ql[128]; /* low 4 bits */
    uint8_t qh[64];  /* high 2 bits */
    int8_t scales[16];
    uint16_t d;
} block_q6_k;

typedef block_q4_0 block_iq4_nl; /* nibbles choose from iq4_values */

typedef struct block_iq4_xs {
    uint16_t d;
    uint16_t scales_h;   /* high 2 bits of the eight 6-bit scales */
    uint8_t scales_l[4]; /* low 4 bits */
    uint8_t qs[128];     /* eight runs of 16 bytes, each as in IQ4_NL */
} block_iq4_xs;

typedef struct block_mxfp4 {
    uint8_t exponent; /* the scale is 2^(exponent - 128) */
    uint8_t qs[16];   /* as Q4_0; nibbles choose from mxfp4_values */
} block_mxfp4;

_Static_assert(sizeof(block_q4_0) == 18 && sizeof(block_q4_1) == 20, "ggml's sizes");
_Static_assert(sizeof(block_q5_0) == 22 && sizeof(block_q5_1) == 24, "ggml's sizes");
_Static_assert(sizeof(block_q8_0) == 34 && sizeof(block_q2_k) == 84, "ggml's sizes");
_Static_assert(sizeof(block_q3_k) == 110 && sizeof(block_q4_k) == 144, "ggml's sizes");
_Static_assert(sizeof(block_q5_k) == 176 && sizeof(block_q6_k) == 210, "ggml's sizes");
_Static_assert(sizeof(block_iq4_xs) == 136 && sizeof(block_mxfp4) == 17, "ggml's sizes");

/* The values of the 4-bit codes of the codebook types, with an offset so that none is negative. */
#define IQ4_OFFSET 128
static const uint8_t iq4_values[16] = {
    IQ4_OFFSET - 127, IQ4_OFFSET - 104, IQ4_OFFSET - 83, IQ4_OFFSET - 65,
    IQ4_OFFSET - 49,  IQ4_OFFSET - 35,  IQ4_OFFSET - 22, IQ4_OFFSET - 10,
    IQ4_OFFSET + 1,   IQ4_OFFSET + 13,  IQ4_OFFSET + 25, IQ4_OFFSET + 38,
    IQ4_OFFSET + 53,  IQ4_OFFSET + 69,  IQ4_OFFSET + 89, IQ4_OFFSET + 113,
};
#define MXFP4_OFFSET 12
static const uint8_t mxfp4_values[16] = {
    MXFP4_OFFSET,     MXFP4_OFFSET + 1, MXFP4_OFFSET + 2, MXFP4_OFFSET + 3,
    MXFP4_OFFSET + 4, MXFP4_OFFSET + 6, MXFP4_OFFSET + 8, MXFP4_OFFSET + 12,
    MXFP4_OFFSET,     MXFP4_OFFSET - 1, MXFP4_OFFSET - 2, MXFP4_OFFSET - 3,
    MXFP4_OFFSET - 4, MXFP4_OFFSET - 6, MXFP4_OFFSET - 8, MXFP4_OFFSET - 12,
};

/* ---- Floats ------------------------------------------------------------------------------------- */

static inline float bits_f32(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t f32_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Converts IEEE half to single without a branch. Shifts exponent and fraction into place and rebases
 * the exponent by a multiplication, which also normalises subnormals. Selects infinity or NaN instead
 * where the exponent says so. */
static inline float f16_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, rest = (uint32_t)(half & 0x7FFFu) << 13;
    uint32_t finite = f32_bits(bits_f32(rest) * 0x1p112f), special = 0x7F800000u | rest;
    return bits_f32(sign | (rest >= 0x7C00u << 13 ? special : finite));
}

static inline void f16_to_f32(const void *blocks, float *out, size_t n)
{
    const uint16_t *h = blocks;
    for (size_t i = 0; i < n; i++) out[i] = f16_f32(h[i]);
}

static inline void bf16_to_f32(const void *blocks, float *out, size_t n)
{
    const uint16_t *h = blocks;
    for (size_t i = 0; i < n; i++) out[i] = bits_f32((uint32_t)h[i] << 16);
}

/* ---- Affine groups ------------------------------------------------------------------------------- */

/* Unpacks n weights, whole blocks of one quantised type, into affine groups of the type's group size:
 * weight i is d[g] * u[i] - m[g], where g = i / group. */
typedef void unpacker(const void *blocks, size_t n, uint8_t *u, float *d, float *m);

/* Unpacks 16 bytes: the 16 low nibbles, then the 16 high nibbles. */
static inline void nibbles(const uint8_t *qs, uint8_t *u)
{
    typedef uint8_t bytes __attribute__((vector_size(16)));
    bytes both, part;
    memcpy(&both, qs, sizeof both);
    part = both & 0xF;
    memcpy(u, &part, sizeof part);
    part = both >> 4;
    memcpy(u + 16, &part, sizeof part);
}

/* As nibbles(), with each nibble looked up in a codebook. */
static inline void chosen(const uint8_t *qs, const uint8_t *values, uint8_t *u)
{
    for (int i = 0; i < 16; i++) {
        u[i] = values[qs[i] & 0xF];
        u[16 + i] = values[qs[i] >> 4];
    }
}

/* Adds bit i of a little-endian mask to u[i] as its fifth bit. */
static inline void fifth_bits(const uint8_t *mask, uint8_t *u)
{
    for (int i = 0; i < 32; i++) u[i] |= (uint8_t)((mask[i / 8] >> i % 8 & 1) << 4);
}

static inline void q4_0_unpack(const void *blocks, size_t n, uint8_t *u, float *d, float *m)
{
    const block_q4_0 *b = blocks;
    for (size_t k = 0; k < n / 32; k++, u += 32) {
        nibbles(b[k].qs, u);
        d[k] = f16_f32(b[k].d);
        m[k] = 8 * d[k];
    }
}

static inline void q4_1_unpack(const void *blocks, size_t n, uint8_t *u, float *d, float *m)
{
    const block_q4_1 *b = blocks;
    for (size_t k = 0; k < n / 32; k++, u += 32) {
        nibbles(b[k].qs, u);
        d[k] = f16_f32(b[k].d);
        m[k] = -f16_f32(b[k].min);
    }
}

static inline void q5_0_unpack(const void *blocks, size_t n, uint8_t *u, float *d, float *m)
{
    const block_q5_0 *b = blocks;
    for (size_t k = 0; k < n / 32; k++, u += 32) {
        nibbles(b[k].qs, u);
        fifth_bits(b[k].qh, u);
        d[k] = f16_f32(b[k].d);
        m[k] = 16 * d[k];
    }
}

static inline void q5_1_unpack(const void *blocks, size_t n, uint8_t *u, float *d, float *m)
{
    const block_q5_1 *b = blocks;
    for (size_t k = 0; k < n / 32; k++, u += 32) {
        nibbles(b[k].qs, u);
        fifth_bits(b[k].qh, u);
        d[k] = f16_f32(b[k].d);
        m[k] = -f16_f32(b[k].min);
    }
}

static inline void q8_0_unpack(const void *blocks, size_t n, uint8_t *u, float *d, float *m)
{
    const block_q8_0 *b = blocks;
    for (size_t k = 0; k < n / 32; k++, u += 32) {
        for (int i = 0; i < 32; i++) u[i] = (uint8_t)((uint8_t)b[k].qs[i] ^ 0x80); /* q + 128 */
        d[k] = f16_f32(b[k].d);
        m[k] = 128 * d[k];
    }
}

/* Each half of a Q2_K or Q3_K block holds its 128 weights in 32 bytes: group j of 16 in bits
 * j / 2 * 2 of the first or the last 16 bytes. */
static inline void q2_k_unpack(const void *blocks, size_t n, uint8_t *u, float *d, float *m)
{
    const block_q2_k *b = blocks;
    for (size_t k = 0; k < n / 256; k++, b++) {
        float scale = f16_f32(b->d), min = f16_f32(b->dmin);
        for (int j = 0; j < 16; j++, u += 16) {
            const uint8_t *qs = b->qs + j / 8 * 32 + j % 2 * 16;
            int shift = j % 8 / 2 * 2;
            for (int i = 0; i < 16; i++) u[i] = qs[i] >> shift & 3;
            *d++ = scale * (float)(b->scales[j] & 0xF);
            *m++ = min * (float)(b->scales[j] >> 4);
        }
    }
}

/* Scale j of a Q3_K block: low 4 bits in the nibbles of bytes 0-7, high 2 in bytes 8-11. */
static inline int q3_k_scale(const uint8_t *s, int j)
{
    return ((s[j % 8] >> j / 8 * 4 & 0xF) | (s[8 + j % 4] >> j / 4 * 2 & 3) << 4) - 32;
}

static inline void q3_k_unpack(const void *blocks, size_t n, uint8_t *u, float *d, float *m)
{
    const block_q3_k *b = blocks;
    for (size_t k = 0; k < n / 256; k++, b++) {
        float scale = f16_f32(b->d);
        for (int j = 0; j < 16; j++, u += 16) {
            const uint8_t *qs = b->qs + j / 8 * 32 + j % 2 * 16, *high = b->hmask + j % 2 * 16;
            int shift = j % 8 / 2 * 2, bit = j / 2;
            for (int i = 0; i < 16; i++)
                u[i] = (uint8_t)((qs[i] >> shift & 3) | (high[i] >> bit & 1) << 2);
            *d = scale * (float)q3_k_scale(b->scales, j);
            *m++ = 4 * *d++;
        }
    }
}

/* Scale and minimum j of a Q4_K or Q5_K block. The first four of each lie in the low 6 bits of bytes
 * 0-3 and 4-7; the last four have their low 4 bits in bytes 8-11 and their high 2 in the tops of bytes
 * 0-7. */
static inline void q4_k_scale(const uint8_t *s, int j, int *scale, int *min)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 0xF) | (s[j - 4] >> 6) << 4;
        *min = s[j + 4] >> 4 | (s[j] >> 6) << 4;
    }
}

static inline void q4_k_unpack(const void *blocks, size_t n, uint8_t *u, float *d, float *m)
{
    const block_q4_k *b = blocks;
    for (size_t k = 0; k < n / 256; k++, b++) {
        float d_all = f16_f32(b->d), dmin = f16_f32(b->dmin);
        for (int j = 0; j < 8; j++, u += 32) {
            const uint8_t *qs = b->qs + j / 2 * 32;
            int scale, min, shift = j % 2 * 4;
            for (int i = 0; i < 32; i++) u[i] = qs[i] >> shift & 0xF;
            q4_k_scale(b->scales, j, &scale, &min);
            *d++ = d_all * (float)scale;
            *m++ = dmin * (float)min;
        }
    }
}

static inline void q5_k_unpack(const void *blocks, size_t n, uint8_t *u, float *d, float *m)
{
    const block_q5_k *b = blocks;
    for (size_t k = 0; k < n / 256; k++, b++) {
        float d_all = f16_f32(b->d), dmin = f16_f32(b->dmin);
        for (int j = 0; j < 8; j++, u += 32) {
            const uint8_t *qs = b->qs + j / 2 * 32;
            int scale, min, shift = j % 2 * 4;
            for (int i = 0; i < 32; i++)
                u[i] = (uint8_t)((qs[i] >> shift & 0xF) | (b->qh[i] >> j & 1) << 4);
            q4_k_scale(b->scales, j, &scale, &min);
            *d++ = d_all * (float)scale;
            *m++ = dmin * (float)min;
        }
    }
}

/* Each half of a Q6_K block holds four runs of 32 weights: run r takes nibbles (r / 2) of ql's bytes
 * (r % 2) * 32 + i, and bits 2r of qh's byte i. */
static inline void q6_k_unpack(const void *blocks, size_t n, uint8_t *u, float *d, float *m)
{
    const block_q6_k *b = blocks;
    for (size_t k = 0; k < n / 256; k++, b++) {
        float scale = f16_f32(b->d);
        for (int r = 0; r < 8; r++, u += 32) {
            const uint8_t *ql = b->ql + r / 4 * 64 + r % 2 * 32, *qh = b->qh + r / 4 * 32;
            int low = r % 4 / 2 * 4, high = r % 4 * 2;
            for (int i = 0; i < 32; i++)
                u[i] = (uint8_t)((ql[i] >> low & 0xF) | (qh[i] >> high & 3) << 4);
        }
        for (int j = 0; j < 16; j++) {
            *d = scale * (float)b->scales[j];
            *m++ = 32 * *d++;
        }
    }
}

static inline void iq4_nl_unpack(const void *blocks, size_t n, uint8_t *u, float *d, float *m)
{
    const block_iq4_nl *b = blocks;
    for (size_t k = 0; k < n / 32; k++, u += 32) {
        chosen(b[k].qs, iq4_values, u);
        d[k] = f16_f32(b[k].d);
        m[k] = IQ4_OFFSET * d[k];
    }
}

static inline void iq4_xs_unpack(const void *blocks, size_t n, uint8_t *u, float *d, float *m)
{
    const block_iq4_xs *b = blocks;
    for (size_t k = 0; k < n / 256; k++, b++) {
        for (int j = 0; j < 8; j++, u += 32) {
            int low = b->scales_l[j / 2] >> j % 2 * 4 & 0xF, high = b->scales_h >> 2 * j & 3;
            chosen(b->qs + 16 * j, iq4_values, u);
            *d = f16_f32(b->d) * (float)((low | high << 4) - 32);
            *m++ = IQ4_OFFSET * *d++;
        }
    }
}

/* The scale is a power of two, stored as its exponent; 255 is NaN (OCP Microscaling Formats 1.0, E8M0).
 * It is halved because the values of the codebook are doubled. */
static inline float mxfp4_scale(uint32_t e)
{
    return bits_f32(e < 2 ? 0x00200000u << e : e == 255 ? 0x7FC00000u : (e - 1) << 23);
}

static inline void mxfp4_unpack(const void *blocks, size_t n, uint8_t *u, float *d, float *m)
{
    const block_mxfp4 *b = blocks;
    for (size_t k = 0; k < n / 32; k++, u += 32) {
        chosen(b[k].qs, mxfp4_values, u);
        d[k] = mxfp4_scale(b[k].exponent);
        m[k] = MXFP4_OFFSET * d[k];
    }
}

/* ---- Affine groups to floats ---------------------------------------------------------------------
 *
 * In every type, d * u and m are exact in single precision. So w = d * u - m is rounded at most once
 * and equals the value that the type defines. */

static inline __attribute__((always_inline)) void affine_to_f32(unpacker *unpack, size_t block,
                                                                size_t block_bytes, size_t group,
                                                                const void *blocks, float *out,
                                                                size_t n)
{
    const uint8_t *at = blocks;
    uint8_t u[256];
    float d[16], m[16];
    for (size_t done = 0; done < n; done += block, at += block_bytes) {
        unpack(at, block, u, d, m);
        for (size_t i = 0; i < block; i += group)
            for (size_t j = 0; j < group; j++)
                out[done + i + j] = d[i / group] * (float)u[i + j] - m[i / group];
    }
}

#define TO_F32(name, block, group, wide, offset)                                                       \
    static inline void name##_to_f32(const void *blocks, float *out, size_t n)                         \
    {                                                                                                  \
        affine_to_f32(name##_unpack, block, sizeof(block_##name), group, blocks, out, n);              \
    }

/* Each quantised type: number of weights in a block and in a group, whether u exceeds 127, and the
 * offset as in hb_type_info. */
#define EACH_SHAPE(how)                                                                                \
    how(q4_0, 32, 32, false, 8) how(q4_1, 32, 32, false, 0) how(q5_0, 32, 32, false, 16)               \
        how(q5_1, 32, 32, false, 0) how(q8_0, 32, 32, true, 128) how(q2_k, 256, 16, false, 0)          \
            how(q3_k, 256, 16, false, 4) how(q4_k, 256, 32, false, 0) how(q5_k, 256, 32, false, 0)     \
                how(q6_k, 256, 16, false, 32) how(iq4_nl, 32, 32, true, IQ4_OFFSET)                    \
                    how(iq4_xs, 256, 32, true, IQ4_OFFSET) how(mxfp4, 32, 32, false, MXFP4_OFFSET)
EACH_SHAPE(TO_F32)

/* The entries of the tables in hb_kernels. F16 to floats is not included, because processors have
 * instructions for it. */
#define EACH_QUANTISED(how)                                                                            \
    [HB_TYPE_Q4_0] = q4_0##how, [HB_TYPE_Q4_1] = q4_1##how, [HB_TYPE_Q5_0] = q5_0##how,                \
    [HB_TYPE_Q5_1] = q5_1##how, [HB_TYPE_Q8_0] = q8_0##how, [HB_TYPE_Q2_K] = q2_k##how,                \
    [HB_TYPE_Q3_K] = q3_k##how, [HB_TYPE_Q4_K] = q4_k##how, [HB_TYPE_Q5_K] = q5_k##how,                \
    [HB_TYPE_Q6_K] = q6_k##how, [HB_TYPE_IQ4_NL] = iq4_nl##how, [HB_TYPE_IQ4_XS] = iq4_xs##how,        \
    [HB_TYPE_MXFP4] = mxfp4##how
#define COMMON_TO_F32 [HB_TYPE_BF16] = bf16_to_f32, EACH_QUANTISED(_to_f32)

#endif
