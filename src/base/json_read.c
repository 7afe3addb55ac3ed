#include "base/json_read.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include "base/memory.h"

/* Whether an allocation of Jansson failed in this thread. */
static _Thread_local bool lost;

/* Jansson's functions as they were. Memory may be released by them or by ours. */
static json_malloc_t allocate;
static json_free_t release;

/* ---- Loading ------------------------------------------------------------------------------------- */

typedef struct pointers {
    void **list;
    size_t n, room;
} pointers;

/* A load in this thread. After a failed allocation, Jansson 2.14 goes on with a token that lacks a
 * character; if that is a quote, it reads and writes beyond the token. So a load ends at once, by
 * longjmp, and what it allocated is released here. Memory that Jansson releases while it loads is kept
 * until the end, so that it need not be searched for in `made`. */
static _Thread_local struct {
    bool running;
    jmp_buf end;
    pointers made, released;
    json_t *value; /* what was loaded; NULL: nothing yet */
} load;

static bool add_pointer(pointers *to, void *pointer)
{
    void **list = hb_grown(to->list, to->n, sizeof *list, &to->room);
    if (!list) return false;
    to->list = list;
    list[to->n++] = pointer;
    return true;
}

static void end_load(void)
{
    lost = true;
    if (load.running) longjmp(load.end, 1);
}

static void *allocate_noting(size_t size)
{
    void *memory = allocate(size);
    if (memory && load.running && !add_pointer(&load.made, memory)) {
        release(memory);
        memory = NULL;
    }
    if (!memory) end_load();
    return memory;
}

static void release_noting(void *memory)
{
    if (!load.running) release(memory);
    else if (memory && !add_pointer(&load.released, memory)) end_load();
}

static void release_all(const pointers *p)
{
    for (size_t i = 0; i < p->n; i++) release(p->list[i]);
}

static json_t *load_text(const char *text, size_t length, size_t flags, json_error_t *why)
{
    load.made = load.released = (pointers){0};
    load.value = NULL;
    load.running = true;
    if (setjmp(load.end) == 0) load.value = json_loadb(text, length, flags, why);
    load.running = false;
    release_all(lost ? &load.made : &load.released);
    free(load.made.list);
    free(load.released.list);
    return load.value;
}

/* ---- The functions of the header ----------------------------------------------------------------- */

static void install(void)
{
    json_get_alloc_funcs(&allocate, &release);
    json_set_alloc_funcs(allocate_noting, release_noting);
}

/* From now on, `lost` tells whether memory ran out. */
static void watch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    lost = false;
}

hb_status hb_json_load(const char *text, size_t length, size_t flags, json_t **value, json_error_t *why,
                       hb_error *err)
{
    watch();
    json_t *loaded = load_text(text, length, flags, why);
    if (lost) return hb_fail_memory(err);
    *value = loaded;
    return HB_OK;
}

json_t *hb_json_copy(const json_t *value)
{
    watch();
    json_t *copy = json_copy((json_t *)value);
    if (!lost) return copy;
    json_decref(copy);
    return NULL;
}
