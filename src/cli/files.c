/* Files that a command writes as a whole. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "cli/cli.h"

static int fail_at(const char *path, int reason)
{
    cli_message("%s: %s", path, strerror(reason));
    return CLI_FAILED;
}

bool cli_is_same_file(const char *a, const char *b)
{
    struct stat x, y;
    return a && b && stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

/* A regular file is replaced, so its folder must be writable. */
int cli_check_output(const char *path)
{
    struct stat st;
    bool exists = stat(path, &st) == 0;
    if (!exists && errno != ENOENT) return fail_at(path, errno);
    if (exists && S_ISDIR(st.st_mode)) return fail_at(path, EISDIR);
    if (exists && access(path, W_OK) != 0) return fail_at(path, errno);
    if (exists && !S_ISREG(st.st_mode)) return CLI_DONE;
    char *copy = strdup(path);
    if (!copy) return cli_fail_memory();
    int code = access(dirname(copy), W_OK) == 0 ? CLI_DONE : fail_at(path, errno);
    free(copy);
    return code;
}

/* Writes all the bytes and closes the file. False, with errno set. */
static bool write_all(int fd, const char *text, size_t length)
{
    int reason = 0;
    while (length > 0 && !reason) {
        ssize_t n = write(fd, text, length);
        if (n < 0 && errno != EINTR) reason = errno;
        if (n > 0) text += n, length -= (size_t)n;
    }
    if (close(fd) != 0 && !reason) reason = errno;
    errno = reason;
    return !reason;
}

/* Writes into a pipe or a device, which cannot be replaced. */
static int write_into(const char *path, const char *text, size_t length)
{
    int fd = hb_open(path, O_WRONLY | O_NOCTTY, 0);
    if (fd < 0 || !write_all(fd, text, length)) return fail_at(path, errno);
    return CLI_DONE;
}

int cli_save(const char *path, const char *text, size_t length)
{
    struct stat st;
    char *own;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) return write_into(path, text, length);
    if (asprintf(&own, "%s.part%ld", path, (long)getpid()) < 0) return cli_fail_memory();
    int fd = hb_open(own, O_WRONLY | O_CREAT | O_TRUNC, 0666), code = CLI_DONE;
    if (fd < 0) code = fail_at(own, errno);
    else if (!write_all(fd, text, length) || rename(own, path) != 0) {
        code = fail_at(path, errno);
        unlink(own);
    }
    free(own);
    return code;
}
