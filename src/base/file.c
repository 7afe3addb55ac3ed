#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int hb_move_descriptor(int fd)
{
    if (fd < 0 || fd > STDERR_FILENO) return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    int reason = errno;
    close(fd);
    errno = reason;
    return moved;
}

int hb_open(const char *path, int flags, mode_t mode)
{
    return hb_move_descriptor(open(path, flags | O_CLOEXEC, mode));
}

static const char *kind_name(mode_t mode)
{
    if (S_ISDIR(mode)) return "a directory";
    if (S_ISFIFO(mode)) return "a pipe";
    if (S_ISSOCK(mode)) return "a socket";
    return "a device";
}

/* With O_NONBLOCK opening a pipe returns at once. The flag has no effect on a regular file. */
hb_status hb_open_regular(const char *path, int *fd, hb_error *err)
{
    struct stat st;
    int opened = hb_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (opened < 0) return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    hb_status status = HB_OK;
    if (fstat(opened, &st) != 0) status = hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        status = hb_fail(err, HB_ERR_IO, "%s: is %s, not a regular file", path, kind_name(st.st_mode));
    if (status) close(opened);
    else *fd = opened;
    return status;
}

static bool make_one(const char *path)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST;
}

hb_status hb_make_directory(const char *dir, hb_error *err)
{
    if (!*dir) return hb_fail(err, HB_ERR_ARGUMENT, "the name of a directory is empty");
    char *path = strdup(dir);
    if (!path) return hb_fail_memory(err);
    bool ok = true;
    for (char *slash = path + 1; *slash && ok; slash++) {
        if (*slash != '/') continue;
        *slash = '\0';
        ok = make_one(path);
        *slash = '/';
    }
    ok = ok && make_one(path);
    int reason = errno;
    struct stat st;
    if (ok && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))) {
        ok = false;
        reason = ENOTDIR;
    }
    free(path);
    return ok ? HB_OK : hb_fail(err, HB_ERR_IO, "%s: %s", dir, strerror(reason));
}
