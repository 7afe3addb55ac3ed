#include "base/json_read.h"

#include <pthread.h>
#include <stdlib.h>

/* Whether an allocation of Jansson failed in this thread. */
static _Thread_local bool lost;

/* Jansson's functions as they were. Memory may be released by them or by ours. */
static json_malloc_t allocate;
static json_free_t release;

static void *allocate_noting(size_t size)
{
    void *memory = allocate(size);
    if (!memory) lost = true;
    return memory;
}

static void install(void)
{
    json_get_alloc_funcs(&allocate, &release);
    json_set_alloc_funcs(allocate_noting, release);
}

/* From now on, `lost` tells whether memory ran out. */
static void watch(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    lost = false;
}

static json_t *unless_lost(json_t *value)
{
    if (!lost) return value;
    json_decref(value);
    return NULL;
}

hb_status hb_json_load(const char *text, size_t length, size_t flags, json_t **value, json_error_t *why,
                       hb_error *err)
{
    watch();
    json_t *loaded = unless_lost(json_loadb(text, length, flags, why));
    if (lost) return hb_fail_memory(err);
    *value = loaded;
    return HB_OK;
}

json_t *hb_json_copy(const json_t *value)
{
    watch();
    return unless_lost(json_copy((json_t *)value));
}
