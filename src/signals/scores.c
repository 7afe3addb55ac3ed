/* Signals and aggregations by name, and a signal's values aggregated as they come. */
#include "signals/scores.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buffer.h"
#include "base/error.h"

static const hb_signal_info signals[HB_N_SIGNALS] = {
    [HB_SIGNAL_HBAR_S] = {"hbar_s", "semantic uncertainty", HB_AGGREGATION_TOP5},
    [HB_SIGNAL_PRI] = {"pri", "predictive rupture index, nats", HB_AGGREGATION_TOP5},
    [HB_SIGNAL_DELTA_MU] = {"delta_mu", "precision of the distribution", HB_AGGREGATION_TOP5},
    [HB_SIGNAL_DELTA_SIGMA] = {"delta_sigma", "spread of the blocks' states", HB_AGGREGATION_TOP5},
    [HB_SIGNAL_DELTA_H] = {"delta_h", "cosine distance from the step before", HB_AGGREGATION_TOP5},
    [HB_SIGNAL_SURPRISE] = {"surprise", "of the chosen token, nats", HB_AGGREGATION_TOP5},
    [HB_SIGNAL_ENTROPY] = {"entropy", "of the distribution, nats", HB_AGGREGATION_TOP5},
    [HB_SIGNAL_RENYI] = {"renyi", "divergence from uniform, order 2, nats", HB_AGGREGATION_TOP5},
    [HB_SIGNAL_TSALLIS] = {"tsallis", "divergence from uniform, order 3/2", HB_AGGREGATION_TOP5},
    [HB_SIGNAL_FISHER_RAO] = {"fisher_rao", "distance from uniform, 0 to 1", HB_AGGREGATION_TOP5},
    [HB_SIGNAL_MAX_PROB] = {"max_prob", "the greatest probability", HB_AGGREGATION_TOP5},
    [HB_SIGNAL_MARGIN] = {"margin", "of the two greatest probabilities", HB_AGGREGATION_TOP5},
    [HB_SIGNAL_SELF_CERTAINTY] = {"self_certainty", "divergence of uniform from it, nats",
                                  HB_AGGREGATION_TOP5},
    [HB_SIGNAL_PERPLEXITY] = {"perplexity", "of the tokens so far", HB_AGGREGATION_LAST},
    [HB_SIGNAL_SEQUENCE_LOGPROB] = {"sequence_logprob", "of the tokens so far, nats",
                                    HB_AGGREGATION_LAST},
    [HB_SIGNAL_LENS_JSD] = {"lens_jsd", "last block against the middle one, nats", HB_AGGREGATION_TOP5},
    [HB_SIGNAL_LENS_DEPTH] = {"lens_depth", "blocks until the token is settled, 0 to 1",
                              HB_AGGREGATION_TOP5},
};

static const char *const aggregations[HB_N_AGGREGATIONS] = {
    [HB_AGGREGATION_TOP5] = "top5", [HB_AGGREGATION_MEAN] = "mean", [HB_AGGREGATION_MAX] = "max",
    [HB_AGGREGATION_MIN] = "min",   [HB_AGGREGATION_LAST] = "last", [HB_AGGREGATION_FIRST] = "first",
    [HB_AGGREGATION_SUM] = "sum",
};

/* ---- Names -------------------------------------------------------------------------------------- */

const hb_signal_info *hb_signal_get_info(hb_signal signal)
{
    return &signals[signal];
}

const char *hb_aggregation_name(hb_aggregation aggregation)
{
    return aggregations[aggregation];
}

/* The signal of that name, of `length` bytes; HB_N_SIGNALS when there is none. */
static int find_signal(const char *name, size_t length)
{
    int s = 0;
    while (s < HB_N_SIGNALS && (strncmp(name, signals[s].name, length) != 0 || signals[s].name[length]))
        s++;
    return s;
}

hb_status hb_signals_parse(const char *list, hb_signal_set *set, hb_error *err)
{
    hb_signal_set found = strcmp(list, "all") == 0 ? HB_SIGNALS_ALL : 0;
    for (const char *name = found ? "" : list; !found || *name;) {
        size_t length = strcspn(name, ",");
        int s = find_signal(name, length);
        if (s == HB_N_SIGNALS) {
            char *known = hb_signals_list(HB_SIGNALS_ALL);
            hb_status status = hb_fail(err, HB_ERR_ARGUMENT, "no signal '%.*s'; there are %s",
                                       length < 60 ? (int)length : 60, name, known ? known : "others");
            free(known);
            return status;
        }
        found |= HB_SIGNAL_BIT(s);
        name += length + (name[length] == ',');
    }
    *set = found;
    return HB_OK;
}

char *hb_signals_list(hb_signal_set set)
{
    hb_buffer list = {0};
    bool ok = hb_buffer_add_text(&list, "");
    for (int s = 0; s < HB_N_SIGNALS && ok; s++)
        if (set & HB_SIGNAL_BIT(s))
            ok = (!list.length || hb_buffer_add_text(&list, ",")) &&
                 hb_buffer_add_text(&list, signals[s].name);
    if (ok) return list.data;
    hb_buffer_free(&list);
    return NULL;
}

bool hb_score_find(const char *name, hb_score_id *id)
{
    size_t length = strcspn(name, ":");
    int s = find_signal(name, length), a = 0;
    if (s == HB_N_SIGNALS) return false;
    if (!name[length]) a = (int)signals[s].usual;
    else
        while (a < HB_N_AGGREGATIONS && strcmp(name + length + 1, aggregations[a]) != 0) a++;
    *id = (hb_score_id){(hb_signal)s, (hb_aggregation)a};
    return a < HB_N_AGGREGATIONS;
}

void hb_score_name(hb_score_id id, char name[HB_SCORE_NAME_MAX])
{
    const hb_signal_info *signal = &signals[id.signal];
    bool usual = id.aggregation == signal->usual;
    snprintf(name, HB_SCORE_NAME_MAX, "%s%s%s", signal->name, usual ? "" : ":",
             usual ? "" : aggregations[id.aggregation]);
}

hb_score_id hb_score_at(size_t i)
{
    return (hb_score_id){(hb_signal)(i / HB_N_AGGREGATIONS), (hb_aggregation)(i % HB_N_AGGREGATIONS)};
}

double hb_scores_get(const hb_scores *scores, hb_score_id id)
{
    return scores->of[id.signal][id.aggregation];
}

/* ---- Aggregation -------------------------------------------------------------------------------- */

void hb_aggregate_add(hb_aggregate *a, double value)
{
    hb_top5_add(&a->top, value);
    if (a->n == 0) a->first = a->min = value;
    if (value < a->min) a->min = value;
    a->last = value;
    a->sum += value;
    a->n++;
}

void hb_aggregate_get(const hb_aggregate *a, double out[HB_N_AGGREGATIONS])
{
    const double all[HB_N_AGGREGATIONS] = {
        [HB_AGGREGATION_TOP5] = hb_top5_mean(&a->top),
        [HB_AGGREGATION_MEAN] = a->sum / (double)a->n,
        [HB_AGGREGATION_MAX] = a->top.largest[0],
        [HB_AGGREGATION_MIN] = a->min,
        [HB_AGGREGATION_LAST] = a->last,
        [HB_AGGREGATION_FIRST] = a->first,
        [HB_AGGREGATION_SUM] = a->sum,
    };
    for (int i = 0; i < HB_N_AGGREGATIONS; i++) out[i] = a->n ? all[i] : NAN;
}
