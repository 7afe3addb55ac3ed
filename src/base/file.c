#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
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

bool hb_write_all(int fd, const void *bytes, size_t n)
{
    const char *from = bytes;
    while (n > 0) {
        ssize_t written = write(fd, from, n);
        if (written < 0 && errno != EINTR) return false;
        if (written > 0) from += written, n -= (size_t)written;
    }
    return true;
}

bool hb_folder_takes_files(const char *path)
{
    char *copy = strdup(path);
    bool ok = copy && access(dirname(copy), W_OK | X_OK) == 0;
    int reason = copy ? errno : ENOMEM;
    free(copy);
    errno = reason;
    return ok;
}

int hb_create_temporary(const char *dir, char **path)
{
    for (unsigned attempt = 0;; attempt++) {
        if (asprintf(path, "%s/.hbar.%ld.%u", dir, (long)getpid(), attempt) < 0) {
            *path = NULL;
            errno = ENOMEM;
            return -1;
        }
        int fd = hb_open(*path, O_WRONLY | O_CREAT | O_EXCL, 0666);
        if (fd >= 0) return fd;
        int reason = errno;
        free(*path);
        *path = NULL;
        errno = reason;
        if (reason != EEXIST) return -1;
    }
}

/* Not every file system can do this in one step. Without hard links either, an empty file reserves the
 * name first. */
bool hb_rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return true;
    if (errno != EINVAL && errno != ENOSYS) return false;
    if (link(from, to) == 0) {
        unlink(from);
        return true;
    }
    if (errno == EEXIST) return false;
    int fd = hb_open(to, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (fd < 0) return false;
    close(fd);
    if (rename(from, to) == 0) return true;
    int reason = errno;
    unlink(to);
    errno = reason;
    return false;
}

const char *hb_file_kind(mode_t mode)
{
    if (S_ISDIR(mode)) return "a directory";
    if (S_ISFIFO(mode)) return "a pipe";
    if (S_ISLNK(mode)) return "a link";
    if (S_ISSOCK(mode)) return "a socket";
    return "a device";
}

/* Opens a regular file for reading, or a pipe where those are taken. With O_NONBLOCK opening a pipe
 * returns at once. The flag has no effect on a regular file. */
static hb_status open_kind(const char *path, bool pipes, int *fd, struct stat *st, hb_error *err)
{
    int opened = hb_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (opened < 0) return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    hb_status status = HB_OK;
    if (fstat(opened, st) != 0) status = hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st->st_mode) && !(pipes && S_ISFIFO(st->st_mode)))
        status = hb_fail(err, HB_ERR_IO, "%s: is %s, not a regular file%s", path,
                         hb_file_kind(st->st_mode), pipes ? " or a pipe" : "");
    if (status) close(opened);
    else *fd = opened;
    return status;
}

hb_status hb_open_regular(const char *path, int *fd, hb_error *err)
{
    struct stat st;
    return open_kind(path, false, fd, &st, err);
}

hb_stamp hb_stamp_of(const struct stat *st)
{
    return (hb_stamp){st->st_dev, st->st_ino, st->st_size, st->st_mtim};
}

bool hb_stamp_same(const hb_stamp *a, const hb_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

const char *hb_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
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

/* Reads a block. Of a pipe whose writer has not written yet it waits for more. */
static ssize_t read_block(int fd, char *block, size_t size)
{
    for (;;) {
        ssize_t n = read(fd, block, size);
        if (n >= 0 || (errno != EINTR && errno != EAGAIN)) return n;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (errno == EAGAIN) poll(&wait, 1, -1);
    }
}

static hb_status read_all(int fd, const char *path, size_t limit, hb_buffer *out, hb_error *err)
{
    char block[1 << 16];
    ssize_t n;
    while ((n = read_block(fd, block, sizeof block)) > 0) {
        if ((size_t)n > limit - out->length)
            return hb_fail(err, HB_ERR_IO, "%s: has more than %zu bytes", path, limit);
        if (!hb_buffer_add(out, block, (size_t)n)) return hb_fail_memory(err);
    }
    if (n < 0) return hb_fail(err, HB_ERR_IO, "%s: %s", path, strerror(errno));
    return out->length ? HB_OK : hb_fail(err, HB_ERR_IO, "%s: is empty", path);
}

hb_status hb_read_file(const char *path, size_t limit, hb_buffer *out, hb_error *err)
{
    hb_buffer text = {0};
    struct stat st;
    int fd = -1;
    hb_status status = open_kind(path, true, &fd, &st, err);
    if (status) return status;
    if (st.st_size > 0 && (uint64_t)st.st_size > limit)
        status = hb_fail(err, HB_ERR_IO, "%s: has more than %zu bytes", path, limit);
    if (!status) status = read_all(fd, path, limit, &text, err);
    close(fd);
    if (status) hb_buffer_free(&text);
    else *out = text;
    return status;
}
