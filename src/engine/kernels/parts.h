/* Weights and scales of every quantised type, unpacked in registers of 16 or 32 bytes (see rows.h). In
 * addition to what bytes.h needs, the including file defines:
 *
 *   vb block_nibbles(const uint8_t *from, int within)
 *       of the 16 low and then the 16 high nibbles at `from`, those from number `within` on
 *   vb repeat4(const uint8_t *from, int within)
 *       of the four bytes at `from`, each repeated eight times, those from number `within` on
 *   void eight_halves(const void *from, size_t stride, vf *out)
 *       eight half-precision numbers, `stride` bytes apart, as floats
 *
 * and what scales.h and fills.h need. */
#ifndef HB_ENGINE_KERNELS_PARTS_H
#define HB_ENGINE_KERNELS_PARTS_H

#include "engine/kernels/bytes.h"
#include "engine/kernels/scales.h"

/* Vector j of 256 weights begins in this run of 32, at this weight. */
#define RUN(j)    ((j) * (int)STEP / 32)
#define WITHIN(j) ((j) * (int)STEP % 32)

typedef uint16_t words16 __attribute__((vector_size(HB_LANES * 4)));
typedef uint64_t words64 __attribute__((vector_size(HB_LANES * 4)));

/* The bytes at `from`, shifted right, or left if `right` is negative, and masked. */
INLINE vb bits(const void *from, const int right, const int mask)
{
    words16 w = (words16)vb_load(from);
    w = right < 0 ? w << -right : w >> right;
    return (vb)w & all(mask);
}

INLINE vb q2_k_part(const void *block, const int j)
{
    const block_q2_k *b = block;
    return bits(b->qs + RUN(j) / 4 * 32 + WITHIN(j), RUN(j) % 4 * 2, 3);
}

INLINE vb q3_k_part(const void *block, const int j)
{
    const block_q3_k *b = block;
    return bits(b->qs + RUN(j) / 4 * 32 + WITHIN(j), RUN(j) % 4 * 2, 3) |
           bits(b->hmask + WITHIN(j), RUN(j) - 2, 4);
}

INLINE vb q4_k_part(const void *block, const int j)
{
    const block_q4_k *b = block;
    return bits(b->qs + RUN(j) / 2 * 32 + WITHIN(j), RUN(j) % 2 * 4, 0xF);
}

INLINE vb q5_k_part(const void *block, const int j)
{
    const block_q5_k *b = block;
    return bits(b->qs + RUN(j) / 2 * 32 + WITHIN(j), RUN(j) % 2 * 4, 0xF) |
           bits(b->qh + WITHIN(j), RUN(j) - 4, 0x10);
}

INLINE vb q6_k_part(const void *block, const int j)
{
    const block_q6_k *b = block;
    const uint8_t *ql = b->ql + RUN(j) / 4 * 64 + RUN(j) % 2 * 32 + WITHIN(j);
    return bits(ql, RUN(j) % 4 / 2 * 4, 0xF) |
           bits(b->qh + RUN(j) / 4 * 32 + WITHIN(j), RUN(j) % 4 * 2 - 4, 0x30);
}

/* The fifth bits of a block's weights. */
INLINE vb fifth_bits_of(const uint8_t *qh, const int within)
{
    const uint64_t bit = UINT64_C(0x8040201008040201);
    const vb which = (vb)(bit - (words64){0});
    return ((repeat4(qh, within) & which) == which) & all(0x10);
}

#define BLOCK_OF_RUN(type) const block_##type *b = (const block_##type *)block + RUN(j)

INLINE vb q4_0_part(const void *block, int j)
{
    BLOCK_OF_RUN(q4_0);
    return block_nibbles(b->qs, WITHIN(j));
}

INLINE vb q4_1_part(const void *block, int j)
{
    BLOCK_OF_RUN(q4_1);
    return block_nibbles(b->qs, WITHIN(j));
}

INLINE vb q5_0_part(const void *block, int j)
{
    BLOCK_OF_RUN(q5_0);
    return block_nibbles(b->qs, WITHIN(j)) | fifth_bits_of(b->qh, WITHIN(j));
}

INLINE vb q5_1_part(const void *block, int j)
{
    BLOCK_OF_RUN(q5_1);
    return block_nibbles(b->qs, WITHIN(j)) | fifth_bits_of(b->qh, WITHIN(j));
}

INLINE vb q8_0_part(const void *block, int j)
{
    BLOCK_OF_RUN(q8_0);
    return as_wide(vb_load(b->qs + WITHIN(j)) ^ all(-128));
}

INLINE vb iq4_nl_part(const void *block, int j)
{
    return chosen_by(as_wide(repeat16(iq4_values)), q4_0_part(block, j));
}

INLINE vb iq4_xs_part(const void *block, const int j)
{
    const block_iq4_xs *b = block;
    return chosen_by(as_wide(repeat16(iq4_values)), block_nibbles(b->qs + 16 * RUN(j), WITHIN(j)));
}

INLINE vb mxfp4_part(const void *block, int j)
{
    BLOCK_OF_RUN(mxfp4);
    return chosen_by(repeat16(mxfp4_values), block_nibbles(b->qs, WITHIN(j)));
}

/* ---- Scales of blocks of 32 -----------------------------------------------------------------------
 */

#define EIGHT_SCALES(type)                                                                             \
    INLINE void type##_scales(const void *block, vf *d, vf *m)                                         \
    {                                                                                                  \
        (void)m;                                                                                       \
        eight_halves(block, sizeof(block_##type), d);                                                  \
    }
EIGHT_SCALES(q4_0)
EIGHT_SCALES(q5_0)
EIGHT_SCALES(q8_0)
EIGHT_SCALES(iq4_nl)

#define EIGHT_MINIMA(type)                                                                             \
    INLINE void type##_scales(const void *block, vf *d, vf *m)                                         \
    {                                                                                                  \
        eight_halves(block, sizeof(block_##type), d);                                                  \
        eight_halves(&((const block_##type *)block)->min, sizeof(block_##type), m);                    \
        EACH(v, HALF) m[v] = -m[v];                                                                    \
    }
EIGHT_MINIMA(q4_1)
EIGHT_MINIMA(q5_1)

#endif
