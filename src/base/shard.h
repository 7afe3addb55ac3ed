/* Numbers of shards, into which the samples of a dataset are split. */
#ifndef HB_BASE_SHARD_H
#define HB_BASE_SHARD_H

#include <stdbool.h>
#include <stdint.h>
#include "hbar.h"

/* Whether there is a shard of this number, from 1, among so many. */
static inline bool hb_is_shard(int32_t shard, int32_t shards)
{
    return shards <= HB_SHARDS_MAX && shard >= 1 && shard <= shards;
}

#endif
