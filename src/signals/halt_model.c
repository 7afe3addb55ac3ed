#include "signals/halt_model.h"

#include <stdlib.h>
#include <string.h>
#include "base/half.h"
#include "signals/probe.h"
#include "signals/running.h"

bool hb_halt_feature(const char *score, const hb_signal **signal)
{
    hb_score_id id;
    *signal = NULL;
    if (strcmp(score, "probe") == 0) return true;
    if (!hb_score_find(score, &id) || id.aggregation != HB_AGGREGATION_MEAN) return false;
    *signal = id.signal;
    return true;
}

bool hb_score_can_halt(const char *score, bool in_joint)
{
    const hb_signal *signal;
    hb_score_id id;
    if (in_joint) return hb_halt_feature(score, &signal);
    return strcmp(score, "probe") == 0 || hb_score_find(score, &id);
}

double hb_halt_probe_value(const hb_probe *probe, const float *state)
{
    double sum = probe->intercept;
    for (size_t i = 0; i < probe->n; i++)
        sum += (double)probe->weights[i] * (double)hb_half_value(hb_half(state[i]));
    return sum;
}

size_t hb_halt_model_count(const hb_halt_model *model)
{
    return model->joint.n_features ? model->joint.n_features : 1;
}

double hb_halt_model_value(const hb_halt_model *model, double *values)
{
    for (size_t i = 0; i < hb_halt_model_count(model); i++)
        values[i] = (double)hb_running_round(values[i]);
    return model->joint.n_features ? hb_joint_log_odds(&model->joint, values) : *values;
}

const hb_probe *hb_halt_model_probe(const hb_halt_model *model)
{
    return model->probe;
}

const hb_joint *hb_halt_model_joint(const hb_halt_model *model)
{
    return model->joint.n_features ? &model->joint : NULL;
}

void hb_halt_model_free(hb_halt_model *model)
{
    if (!model) return;
    hb_probe_free(model->probe);
    hb_joint_free(&model->joint);
    free(model);
}
