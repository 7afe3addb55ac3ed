#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

hb_status hb_fail(hb_error *err, hb_status status, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->status = status;
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return status;
}

hb_status hb_fail_memory(hb_error *err)
{
    return hb_fail(err, HB_ERR_MEMORY, "out of memory");
}

const char *hb_version(void)
{
#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)
    return TEXT(HB_VERSION_MAJOR) "." TEXT(HB_VERSION_MINOR) "." TEXT(HB_VERSION_PATCH);
#undef TEXT
#undef TEXT_
}
