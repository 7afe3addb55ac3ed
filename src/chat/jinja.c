#include "chat/jinja.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)32 << 10)

struct hb_jchunk {
    hb_jchunk *next;
    size_t used, room;
    alignas(max_align_t) char bytes[];
};

void hb_jfail(hb_jinja *j, hb_status status, const char *format, ...)
{
    char what[sizeof j->err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    j->status = hb_fail(j->err, status, "line %d: %s", (int)j->line, what);
    longjmp(j->failed, 1);
}

/* ---- Memory ------------------------------------------------------------------------------------- */

static hb_jchunk *new_chunk(hb_jinja *j, size_t need)
{
    size_t room = need > CHUNK_BYTES ? need : CHUNK_BYTES;
    hb_jchunk *chunk = malloc(sizeof *chunk + room);
    if (!chunk) {
        j->status = hb_fail_memory(j->err);
        longjmp(j->failed, 1);
    }
    chunk->used = 0;
    chunk->room = room;
    chunk->next = j->arena.chunks;
    return j->arena.chunks = chunk;
}

void *hb_jalloc(hb_jinja *j, size_t n, size_t size)
{
    const size_t align = alignof(max_align_t);
    if (n > j->arena.left / size) hb_jfail(j, HB_ERR_FORMAT, "the template needs too much memory");
    size_t bytes = (n * size + align - 1) / align * align;
    j->arena.left -= bytes < j->arena.left ? bytes : j->arena.left;
    hb_jchunk *chunk = j->arena.chunks;
    if (!chunk || chunk->room - chunk->used < bytes) chunk = new_chunk(j, bytes);
    void *memory = chunk->bytes + chunk->used;
    chunk->used += bytes;
    return memset(memory, 0, bytes);
}

void *hb_jgrown(hb_jinja *j, void *array, size_t n, size_t size, size_t *room)
{
    if (n < *room) return array;
    size_t wanted = *room ? 2 * *room : 4;
    void *grown = hb_jalloc(j, wanted, size);
    if (n) memcpy(grown, array, n * size);
    *room = wanted;
    return grown;
}

void hb_jarena_free(hb_jarena *arena)
{
    for (hb_jchunk *chunk = arena->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    arena->chunks = NULL;
}

/* ---- Bounds ------------------------------------------------------------------------------------- */

void hb_jstep(hb_jinja *j, size_t n)
{
    if (n >= j->steps) hb_jfail(j, HB_ERR_FORMAT, "the template takes too many steps");
    j->steps -= n;
}

void hb_jstep_bytes(hb_jinja *j, size_t n_bytes)
{
    hb_jstep(j, n_bytes / HB_J_STEP_BYTES + 1);
}

void hb_jenter(hb_jinja *j)
{
    if (j->depth <= 0) hb_jfail(j, HB_ERR_FORMAT, "the template is nested too deeply");
    j->depth--;
}

void hb_jleave(hb_jinja *j)
{
    j->depth++;
}
