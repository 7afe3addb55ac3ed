#ifndef HB_BASE_MEMORY_H
#define HB_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Allocates room for large arrays, in the machine's largest pages, which saves page walks. The kernel
 * commits the memory when it is first used or, with `claim`, now, so that a long job cannot run out
 * later. Released with free(); NULL when there is not enough memory. */
void *hb_reserve(size_t bytes, bool claim);

#endif
