/* Vectors of HB_LANES floats, with the compiler's vector extension. The including file defines HB_LANES
 * for its instruction set and is compiled for that instruction set. */
#ifndef HB_ENGINE_KERNELS_VECTOR_H
#define HB_ENGINE_KERNELS_VECTOR_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* A loop over registers: always unrolled, so that an array indexed by it needs no memory. */
#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif
#define EACH(i, n) UNROLLED for (int i = 0; i < (n); i++)

/* Prefetches the cache line at byte `at` of a row, once for each line. It is called for the row that is
 * used next, because hardware prefetching stops at the end of a page. */
INLINE void ask_for(const uint8_t *row, size_t at)
{
    if (at % 64 == 0) __builtin_prefetch(row + at);
}

/* Size of the words that transposes move. Rows hold floats or bytes; words are only copied, never read
 * as another type. */
#define WORD sizeof(uint32_t)

typedef float vf __attribute__((vector_size(HB_LANES * 4)));
typedef int32_t vi __attribute__((vector_size(HB_LANES * 4)));
typedef int8_t vb __attribute__((vector_size(HB_LANES * 4)));

static inline vf vf_load(const float *from)
{
    vf v;
    memcpy(&v, from, sizeof v);
    return v;
}

static inline void vf_store(float *to, vf v)
{
    memcpy(to, &v, sizeof v);
}

static inline vf vf_all(float x)
{
    return x - (vf){0};
}

/* a where the mask is set, else b. */
static inline vf vf_select(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

static inline vf vf_max(vf a, vf b)
{
    return vf_select(a > b, a, b);
}

static inline vi vi_max(vi a, vi b)
{
    vi mask = a > b;
    return (mask & a) | (~mask & b);
}

/* SWAP(v, half) exchanges the lanes of v whose numbers differ in the bit `half`, a constant. */
#define LANES4(half, at)  (at) ^ (half), ((at) + 1) ^ (half), ((at) + 2) ^ (half), ((at) + 3) ^ (half)
#define LANES8(half, at)  LANES4(half, at), LANES4(half, (at) + 4)
#define LANES16(half, at) LANES8(half, at), LANES8(half, (at) + 8)
#if HB_LANES == 4
#define SWAP(v, half) __builtin_shufflevector(v, v, LANES4(half, 0))
#elif HB_LANES == 8
#define SWAP(v, half) __builtin_shufflevector(v, v, LANES8(half, 0))
#else
#define SWAP(v, half) __builtin_shufflevector(v, v, LANES16(half, 0))
#endif

/* Adds halves until one lane is left. The order is the same on every instruction set of this width. */
static inline float vf_sum(vf v)
{
#if HB_LANES > 8
    v += SWAP(v, 8);
#endif
#if HB_LANES > 4
    v += SWAP(v, 4);
#endif
    v += SWAP(v, 2);
    v += SWAP(v, 1);
    return v[0];
}

static inline float vf_greatest(vf v)
{
#if HB_LANES > 8
    v = vf_max(v, SWAP(v, 8));
#endif
#if HB_LANES > 4
    v = vf_max(v, SWAP(v, 4));
#endif
    v = vf_max(v, SWAP(v, 2));
    v = vf_max(v, SWAP(v, 1));
    return v[0];
}

/* The greatest magnitude, as bits. Magnitudes are in the order of their bits; infinity comes after all
 * numbers, and NaN after infinity. */
static inline int32_t vi_greatest(vi v)
{
#if HB_LANES > 8
    v = vi_max(v, SWAP(v, 8));
#endif
#if HB_LANES > 4
    v = vi_max(v, SWAP(v, 4));
#endif
    v = vi_max(v, SWAP(v, 2));
    v = vi_max(v, SWAP(v, 1));
    return v[0];
}

/* e^x within 2 units in the last place; 0 below -87.3, clamped above 88.3, and NaN for NaN: vf_max
 * returns its second argument then. Uses x = n ln 2 + r with |r| <= ln 2 / 2, and the Taylor series of
 * e^r. */
static inline vf vf_exp(vf x)
{
    const vf round = vf_all(0x1.8p23f);
    vf clamped = vf_max(vf_all(-87.3f), x);
    clamped = -vf_max(vf_all(-88.3f), -clamped);
    vf n = (clamped * 0x1.715476p0f + round) - round;
    vf r = clamped - n * 0x1.62e4p-1f;
    r = r - n * 0x1.7f7d1cp-20f;
    vf p = vf_all(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    vf power = (vf)((__builtin_convertvector(n, vi) + 127) << 23);
    return vf_select(x < vf_all(-87.3f), vf_all(0), p * power);
}

#endif
