/* The built-in signals: what each is called, what it needs, and the function that measures it. */
#include <math.h>
#include <string.h>
#include "signals/attention.h"
#include "signals/distribution.h"

/* ---- What signals read --------------------------------------------------------------------------- */

static bool every_block(const hb_signal *signal, int32_t block, int32_t n_layers)
{
    (void)signal, (void)block, (void)n_layers;
    return true;
}

static bool last_block(const hb_signal *signal, int32_t block, int32_t n_layers)
{
    (void)signal;
    return block == n_layers - 1;
}

/* The index of the middle block, the ceil(L / 2)-th. */
static int32_t middle_of(int32_t n_layers)
{
    return (n_layers + 1) / 2 - 1;
}

static bool middle_and_last_block(const hb_signal *signal, int32_t block, int32_t n_layers)
{
    (void)signal;
    return block == middle_of(n_layers) || block == n_layers - 1;
}

/* ---- The distribution and the token chosen from it ----------------------------------------------- */

static double delta_mu(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)signal, (void)state;
    return hb_delta_mu(hb_measured_impurity(m));
}

static double surprise(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)signal, (void)state;
    return hb_measured_surprise(m);
}

static double boosted_prob(const hb_signal *signal, hb_measuring *m, void *state)
{
    size_t n;
    const float *greatest = hb_measured_greatest(m, &n);
    (void)signal, (void)state;
    return hb_boosted_probability_from(hb_measured_distribution(m), m->reading->logits, m->token,
                                       greatest, n);
}

static double epr(const hb_signal *signal, hb_measuring *m, void *state)
{
    const float *ranks = hb_measured_ranks(m);
    double sum = 0;
    (void)signal, (void)state;
    for (int k = 0; k < HB_RANKS; k++) sum += ranks[k];
    return sum;
}

/* Parameters of signals that are a function of the distribution. They share one measuring function. */
typedef struct of_distribution {
    double (*function)(const hb_distribution *distribution);
} of_distribution;

static double measure_distribution(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)state;
    return ((const of_distribution *)signal->parameters)->function(hb_measured_distribution(m));
}

/* ---- The tokens so far --------------------------------------------------------------------------- */

/* The sum and number of surprises up to a step. */
typedef struct total {
    double sum;
    size_t n;
} total;

static double perplexity(const hb_signal *signal, hb_measuring *m, void *state)
{
    total *t = state;
    (void)signal;
    t->sum += hb_measured_surprise(m);
    return exp(t->sum / (double)++t->n);
}

static double sequence_logprob(const hb_signal *signal, hb_measuring *m, void *state)
{
    total *t = state;
    (void)signal;
    t->sum += hb_measured_surprise(m);
    return 0 - t->sum;
}

/* ---- The blocks' states -------------------------------------------------------------------------- */

static double delta_sigma(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)signal, (void)state;
    return hb_measured_delta_sigma(m);
}

static double hbar_s(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)signal, (void)state;
    return hb_hbar_s(hb_delta_mu(hb_measured_impurity(m)), hb_measured_delta_sigma(m));
}

static double delta_h(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)signal, (void)state;
    return hb_measured_delta_h(m);
}

static double pri(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)signal, (void)state;
    return hb_pri(hb_measured_surprise(m), hb_measured_delta_h(m), m->alpha);
}

static double fisher_shift(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)signal, (void)state;
    return hb_measured_fisher_shift(m);
}

static double pri_fisher(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)signal, (void)state;
    return hb_measured_surprise(m) + m->alpha * hb_measured_fisher_shift(m);
}

static double null_ratio(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)signal, (void)state;
    return hb_measured_null_ratio(m);
}

static double lens_jsd(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)signal, (void)state;
    return hb_jensen_shannon(hb_measured_lens(m, m->n_layers - 1),
                             hb_measured_lens(m, (size_t)middle_of((int32_t)m->n_layers)),
                             (size_t)m->reading->n_lens);
}

static double lens_depth(const hb_signal *signal, hb_measuring *m, void *state)
{
    (void)signal, (void)state;
    return hb_prediction_depth(hb_measured_lens(m, 0), m->n_layers, (size_t)m->reading->n_lens);
}

/* ---- The registry -------------------------------------------------------------------------------- */

/* The order of the rows is the order in which signals are listed and stored. */
static const hb_signal signals[] = {
    {.name = "hbar_s",
     .about = "semantic uncertainty",
     .unit = "",
     .risky = HB_DIRECTION_AUTO,
     .needs_distribution = true,
     .reads_state = every_block,
     .measure = hbar_s},
    {.name = "pri",
     .about = "predictive rupture index",
     .unit = "nats",
     .risky = HB_DIRECTION_HIGH,
     .needs_distribution = true,
     .needs_previous = true,
     .reads_state = last_block,
     .measure = pri},
    {.name = "delta_mu",
     .about = "precision of the distribution",
     .unit = "",
     .risky = HB_DIRECTION_LOW,
     .needs_distribution = true,
     .measure = delta_mu},
    {.name = "delta_sigma",
     .about = "spread of the blocks' states",
     .unit = "",
     .risky = HB_DIRECTION_AUTO,
     .reads_state = every_block,
     .measure = delta_sigma},
    {.name = "delta_h",
     .about = "cosine distance from the step before",
     .unit = "",
     .risky = HB_DIRECTION_AUTO,
     .needs_previous = true,
     .reads_state = last_block,
     .measure = delta_h},
    {.name = "surprise",
     .about = "of the chosen token",
     .unit = "nats",
     .risky = HB_DIRECTION_HIGH,
     .needs_distribution = true,
     .measure = surprise},
    {.name = "entropy",
     .about = "of the distribution",
     .unit = "nats",
     .risky = HB_DIRECTION_HIGH,
     .needs_distribution = true,
     .measure = measure_distribution,
     .parameters = &(const of_distribution){hb_entropy}},
    {.name = "renyi",
     .about = "divergence from uniform, order 2",
     .unit = "nats",
     .risky = HB_DIRECTION_LOW,
     .needs_distribution = true,
     .measure = measure_distribution,
     .parameters = &(const of_distribution){hb_renyi_divergence}},
    {.name = "tsallis",
     .about = "divergence from uniform, order 3/2",
     .unit = "",
     .risky = HB_DIRECTION_LOW,
     .needs_distribution = true,
     .measure = measure_distribution,
     .parameters = &(const of_distribution){hb_tsallis_divergence}},
    {.name = "fisher_rao",
     .about = "distance from uniform, 0 to 1",
     .unit = "",
     .risky = HB_DIRECTION_LOW,
     .needs_distribution = true,
     .measure = measure_distribution,
     .parameters = &(const of_distribution){hb_fisher_rao_distance}},
    {.name = "rainproof_renyi",
     .about = "renyi at temperature 2, order 1/2",
     .unit = "nats",
     .risky = HB_DIRECTION_LOW,
     .needs_distribution = true,
     .measure = measure_distribution,
     .parameters = &(const of_distribution){hb_rainproof_renyi}},
    {.name = "rainproof_fisher_rao",
     .about = "fisher_rao at temperature 2",
     .unit = "",
     .risky = HB_DIRECTION_LOW,
     .needs_distribution = true,
     .measure = measure_distribution,
     .parameters = &(const of_distribution){hb_rainproof_fisher_rao}},
    {.name = "max_prob",
     .about = "the greatest probability",
     .unit = "",
     .risky = HB_DIRECTION_LOW,
     .needs_distribution = true,
     .measure = measure_distribution,
     .parameters = &(const of_distribution){hb_max_probability}},
    {.name = "margin",
     .about = "of the two greatest probabilities",
     .unit = "",
     .risky = HB_DIRECTION_LOW,
     .needs_distribution = true,
     .measure = measure_distribution,
     .parameters = &(const of_distribution){hb_margin}},
    {.name = "self_certainty",
     .about = "divergence of uniform from it",
     .unit = "nats",
     .risky = HB_DIRECTION_LOW,
     .needs_distribution = true,
     .measure = measure_distribution,
     .parameters = &(const of_distribution){hb_self_certainty}},
    {.name = "perplexity",
     .about = "of the tokens so far",
     .unit = "",
     .risky = HB_DIRECTION_HIGH,
     .usual = HB_AGGREGATION_LAST,
     .needs_distribution = true,
     .state_bytes = sizeof(total),
     .measure = perplexity},
    {.name = "sequence_logprob",
     .about = "of the tokens so far",
     .unit = "nats",
     .risky = HB_DIRECTION_LOW,
     .usual = HB_AGGREGATION_LAST,
     .needs_distribution = true,
     .state_bytes = sizeof(total),
     .measure = sequence_logprob},
    {.name = "lens_jsd",
     .about = "last block against the middle one",
     .unit = "nats",
     .risky = HB_DIRECTION_AUTO,
     .needs_lens = true,
     .reads_state = middle_and_last_block,
     .measure = lens_jsd},
    {.name = "lens_depth",
     .about = "blocks until the token is settled, 0 to 1",
     .unit = "",
     .risky = HB_DIRECTION_AUTO,
     .needs_lens = true,
     .reads_state = every_block,
     .measure = lens_depth},
    {.name = "attention_entropy",
     .about = "of the heads' attention",
     .unit = "nats",
     .risky = HB_DIRECTION_AUTO,
     .needs_attention = true,
     .measure = hb_measure_attention_entropy},
    {.name = "attention_sink",
     .about = "the heads' attention to the first position",
     .unit = "",
     .risky = HB_DIRECTION_AUTO,
     .needs_attention = true,
     .measure = hb_measure_attention_sink},
    {.name = "attention_self",
     .about = "logarithm of the heads' attention to the position itself",
     .unit = "nats",
     .risky = HB_DIRECTION_AUTO,
     .usual = HB_AGGREGATION_MEAN,
     .needs_attention = true,
     .measure = hb_measure_attention_self},
    {.name = "rauq",
     .about = "recurrent uncertainty of the tokens so far, by attention",
     .unit = "nats",
     .risky = HB_DIRECTION_HIGH,
     .usual = HB_AGGREGATION_LAST,
     .needs_distribution = true,
     .needs_attention = true,
     .state_bytes = HB_RAUQ_BYTES,
     .head_bytes = HB_RAUQ_HEAD_BYTES,
     .measure = hb_measure_rauq},
    {.name = "epr",
     .about = "entropy production rate, 15 tokens",
     .unit = "nats",
     .risky = HB_DIRECTION_HIGH,
     .usual = HB_AGGREGATION_MEAN,
     .needs_distribution = true,
     .measure = epr},
    {.name = "boosted_prob",
     .about = "of the chosen token, or of all dominant ones",
     .unit = "",
     .risky = HB_DIRECTION_LOW,
     .usual = HB_AGGREGATION_MEAN,
     .needs_distribution = true,
     .measure = boosted_prob},
    {.name = "fisher_shift",
     .about = "Fisher length of the logits' change",
     .unit = "nats",
     .risky = HB_DIRECTION_AUTO,
     .needs_distribution = true,
     .needs_logits_before = true,
     .measure = fisher_shift},
    {.name = "pri_fisher",
     .about = "surprise + alpha fisher_shift",
     .unit = "nats",
     .risky = HB_DIRECTION_HIGH,
     .needs_distribution = true,
     .needs_logits_before = true,
     .measure = pri_fisher},
    {.name = "null_ratio",
     .about = "share of the state's change that moves no likely token",
     .unit = "",
     .risky = HB_DIRECTION_AUTO,
     .needs_distribution = true,
     .needs_lens = true,
     .needs_head = true,
     .reads_state = last_block,
     .measure = null_ratio},
};
#define N_SIGNALS (sizeof signals / sizeof *signals)

const hb_signal *hb_signal_at(size_t i)
{
    return i < N_SIGNALS ? &signals[i] : NULL;
}

size_t hb_signal_rank(const hb_signal *signal)
{
    for (size_t i = 0; i < N_SIGNALS; i++)
        if (signal == &signals[i]) return i;
    return SIZE_MAX;
}

const hb_signal *hb_signal_find(const char *name)
{
    for (size_t i = 0; i < N_SIGNALS; i++)
        if (strcmp(name, signals[i].name) == 0) return &signals[i];
    return NULL;
}

const char *hb_signal_name(const hb_signal *signal)
{
    return signal->name;
}

const char *hb_signal_about(const hb_signal *signal)
{
    return signal->about;
}

const char *hb_signal_unit(const hb_signal *signal)
{
    return signal->unit;
}

hb_direction hb_signal_risky(const hb_signal *signal)
{
    return signal->risky;
}

hb_aggregation hb_signal_usual(const hb_signal *signal)
{
    return signal->usual;
}
