/* The token loop, for callers that already have tokens. */
#ifndef HB_MONITOR_H
#define HB_MONITOR_H

#include "base/error.h"

/* hb_generate from tokens; prompt_seconds does not include tokenizing. */
hb_status hb_generate_tokens(hb_session *session, const int32_t *prompt, size_t n_prompt,
                             const hb_generate_options *options, hb_generation *generation,
                             hb_error *err);

/* Whether a token ends the first line that is not blank; *begun, false at first, tells that something
 * that is no white space has come. */
bool hb_ends_line(const hb_model *model, int32_t token, bool *begun);

#endif
