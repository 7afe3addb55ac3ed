#include "base/memory.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
#ifdef HB_FOR_CHECKERS /* unused positions of a page are read and weighted by 0 */
    memset(memory, 0, bytes);
#endif
    madvise(memory, bytes, MADV_HUGEPAGE);
    if (!claim || take(memory, bytes)) return memory;
    free(memory);
    return NULL;
}

uint64_t hb_available_memory(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    unsigned long long kib = 0;
    char line[128];
    while (file && !kib && fgets(line, sizeof line, file)) sscanf(line, "MemAvailable: %llu kB", &kib);
    if (file) fclose(file);
    if (kib) return (uint64_t)kib * 1024;
    return (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

void *hb_grown(void *array, size_t n, size_t size, size_t *room)
{
    enum { FIRST = 16 };
    if (n < *room) return array;
    size_t wanted = *room ? 2 * *room : FIRST, bytes = size ? size : 1; /* 0 would free the array */
    if (*room > SIZE_MAX / 2 || wanted > SIZE_MAX / bytes) return NULL;
    void *grown = realloc(array, wanted * bytes);
    if (grown) *room = wanted;
    return grown;
}
