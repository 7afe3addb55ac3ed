#include "engine/rope.h"

#include <math.h>

#define PI 3.14159265358979323846

/* The index, not rounded, of the pair that turns this many times within the original context. */
static double pair_that_turns(const hb_rope *r, int32_t n_rot, double times)
{
    return n_rot * log(r->n_original / (times * 2 * PI)) / (2 * log(r->base));
}

/* The share of a pair's rotation that is not scaled. */
static double unscaled_share(const hb_rope *r, int32_t n_rot, int32_t pair)
{
    if (r->unscaled == 0) return 0;
    double first = fmax(0, floor(pair_that_turns(r, n_rot, r->fast)));
    double last = fmin(n_rot - 1, ceil(pair_that_turns(r, n_rot, r->slow)));
    double way = (pair - first) / fmax(0.001, last - first);
    return r->unscaled * (1 - fmin(1, fmax(0, way)));
}

void hb_rope_frequencies(const hb_rope *rope, int32_t n_rot, double *frequencies)
{
    for (int32_t i = 0; i < n_rot / 2; i++) {
        double share = unscaled_share(rope, n_rot, i);
        frequencies[i] = pow(rope->base, -2.0 * i / n_rot) * (rope->scale * (1 - share) + share);
        if (rope->factors) frequencies[i] /= rope->factors[i];
    }
}

void hb_rope_angles(const double *frequencies, double magnitude, int32_t n_rot, int32_t position,
                    float *angles)
{
    for (int32_t i = 0; i < n_rot / 2; i++) {
        angles[2 * i] = (float)(magnitude * cos(position * frequencies[i]));
        angles[2 * i + 1] = (float)(magnitude * sin(position * frequencies[i]));
    }
}
