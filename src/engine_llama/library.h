/* libllama as a whole: its start, and what it says. */
#ifndef HB_ENGINE_LLAMA_LIBRARY_H
#define HB_ENGINE_LLAMA_LIBRARY_H

#include <llama.h>
#include "base/error.h"

/* Loads libllama's backends at the first call and takes over its log. Call it before any other function
 * of libllama. Forgets what hb_llama_why would return. */
void hb_llama_start(void);

/* The first error that libllama logged in this thread since hb_llama_start, without a line's end; "no
 * reason given" if there was none. */
const char *hb_llama_why(void);

#endif
