/* What the engine of a model can measure: engines do not give every output of a tap for every model. */
#ifndef HB_MONITOR_ABLE_H
#define HB_MONITOR_ABLE_H

#include "signals/features.h"

/* HB_ERR_UNSUPPORTED, naming the first signal of the set that the model's engine cannot measure. */
hb_status hb_check_signals(const hb_model *model, const hb_signal_set *signals, hb_error *err);

/* HB_ERR_UNSUPPORTED, naming the feature, unless the model's engine gives what the features keep. */
hb_status hb_check_features(const hb_model *model, const hb_feature_plan *plan, hb_error *err);

#endif
