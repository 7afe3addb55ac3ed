/* Rotary position embedding (Su et al., RoFormer, 2021): the angles by which heads are rotated at a
 * position. */
#ifndef HB_ENGINE_ROPE_H
#define HB_ENGINE_ROPE_H

#include <stdint.h>

/* Pair i of n_rot / 2 turns by base^(-2i / n_rot) / factors[i] * scale radians per position. YaRN (Peng
 * et al., 2023) leaves pairs unscaled that turn often within the original context: the unscaled share
 * is `unscaled` for pairs that turn `fast` times or more, 0 for pairs that turn `slow` times or less,
 * and changes linearly in between. */
typedef struct hb_rope {
    double base, scale;
    const float *factors; /* [n_rot / 2]; NULL: all 1 */
    double unscaled, fast, slow;
    double n_original; /* positions of the original context */
    double magnitude;  /* cosines and sines are multiplied by this */
} hb_rope;

/* Fills frequencies [n_rot / 2] with the radians that each pair turns per position. */
void hb_rope_frequencies(const hb_rope *rope, int32_t n_rot, double *frequencies);

/* Fills angles [n_rot / 2][2] with the cosine and sine of each pair's angle at one position, times the
 * magnitude. */
void hb_rope_angles(const double *frequencies, double magnitude, int32_t n_rot, int32_t position,
                    float *angles);

#endif
