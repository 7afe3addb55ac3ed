#include "data/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"

static hb_status failed(const char *path, hb_error *err)
{
    return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
}

/* Opens a temporary file without a name. */
static int open_temporary(void)
{
    const char *dir = getenv("TMPDIR");
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/hbar-XXXXXX", dir && *dir ? dir : "/tmp");
    if (n < 0 || (size_t)n >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = hb_move_descriptor(mkostemp(path, O_CLOEXEC));
    if (fd >= 0) unlink(path);
    return fd;
}

/* Copies the contents of a pipe. A FIFO that no process writes to ends at once. */
static hb_status copy(int from, int to, const char *path, hb_error *err)
{
    char block[65536];
    uint64_t total = 0;
    for (;;) {
        struct pollfd ready = {.fd = from, .events = POLLIN};
        ssize_t n = read(from, block, sizeof block);
        if (n < 0 && errno == EAGAIN) n = poll(&ready, 1, -1) < 0 ? -1 : -2;
        if (n == -2 || (n < 0 && errno == EINTR)) continue;
        if (n < 0) return failed(path, err);
        if (n == 0) break;
        total += (uint64_t)n;
        if (total > HB_SPOOL_MAX)
            return hb_fail(err, HB_ERR_IO, "%s: the pipe has more than 4 GiB", path);
        if (!hb_write_all(to, block, (size_t)n))
            return hb_fail(err, HB_ERR_IO,
                           "%s: cannot keep the pipe's contents in a temporary file: %s", path,
                           strerror(errno));
    }
    if (total) return HB_OK;
    return hb_fail(err, HB_ERR_IO, "%s: nothing was written to this pipe", path);
}

static hb_status spool(int from, hb_input *input, hb_error *err)
{
    input->fd = open_temporary();
    if (input->fd < 0)
        return hb_fail(err, HB_ERR_IO, "%s: cannot create a temporary file for the pipe: %s",
                       input->path, strerror(errno));
    return copy(from, input->fd, input->path, err);
}

/* Opens an input from a descriptor. Leaves `fd` open. */
static hb_status take(int fd, bool standard, hb_input *input, hb_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0) return failed(input->path, err);
    if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) || isatty(fd)) return spool(fd, input, err);
    if (!S_ISREG(st.st_mode))
        return hb_fail(err, HB_ERR_IO, "%s: is %s, not a regular file or a pipe", input->path,
                       hb_file_kind(st.st_mode));
    if (!standard) return HB_OK;
    input->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    return input->fd < 0 ? failed(input->path, err) : HB_OK;
}

hb_status hb_input_open(const char *path, hb_input *input, hb_error *err)
{
    bool standard = strcmp(path, "-") == 0;
    *input = (hb_input){.path = strdup(standard ? "standard input" : path), .fd = -1};
    if (!input->path) return hb_fail_memory(err);
    int fd = standard ? STDIN_FILENO : hb_open(path, O_RDONLY | O_NONBLOCK, 0);
    hb_status status = fd < 0 ? failed(path, err) : take(fd, standard, input, err);
    if (fd >= 0 && !standard) close(fd);
    if (status) hb_input_close(input);
    return status;
}

void hb_input_close(hb_input *input)
{
    if (input->fd >= 0) close(input->fd);
    free(input->path);
    *input = (hb_input){.fd = -1};
}
