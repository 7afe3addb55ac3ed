/* Samples that belong together, such as the right and the hallucinated answer to one question. */
#ifndef HB_DATA_GROUPS_H
#define HB_DATA_GROUPS_H

#include "base/error.h"
#include "base/texts.h"

/* Appends the common part of the ids of a row's samples: the id without "_cor" or "_hal", which
 * hb_dataset_next appends for the two samples of a row. False when memory runs out. */
bool hb_groups_add_id(hb_texts *keys, const char *id);

/* Numbers the groups of samples by their keys [keys->n]. Samples with equal keys get the same number,
 * the place of the first of them. A sample with an empty key is in no group. *groups becomes NULL if no
 * two samples share a key. Release with free(). */
hb_status hb_groups_number(const hb_texts *keys, uint32_t **groups, hb_error *err);

/* The suffixes of the ids of a row's two samples. */
extern const char *const hb_pair_suffixes[2];

#endif
