/* Threads that share the items of short jobs. A job never waits for a thread that another program has
 * displaced before it took an item, and threads without work soon sleep: on a busy machine a pool costs
 * little more than the work itself. */
#ifndef HB_BASE_POOL_H
#define HB_BASE_POOL_H

#include "hbar.h"

typedef struct hb_pool hb_pool;

/* Does one item of a job. `thread` is in [0, n_threads) and differs between items that are done at the
 * same time. */
typedef void hb_pool_work(const void *context, int32_t item, int32_t thread);

/* Starts a pool of n_threads threads, one of which is the caller's own. */
hb_status hb_pool_open(hb_pool **pool, int32_t n_threads, hb_error *err);
void hb_pool_close(hb_pool *pool);

/* Calls work(context, i, thread) once for each i in [0, n_items), in any order, and returns when all
 * calls have returned. With a NULL pool or fewer than two items, the caller does all items as thread 0.
 * Only one thread at a time may use a pool, and `work` must not use it. */
void hb_pool_each(hb_pool *pool, int32_t n_items, hb_pool_work *work, const void *context);

/* The number of threads that this process can run at once: the processors that its affinity allows, and
 * no more than the CPU quota of its control groups (Linux cgroup, version 1 or 2). At least 1. */
int32_t hb_usable_processors(void);

/* The CPU quota, in processors, of the control groups that the file `groups` lists (in the form of
 * /proc/self/cgroup) and of the groups that contain them. `root` is where the groups are mounted. 0
 * when there is no quota. */
double hb_cpu_quota(const char *groups, const char *root);
/* The same for memory, in bytes. */
double hb_memory_limit(const char *groups, const char *root);
#define HB_OWN_GROUPS  "/proc/self/cgroup" /* of this process */
#define HB_GROUPS_ROOT "/sys/fs/cgroup"

/* The number of processors that this process's affinity allows. */
int32_t hb_allowed_processors(void);

#endif
