/* Typed members of a JSON object from a client. A member that is absent or null leaves the default in
 * place; one of a wrong type or out of range is refused, and the problem names it. */
#ifndef HB_SERVE_FIELDS_H
#define HB_SERVE_FIELDS_H

#include <jansson.h>
#include "serve/problem.h"

/* An object and the name before its members in problems: "" or "hbar.". */
typedef struct hb_fields {
    const json_t *object;
    const char *before;
    hb_problem *problem;
} hb_fields;

/* Parses a body. NULL, with the problem, unless it is a JSON object. Release with json_decref. */
json_t *hb_fields_parse(const char *body, size_t length, hb_problem *problem);

/* The member, or NULL when it is absent or null. */
const json_t *hb_field(const hb_fields *fields, const char *name);

/* Refuses a member. */
__attribute__((format(printf, 3, 4))) bool hb_field_refuse(const hb_fields *fields, const char *name,
                                                           const char *format, ...);

bool hb_field_bool(const hb_fields *fields, const char *name, bool *value);
bool hb_field_real(const hb_fields *fields, const char *name, double min, double max, double *value);
bool hb_field_int(const hb_fields *fields, const char *name, int32_t min, int32_t max, int32_t *value);
/* The text is valid as long as the object. It may contain zero bytes; `length` may be NULL if that is
 * refused. */
bool hb_field_text(const hb_fields *fields, const char *name, const char **text, size_t *length);
/* The index of the member's text in a NULL-terminated list. */
bool hb_field_choice(const hb_fields *fields, const char *name, const char *const *choices, int *value);

#endif
