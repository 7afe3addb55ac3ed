#include "base/names.h"

#include <string.h>

const char *hb_name_at(const char *const *names, size_t n, size_t value)
{
    return value < n ? names[value] : "unknown";
}

bool hb_find_name(const char *const *names, size_t n, const char *name, size_t *value)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) {
            *value = i;
            return true;
        }
    return false;
}
