/* Opens data by name: a file, or a pipe. The contents of a pipe are kept in a temporary file, because
 * data are read more than once. */
#ifndef HB_DATA_INPUT_H
#define HB_DATA_INPUT_H

#include "base/error.h"

/* Maximum bytes from a pipe. */
#define HB_SPOOL_MAX ((uint64_t)4 << 30)

typedef struct hb_input {
    char *path; /* for messages; "standard input" for "-" */
    int fd;     /* temporary file with the contents of a pipe; -1: open `path` */
} hb_input;

/* Accepts a regular file without opening it. Reads a pipe, a socket or "-" to its end. HB_ERR_IO for
 * anything else, such as a directory or /dev/zero, and for a FIFO that nobody writes to. */
hb_status hb_input_open(const char *path, hb_input *input, hb_error *err);
void hb_input_close(hb_input *input);

#endif
