/* Rotary position embedding (Su et al., RoFormer, 2021): the angles by which positions turn heads. */
#ifndef HB_ENGINE_ROPE_H
#define HB_ENGINE_ROPE_H

#include <stdint.h>

/* Pair i of n_rot / 2 turns by base^(-2i / n_rot) / factors[i] * scale radians a position. YaRN (Peng
 * et al., 2023) leaves pairs that turn often within the context of training unscaled, by a share that
 * falls from `unscaled` to 0 between those that turn `fast` and those that turn `slow` times. */
typedef struct hb_rope {
    double base, scale;
    const float *factors; /* [n_rot / 2]; NULL: all 1 */
    double unscaled, fast, slow;
    double n_original; /* positions of that context */
    double magnitude;  /* cosines and sines are multiplied by this */
} hb_rope;

/* The radians that each pair turns by with a position: frequencies [n_rot / 2]. */
void hb_rope_frequencies(const hb_rope *rope, int32_t n_rot, double *frequencies);

/* The angles of one position, as cosines and sines times the rope's magnitude: angles [n_rot / 2][2].
 */
void hb_rope_angles(const double *frequencies, double magnitude, int32_t n_rot, int32_t position,
                    float *angles);

#endif
