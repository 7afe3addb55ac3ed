#include "base/half.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

uint16_t hb_half(float value)
{
    enum { LARGEST = 0x7BFF, LEAST_NORMAL = 0x38800000 /* 2^-14 as a float */ };
    uint32_t sign = bits_of(value) >> 16 & 0x8000, size = bits_of(value) & 0x7FFFFFFF, half;
    if (isnan(value)) return 0x7E00;
    if (size < LEAST_NORMAL) /* a half counts units of 2^-24, the last place of 0.5 */
        half = bits_of(fabsf(value) + 0.5f) - bits_of(0.5f);
    else half = ((size + 0xFFF + (size >> 13 & 1)) >> 13) - (112 << 10);
    return (uint16_t)(sign | (half < LARGEST ? half : LARGEST));
}

float hb_half_value(uint16_t half)
{
    int exponent = half >> 10 & 0x1F;
    float fraction = (float)(half & 0x3FF), sign = half & 0x8000 ? -1.0f : 1.0f;
    if (exponent == 0x1F) return fraction > 0 ? NAN : sign * INFINITY;
    if (exponent == 0) return sign * ldexpf(fraction, -24);
    return sign * ldexpf(1024 + fraction, exponent - 25);
}
