/* Probes: models of features. A probe is also a signal, so a watch can measure it at each step.
 */
#ifndef HB_SIGNALS_PROBE_H
#define HB_SIGNALS_PROBE_H

#include "base/error.h"
#include "signals/signal.h"

/* A kind of probe: what it reads, and how a watch measures it. */
typedef struct hb_probe_kind {
    const char *name, *about;
    hb_feature feature; /* the vector of a sample that it reads */
    bool of_block;      /* it reads one block's part of this vector */
    bool density;       /* it is a squared distance */
    bool relative;      /* it is the difference of two squared distances */
    hb_signal signal;   /* its needs and functions; probes of this kind get copies */
} hb_probe_kind;

/* The kinds, by number from 0 or by name; NULL beyond the last and for another name. */
const hb_probe_kind *hb_probe_kind_at(size_t i);
const hb_probe_kind *hb_probe_kind_find(const char *name);

struct hb_probe {
    const hb_probe_kind *kind;
    hb_signal signal; /* points to this probe, so a probe never moves */
    int32_t block;    /* numbered from 0; -1 unless the kind is of_block */
    float *weights;   /* [n] */
    size_t n;
    double intercept;
    size_t rank; /* of the quadratic part, the sum of factors[k] (rows[k].x - offsets[k])^2; 0: none */
    float *rows; /* [rank][n] */
    double *offsets, *factors; /* [rank] */
    hb_joint_options options;  /* of its training; zero when loaded */
    hb_probe_trial *trials;    /* [n_trials], none when loaded */
    size_t n_trials, best;
};

/* The probe that a signal is; NULL for another signal. */
const hb_probe *hb_probe_of(const hb_signal *signal);

/* Makes a probe with zero weights [n] and a quadratic part of zeros. `rank` is at most HB_DENSITY_RANK.
 */
hb_status hb_probe_new(const hb_probe_kind *kind, int32_t block, size_t n, size_t rank,
                       hb_probe **probe, hb_error *err);
void hb_probe_free(hb_probe *probe);

/* Frees a list of probes [n], and the probes in it. */
void hb_probes_free(hb_probe **probes, size_t n);

/* The probe of a name in a list; NULL if it has none. */
const hb_probe *hb_probes_find(hb_probe *const *probes, size_t n, const char *name);

#endif
