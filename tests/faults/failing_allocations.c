/* Loaded with LD_PRELOAD into hbar: makes allocations of the whole process fail, also those of
 * libraries.
 *
 *   HBAR_FAIL_ALLOCATION=N   allocation number N, counted from 0 at main, fails; N+ also all after it
 *   HBAR_COUNT_ALLOCATIONS=FILE   writes the number of allocations to FILE when the process exits */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_long made;
static long failing = -1;
static bool all_after;
static atomic_bool counting;

/* The allocator behind this one: AddressSanitizer's where hbar was built with it, else that of glibc.
 */
#define BEHIND(type, name, arguments)                                                                  \
    extern type __interceptor_##name arguments __attribute__((weak));                                  \
    extern type __libc_##name arguments
#define CALL(name, ...)                                                                                \
    (__interceptor_##name ? __interceptor_##name(__VA_ARGS__) : __libc_##name(__VA_ARGS__))

BEHIND(void *, malloc, (size_t size));
BEHIND(void *, calloc, (size_t n, size_t size));
BEHIND(void *, realloc, (void *memory, size_t size));
BEHIND(void *, memalign, (size_t alignment, size_t size));
BEHIND(void, free, (void *memory));

/* The code of liblinear and of the C++ library, of which only liblinear makes use. They end the process
 * when memory runs out, so hbar allocates first what liblinear needs (joint.c). */
static struct range {
    uintptr_t from, to;
} spared[8];
static int n_spared;

static int find_spared(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    if (!strstr(info->dlpi_name, "liblinear.") && !strstr(info->dlpi_name, "libstdc++.")) return 0;
    for (int i = 0; i < info->dlpi_phnum && n_spared < 8; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_LOAD && p->p_flags & PF_X)
            spared[n_spared++] = (struct range){from, from + p->p_memsz};
    }
    return 0;
}

static bool is_spared(const void *caller)
{
    for (int i = 0; i < n_spared; i++)
        if ((uintptr_t)caller >= spared[i].from && (uintptr_t)caller < spared[i].to) return true;
    return false;
}

static bool fails(const void *caller)
{
    if (!counting || is_spared(caller)) return false;
    long n = atomic_fetch_add(&made, 1);
    if (failing < 0 || !(n == failing || (all_after && n > failing))) return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : CALL(malloc, size);
}

void *calloc(size_t n, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : CALL(calloc, n, size);
}

void *realloc(void *memory, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : CALL(realloc, memory, size);
}

void *reallocarray(void *memory, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size) return NULL;
    return fails(__builtin_return_address(0)) ? NULL : CALL(realloc, memory, n * size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : CALL(memalign, alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    void *made_memory = fails(__builtin_return_address(0)) ? NULL : CALL(memalign, alignment, size);
    if (made_memory) *memory = made_memory;
    return made_memory ? 0 : ENOMEM;
}

void free(void *memory)
{
    CALL(free, memory);
}

static void write_count(void)
{
    char text[32];
    counting = false;
    int fd = open(getenv("HBAR_COUNT_ALLOCATIONS"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    int length = snprintf(text, sizeof text, "%ld\n", atomic_load(&made));
    if (fd < 0 || write(fd, text, (size_t)length) != length) abort();
    close(fd);
}

typedef int (*main_type)(int, char **, char **);

static main_type real_main;

static int counted_main(int argc, char **argv, char **environment)
{
    const char *n = getenv("HBAR_FAIL_ALLOCATION");
    if (getenv("HBAR_COUNT_ALLOCATIONS")) atexit(write_count);
    if (n) {
        failing = atol(n);
        all_after = strchr(n, '+');
    }
    dl_iterate_phdr(find_spared, NULL);
    counting = true;
    return real_main(argc, argv, environment);
}

typedef int (*start_type)(main_type, int, char **, main_type, void (*)(void), void (*)(void), void *);

/* Starts counting at main: what the loader allocates is not hbar's. */
int __libc_start_main(main_type main, int argc, char **argv, main_type init, void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end);
int __libc_start_main(main_type main, int argc, char **argv, main_type init, void (*fini)(void),
                      void (*rtld_fini)(void), void *stack_end)
{
    start_type real = (start_type)dlsym(RTLD_NEXT, "__libc_start_main");
    real_main = main;
    return real(counted_main, argc, argv, init, fini, rtld_fini, stack_end);
}
