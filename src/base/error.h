/* Errors are values: a status for the program and a line of text for people. */
#ifndef HB_BASE_ERROR_H
#define HB_BASE_ERROR_H

#include "hbar.h"

/* Fills `err`, which may be NULL, and returns `status`, so that a failure is one statement. The message
 * becomes one line that is safe to print (hb_printable): arguments may come from outside. */
__attribute__((format(printf, 3, 4))) hb_status hb_fail(hb_error *err, hb_status status,
                                                        const char *format, ...);

hb_status hb_fail_memory(hb_error *err);

#endif
