#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/text.h"

/* The text is made in a buffer of its own: the arguments may point into err->message. */
hb_status hb_fail(hb_error *err, hb_status status, const char *format, ...)
{
    if (!err) return status;
    char text[2 * sizeof err->message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err->status = status;
    hb_printable(err->message, sizeof err->message, text, strlen(text));
    return status;
}

hb_status hb_fail_memory(hb_error *err)
{
    return hb_fail(err, HB_ERR_MEMORY, "out of memory");
}

const char *hb_status_name(hb_status status)
{
    static const char *const names[] = {
        [HB_OK] = "ok",
        [HB_ERR_ARGUMENT] = "bad argument",
        [HB_ERR_MEMORY] = "out of memory",
        [HB_ERR_IO] = "input or output failed",
        [HB_ERR_FORMAT] = "bad format",
        [HB_ERR_UNSUPPORTED] = "not supported",
        [HB_ERR_CONTEXT] = "context full",
        [HB_ERR_NUMERIC] = "not finite",
        [HB_ERR_MISMATCH] = "mismatch",
        [HB_ERR_BUSY] = "busy",
        [HB_ERR_DATA] = "unsuitable data",
        [HB_ERR_CANCELLED] = "cancelled",
        [HB_ERR_CALLBACK] = "callback failed",
    };
    return (size_t)status < sizeof names / sizeof *names ? names[status] : "unknown";
}

const char *hb_version(void)
{
#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)
    return TEXT(HB_VERSION_MAJOR) "." TEXT(HB_VERSION_MINOR) "." TEXT(HB_VERSION_PATCH);
#undef TEXT
#undef TEXT_
}
