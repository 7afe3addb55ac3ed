/* Allocations that fail. A test that includes this is linked with --wrap for each function below, so
 * that its own and the library's allocations come here. */
#ifndef HB_TESTS_ALLOCATIONS_H
#define HB_TESTS_ALLOCATIONS_H

#include "check.h"

/* Loops that fail each allocation by turns go on by this many; slow checkers see a part of them. */
enum { ALLOCATION_STEP = UNDER_SLOW_CHECKER ? 7 : 1 };

static struct {
    long made, failed; /* since fail_allocations */
    long first;        /* number of the first that fails; negative: none does */
    bool all_after;    /* whether those after it fail, too */
} allocations = {.first = -1};

/* From now on, allocation number `first`, counted from 0, fails, alone or with all later ones. */
static inline void fail_allocations(long first, bool all_after)
{
    allocations.made = allocations.failed = 0;
    allocations.first = first;
    allocations.all_after = all_after;
}

static inline void stop_failing(void)
{
    allocations.first = -1;
}

static inline bool allocation_fails(void)
{
    long n = allocations.made++;
    bool fails = allocations.first >= 0 &&
                 (n == allocations.first || (allocations.all_after && n > allocations.first));
    allocations.failed += fails;
    return fails;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_reallocarray(void *memory, size_t n, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t n);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_reallocarray(void *memory, size_t n, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t n);

void *__wrap_malloc(size_t size)
{
    return allocation_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return allocation_fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return allocation_fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_reallocarray(void *memory, size_t n, size_t size)
{
    return allocation_fails() ? NULL : __real_reallocarray(memory, n, size);
}

char *__wrap_strdup(const char *text)
{
    return allocation_fails() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t n)
{
    return allocation_fails() ? NULL : __real_strndup(text, n);
}

#endif
