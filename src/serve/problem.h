/* Why a request is refused: a status of HTTP and what OpenAI's error form says. */
#ifndef HB_SERVE_PROBLEM_H
#define HB_SERVE_PROBLEM_H

#include <stdbool.h>
#include "base/json.h"

typedef struct hb_problem {
    int status;       /* of HTTP */
    const char *code; /* for programs; NULL: none */
    char param[96];   /* the field at fault; empty: none */
    char message[480];
} hb_problem;

/* Fills in a problem with status 400 that names a field (NULL: none), and returns false. */
__attribute__((format(printf, 3, 4))) bool hb_refuse(hb_problem *problem, const char *param,
                                                     const char *format, ...);

/* The same with any status and code. */
__attribute__((format(printf, 4, 5))) bool hb_refuse_as(hb_problem *problem, int status,
                                                        const char *code, const char *format, ...);

/* The same for memory that ran out: status 500. */
bool hb_refuse_memory(hb_problem *problem);

/* A failure of the library: HB_ERR_ARGUMENT and HB_ERR_CONTEXT are the client's fault, others the
 * server's. */
bool hb_refuse_error(hb_problem *problem, const char *param, const hb_error *err);

/* Writes the member "error". */
void hb_write_problem(hb_json *json, const hb_problem *problem);

#endif
