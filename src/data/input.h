/* Data as the caller names them: a file, or what comes through a pipe, which is kept in a temporary
 * file so that it can be read more than once.
 */
#ifndef HB_DATA_INPUT_H
#define HB_DATA_INPUT_H

#include "base/error.h"

/* A pipe may hold this much. */
#define HB_SPOOL_MAX ((uint64_t)4 << 30)

typedef struct hb_input {
    char *path; /* for messages; "standard input" for "-" */
    int fd;     /* what a pipe held; -1: open `path` */
} hb_input;

/* Takes a regular file as it is, without opening it, and reads a pipe, a socket or "-" to its end.
 * HB_ERR_IO names what is neither, such as a directory or /dev/zero, and a FIFO that nobody writes to.
 */
hb_status hb_input_open(const char *path, hb_input *input, hb_error *err);
void hb_input_close(hb_input *input);

#endif
