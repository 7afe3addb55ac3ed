#include "base/names.h"

#include <string.h>

const char *hb_name_at(const char *const *names, size_t n, size_t value)
{
    return value < n ? names[value] : "unknown";
}

size_t hb_name_place(const char *const *names, size_t n, const char *name)
{
    size_t i = 0;
    while (i < n && strcmp(names[i], name) != 0) i++;
    return i;
}

bool hb_find_name(const char *const *names, size_t n, const char *name, size_t *value)
{
    size_t place = hb_name_place(names, n, name);
    if (place < n) *value = place;
    return place < n;
}
