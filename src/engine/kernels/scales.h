/* The scales of K-quants, IQ4_XS and MXFP4, first as bytes, one for each group in order, then as floats
 * (see rows.h). Bytes are taken apart in ordinary registers, which the products leave free. In addition
 * to what bytes.h needs, the including file defines:
 *
 *   float half_float(uint16_t half)
 *   void times_bytes(float d, const uint64_t *bytes, int n, int zero, vf *out)
 *       d * (byte - zero) for the 8 n bytes
 */
#ifndef HB_ENGINE_KERNELS_SCALES_H
#define HB_ENGINE_KERNELS_SCALES_H

#include "engine/kernels/bytes.h"

/* The bits that `each`, repeated in every byte, selects. */
static inline uint64_t every(uint8_t each)
{
    return each * UINT64_C(0x0101010101010101);
}

static inline uint64_t word64(const void *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

static inline uint32_t word32(const void *from)
{
    uint32_t word;
    memcpy(&word, from, sizeof word);
    return word;
}

/* Sixteen scales and sixteen minima of 4 bits. */
static inline void q2_k_bytes(const block_q2_k *b, uint64_t *scales, uint64_t *mins)
{
    for (int i = 0; i < 2; i++) {
        uint64_t both = word64(b->scales + 8 * i);
        scales[i] = both & every(0xF);
        mins[i] = both >> 4 & every(0xF);
    }
}

/* Sixteen scales of 6 bits; 32 stands for 0 (see q3_k_scale). */
static inline void q3_k_bytes(const block_q3_k *b, uint64_t *scales)
{
    uint64_t low = word64(b->scales), top = word32(b->scales + 8);
    scales[0] = (low & every(0xF)) | ((top << 4 | top << 34) & every(0x30));
    scales[1] = (low >> 4 & every(0xF)) | ((top | top << 30) & every(0x30));
}

/* Eight scales and eight minima of 6 bits (see q4_k_scale). */
static inline void q4_k_bytes(const uint8_t *stored, uint64_t *scales, uint64_t *mins)
{
    uint32_t low = word32(stored), low_min = word32(stored + 4), high = word32(stored + 8);
    uint32_t four = (high & 0x0F0F0F0F) | (low >> 2 & 0x30303030);
    uint32_t four_mins = (high >> 4 & 0x0F0F0F0F) | (low_min >> 2 & 0x30303030);
    *scales = (low & 0x3F3F3F3F) | (uint64_t)four << 32;
    *mins = (low_min & 0x3F3F3F3F) | (uint64_t)four_mins << 32;
}

/* Eight scales of 6 bits; 32 stands for 0. Nibbles, and then pairs of bits, move apart step by step. */
static inline uint64_t iq4_xs_bytes(const block_iq4_xs *b)
{
    uint64_t low = word32(b->scales_l), top = b->scales_h;
    low = (low | low << 16) & UINT64_C(0x0000FFFF0000FFFF);
    low = (low | low << 8) & UINT64_C(0x00FF00FF00FF00FF);
    low = (low | low << 4) & every(0xF);
    top = (top | top << 24) & UINT64_C(0x000000FF000000FF);
    top = (top | top << 12) & UINT64_C(0x000F000F000F000F);
    top = (top | top << 6) & every(3);
    return low | top << 4;
}

INLINE void q2_k_scales(const void *block, vf *d, vf *m)
{
    const block_q2_k *b = block;
    uint64_t scales[2], mins[2];
    q2_k_bytes(b, scales, mins);
    times_bytes(half_float(b->d), scales, 2, 0, d);
    times_bytes(half_float(b->dmin), mins, 2, 0, m);
}

INLINE void q3_k_scales(const void *block, vf *d, vf *m)
{
    const block_q3_k *b = block;
    uint64_t scales[2];
    (void)m;
    q3_k_bytes(b, scales);
    times_bytes(half_float(b->d), scales, 2, 32, d);
}

INLINE void q4_k_scales(const void *block, vf *d, vf *m)
{
    const block_q4_k *b = block;
    uint64_t scales, mins;
    q4_k_bytes(b->scales, &scales, &mins);
    times_bytes(half_float(b->d), &scales, 1, 0, d);
    times_bytes(half_float(b->dmin), &mins, 1, 0, m);
}

INLINE void q5_k_scales(const void *block, vf *d, vf *m)
{
    q4_k_scales(block, d, m); /* the head of a block is the same */
}

INLINE void q6_k_scales(const void *block, vf *d, vf *m)
{
    const block_q6_k *b = block;
    uint64_t scales[2] = {word64(b->scales) ^ every(0x80), word64(b->scales + 8) ^ every(0x80)};
    (void)m;
    times_bytes(half_float(b->d), scales, 2, 128, d);
}

INLINE void iq4_xs_scales(const void *block, vf *d, vf *m)
{
    const block_iq4_xs *b = block;
    uint64_t scales = iq4_xs_bytes(b);
    (void)m;
    times_bytes(half_float(b->d), &scales, 1, 32, d);
}

/* Powers of two from the exponents of eight blocks (see mxfp4_scale). */
INLINE void mxfp4_scales(const void *block, vf *d, vf *m)
{
    const block_mxfp4 *b = block;
    uint64_t bytes[2] = {0}; /* twice, because the exponent 0 would make slow numbers in unused lanes */
    (void)m;
    EACH(i, 8) bytes[0] |= (uint64_t)b[i].exponent << 8 * i;
    bytes[1] = bytes[0];
    times_bytes(1, bytes, HB_LANES > 8 ? 2 : 1, 0, d);
    EACH(v, HALF)
    {
        vi e = __builtin_convertvector(d[v], vi);
        d[v] = vf_select(e < 2, (vf)((e + 1) << 21), (vf)((e - 1) << 23));
        d[v] = (vf)((vi)d[v] | (e == 255)); /* a float whose bits are all set is NaN */
    }
}

#endif
