#ifndef HB_BASE_MEMORY_H
#define HB_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Room for large arrays, to be released with free(); NULL when there is none. It becomes memory of the
 * process as it is first used, or, claimed, at once; in the largest pages of the machine, which spares
 * page walks. */
void *hb_reserve(size_t bytes, bool claim);

#endif
