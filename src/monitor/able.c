#include "monitor/able.h"

#include "engine/engine.h"
#include "signals/set.h"
#include "signals/signal.h"

/* The outputs of a tap, as bits, that a signal reads beside the logits. */
static unsigned outputs_of(const hb_signal *s, int32_t n_layers)
{
    unsigned outputs = s->needs_previous ? HB_OUTPUT_STATES : 0;
    if (s->needs_lens) outputs |= HB_OUTPUT_LENS;
    if (s->needs_head) outputs |= HB_OUTPUT_LENS | HB_OUTPUT_NORMED;
    if (s->needs_attention) outputs |= HB_OUTPUT_ATTENTION;
    for (int32_t b = 0; b < n_layers && s->reads_state; b++)
        if (s->reads_state(s, b, n_layers)) outputs |= HB_OUTPUT_STATES;
    return outputs;
}

static const char *output_name(unsigned outputs)
{
    return outputs & HB_OUTPUT_STATES      ? "the states of blocks"
           : outputs & HB_OUTPUT_LENS      ? "the output head"
           : outputs & HB_OUTPUT_ATTENTION ? "weights of attention"
                                           : "the state after the final norm";
}

bool hb_model_can_measure(const hb_model *model, const hb_signal *signal)
{
    return !(outputs_of(signal, model->info.n_layers) & model->lacks);
}

hb_status hb_signal_set_of_model(const hb_model *model, hb_signal_set **set, hb_error *err)
{
    hb_signal_set *s;
    const hb_signal *signal;
    hb_status status = hb_signal_set_new(&s, err);
    if (status) return status;
    for (size_t i = 0; !status && (signal = hb_signal_at(i)) != NULL; i++)
        if (hb_model_can_measure(model, signal)) status = hb_signal_set_add(s, signal, err);
    if (status) hb_signal_set_free(s);
    else *set = s;
    return status;
}

static hb_status refuse(const hb_model *model, const char *what, const char *name, unsigned missing,
                        hb_error *err)
{
    return hb_fail(err, HB_ERR_UNSUPPORTED,
                   "the %s '%s' is not available with the engine %s, which does not give %s of this "
                   "model",
                   what, name, model->engine->name, output_name(missing));
}

hb_status hb_check_signals(const hb_model *model, const hb_signal_set *signals, hb_error *err)
{
    const hb_signal *signal;
    for (size_t i = 0; (signal = hb_signal_set_at(signals, i)) != NULL; i++) {
        unsigned missing = outputs_of(signal, model->info.n_layers) & model->lacks;
        if (missing) return refuse(model, "signal", signal->name, missing, err);
    }
    return HB_OK;
}

hb_status hb_check_features(const hb_model *model, const hb_feature_plan *plan, hb_error *err)
{
    unsigned lacks = model->lacks;
    if ((lacks & HB_OUTPUT_STATES) && (plan->hidden || plan->states))
        return refuse(model, "feature", plan->hidden ? "hidden" : "states", HB_OUTPUT_STATES, err);
    if ((lacks & HB_OUTPUT_ATTENTION) && plan->attention)
        return refuse(model, "feature", "attention", HB_OUTPUT_ATTENTION, err);
    return HB_OK;
}
