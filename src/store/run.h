/* Functions of the run store that pass 1 uses to write. */
#ifndef HB_STORE_RUN_H
#define HB_STORE_RUN_H

#include "base/error.h"

/* Finds whether the run has the sample with this index, whatever its status. In a run that was made
 * with more samples than are drawn now, only the samples asked for are counted and read from then on.
 */
hb_status hb_run_has(hb_run *run, uint64_t index, bool *has, hb_error *err);

/* Adds a finished sample; the next hb_run_commit makes it permanent. Samples added between two commits
 * form one transaction. If the process ends or hb_run_add fails, all of them are lost. */
hb_status hb_run_add(hb_run *run, const hb_run_sample *sample, hb_error *err);

/* Adds the tokens of a sample that was added since the last commit, and fails in the same way. */
hb_status hb_run_add_tokens(hb_run *run, const hb_run_tokens *tokens, hb_error *err);

/* Adds a sample drawn beside the answer of a sample that was added since the last commit, and fails in
 * the same way. */
hb_status hb_run_add_generation(hb_run *run, const hb_run_generation *generation, hb_error *err);

/* Adds the features of such a sample, and fails in the same way. */
hb_status hb_run_add_features(hb_run *run, const hb_run_features *features, hb_error *err);

/* Setting number i, from 0, as a text, which may be empty. *name is NULL beyond the last setting.
 * Release *text with free(). HB_ERR_MEMORY. */
hb_status hb_run_setting_at(const hb_run_settings *settings, size_t i, const char **name, char **text,
                            hb_error *err);

/* A hash of everything that decides the contents of a run except the number of samples. */
hb_status hb_run_identity(const hb_run_settings *settings, char hex[65], hb_error *err);

hb_status hb_run_commit(hb_run *run, hb_error *err);

/* Moves all that is committed from the log into the run's file, so that the file alone is the run. On a
 * full disk the log stays, and the error says so. While another process reads the run, the log stays
 * without an error. */
hb_status hb_run_finish(hb_run *run, hb_error *err);

#endif
