#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

/* Commits the memory. Linux before 5.14 lacks MADV_POPULATE_WRITE; there, writing commits it. */
static bool take(void *memory, size_t bytes)
{
    if (madvise(memory, bytes, MADV_POPULATE_WRITE) == 0) return true;
    if (errno != EINVAL) return false;
    memset(memory, 0, bytes);
    return true;
}

void *hb_reserve(size_t bytes, bool claim)
{
    bytes = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void *memory = aligned_alloc(HUGE_PAGE, bytes);
    if (!memory) return NULL;
    madvise(memory, bytes, MADV_HUGEPAGE);
    if (!claim || take(memory, bytes)) return memory;
    free(memory);
    return NULL;
}
