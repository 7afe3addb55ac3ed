#ifndef HB_BASE_MEMORY_H
#define HB_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Allocates room for large arrays, in the machine's largest pages, which saves page walks. The kernel
 * commits the memory when it is first used or, with `claim`, now, so that a long job cannot run out
 * later. Released with free(); NULL when there is not enough memory. */
void *hb_reserve(size_t bytes, bool claim);

/* Bytes that are free or that the kernel can free on demand, such as its page cache. */
uint64_t hb_available_memory(void);

/* Returns a growing array that has room for one more element of `size` bytes after the n that it holds:
 * `array` itself, or the array moved to twice its room. `*room` is how many elements fit; an empty
 * array is NULL with room 0. NULL when memory runs out; `array` and `*room` then stay as they are. */
void *hb_grown(void *array, size_t n, size_t size, size_t *room);

#endif
