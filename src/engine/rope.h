/* Rotary position embedding (Su et al., RoFormer, 2021): the angles by which a position rotates heads.
 */
#ifndef HB_ENGINE_ROPE_H
#define HB_ENGINE_ROPE_H

#include <stdint.h>

/* Pair i of n_rot / 2 turns by base^(-2i / n_rot) / factors[i] * scale radians per position. YaRN (Peng
 * et al., 2023) does not scale pairs that turn often within the original context: the unscaled share
 * falls from `unscaled`, for pairs that turn `fast` times or more, to 0, for pairs that turn `slow`
 * times or less. */
typedef struct hb_rope {
    double base, scale;
    const float *factors; /* [n_rot / 2]; NULL: all 1 */
    double unscaled, fast, slow;
    double n_original; /* positions of that context */
    double magnitude;  /* cosines and sines are multiplied by this */
} hb_rope;

/* frequencies [n_rot / 2]: the radians that each pair turns per position. */
void hb_rope_frequencies(const hb_rope *rope, int32_t n_rot, double *frequencies);

/* angles [n_rot / 2][2]: cosine and sine of each pair's angle at one position, times the magnitude. */
void hb_rope_angles(const double *frequencies, double magnitude, int32_t n_rot, int32_t position,
                    float *angles);

#endif
