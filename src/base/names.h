/* Lists of names. Each enum has one table of its values' names, for options, JSON and messages alike.
 */
#ifndef HB_BASE_NAMES_H
#define HB_BASE_NAMES_H

#include <stdbool.h>
#include <stddef.h>

/* The index of a name in a list; n when the list lacks it. */
size_t hb_name_place(const char *const *names, size_t n, const char *name);

/* The name of a value; "unknown" for one beyond the table. */
#define HB_NAME(names, value) hb_name_at(names, sizeof(names) / sizeof *(names), (size_t)(value))
const char *hb_name_at(const char *const *names, size_t n, size_t value);

/* Finds the value that has the name. False, with *value unset, when none has. */
#define HB_FIND_NAME(names, name, value)                                                               \
    hb_find_name(names, sizeof(names) / sizeof *(names), name, value)
bool hb_find_name(const char *const *names, size_t n, const char *name, size_t *value);

#endif
