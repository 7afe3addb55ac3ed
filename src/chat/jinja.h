/* What compiling and rendering a chat template share: memory of their own, bounds, and one way out.
 * Templates come from files that nobody vouches for, so every node costs a step, every nesting counts
 * towards a depth, and all memory comes from one arena with a limit. Whatever fails says so in the
 * hb_error and leaves by longjmp to the function that began: everything lives in the arena, so nothing
 * leaks. Names that start with hb_j belong to the interpreter (j for Jinja). */
#ifndef HB_CHAT_JINJA_H
#define HB_CHAT_JINJA_H

#include <setjmp.h>
#include "base/error.h"

typedef struct hb_jchunk hb_jchunk;

typedef struct hb_jarena {
    hb_jchunk *chunks; /* the newest first */
    size_t left;       /* bytes that may still be taken */
} hb_jarena;

typedef struct hb_jinja {
    hb_jarena arena;
    uint64_t steps;    /* left */
    int32_t depth;     /* levels left */
    int32_t line;      /* of the template, where it is at */
    size_t text_limit; /* bytes that one text may have */

    /* While rendering: */
    struct hb_jscope *scope;          /* the variables in sight */
    struct hb_jbuilder *out;          /* where output goes */
    const struct hb_jvalue *captured; /* what a block wrote that its filters take */
    int64_t now;                      /* seconds since 1970, for strftime_now */

    jmp_buf failed;
    hb_status status;
    hb_error *err;
} hb_jinja;

/* Fills the error, with the line in front, and leaves. */
__attribute__((format(printf, 3, 4))) _Noreturn void hb_jfail(hb_jinja *j, hb_status status,
                                                              const char *format, ...);

/* Zeroed memory for n things of that size; leaves when the limit or the machine has no more. */
void *hb_jalloc(hb_jinja *j, size_t n, size_t size);

/* An array with room for one more element after the n that it holds: `array` itself, or a copy with
 * twice its room; the arena keeps the old one. Leaves as hb_jalloc does. */
void *hb_jgrown(hb_jinja *j, void *array, size_t n, size_t size, size_t *room);
void hb_jarena_free(hb_jarena *arena);

/* Counts work: about a step for a node, or for each HB_J_STEP_BYTES handled. */
void hb_jstep(hb_jinja *j, size_t n);
#define HB_J_STEP_BYTES 16
void hb_jstep_bytes(hb_jinja *j, size_t n_bytes);

/* Around what calls itself. */
void hb_jenter(hb_jinja *j);
void hb_jleave(hb_jinja *j);

#endif
