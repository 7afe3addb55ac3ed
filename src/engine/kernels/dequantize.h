/* How each quantised type stores its weights (ggml's block formats), unpacked in plain C. Every
 * instruction set's file includes this, so that each gets it compiled for its own registers. */
#ifndef HB_ENGINE_KERNELS_DEQUANTIZE_H
#define HB_ENGINE_KERNELS_DEQUANTIZE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct block_q8_0 {
    uint16_t d;    /* F16 scale */
    int8_t qs[32]; /* w = d * q */
} block_q8_0;

typedef struct block_q4_0 {
    uint16_t d; /* F16 scale */
    uint8_t
        qs[16]; /* weight i in the low nibble of byte i, weight 16 + i in the high: w = d * (q - 8) */
} block_q4_0;

typedef struct block_q4_k {
    uint16_t d, dmin;   /* F16 scales of the scales and of the minima */
    uint8_t scales[12]; /* eight 6-bit scales and eight 6-bit minima, one pair for 32 weights */
    uint8_t qs[128];    /* of each 64 weights: the first 32 in low nibbles, the next 32 in high ones */
} block_q4_k;

typedef struct block_q6_k {
    uint8_t ql[128];   /* low 4 bits */
    uint8_t qh[64];    /* high 2 bits */
    int8_t scales[16]; /* one for 16 weights */
    uint16_t d;        /* F16 scale of the scales */
} block_q6_k;

_Static_assert(sizeof(block_q8_0) == 34 && sizeof(block_q4_0) == 18, "ggml's sizes");
_Static_assert(sizeof(block_q4_k) == 144 && sizeof(block_q6_k) == 210, "ggml's sizes");

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

/* IEEE half to single: exponent and fraction are moved into place and the exponent rebased by a
 * multiplication, which also normalises subnormals; infinities and NaN are chosen instead where they
 * are meant, without a branch. */
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

static inline void q8_0_to_f32(const void *blocks, float *out, size_t n)
{
    const block_q8_0 *b = blocks;
    for (size_t k = 0; k < n / 32; k++, b++, out += 32) {
        float d = f16_f32(b->d);
        for (int i = 0; i < 32; i++) out[i] = d * (float)b->qs[i];
    }
}

static inline void q4_0_to_f32(const void *blocks, float *out, size_t n)
{
    const block_q4_0 *b = blocks;
    for (size_t k = 0; k < n / 32; k++, b++, out += 32) {
        float d = f16_f32(b->d);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((b->qs[i] & 0xF) - 8);
            out[16 + i] = d * (float)((b->qs[i] >> 4) - 8);
        }
    }
}

/* Scale and minimum j of a Q4_K block. The first four of each lie in the low 6 bits of bytes 0-3 and
 * 4-7; the last four have their low 4 bits in bytes 8-11 and their high 2 in the tops of bytes 0-7. */
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

static inline void q4_k_to_f32(const void *blocks, float *out, size_t n)
{
    const block_q4_k *b = blocks;
    for (size_t k = 0; k < n / 256; k++, b++) {
        float d = f16_f32(b->d), dmin = f16_f32(b->dmin);
        for (int j = 0; j < 8; j++, out += 32) {
            const uint8_t *q = b->qs + j / 2 * 32;
            int scale, min, shift = j % 2 * 4;
            q4_k_scale(b->scales, j, &scale, &min);
            float ds = d * (float)scale, m = dmin * (float)min;
            for (int i = 0; i < 32; i++) out[i] = ds * (float)(q[i] >> shift & 0xF) - m;
        }
    }
}

/* Sixteen weights of a Q6_K block: nibbles of ql from bit `low` up, bits of qh from bit `high` up. */
static inline void q6_k_sixteen(const uint8_t *ql, const uint8_t *qh, int low, int high, float scale,
                                float *out)
{
    for (int i = 0; i < 16; i++) {
        int q = (ql[i] >> low & 0xF) | (qh[i] >> high & 3) << 4;
        out[i] = scale * (float)(q - 32);
    }
}

/* Each half of a block holds four runs of 32 weights: run r takes nibbles (r / 2) of ql's bytes
 * (r % 2) * 32 + i, and bits 2r of qh's byte i. */
static inline void q6_k_to_f32(const void *blocks, float *out, size_t n)
{
    const block_q6_k *b = blocks;
    for (size_t k = 0; k < n / 256; k++, b++) {
        float d = f16_f32(b->d);
        for (int part = 0; part < 4; part++, out += part % 2 ? 16 : 112) {
            const uint8_t *ql = b->ql + part / 2 * 64 + part % 2 * 16;
            const uint8_t *qh = b->qh + part / 2 * 32 + part % 2 * 16;
            const int8_t *s = b->scales + part / 2 * 8 + part % 2;
            q6_k_sixteen(ql, qh, 0, 0, d * (float)s[0], out);
            q6_k_sixteen(ql + 32, qh, 0, 2, d * (float)s[2], out + 32);
            q6_k_sixteen(ql, qh, 4, 4, d * (float)s[4], out + 64);
            q6_k_sixteen(ql + 32, qh, 4, 6, d * (float)s[6], out + 96);
        }
    }
}

/* The entries of a table of hb_kernels for all types but F16, for which processors have instructions.
 */
#define COMMON_TO_F32                                                                                  \
    [HB_TYPE_BF16] = bf16_to_f32, [HB_TYPE_Q8_0] = q8_0_to_f32, [HB_TYPE_Q4_0] = q4_0_to_f32,          \
    [HB_TYPE_Q4_K] = q4_k_to_f32, [HB_TYPE_Q6_K] = q6_k_to_f32

#endif
