/* Features of a sample: vectors that a run keeps beside the scores, so that detectors can be trained on
 * them in pass 2. They are collected while the sample is measured, from the same evaluations. */
#ifndef HB_SIGNALS_FEATURES_H
#define HB_SIGNALS_FEATURES_H

#include "signals/measure.h"

/* Which features are kept, as hb_features_parse writes it. */
typedef struct hb_feature_plan {
    bool hidden, topk, attention, states;
    int32_t *blocks; /* [n_blocks], ascending, numbered from 0: blocks whose states "hidden" keeps */
    int32_t n_blocks;
    int32_t states_block; /* set if states: the block whose state at each step is kept, from 0 */
} hb_feature_plan;

/* Reads a list such as "hidden:8+15+23+30,topk,attention,states:15". An empty list means no features.
 * With a model, checks the blocks, and "hidden" or "states" alone means the default blocks.
 * HB_ERR_ARGUMENT. Release with hb_feature_plan_free. */
hb_status hb_feature_plan_open(const char *list, const hb_model_info *model, hb_feature_plan *plan,
                               hb_error *err);
void hb_feature_plan_free(hb_feature_plan *plan);

/* What a list must have for a feature to be kept: "hidden", "topk" or "attention". */
const char *hb_feature_item(hb_feature feature);

/* Whether a list, as hb_feature_plan_open reads it, has the item of a feature. Needs no memory. */
bool hb_feature_listed(const char *list, hb_feature feature);

/* The length of a feature's vector for a model; 0 for a feature that is not kept, and for
 * HB_FEATURE_STATES, which grows with each step. */
size_t hb_feature_length(const hb_feature_plan *plan, hb_feature feature, const hb_model_info *model);

/* The features of one sample. */
typedef struct hb_features {
    const hb_feature_plan *plan;
    const hb_model_info *model;
    size_t n[HB_N_FEATURES];      /* lengths of the vectors; 0 for a feature that is not kept */
    float *values[HB_N_FEATURES]; /* [n], those of the steps so far; in one block of memory, but for
                                     HB_FEATURE_STATES, which has its own */
    double *sums[HB_N_FEATURES];  /* [n], from which means follow; only for features with means */
    size_t n_steps, states_room;
} hb_features;

/* Makes features of no step. Plan and model must outlive them. */
hb_status hb_features_open(const hb_feature_plan *plan, const hb_model_info *model,
                           hb_features **features, hb_error *err);
/* Makes a copy of the values, to which no step can be added. */
hb_status hb_features_copy(const hb_features *from, hb_features **features, hb_error *err);
void hb_features_free(hb_features *features);

/* Adds a measured step. False, with the features as before, when memory runs out. */
bool hb_features_add(hb_features *features, hb_measuring *measuring);

#endif
