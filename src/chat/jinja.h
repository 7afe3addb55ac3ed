/* The state that compiling and rendering a chat template share: memory, limits and error handling.
 * Templates are untrusted. So every node costs a step, every nesting counts towards a depth, and all
 * memory comes from one arena with a limit. A failure fills in the hb_error and jumps with longjmp to
 * the function that began the work. All memory is in the arena, so nothing leaks. The prefix hb_j marks
 * names of the interpreter (j for Jinja). */
#ifndef HB_CHAT_JINJA_H
#define HB_CHAT_JINJA_H

#include <setjmp.h>
#include "base/error.h"

typedef struct hb_jchunk hb_jchunk;

typedef struct hb_jarena {
    hb_jchunk *chunks; /* newest first */
    size_t left;       /* bytes that may still be allocated */
} hb_jarena;

typedef struct hb_jinja {
    hb_jarena arena;
    uint64_t steps;    /* steps left */
    int32_t depth;     /* levels left */
    int32_t line;      /* current line of the template */
    size_t text_limit; /* maximum bytes of one text */

    /* Used while rendering: */
    struct hb_jscope *scope;          /* visible variables */
    struct hb_jbuilder *out;          /* receives the output */
    const struct hb_jvalue *captured; /* what a block wrote, for the filters on it */
    int64_t now;                      /* seconds since 1970, for strftime_now */

    jmp_buf failed;
    hb_status status;
    hb_error *err;
} hb_jinja;

/* Fails: fills in the error, with the line number first, and jumps to `failed`. */
__attribute__((format(printf, 3, 4))) _Noreturn void hb_jfail(hb_jinja *j, hb_status status,
                                                              const char *format, ...);

/* Allocates zeroed memory for n elements of `size` bytes. Fails when the limit is reached or memory
 * runs out. */
void *hb_jalloc(hb_jinja *j, size_t n, size_t size);

/* Returns a growing array that has room for one more element after the n that it holds: `array` itself,
 * or a copy with twice the room. The arena keeps the old array. Fails like hb_jalloc. */
void *hb_jgrown(hb_jinja *j, void *array, size_t n, size_t size, size_t *room);
void hb_jarena_free(hb_jarena *arena);

/* Counts n steps of work. A node costs about one step, and so do HB_J_STEP_BYTES bytes of text. Fails
 * when no steps are left. */
void hb_jstep(hb_jinja *j, size_t n);
#define HB_J_STEP_BYTES 16
void hb_jstep_bytes(hb_jinja *j, size_t n_bytes);

/* Call these around recursion. hb_jenter fails when no level is left. */
void hb_jenter(hb_jinja *j);
void hb_jleave(hb_jinja *j);

#endif
