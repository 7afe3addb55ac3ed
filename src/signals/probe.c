#include "signals/probe.h"

#include <stdlib.h>
#include <string.h>
#include "base/wide.h"
#include "signals/features.h"

HB_WIDE static double row_product(const float *a, const float *b, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

double hb_probe_log_odds(const hb_probe *p, const float *x)
{
    double sum = p->intercept;
    for (size_t i = 0; i < p->n; i++) sum += (double)p->weights[i] * x[i];
    for (size_t k = 0; k < p->rank; k++) {
        double off = row_product(p->rows + k * p->n, x, p->n) - p->offsets[k];
        sum += p->factors[k] * off * off;
    }
    return sum;
}

/* ---- Probes of states ---------------------------------------------------------------------------- */

static bool reads_block(const hb_signal *signal, int32_t block, int32_t n_layers)
{
    (void)n_layers;
    return block == ((const hb_probe *)signal->parameters)->block;
}

static double measure_state(const hb_signal *signal, hb_measuring *m, void *state)
{
    const hb_probe *p = signal->parameters;
    const float *h = hb_measured_state(m, (size_t)p->block);
    (void)state;
    return hb_probe_log_odds(p, h);
}

const hb_probe *hb_probe_of(const hb_signal *signal)
{
    const hb_probe_kind *kind;
    for (size_t i = 0; (kind = hb_probe_kind_at(i)) != NULL; i++)
        if (signal->measure == kind->signal.measure) return signal->parameters;
    return NULL;
}

/* ---- Densities ----------------------------------------------------------------------------------- */

/* The state of a density: the number of steps, the sums of their states [n], and room for the mean [n].
 */
static size_t density_bytes(size_t n)
{
    return (n + 1) * sizeof(double) + n * sizeof(float);
}

/* The distance of the steps so far: that of their mean state. */
static double measure_density(const hb_signal *signal, hb_measuring *m, void *state)
{
    const hb_probe *p = signal->parameters;
    const float *h = hb_measured_state(m, (size_t)p->block);
    double *steps = state, *sums = steps + 1;
    float *mean = (float *)(void *)(sums + p->n);
    ++*steps;
    for (size_t i = 0; i < p->n; i++) {
        sums[i] += h[i];
        mean[i] = (float)(sums[i] / *steps);
    }
    return hb_probe_log_odds(p, mean);
}

/* ---- Weighted entropies -------------------------------------------------------------------------- */

/* The sums and maxima of the ranks over the steps so far. */
typedef struct ranks_so_far {
    double sums[HB_RANKS];
    float greatest[HB_RANKS];
    size_t n;
} ranks_so_far;

static double measure_ranks(const hb_signal *signal, hb_measuring *m, void *state)
{
    const float *ranks = hb_measured_ranks(m);
    ranks_so_far *so_far = state;
    float x[2 * HB_RANKS];
    so_far->n++;
    for (int k = 0; k < HB_RANKS; k++) {
        so_far->sums[k] += ranks[k];
        if (ranks[k] > so_far->greatest[k]) so_far->greatest[k] = ranks[k];
        x[k] = (float)(so_far->sums[k] / (double)so_far->n);
        x[HB_RANKS + k] = so_far->greatest[k];
    }
    return hb_probe_log_odds(signal->parameters, x);
}

/* ---- Lookback ratios ----------------------------------------------------------------------------- */

static double measure_lookback(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)state;
    return hb_probe_log_odds(signal->parameters, hb_measured_lookback(m));
}

/* ---- The kinds ----------------------------------------------------------------------------------- */

#define OF_STATE(usual_)                                                                               \
    {                                                                                                  \
        .unit = "log-odds", .risky = HB_DIRECTION_HIGH, .usual = usual_, .reads_state = reads_block,   \
        .measure = measure_state                                                                       \
    }

#define OF_DENSITY                                                                                     \
    {                                                                                                  \
        .unit = "", .risky = HB_DIRECTION_HIGH, .usual = HB_AGGREGATION_LAST,                          \
        .reads_state = reads_block, .measure = measure_density                                         \
    }

static const hb_probe_kind kinds[] = {
    {.name = "probe",
     .about = "linear probe, mean over the answer",
     .feature = HB_FEATURE_MEAN,
     .of_block = true,
     .signal = OF_STATE(HB_AGGREGATION_MEAN)},
    {.name = "probe_first",
     .about = "linear probe before the answer",
     .feature = HB_FEATURE_FIRST,
     .of_block = true,
     .signal = OF_STATE(HB_AGGREGATION_FIRST)},
    {.name = "probe_last",
     .about = "linear probe at the answer's end",
     .feature = HB_FEATURE_LAST,
     .of_block = true,
     .signal = OF_STATE(HB_AGGREGATION_LAST)},
    {.name = "wepr",
     .about = "weighted entropies of the 15 most probable tokens",
     .feature = HB_FEATURE_TOPK,
     .signal = {.unit = "log-odds",
                .risky = HB_DIRECTION_HIGH,
                .usual = HB_AGGREGATION_LAST,
                .needs_distribution = true,
                .state_bytes = sizeof(ranks_so_far),
                .measure = measure_ranks}},
    {.name = "lookback",
     .about = "lookback ratios of the heads",
     .feature = HB_FEATURE_LOOKBACK,
     .signal = {.unit = "log-odds",
                .risky = HB_DIRECTION_HIGH,
                .usual = HB_AGGREGATION_MEAN,
                .needs_attention = true,
                .measure = measure_lookback}},
    {.name = "mahalanobis",
     .about = "distance of the states from right answers'",
     .feature = HB_FEATURE_MEAN,
     .of_block = true,
     .density = true,
     .signal = OF_DENSITY},
    {.name = "relative_mahalanobis",
     .about = "that distance less the one from all answers'",
     .feature = HB_FEATURE_MEAN,
     .of_block = true,
     .density = true,
     .relative = true,
     .signal = OF_DENSITY},
};

const hb_probe_kind *hb_probe_kind_at(size_t i)
{
    return i < sizeof kinds / sizeof *kinds ? &kinds[i] : NULL;
}

const hb_probe_kind *hb_probe_kind_find(const char *name)
{
    const hb_probe_kind *kind;
    size_t i = 0;
    while ((kind = hb_probe_kind_at(i)) != NULL && strcmp(kind->name, name) != 0) i++;
    return kind;
}

const char *hb_probe_kind_name(size_t i)
{
    const hb_probe_kind *kind = hb_probe_kind_at(i);
    return kind ? kind->name : NULL;
}

const char *hb_probe_kind_features(size_t i)
{
    const hb_probe_kind *kind = hb_probe_kind_at(i);
    return kind ? hb_feature_item(kind->feature) : NULL;
}

/* ---- One probe ----------------------------------------------------------------------------------- */

hb_status hb_probe_new(const hb_probe_kind *kind, int32_t block, size_t n, size_t rank,
                       hb_probe **probe, hb_error *err)
{
    size_t cells;
    hb_probe *p = calloc(1, sizeof *p);
    if (!p) return hb_fail_memory(err);
    *p = (hb_probe){.kind = kind, .signal = kind->signal, .block = block, .n = n, .rank = rank};
    p->signal.name = kind->name;
    p->signal.about = kind->about;
    p->signal.parameters = p;
    if (kind->density) p->signal.state_bytes = density_bytes(n);
    bool fits = !__builtin_mul_overflow(rank, n, &cells);
    p->weights = calloc(n + 1, sizeof *p->weights);
    p->rows = fits ? calloc(cells + 1, sizeof *p->rows) : NULL;
    p->offsets = calloc(2 * rank + 1, sizeof *p->offsets);
    if (!p->weights || !p->rows || !p->offsets) {
        hb_probe_free(p);
        return hb_fail_memory(err);
    }
    p->factors = p->offsets + rank;
    *probe = p;
    return HB_OK;
}

void hb_probe_free(hb_probe *probe)
{
    if (!probe) return;
    free(probe->weights);
    free(probe->rows);
    free(probe->offsets);
    free(probe->trials);
    free(probe);
}

void hb_probes_free(hb_probe **probes, size_t n)
{
    for (size_t i = 0; i < n; i++) hb_probe_free(probes[i]);
    free(probes);
}

const hb_probe *hb_probes_find(hb_probe *const *probes, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(probes[i]->kind->name, name) == 0) return probes[i];
    return NULL;
}

const char *hb_probe_name(const hb_probe *probe)
{
    return probe->kind->name;
}

int32_t hb_probe_block(const hb_probe *probe)
{
    return probe->block;
}

const float *hb_probe_weights(const hb_probe *probe, size_t *n, double *intercept)
{
    *n = probe->n;
    *intercept = probe->intercept;
    return probe->weights;
}

const hb_probe_trial *hb_probe_trials(const hb_probe *probe, size_t *n, size_t *best)
{
    *n = probe->n_trials;
    *best = probe->best;
    return probe->trials;
}

const hb_signal *hb_probe_signal(const hb_probe *probe)
{
    return &probe->signal;
}
